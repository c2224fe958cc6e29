//go:build unix

package diskstore_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/dcbtest/history"
	"github.com/dcbstore/dcb/diskstore"
	"github.com/dcbstore/dcb/internal/model"
	"github.com/dcbstore/dcb/internal/vfs"
)

// These variables make a process of this test binary a victim. It appends to the directory until it
// is killed; seed and round determine its appends.
const (
	victimDir   = "DCB_TEST_VICTIM_DIR"
	victimSeed  = "DCB_TEST_VICTIM_SEED"
	victimRound = "DCB_TEST_VICTIM_ROUND"
)

// killsVariable, if set, is the number of processes to kill.
const killsVariable = "DCB_KILLS"

func TestMain(m *testing.M) {
	if dir := os.Getenv(victimDir); dir != "" {
		seed, err := strconv.ParseUint(os.Getenv(victimSeed), 10, 64)
		round, err2 := strconv.Atoi(os.Getenv(victimRound))
		if err = errors.Join(err, err2); err == nil {
			err = runVictim(context.Background(), dir, seed, round)
		}
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// victimOptions are the options of the victims, and of the store that checks what they left.
var victimOptions = &diskstore.Options{SegmentBytes: diskstore.MinSegmentBytes}

const (
	victimCallers = 4
	victimAppends = 1 << 20 // per caller and round; more than a victim makes
)

// appendOf returns append number n. Every process with the seed computes the same.
func appendOf(seed, n uint64) []dcb.Event {
	events := randomEvents(randomOf(seed, n))
	for i := range events {
		events[i].Data = append([]byte(eventName(int(n), i)), events[i].Data...)
	}
	return events
}

// runVictim appends until the process is killed. It prints "sent n" before an append, and "acked
// n position" or "refused n" after it.
func runVictim(ctx context.Context, dir string, seed uint64, round int) error {
	s, err := diskstore.Open(dir, victimOptions)
	if err != nil {
		return err
	}
	failed := make(chan error)
	for c := range victimCallers {
		go func() {
			first := uint64(round*victimCallers+c) * victimAppends
			random := randomOf(seed^1, first)
			for n := first; ; n++ {
				if err := victimStep(ctx, s, random, seed, n); err != nil {
					failed <- err
				}
			}
		}()
	}
	return <-failed
}

// victimStep makes append number n.
func victimStep(ctx context.Context, s *diskstore.Store, random *rand.Rand, seed, n uint64) error {
	if random.IntN(4) == 0 {
		return appendCount(ctx, s, n)
	}
	events := appendOf(seed, n)
	var condition *dcb.AppendCondition
	if random.IntN(2) == 0 {
		q := randomQuery(random)
		result, err := s.Read(ctx, q, dcb.ReadOptions{Limit: random.IntN(50)})
		if err != nil {
			return err
		}
		condition = &dcb.AppendCondition{FailIfEventsMatch: q, After: result.Head}
	}
	fmt.Printf("sent %d\n", n)
	last, err := s.Append(ctx, events, condition)
	if errors.Is(err, dcb.ErrConflict) {
		fmt.Printf("refused %d\n", n)
		return nil
	}
	if err != nil {
		return err
	}
	fmt.Printf("acked %d %d\n", n, last)
	return nil
}

// counter is the tag of the events that appendCount appends.
const counter = "counter"

// appendCount appends the next number. Its condition ensures that each number is recorded
// exactly once.
func appendCount(ctx context.Context, s *diskstore.Store, n uint64) error {
	q := dcb.Query{{Tags: []string{counter}}}
	result, err := s.Read(ctx, q, dcb.ReadOptions{Limit: 1, Backwards: true})
	if err != nil {
		return err
	}
	next := 1
	for _, e := range result.Events {
		if _, err := fmt.Sscan(string(e.Data), &next); err != nil {
			return err
		}
		next++
	}
	event := dcb.Event{Type: "Counted", Tags: []string{counter}, Data: fmt.Appendf(nil, "%d for %d", next, n)}
	last, err := s.Append(ctx, []dcb.Event{event}, &dcb.AppendCondition{FailIfEventsMatch: q, After: result.Head})
	if err == nil {
		fmt.Printf("acked %d %d\n", n, last)
	}
	if errors.Is(err, dcb.ErrConflict) {
		return nil
	}
	return err
}

// killOracle is the oracle for killed processes.
type killOracle struct {
	seed    uint64
	dir     string
	sent    map[uint64]bool
	refused map[uint64]bool
	acked   map[uint64]dcb.Position // the last position of each acknowledged append
	before  []dcb.SequencedEvent    // the log at the end of the previous round
}

func TestOpenAfterKill(t *testing.T) {
	t.Parallel()
	seed, _ := seedOf(t)
	t.Logf("%s=%d", history.SeedVariable, seed)
	rounds := intFromEnv(t, killsVariable, 50)
	random := randomOf(seed, 5000)
	var m *killOracle
	var acked, unacknowledged int
	var merges int64
	for round := range rounds {
		if round%50 == 0 {
			m = &killOracle{seed: seed + uint64(round), dir: t.TempDir(), sent: map[uint64]bool{}, refused: map[uint64]bool{}, acked: map[uint64]dcb.Position{}}
		}
		before := len(m.acked)
		if err := m.kill(t.Context(), round%50, random.IntN(40), time.Duration(random.IntN(5000))*time.Microsecond); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		acked += len(m.acked) - before
		found, merged, err := m.inspect(t.Context(), random)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		unacknowledged += found
		merges += merged
	}
	t.Logf("killed %d processes; %d appends were acknowledged, %d were recorded but not acknowledged; %d merges",
		rounds, acked, unacknowledged, merges)
}

// kill starts a process and kills it some time after the given number of acknowledged appends.
// It parses what the process prints.
func (m *killOracle) kill(ctx context.Context, round, answers int, after time.Duration) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	var stderr strings.Builder
	victim := exec.CommandContext(ctx, program)
	victim.Env = append(os.Environ(), victimDir+"="+m.dir, victimSeed+"="+strconv.FormatUint(m.seed, 10), victimRound+"="+strconv.Itoa(round))
	victim.Stderr = &stderr
	out, err := victim.StdoutPipe()
	if err != nil {
		return err
	}
	if err := victim.Start(); err != nil {
		return err
	}
	var scheduled sync.Once
	var killed atomic.Bool
	timer := time.AfterFunc(hangTimeout, func() { _ = victim.Process.Kill() })
	defer timer.Stop()
	lines := bufio.NewScanner(out)
	for before := len(m.acked); lines.Scan(); {
		if err := m.parseLine(lines.Text()); err != nil {
			return err
		}
		if len(m.acked)-before < answers {
			continue
		}
		scheduled.Do(func() {
			time.AfterFunc(after, func() {
				killed.Store(true)
				_ = victim.Process.Kill()
			})
		})
	}
	_ = victim.Wait() // it was killed
	if !killed.Load() || stderr.Len() > 0 {
		return fmt.Errorf("the victim ended before it was killed: %s", &stderr)
	}
	return lines.Err()
}

func (m *killOracle) parseLine(line string) error {
	var what string
	var n uint64
	var last dcb.Position
	if got, err := fmt.Sscan(line, &what, &n, &last); got < 2 {
		return fmt.Errorf("the victim printed %q: %w", line, err)
	}
	switch what {
	case "sent":
		m.sent[n] = true
	case "refused":
		m.refused[n] = true
	case "acked":
		m.acked[n] = last
	}
	return nil
}

// inspect opens the store of a killed process, compares it with what is known, sends some
// appends again and closes it. It returns how many appends are recorded but were not
// acknowledged.
func (m *killOracle) inspect(ctx context.Context, random *rand.Rand) (unacknowledged int, merges int64, err error) {
	s, err := diskstore.Open(m.dir, victimOptions)
	if err != nil {
		return 0, 0, err
	}
	defer func() {
		err = errors.Join(err, s.Close())
		merges = s.Metrics().Merges
	}()
	all, err := s.Read(ctx, dcb.All(), dcb.ReadOptions{})
	if err != nil {
		return 0, 0, err
	}
	scanned, err := scanLog(vfs.OS(), m.dir)
	if err != nil {
		return 0, 0, err
	}
	if err := diffEvents(all.Events, scanned); err != nil {
		return 0, 0, fmt.Errorf("Read(All) differs from a scan of the files: %w", err)
	}
	if err := diffEvents(all.Events[:min(len(m.before), len(all.Events))], m.before); err != nil {
		return 0, 0, fmt.Errorf("the events of earlier rounds changed: %w", err)
	}
	if unacknowledged, err = m.compare(all.Events); err != nil {
		return 0, 0, err
	}
	m.before = all.Events
	if err := checkQueries(ctx, s, all.Events, random); err != nil {
		return 0, 0, err
	}
	return unacknowledged, 0, m.resend(ctx, s, random)
}

// compare compares the log with what the process printed.
func (m *killOracle) compare(log model.Log) (unacknowledged int, err error) {
	counted := 0
	found := make(map[uint64]dcb.Position)
	for at := 0; at < len(log); {
		e := log[at]
		if e.Position != dcb.Position(at+1) || at > 0 && e.RecordedAt.Before(log[at-1].RecordedAt) {
			return 0, fmt.Errorf("event %d of the log has position %d, recorded at %v", at+1, e.Position, e.RecordedAt)
		}
		if slices.Contains(e.Tags, counter) {
			var number int
			var n uint64
			if _, err := fmt.Sscanf(string(e.Data), "%d for %d", &number, &n); err != nil || number != counted+1 {
				return 0, fmt.Errorf("position %d counts %d (%w), want %d", e.Position, number, err, counted+1)
			}
			counted++
			found[n] = e.Position
			at++
			continue
		}
		_, n, i, err := parseName(&e)
		if err != nil {
			return 0, err
		}
		number := uint64(n)
		if i != 0 || found[number] != 0 || !m.sent[number] || m.refused[number] {
			return 0, fmt.Errorf("position %d is event %d of append %d, which cannot be there", e.Position, i, n)
		}
		whole := attempt{events: appendOf(m.seed, number)}
		if err := whole.checkAt(log, at); err != nil {
			return 0, fmt.Errorf("append %d: %w", n, err)
		}
		at += len(whole.events)
		found[number] = dcb.Position(at)
		if m.acked[number] == 0 {
			unacknowledged++
		}
	}
	for n, last := range m.acked {
		if found[n] != last {
			return 0, fmt.Errorf("append %d was acknowledged at position %d, found at %d (0 means missing); the head is %d",
				n, last, found[n], len(log))
		}
	}
	maps.Copy(m.acked, found) // these must remain
	for n := range m.sent {
		m.refused[n] = found[n] == 0
	}
	return unacknowledged, nil
}

// resend sends some recorded appends again.
func (m *killOracle) resend(ctx context.Context, s *diskstore.Store, random *rand.Rand) error {
	for n, last := range m.acked {
		if !m.sent[n] || random.IntN(len(m.acked)) > 10 {
			continue
		}
		events := appendOf(m.seed, n)
		if slices.ContainsFunc(events, func(e dcb.Event) bool { return e.ID == uuid.Nil }) {
			continue
		}
		if got, err := s.Append(ctx, events, nil); err != nil || got != last {
			return fmt.Errorf("append %d is recorded at position %d; Append again = %d, %w", n, last, got, err)
		}
	}
	return nil
}
