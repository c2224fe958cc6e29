package diskstore_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/dcbtest/history"
	"github.com/dcbstore/dcb/diskstore"
	"github.com/dcbstore/dcb/internal/vfs"
)

// gate lets the syncs of segments wait until it is opened.
type gate struct {
	reached chan struct{} // told once, when a sync waits
	opened  chan struct{}
}

// newGate puts a gate before the syncs of segments on a file system.
func newGate(mem *vfs.Mem) *gate {
	g := &gate{make(chan struct{}, 1), make(chan struct{})}
	mem.Inject(func(op vfs.Op) error {
		if op.Kind == vfs.Sync && isLog(op) {
			select {
			case g.reached <- struct{}{}:
			default:
			}
			<-g.opened
		}
		return nil
	})
	return g
}

// result is what an append in the background ended with.
type result struct {
	position dcb.Position
	err      error
}

// background appends events in a goroutine.
func background(ctx context.Context, s *diskstore.Store, events []dcb.Event, condition *dcb.AppendCondition) chan result {
	done := make(chan result, 1)
	go func() {
		position, err := s.Append(ctx, events, condition)
		done <- result{position, err}
	}()
	return done
}

// await returns what an append ended with. One that hangs ends the process.
func await(t *testing.T, done chan result) (r result) {
	t.Helper()
	inTime(t, "an append", func() { r = <-done })
	return r
}

// decided waits until the store has so many appends in hand that are not durable yet.
func decided(s *diskstore.Store, want dcb.Position) {
	for s.Decided() < want {
		runtime.Gosched()
	}
}

func TestWhoLeavesHoldsUpNobody(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	s := open(t, dir, diskstore.Options{}.On(mem))
	g := newGate(mem)
	leader := background(t.Context(), s, event(1), nil)
	<-g.reached
	// These come while the first is being written; the first of them would be the next to lead.
	contexts := make([]context.CancelFunc, 4)
	waiting := make([]chan result, 4)
	for i := range waiting {
		var ctx context.Context
		ctx, contexts[i] = context.WithCancel(t.Context())
		waiting[i] = background(ctx, s, event(1), nil)
		decided(s, dcb.Position(2+i))
	}
	for _, i := range []int{0, 2} {
		contexts[i]()
		if r := await(t, waiting[i]); !errors.Is(r.err, context.Canceled) {
			t.Errorf("an append whose context ended: %+v; want context.Canceled", r)
		}
	}
	close(g.opened)
	for want, done := range map[dcb.Position]chan result{1: leader, 3: waiting[1], 5: waiting[3]} {
		if r := await(t, done); r.err != nil || r.position != want {
			t.Errorf("%+v; want position %d", r, want)
		}
	}
	mustCheckRead(t, s, 5) // the outcome of those who left was unknown; they are recorded
	contexts[1]()
	contexts[3]()
	mustClose(t, mem, s)
}

func TestWhenAllWhoWaitLeaveTheStoreGoesOn(t *testing.T) {
	t.Parallel()
	for range 50 {
		mem := vfs.NewMem()
		s := open(t, dir, diskstore.Options{}.On(mem))
		g := newGate(mem)
		ctx, cancel := context.WithCancel(t.Context())
		leader := background(t.Context(), s, event(1), nil)
		<-g.reached
		var all []chan result
		for i := range 8 {
			all = append(all, background(ctx, s, event(1), nil))
			decided(s, dcb.Position(2+i))
		}
		go cancel()
		close(g.opened) // at the same time, so that the lead is given to one who is leaving
		for _, done := range all {
			if r := await(t, done); r.err != nil && !errors.Is(r.err, context.Canceled) {
				t.Errorf("%+v", r)
			}
		}
		if r := await(t, leader); r.err != nil {
			t.Error(r.err)
		}
		if r := await(t, background(t.Context(), s, event(1), nil)); r.err != nil || r.position != 10 {
			t.Errorf("the next append: %+v; want position 10", r)
		}
		mustClose(t, mem, s)
	}
}

func TestWhoLeavesBeforeHeIsDecidedIsNotRecorded(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	s := open(t, dir, diskstore.Options{}.On(mem))
	g := newGate(mem)
	leader := background(t.Context(), s, event(1), nil)
	<-g.reached
	// What was decided and is not durable yet stands in the way, perhaps. So this one waits to be judged.
	ctx, cancel := context.WithCancel(t.Context())
	touched := background(ctx, s, event(1), &dcb.AppendCondition{FailIfEventsMatch: dcb.Query{{Tags: []string{"course:1"}}}})
	time.AfterFunc(time.Millisecond, cancel)
	if r := await(t, touched); !errors.Is(r.err, context.Canceled) {
		t.Errorf("%+v; want context.Canceled", r)
	}
	close(g.opened)
	if r := await(t, leader); r.err != nil || r.position != 1 {
		t.Errorf("%+v; want position 1", r)
	}
	mustCheckRead(t, s, 1)
}

func TestCallersThatComeAndGoNeverHang(t *testing.T) {
	t.Parallel()
	seed, _ := seedOf(t)
	t.Logf("%s=%d", history.SeedVariable, seed)
	mem, o := vfs.NewMem(), new(oracle)
	s := open(t, dir, small(mem))
	var group sync.WaitGroup
	for n := range 6 {
		group.Go(func() {
			c := &caller{oracle: o, random: randomOf(seed, uint64(n)), store: s}
			for range 150 {
				ctx, cancel := context.WithCancel(t.Context())
				if c.random.IntN(2) == 0 {
					time.AfterFunc(time.Duration(c.random.IntN(200))*time.Microsecond, cancel)
				}
				_, wrong := c.step(ctx)
				cancel()
				if wrong != nil && !errors.Is(wrong, context.Canceled) { // a read may end so too
					t.Error(wrong)
				}
			}
		})
	}
	inTime(t, "a caller", group.Wait)
	mustSend(t, o, s, event(1)) // all who were decided before are written now
	mustCheck(t, o, mem, s)
	mustClose(t, mem, s)
	mustCheck(t, o, mem, open(t, dir, small(mem)))
}

func TestAStoreThatIsClosedUnderLoadLeavesNothingBehind(t *testing.T) {
	// Not parallel: it counts goroutines.
	seed, _ := seedOf(t)
	t.Logf("%s=%d", history.SeedVariable, seed)
	mem, o := vfs.NewMem(), new(oracle)
	before := runtime.NumGoroutine()
	merges := int64(0)
	for round := range uint64(60) {
		s, err := diskstore.Open(dir, small(mem))
		if err != nil {
			t.Fatal(err)
		}
		if err := o.check(t.Context(), mem, s, randomOf(seed, round)); err != nil {
			t.Fatal(err)
		}
		var group sync.WaitGroup
		var steps atomic.Int64
		for n := range uint64(4) {
			group.Go(func() {
				c := &caller{oracle: o, random: randomOf(seed, round<<8|n), store: s}
				for {
					refused, wrong := c.step(t.Context())
					steps.Add(1)
					if wrong != nil {
						t.Error(wrong)
					}
					if wrong != nil || errors.Is(refused, dcb.ErrClosed) {
						return
					}
				}
			})
		}
		group.Go(func() {
			for head := dcb.Position(0); ; {
				now, err := s.Wait(t.Context(), head)
				if err != nil {
					if !errors.Is(err, dcb.ErrClosed) {
						t.Errorf("Wait: %v", err)
					}
					return
				}
				head = now
			}
		})
		for want := int64(randomOf(seed, round).IntN(60)); steps.Load() < want; {
			runtime.Gosched()
		}
		inTime(t, "Close", func() { err = s.Close() })
		if err != nil {
			t.Error(err)
		}
		inTime(t, "a caller of a store that is closed", group.Wait)
		merges += s.Metrics().Merges
		if n := mem.OpenHandles(); n != 0 {
			t.Fatalf("round %d: %d handles are open after Close", round, n)
		}
		if err := s.Close(); err != nil {
			t.Errorf("a second Close() = %v, want nil", err)
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d merges", merges)
	goroutinesReturnTo(t, before)
}

// goroutinesReturnTo expects that there are soon no more goroutines than before.
func goroutinesReturnTo(t *testing.T, before int) {
	t.Helper()
	for end := time.Now().Add(hangTimeout); time.Now().Before(end); {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(time.Millisecond) // somebody who has been told to end needs a moment
	}
	stacks := make([]byte, 1<<20)
	t.Errorf("there are %d goroutines, and were %d:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
}

func TestAnOpeningThatFailedLeavesNothingOpen(t *testing.T) {
	t.Parallel()
	original, o := filled(t, 9, 40)
	removeIndexes(t, original)
	for k := int64(1); ; k++ {
		mem, reached := original.KillClone(), false
		mem.Inject(func(op vfs.Op) error {
			if op.N == k {
				reached = true
				return errInjected
			}
			return nil
		})
		s, err := diskstore.Open(dir, small(mem))
		if err == nil { // an index file can wait
			mustCheck(t, o.snapshot(), mem, s)
			mustClose(t, mem, s)
		} else if !errors.Is(err, errInjected) || !strings.HasPrefix(err.Error(), "diskstore: ") {
			t.Errorf("operation %d failed, and so did Open: %v; want an error that begins with diskstore:", k, err)
		}
		if n := mem.OpenHandles(); n != 0 {
			t.Errorf("operation %d failed, and so did Open: %v; %d handles are open", k, err, n)
		}
		if !reached {
			return
		}
		mem.Inject(nil)
		mustClose(t, mem, mustOpen(t, mem, o.snapshot()))
	}
}

func TestAReaderUnderWayHasItsAnswerWhenTheStoreIsClosed(t *testing.T) {
	t.Parallel()
	mem, o := filled(t, 10, 60)
	for round := range 30 {
		s := open(t, dir, small(mem))
		var group sync.WaitGroup
		var reads atomic.Int64
		for range 3 {
			group.Go(func() {
				for {
					got, err := s.Read(t.Context(), dcb.All(), dcb.ReadOptions{})
					if err != nil {
						if !errors.Is(err, dcb.ErrClosed) {
							t.Errorf("Read: %v", err)
						}
						return
					}
					if err := o.snapshot().compare(got.Events); err != nil {
						t.Errorf("Read: %v", err)
						return
					}
					reads.Add(1)
				}
			})
		}
		for reads.Load() < int64(round%5) {
			runtime.Gosched()
		}
		inTime(t, "Close", func() { mustClose(t, mem, s) })
		inTime(t, fmt.Sprintf("a read in round %d", round), group.Wait)
	}
}
