package diskstore_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/dcbtest/history"
	"github.com/dcbstore/dcb/diskstore"
	"github.com/dcbstore/dcb/internal/vfs"
)

// gate makes the syncs of segments wait until it is opened.
type gate struct {
	reached chan struct{} // receives once when a sync waits
	opened  chan struct{}
}

// newGate installs a gate on a file system.
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

// appendResult is the result of an Append in the background.
type appendResult struct {
	position dcb.Position
	err      error
}

// appendAsync calls Append in a goroutine.
func appendAsync(ctx context.Context, s *diskstore.Store, events []dcb.Event, condition *dcb.AppendCondition) chan appendResult {
	done := make(chan appendResult, 1)
	go func() {
		position, err := s.Append(ctx, events, condition)
		done <- appendResult{position, err}
	}()
	return done
}

// awaitResult returns the result of an Append. If Append hangs, it ends the process.
func awaitResult(t *testing.T, done chan appendResult) (r appendResult) {
	t.Helper()
	mustFinish(t, "an append", func() { r = <-done })
	return r
}

// waitForAdmitted waits until the store has given positions up to want.
func waitForAdmitted(s *diskstore.Store, want dcb.Position) {
	for s.Admitted() < want {
		runtime.Gosched()
	}
}

func TestAppendCancelledDoesNotBlockOthers(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	s := open(t, dir, diskstore.Options{}.On(mem))
	g := newGate(mem)
	leader := appendAsync(t.Context(), s, oneEvent(1), nil)
	<-g.reached
	// These arrive while the first is being written. The first of them would be the next leader.
	contexts := make([]context.CancelFunc, 4)
	waiting := make([]chan appendResult, 4)
	for i := range waiting {
		var ctx context.Context
		ctx, contexts[i] = context.WithCancel(t.Context())
		waiting[i] = appendAsync(ctx, s, oneEvent(1), nil)
		waitForAdmitted(s, dcb.Position(2+i))
	}
	for _, i := range []int{0, 2} {
		contexts[i]()
		if r := awaitResult(t, waiting[i]); !errors.Is(r.err, context.Canceled) {
			t.Errorf("Append with a cancelled context = %+v, want context.Canceled", r)
		}
	}
	close(g.opened)
	for want, done := range map[dcb.Position]chan appendResult{1: leader, 3: waiting[1], 5: waiting[3]} {
		if r := awaitResult(t, done); r.err != nil || r.position != want {
			t.Errorf("Append = %+v, want position %d", r, want)
		}
	}
	mustReadCount(t, s, 5) // the cancelled appends had an unknown outcome; they are recorded
	contexts[1]()
	contexts[3]()
	mustClose(t, mem, s)
}

func TestAppendAllCancelled(t *testing.T) {
	t.Parallel()
	for range 50 {
		mem := vfs.NewMem()
		s := open(t, dir, diskstore.Options{}.On(mem))
		g := newGate(mem)
		ctx, cancel := context.WithCancel(t.Context())
		leader := appendAsync(t.Context(), s, oneEvent(1), nil)
		<-g.reached
		var all []chan appendResult
		for i := range 8 {
			all = append(all, appendAsync(ctx, s, oneEvent(1), nil))
			waitForAdmitted(s, dcb.Position(2+i))
		}
		go cancel()
		close(g.opened) // at the same time, so that a caller that is leaving may become the leader
		for _, done := range all {
			if r := awaitResult(t, done); r.err != nil && !errors.Is(r.err, context.Canceled) {
				t.Errorf("Append = %+v, want nil or context.Canceled", r)
			}
		}
		if r := awaitResult(t, leader); r.err != nil {
			t.Error(r.err)
		}
		if r := awaitResult(t, appendAsync(t.Context(), s, oneEvent(1), nil)); r.err != nil || r.position != 10 {
			t.Errorf("the next Append = %+v, want position 10", r)
		}
		mustClose(t, mem, s)
	}
}

func TestAppendCancelledBeforeAdmission(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	s := open(t, dir, diskstore.Options{}.On(mem))
	g := newGate(mem)
	leader := appendAsync(t.Context(), s, oneEvent(1), nil)
	<-g.reached
	// The admitted append may conflict with this one, which therefore waits until it is durable.
	ctx, cancel := context.WithCancel(t.Context())
	waiting := appendAsync(ctx, s, oneEvent(1), &dcb.AppendCondition{FailIfEventsMatch: dcb.Query{{Tags: []string{"course:1"}}}})
	time.AfterFunc(time.Millisecond, cancel)
	if r := awaitResult(t, waiting); !errors.Is(r.err, context.Canceled) {
		t.Errorf("Append = %+v, want context.Canceled", r)
	}
	close(g.opened)
	if r := awaitResult(t, leader); r.err != nil || r.position != 1 {
		t.Errorf("Append = %+v, want position 1", r)
	}
	mustReadCount(t, s, 1)
}

func TestAppendWithCancelledCallers(t *testing.T) {
	t.Parallel()
	seed, _ := seedOf(t)
	t.Logf("%s=%d", history.SeedVariable, seed)
	mem, o := vfs.NewMem(), new(oracle)
	s := open(t, dir, smallSegments(mem))
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
				if wrong != nil && !errors.Is(wrong, context.Canceled) { // step reports a cancelled read as wrong
					t.Error(wrong)
				}
			}
		})
	}
	mustFinish(t, "a caller", group.Wait)
	mustSend(t, o, s, oneEvent(1)) // all appends admitted before are written now
	mustCheck(t, o, mem, s)
	mustClose(t, mem, s)
	mustCheck(t, o, mem, open(t, dir, smallSegments(mem)))
}
