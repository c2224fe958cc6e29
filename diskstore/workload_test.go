package diskstore_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/dcbtest/history"
	"github.com/dcbstore/dcb/diskstore"
	"github.com/dcbstore/dcb/internal/model"
	"github.com/dcbstore/dcb/internal/vfs"
)

// seedOf returns the seed in history.SeedVariable, or a new one.
func seedOf(t testing.TB) (seed uint64, given bool) {
	t.Helper()
	text := os.Getenv(history.SeedVariable)
	if text == "" {
		return rand.Uint64(), false
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", history.SeedVariable, err)
	}
	return seed, true
}

// randomOf returns a source of random numbers. Each n gives another sequence for the same seed.
func randomOf(seed, n uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, n)) }

// intFromEnv returns the positive number in an environment variable, or byDefault if it is
// empty.
func intFromEnv(t testing.TB, variable string, byDefault int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return byDefault
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s is %q; want a positive number", variable, text)
	}
	return n
}

// hangTimeout is the time after which an operation counts as hung. It is long because the
// machine may be busy, and one seed takes a minute on some machines.
const hangTimeout = 15 * time.Minute

// mustFinish calls f. If f does not return, it ends the process and prints the stacks of all
// goroutines.
func mustFinish(t testing.TB, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(hangTimeout):
		stacks := make([]byte, 1<<22)
		panic(fmt.Sprintf("%s: %s hangs\n%s", t.Name(), what, stacks[:runtime.Stack(stacks, true)]))
	}
}

// randomType returns one of few types, so that many events have the same.
func randomType(random *rand.Rand) string { return string(rune('A' + random.IntN(4))) }

func randomTag(random *rand.Rand) string {
	if random.IntN(3) == 0 {
		return fmt.Sprintf("student:%d", random.IntN(40))
	}
	return fmt.Sprintf("course:%d", random.IntN(6))
}

func randomStrings(random *rand.Rand, most int, one func(*rand.Rand) string) []string {
	var some []string
	for range random.IntN(most + 1) {
		some = append(some, one(random))
	}
	return some
}

func randomID(random *rand.Rand) (id uuid.UUID) {
	binary.LittleEndian.PutUint64(id[:], random.Uint64())
	binary.LittleEndian.PutUint64(id[8:], random.Uint64()|1)
	return id
}

func randomEvents(random *rand.Rand) []dcb.Event {
	count := 1
	switch random.IntN(10) {
	case 0:
		count = 4 + random.IntN(9)
	case 1, 2:
		count = 2 + random.IntN(2)
	}
	withIDs := random.IntN(2) == 0
	events := make([]dcb.Event, count)
	for i := range events {
		e := dcb.Event{Type: randomType(random), Tags: randomStrings(random, 3, randomTag), Data: randomData(random, count)}
		if withIDs || random.IntN(10) == 0 {
			e.ID = randomID(random)
		}
		if random.IntN(5) == 0 {
			e.Metadata = map[string]string{"trace": strconv.Itoa(random.IntN(1000)), "user": "alice"}
		}
		events[i] = e
	}
	return events
}

// randomData returns data for one of count events: mostly little, sometimes more than a segment.
func randomData(random *rand.Rand, count int) []byte {
	size := random.IntN(300)
	switch kind := random.IntN(20); {
	case count > 3:
	case kind == 0:
		size = diskstore.MinSegmentBytes + random.IntN(5000)
	case kind < 3:
		size = 1200 + random.IntN(1800)
	case kind < 8:
		size = 300 + random.IntN(900)
	}
	data := make([]byte, size)
	if random.IntN(3) > 0 { // otherwise zeros, which look like preallocated space
		for i := range data {
			data[i] = byte(random.Uint32())
		}
	}
	return data
}

func randomQuery(random *rand.Rand) dcb.Query {
	q := make(dcb.Query, 1+random.IntN(3)/2+random.IntN(5)/4)
	for i := range q {
		q[i] = dcb.QueryItem{Types: randomStrings(random, 2, randomType), Tags: randomStrings(random, 2, randomTag)}
	}
	return q
}

func randomOptions(random *rand.Rand, head dcb.Position) dcb.ReadOptions {
	opts := dcb.ReadOptions{Backwards: random.IntN(2) == 0}
	if random.IntN(2) == 0 {
		opts.After = dcb.Position(random.IntN(int(head) + 3))
	}
	if random.IntN(3) == 0 {
		opts.Before = dcb.Position(random.IntN(int(head) + 3))
	}
	if random.IntN(2) == 0 {
		opts.Limit = 1 + random.IntN(4)
	}
	return opts
}

// checkQueries compares the results of some queries with a scan of the log.
func checkQueries(ctx context.Context, s *diskstore.Store, log model.Log, random *rand.Rand) error {
	for range 6 {
		if err := checkQuery(ctx, s, log, randomQuery(random), randomOptions(random, log.Head())); err != nil {
			return err
		}
	}
	if len(log) == 0 {
		return nil
	}
	e := &log[random.IntN(len(log))]
	return checkQuery(ctx, s, log, dcb.Query{{Types: []string{e.Type}, Tags: e.Tags}}, dcb.ReadOptions{})
}

func checkQuery(ctx context.Context, s *diskstore.Store, log model.Log, q dcb.Query, opts dcb.ReadOptions) error {
	want, err := log.Read(q, opts)
	if err != nil {
		return err
	}
	got, err := s.Read(ctx, q, opts)
	if err != nil {
		return fmt.Errorf("Read(%+v, %+v): %w", q, opts, err)
	}
	if got.Head != want.Head {
		return fmt.Errorf("Read(%+v, %+v).Head = %d, want %d", q, opts, got.Head, want.Head)
	}
	if err := diffEvents(got.Events, want.Events); err != nil {
		return fmt.Errorf("Read(%+v, %+v) differs from a scan of the log: %w", q, opts, err)
	}
	return nil
}

// caller makes random calls to a store.
type caller struct {
	*oracle
	random *rand.Rand
	store  *diskstore.Store
}

// step makes one call. refused is an error that the store may return; wrong reports a wrong
// result.
func (c *caller) step(ctx context.Context) (refused, wrong error) {
	switch kind := c.random.IntN(20); {
	case kind < 8:
		return c.send(ctx, c.store, c.add(randomEvents(c.random), nil))
	case kind < 13:
		return c.appendConditionally(ctx, dcb.Position(0))
	case kind < 15: // with an outdated After
		return c.appendConditionally(ctx, dcb.Position(1+c.random.IntN(20)))
	case kind < 17: // with the ID of another append
		events := randomEvents(c.random)
		if other := c.pick(c.random); other != nil {
			events[c.random.IntN(len(events))].ID = other.events[c.random.IntN(len(other.events))].ID
		}
		return c.send(ctx, c.store, c.add(events, nil))
	case kind < 19:
		if again := c.pick(c.random); again != nil && again.repeatable() {
			return c.send(ctx, c.store, again)
		}
	}
	return c.observe(ctx, c.store)
}

// appendConditionally appends with a condition from a read, whose After is ago positions too
// old.
func (c *caller) appendConditionally(ctx context.Context, ago dcb.Position) (refused, wrong error) {
	q := randomQuery(c.random)
	result, err := c.store.Read(ctx, q, dcb.ReadOptions{Limit: c.random.IntN(3)})
	if errors.Is(err, dcb.ErrClosed) {
		return err, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	return c.send(ctx, c.store, c.add(randomEvents(c.random), &dcb.AppendCondition{FailIfEventsMatch: q, After: result.Head - min(result.Head, ago)}))
}

// mustReopen reports whether the store cannot append any more after err.
func mustReopen(err error) bool {
	unavailable, ok := errors.AsType[*dcb.UnavailableError](err)
	return errors.Is(err, dcb.ErrClosed) || ok && unavailable.OutcomeUnknown
}

// runCallers runs callers at once. Each makes the given number of steps, unless the store must
// be opened again earlier. The error reports wrong results.
func runCallers(ctx context.Context, s *diskstore.Store, o *oracle, seed uint64, callers, steps int) (wrong error) {
	var mu sync.Mutex
	var group sync.WaitGroup
	for n := range callers {
		group.Go(func() {
			c := &caller{oracle: o, random: randomOf(seed, uint64(n)), store: s}
			for range steps {
				refused, err := c.step(ctx)
				if err != nil {
					mu.Lock()
					wrong = errors.Join(wrong, err)
					mu.Unlock()
				}
				if err != nil || mustReopen(refused) {
					return
				}
			}
		})
	}
	group.Wait()
	return wrong
}

// smallSegments returns options for a store with the smallest segments on a file system.
func smallSegments(files vfs.FS) *diskstore.Options {
	return diskstore.Options{SegmentBytes: diskstore.MinSegmentBytes}.On(files)
}
