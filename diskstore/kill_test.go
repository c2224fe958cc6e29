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

// The variables that make a process of this test binary a victim: the directory that it appends to until it is killed, and what it appends.
const (
	victimDir   = "DCB_TEST_VICTIM_DIR"
	victimSeed  = "DCB_TEST_VICTIM_SEED"
	victimRound = "DCB_TEST_VICTIM_ROUND"
)

const killsVariable = "DCB_KILLS" // how many processes are killed, if it is set

func TestMain(m *testing.M) {
	if dir := os.Getenv(victimDir); dir != "" {
		seed, err := strconv.ParseUint(os.Getenv(victimSeed), 10, 64)
		round, err2 := strconv.Atoi(os.Getenv(victimRound))
		if err = errors.Join(err, err2); err == nil {
			err = suffer(context.Background(), dir, seed, round)
		}
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// killedOptions are those of the victims, and of the one who looks at what they left.
var killedOptions = &diskstore.Options{SegmentBytes: diskstore.MinSegmentBytes}

const (
	victimCallers = 4
	victimAppends = 1 << 20 // more than a caller makes before it is killed
)

// appendOf returns the append with a number, which any process that has the seed can make again.
func appendOf(seed, n uint64) []dcb.Event {
	events := randomEvents(randomOf(seed, n))
	for i := range events {
		events[i].Data = append([]byte(name(int(n), i)), events[i].Data...)
	}
	return events
}

// suffer appends until the process is killed. It prints "sent n" before an append, and "acked n position" or "refused n" afterwards.
func suffer(ctx context.Context, dir string, seed uint64, round int) error {
	s, err := diskstore.Open(dir, killedOptions)
	if err != nil {
		return err
	}
	failed := make(chan error)
	for c := range victimCallers {
		go func() {
			first := uint64(round*victimCallers+c) * victimAppends
			random := randomOf(seed^1, first)
			for n := first; ; n++ {
				if err := sufferOnce(ctx, s, random, seed, n); err != nil {
					failed <- err
				}
			}
		}()
	}
	return <-failed
}

func sufferOnce(ctx context.Context, s *diskstore.Store, random *rand.Rand, seed, n uint64) error {
	if random.IntN(4) == 0 {
		return count(ctx, s, n)
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

const counter = "counter"

// count records the number that comes next, which conditions keep from ever being recorded twice or left out.
func count(ctx context.Context, s *diskstore.Store, n uint64) error {
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

// mourner is the oracle of processes that were killed.
type mourner struct {
	seed    uint64
	dir     string
	sent    map[uint64]bool
	refused map[uint64]bool
	acked   map[uint64]dcb.Position // the last position
	before  []dcb.SequencedEvent    // what was there when the last round was over
}

func TestWhateverAProcessThatIsKilledHasAnsweredIsThere(t *testing.T) {
	t.Parallel()
	seed, _ := seedOf(t)
	t.Logf("%s=%d", history.SeedVariable, seed)
	rounds := number(t, killsVariable, 50)
	random := randomOf(seed, 5000)
	var m *mourner
	var acked, unanswered int
	var merges int64
	for round := range rounds {
		if round%50 == 0 {
			m = &mourner{seed: seed + uint64(round), dir: t.TempDir(), sent: map[uint64]bool{}, refused: map[uint64]bool{}, acked: map[uint64]dcb.Position{}}
		}
		before := len(m.acked)
		if err := m.kill(t.Context(), round%50, random.IntN(40), time.Duration(random.IntN(5000))*time.Microsecond); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		acked += len(m.acked) - before
		found, merged, err := m.mourn(t.Context(), random)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		unanswered += found
		merges += merged
	}
	t.Logf("%d processes were killed; %d appends had been answered, %d were recorded without an answer; %d merges in between", rounds, acked, unanswered, merges)
}

// kill starts a process, kills it some time after so many of its appends were answered, and notes what it had printed.
func (m *mourner) kill(ctx context.Context, round, answers int, after time.Duration) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	var complaint strings.Builder
	victim := exec.CommandContext(ctx, program)
	victim.Env = append(os.Environ(), victimDir+"="+m.dir, victimSeed+"="+strconv.FormatUint(m.seed, 10), victimRound+"="+strconv.Itoa(round))
	victim.Stderr = &complaint
	out, err := victim.StdoutPipe()
	if err != nil {
		return err
	}
	if err := victim.Start(); err != nil {
		return err
	}
	var begun sync.Once
	var killed atomic.Bool
	timer := time.AfterFunc(hangTimeout, func() { _ = victim.Process.Kill() })
	defer timer.Stop()
	lines := bufio.NewScanner(out)
	for before := len(m.acked); lines.Scan(); {
		if err := m.note(lines.Text()); err != nil {
			return err
		}
		if len(m.acked)-before < answers {
			continue
		}
		begun.Do(func() {
			time.AfterFunc(after, func() {
				killed.Store(true)
				_ = victim.Process.Kill()
			})
		})
	}
	_ = victim.Wait() // it was killed
	if !killed.Load() || complaint.Len() > 0 {
		return fmt.Errorf("the process ended by itself, or did not begin: %s", &complaint)
	}
	return lines.Err()
}

func (m *mourner) note(line string) error {
	var what string
	var n uint64
	var last dcb.Position
	if got, err := fmt.Sscan(line, &what, &n, &last); got < 2 {
		return fmt.Errorf("the process printed %q: %w", line, err)
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

// mourn opens what was left, compares it with what is known, appends something, and closes it. It returns how many appends are there that were not answered.
func (m *mourner) mourn(ctx context.Context, random *rand.Rand) (unanswered int, merges int64, err error) {
	s, err := diskstore.Open(m.dir, killedOptions)
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
	scanned, err := scan(vfs.OS(), m.dir)
	if err != nil {
		return 0, 0, err
	}
	if err := sameEvents(all.Events, scanned); err != nil {
		return 0, 0, fmt.Errorf("a read of everything and a scan of the files: %w", err)
	}
	if err := sameEvents(m.before, all.Events[:min(len(m.before), len(all.Events))]); err != nil {
		return 0, 0, fmt.Errorf("what was there before this process, and what is there now: %w", err)
	}
	if unanswered, err = m.compare(all.Events); err != nil {
		return 0, 0, err
	}
	m.before = all.Events
	if err := checkQueries(ctx, s, all.Events, random); err != nil {
		return 0, 0, err
	}
	return unanswered, 0, m.again(ctx, s, random)
}

// compare compares the log with what was printed.
func (m *mourner) compare(log model.Log) (unanswered int, err error) {
	counted := 0
	found := make(map[uint64]dcb.Position)
	for at := 0; at < len(log); {
		e := log[at]
		if e.Position != dcb.Position(at+1) || at > 0 && e.RecordedAt.Before(log[at-1].RecordedAt) {
			return 0, fmt.Errorf("at place %d is position %d, recorded at %v", at+1, e.Position, e.RecordedAt)
		}
		if slices.Contains(e.Tags, counter) {
			var number int
			var n uint64
			if _, err := fmt.Sscanf(string(e.Data), "%d for %d", &number, &n); err != nil || number != counted+1 {
				return 0, fmt.Errorf("position %d counts %d (%w), and %d was counted before", e.Position, number, err, counted)
			}
			counted++
			found[n] = e.Position
			at++
			continue
		}
		_, n, i, err := nameOf(&e)
		if err != nil {
			return 0, err
		}
		number := uint64(n)
		if i != 0 || found[number] != 0 || !m.sent[number] || m.refused[number] {
			return 0, fmt.Errorf("event %d of append %d is at position %d, where it cannot be", i, n, e.Position)
		}
		whole := attempt{events: appendOf(m.seed, number)}
		if err := whole.isAt(log, at); err != nil {
			return 0, fmt.Errorf("append %d: %w", n, err)
		}
		at += len(whole.events)
		found[number] = dcb.Position(at)
		if m.acked[number] == 0 {
			unanswered++
		}
	}
	for n, last := range m.acked {
		if found[n] != last {
			return 0, fmt.Errorf("append %d was answered with position %d, and is at %d (0: nowhere); the head is %d", n, last, found[n], len(log))
		}
	}
	maps.Copy(m.acked, found) // it stays
	for n := range m.sent {
		m.refused[n] = found[n] == 0
	}
	return unanswered, nil
}

// again sends some appends again that are recorded.
func (m *mourner) again(ctx context.Context, s *diskstore.Store, random *rand.Rand) error {
	for n, last := range m.acked {
		if !m.sent[n] || random.IntN(len(m.acked)) > 10 {
			continue
		}
		events := appendOf(m.seed, n)
		if slices.ContainsFunc(events, func(e dcb.Event) bool { return e.ID == uuid.Nil }) {
			continue
		}
		if got, err := s.Append(ctx, events, nil); err != nil || got != last {
			return fmt.Errorf("append %d is recorded at position %d, and sent again it was answered with %d, %w", n, last, got, err)
		}
	}
	return nil
}
