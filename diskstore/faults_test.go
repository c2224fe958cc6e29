package diskstore_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/diskstore"
	"github.com/dcbstore/dcb/internal/vfs"
)

// oneEvent returns the events of an append: one event with the given number of bytes of data.
func oneEvent(bytes int) []dcb.Event {
	return []dcb.Event{{Type: "Happened", Tags: []string{"course:1"}, Data: make([]byte, bytes)}}
}

// outcome reports whether err is [dcb.ErrUnavailable], and if so, whether the append may be
// recorded all the same.
func outcome(err error) (unavailable, unknown bool) {
	e, ok := errors.AsType[*dcb.UnavailableError](err)
	return ok, ok && e.OutcomeUnknown
}

// mustSend sends events, which must be recorded.
func mustSend(t *testing.T, o *oracle, s *diskstore.Store, events []dcb.Event) {
	t.Helper()
	if refused, wrong := o.send(t.Context(), s, o.add(events, nil)); refused != nil || wrong != nil {
		t.Fatalf("Append = %v, %v, want no error", refused, wrong)
	}
}

// mustCheck compares a store with the oracle.
func mustCheck(t *testing.T, o *oracle, mem *vfs.Mem, s *diskstore.Store) {
	t.Helper()
	if err := o.check(t.Context(), mem, s, randomOf(1, 1)); err != nil {
		t.Fatal(err)
	}
}

// mustClose closes a store, which must leave no handle open.
func mustClose(t *testing.T, mem *vfs.Mem, s *diskstore.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if n := mem.OpenHandles(); n != 0 {
		t.Fatalf("Close left %d handles open", n)
	}
}

// isLog reports whether an operation is on a segment. A file keeps the name with which it was
// created.
func isLog(op vfs.Op) bool { return strings.Contains(op.Name, ".log") }

func TestAppendFailsAfterFailedSync(t *testing.T) {
	t.Parallel()
	mem, o := vfs.NewMem(), new(oracle)
	s := open(t, dir, diskstore.Options{}.On(mem))
	mustSend(t, o, s, oneEvent(10))
	mem.Inject(func(op vfs.Op) error {
		if op.Kind == vfs.Sync && isLog(op) {
			return errInjected
		}
		return nil
	})
	waiting := make(chan error, 1)
	go func() {
		_, err := s.Wait(t.Context(), 1)
		waiting <- err
	}()
	var unknown atomic.Int64
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			refused, wrong := o.send(t.Context(), s, o.add(oneEvent(100), nil))
			if isUnavailable, isUnknown := outcome(refused); !isUnavailable || wrong != nil {
				t.Errorf("Append with a failing sync = %v, %v, want dcb.ErrUnavailable", refused, wrong)
			} else if isUnknown {
				unknown.Add(1)
			}
		})
	}
	mustFinish(t, "an append", group.Wait)
	if unknown.Load() == 0 {
		t.Error("no append failed with an unknown outcome")
	}
	mem.Inject(nil)
	refused, wrong := o.send(t.Context(), s, o.add(oneEvent(10), nil))
	if isUnavailable, isUnknown := outcome(refused); !isUnavailable || isUnknown || wrong != nil || !strings.Contains(refused.Error(), "opened again") {
		t.Errorf("Append after a failed sync = %v, %v, want dcb.ErrUnavailable with the advice to reopen", refused, wrong)
	}
	if head, err := s.Wait(t.Context(), 0); head != 1 || err != nil {
		t.Errorf("Wait(0) = %d, %v, want 1", head, err)
	}
	mustReadCount(t, s, 1)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := <-waiting; !errors.Is(err, dcb.ErrClosed) {
		t.Errorf("Wait beyond the durable head = %v, want dcb.ErrClosed", err)
	}
	s = open(t, dir, diskstore.Options{}.On(mem))
	mustCheck(t, o, mem, s)
	mustSend(t, o, s, oneEvent(10))
	mustClose(t, mem, s)
	s = open(t, dir, diskstore.Options{}.On(mem.Crash(nil)))
	mustReadCount(t, s, o.recordedEvents())
}

// recordedEvents returns how many events were acknowledged.
func (o *oracle) recordedEvents() (events int) {
	for _, a := range o.attempts {
		if a.acked > 0 {
			events += len(a.events)
		}
	}
	return events
}

// mustReadCount expects a read of all events to return want events.
func mustReadCount(t *testing.T, s *diskstore.Store, want int) {
	t.Helper()
	result, err := s.Read(t.Context(), dcb.All(), dcb.ReadOptions{})
	if err != nil || len(result.Events) != want || result.Head != dcb.Position(want) {
		t.Fatalf("Read(All) = %d events up to %d, %v, want %d", len(result.Events), result.Head, err, want)
	}
}

func TestAppendContinuesAfterFailedWrite(t *testing.T) {
	t.Parallel()
	mem, o := vfs.NewMem(), new(oracle)
	s := open(t, dir, smallSegments(mem))
	var writes atomic.Int64 // only to the log; the undo of a failed write is the next one, and succeeds
	mem.Inject(func(op vfs.Op) error {
		if op.Kind != vfs.Write || !isLog(op) {
			return nil
		}
		switch n := writes.Add(1); {
		case n%7 > 0:
			return nil
		case n%2 == 0:
			return errInjected
		}
		return vfs.Partial{Bytes: op.Bytes * 2 / 3, Err: errInjected}
	})
	var recorded, failed atomic.Int64
	var group sync.WaitGroup
	for n := range 4 {
		group.Go(func() {
			c := &caller{oracle: o, random: randomOf(3, uint64(n)), store: s}
			for range 60 {
				refused, wrong := c.step(t.Context())
				isUnavailable, isUnknown := outcome(refused)
				if wrong != nil || isUnknown {
					t.Errorf("a call = %v, %v, want no unknown outcome", refused, wrong)
					return
				}
				if isUnavailable {
					failed.Add(1)
				} else {
					recorded.Add(1)
				}
			}
		})
	}
	mustFinish(t, "a step", group.Wait)
	mem.Inject(nil)
	t.Logf("%d steps failed, %d succeeded", failed.Load(), recorded.Load())
	if failed.Load() == 0 || recorded.Load() < failed.Load() {
		t.Error("want some failed steps and more that succeeded")
	}
	mustCheck(t, o, mem, s)
	mustSend(t, o, s, oneEvent(10))
	mustClose(t, mem, s)
	s = open(t, dir, smallSegments(mem))
	mustCheck(t, o, mem, s)
}

func TestAppendFailsAfterFailedUndo(t *testing.T) {
	t.Parallel()
	mem, o := vfs.NewMem(), new(oracle)
	s := open(t, dir, diskstore.Options{}.On(mem))
	mustSend(t, o, s, oneEvent(10))
	mem.Inject(func(op vfs.Op) error {
		if op.Kind == vfs.Write && isLog(op) {
			return vfs.Partial{Bytes: op.Bytes * 2 / 3, Err: errInjected}
		}
		return nil
	})
	refused, wrong := o.send(t.Context(), s, o.add(oneEvent(100), nil))
	if isUnavailable, isUnknown := outcome(refused); !isUnavailable || !isUnknown || wrong != nil {
		t.Errorf("Append with a failed write and a failed undo = %v, %v, want an unknown outcome", refused, wrong)
	}
	mem.Inject(nil)
	refused, wrong = o.send(t.Context(), s, o.add(oneEvent(10), nil))
	if isUnavailable, isUnknown := outcome(refused); !isUnavailable || isUnknown || wrong != nil || !strings.Contains(refused.Error(), "opened again") {
		t.Errorf("the next Append = %v, %v, want dcb.ErrUnavailable with the advice to reopen", refused, wrong)
	}
	mustReadCount(t, s, 1)
	_ = s.Close()
	s = open(t, dir, diskstore.Options{}.On(mem))
	mustCheck(t, o, mem, s)
	mustSend(t, o, s, oneEvent(10))
	mustClose(t, mem, s)
}

func TestAppendOnFullDisk(t *testing.T) {
	t.Parallel()
	for _, segmentBytes := range []int{diskstore.MinSegmentBytes, 1 << 20} {
		for _, free := range []int64{0, 1, 31, 700, 5000, 20_000, 100_000} {
			t.Run(fmt.Sprintf("segments of %d bytes and %d bytes free", segmentBytes, free), func(t *testing.T) {
				t.Parallel()
				testFullDisk(t, diskstore.Options{SegmentBytes: segmentBytes}, free)
			})
		}
	}
}

// testFullDisk fills the disk, opens the store again on the full disk, and then frees space.
func testFullDisk(t *testing.T, opts diskstore.Options, free int64) {
	mem, o := vfs.NewMem(), new(oracle)
	s := open(t, dir, opts.On(mem))
	for range 40 {
		mustSend(t, o, s, oneEvent(500))
	}
	mem.SetCapacity(mem.Used() + free)
	for _, size := range []int{2000, 500, 100, 10, 0} {
		for more := true; more; {
			refused, wrong := o.send(t.Context(), s, o.add(oneEvent(size), nil))
			if isUnavailable, isUnknown := outcome(refused); wrong != nil || refused != nil && (!isUnavailable || isUnknown) {
				t.Fatalf("Append on a full disk = %v, %v, want nil or dcb.ErrUnavailable", refused, wrong)
			}
			more = refused == nil
		}
		mustCheck(t, o, mem, s)
	}
	// A large append does not fit. Small ones may fail afterwards, but nothing is lost.
	for range 3 {
		if refused, wrong := o.send(t.Context(), s, o.add(oneEvent(100_000), nil)); refused == nil || wrong != nil {
			t.Fatalf("Append of 100,000 bytes on a full disk = %v, %v, want an error", refused, wrong)
		}
	}
	_ = s.Close() // there may be no space for the clean-shutdown marker
	if n := mem.OpenHandles(); n != 0 {
		t.Fatalf("Close left %d handles open", n)
	}
	s = open(t, dir, opts.On(mem))
	mustCheck(t, o, mem, s)
	if refused, wrong := o.send(t.Context(), s, o.add(oneEvent(100_000), nil)); refused == nil || wrong != nil {
		t.Fatalf("Append of 100,000 bytes on a full disk = %v, %v, want an error", refused, wrong)
	}
	mem.SetCapacity(-1)
	for _, size := range []int{10, 500, 100_000, 10} {
		mustSend(t, o, s, oneEvent(size))
	}
	mustCheck(t, o, mem, s)
	mustClose(t, mem, s)
	s = open(t, dir, opts.On(mem.Crash(nil)))
	if err := o.check(t.Context(), mem, s, randomOf(1, 2)); err != nil {
		t.Fatal(err)
	}
}

func TestAppendSmallFitsAfterLargeFailed(t *testing.T) {
	t.Parallel()
	mem, o := vfs.NewMem(), new(oracle)
	opts := diskstore.Options{SegmentBytes: 16 << 20}
	s := open(t, dir, opts.On(mem))
	mustSend(t, o, s, oneEvent(10))
	mustClose(t, mem, s)
	mem.SetCapacity(mem.Used() + 10_000)
	s = open(t, dir, opts.On(mem))
	if refused, wrong := o.send(t.Context(), s, o.add(oneEvent(20_000), nil)); refused == nil || wrong != nil {
		t.Fatalf("Append of 20,000 bytes with 10,000 free = %v, %v, want an error", refused, wrong)
	}
	for range 9 {
		mustSend(t, o, s, oneEvent(900))
	}
	mustCheck(t, o, mem, s)
}

func TestAppendStopsWhenManySegmentsAreUnsealed(t *testing.T) {
	t.Parallel()
	for _, cause := range []error{syscall.ENOSPC, errInjected} {
		for _, kind := range []vfs.Kind{vfs.Create, vfs.Write, vfs.Sync, vfs.Rename} {
			t.Run(fmt.Sprintf("%s: %v", kind, cause), func(t *testing.T) {
				t.Parallel()
				mem, o := vfs.NewMem(), new(oracle)
				s := open(t, dir, smallSegments(mem))
				mem.Inject(func(op vfs.Op) error {
					if strings.Contains(op.Name, ".index") && op.Kind == kind {
						return cause
					}
					return nil
				})
				recorded, stopped := 0, false
				for i := 0; i < 200 && !stopped; i++ {
					refused, wrong := o.send(t.Context(), s, o.add(oneEvent(500), nil))
					isUnavailable, isUnknown := outcome(refused)
					if wrong != nil || refused != nil && (!isUnavailable || isUnknown) {
						t.Fatalf("Append = %v, %v, want nil or dcb.ErrUnavailable with a known outcome", refused, wrong)
					}
					if stopped = refused != nil; !stopped {
						recorded++
					}
				}
				if !stopped || recorded < 3*diskstore.MinSegmentBytes/600 {
					t.Errorf("%d appends were recorded, then one failed: %v; want a failure after more appends", recorded, stopped)
				}
				mustCheck(t, o, mem, s)
				mem.Inject(nil)
				for range 60 {
					mustSend(t, o, s, oneEvent(500))
				}
				mustCheck(t, o, mem, s)
				mustClose(t, mem, s)
				s = open(t, dir, smallSegments(mem))
				mustCheck(t, o, mem, s)
				for range 60 {
					mustSend(t, o, s, oneEvent(500))
				}
				waitForMerge(s)
				mustClose(t, mem, s)
			})
		}
	}
}
