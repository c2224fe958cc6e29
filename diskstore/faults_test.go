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

// event returns an append of one event with so many bytes of data.
func event(bytes int) []dcb.Event {
	return []dcb.Event{{Type: "Happened", Tags: []string{"course:1"}, Data: make([]byte, bytes)}}
}

// outcome returns whether err is dcb.ErrUnavailable, and then whether the append may be recorded all the same.
func outcome(err error) (unavailable, unknown bool) {
	var e *dcb.UnavailableError
	if !errors.As(err, &e) {
		return false, false
	}
	return true, e.OutcomeUnknown
}

// mustSend sends an attempt, which must be recorded.
func mustSend(t *testing.T, o *oracle, s *diskstore.Store, events []dcb.Event) {
	t.Helper()
	if refused, wrong := o.send(t.Context(), s, o.add(events, nil)); refused != nil || wrong != nil {
		t.Fatalf("an append that should be recorded: %v, %v", refused, wrong)
	}
}

// mustCheck checks a store.
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
		t.Fatalf("%d handles are open after Close", n)
	}
}

// isLog reports whether an operation is on a segment. A file keeps the name with which it was created.
func isLog(op vfs.Op) bool { return strings.Contains(op.Name, ".log") }

func TestAfterASyncThatFailedNothingIsAnsweredUntilTheStoreIsOpenedAgain(t *testing.T) {
	t.Parallel()
	mem, o := vfs.NewMem(), new(oracle)
	s := open(t, dir, diskstore.Options{}.On(mem))
	mustSend(t, o, s, event(10))
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
			refused, wrong := o.send(t.Context(), s, o.add(event(100), nil))
			if isUnavailable, isUnknown := outcome(refused); !isUnavailable || wrong != nil {
				t.Errorf("an append whose sync failed: %v, %v; want dcb.ErrUnavailable", refused, wrong)
			} else if isUnknown {
				unknown.Add(1)
			}
		})
	}
	inTime(t, "an append", group.Wait)
	if unknown.Load() == 0 {
		t.Error("no append says that its outcome is unknown")
	}
	mem.Inject(nil)
	refused, wrong := o.send(t.Context(), s, o.add(event(10), nil))
	if isUnavailable, isUnknown := outcome(refused); !isUnavailable || isUnknown || wrong != nil || !strings.Contains(refused.Error(), "opened again") {
		t.Errorf("an append after a failed sync: %v, %v; want dcb.ErrUnavailable that says to open the store again", refused, wrong)
	}
	if head, err := s.Wait(t.Context(), 0); head != 1 || err != nil {
		t.Errorf("Wait: %d, %v; want 1", head, err)
	}
	mustCheckRead(t, s, 1)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := <-waiting; !errors.Is(err, dcb.ErrClosed) {
		t.Errorf("Wait beyond the durable head ended with %v; want dcb.ErrClosed", err)
	}
	s = open(t, dir, diskstore.Options{}.On(mem))
	mustCheck(t, o, mem, s)
	mustSend(t, o, s, event(10))
	mustClose(t, mem, s)
	s = open(t, dir, diskstore.Options{}.On(mem.Crash(nil)))
	mustCheckRead(t, s, o.recorded())
}

// recorded returns how many events are recorded for certain.
func (o *oracle) recorded() (events int) {
	for _, a := range o.attempts {
		if a.acked > 0 {
			events += len(a.events)
		}
	}
	return events
}

// mustCheckRead expects a read of everything to have so many events.
func mustCheckRead(t *testing.T, s *diskstore.Store, want int) {
	t.Helper()
	result, err := s.Read(t.Context(), dcb.All(), dcb.ReadOptions{})
	if err != nil || len(result.Events) != want || result.Head != dcb.Position(want) {
		t.Fatalf("%d events up to %d, %v; want %d", len(result.Events), result.Head, err, want)
	}
}

func TestAWriteThatFailedIsUndoneAndTheStoreGoesOn(t *testing.T) {
	t.Parallel()
	mem, o := vfs.NewMem(), new(oracle)
	s := open(t, dir, small(mem))
	var writes atomic.Int64 // to the log alone: what undoes the write that failed is the next of them, and succeeds
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
					t.Errorf("%v, %v; want no outcome to be unknown", refused, wrong)
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
	inTime(t, "a step", group.Wait)
	mem.Inject(nil)
	t.Logf("%d steps failed, %d did not", failed.Load(), recorded.Load())
	if failed.Load() == 0 || recorded.Load() < failed.Load() {
		t.Error("want some that fail, and more that do not")
	}
	mustCheck(t, o, mem, s)
	mustSend(t, o, s, event(10))
	mustClose(t, mem, s)
	s = open(t, dir, small(mem))
	mustCheck(t, o, mem, s)
}

func TestAWriteThatFailedAndCannotBeUndoneEndsTheStoreUntilItIsOpenedAgain(t *testing.T) {
	t.Parallel()
	mem, o := vfs.NewMem(), new(oracle)
	s := open(t, dir, diskstore.Options{}.On(mem))
	mustSend(t, o, s, event(10))
	mem.Inject(func(op vfs.Op) error {
		if op.Kind == vfs.Write && isLog(op) {
			return vfs.Partial{Bytes: op.Bytes * 2 / 3, Err: errInjected}
		}
		return nil
	})
	refused, wrong := o.send(t.Context(), s, o.add(event(100), nil))
	if isUnavailable, isUnknown := outcome(refused); !isUnavailable || !isUnknown || wrong != nil {
		t.Errorf("an append whose write failed and was not undone: %v, %v; want dcb.ErrUnavailable, with an unknown outcome", refused, wrong)
	}
	mem.Inject(nil)
	refused, wrong = o.send(t.Context(), s, o.add(event(10), nil))
	if isUnavailable, isUnknown := outcome(refused); !isUnavailable || isUnknown || wrong != nil || !strings.Contains(refused.Error(), "opened again") {
		t.Errorf("an append after it: %v, %v; want dcb.ErrUnavailable that says to open the store again", refused, wrong)
	}
	mustCheckRead(t, s, 1)
	_ = s.Close()
	s = open(t, dir, diskstore.Options{}.On(mem))
	mustCheck(t, o, mem, s)
	mustSend(t, o, s, event(10))
	mustClose(t, mem, s)
}

func TestAFullDiskFailsWhatDoesNotFitAndNothingElse(t *testing.T) {
	t.Parallel()
	for _, segmentBytes := range []int{diskstore.MinSegmentBytes, 1 << 20} {
		for _, room := range []int64{0, 1, 31, 700, 5000, 20_000, 100_000} {
			t.Run(fmt.Sprintf("segments of %d bytes and room for %d", segmentBytes, room), func(t *testing.T) {
				t.Parallel()
				fillUp(t, diskstore.Options{SegmentBytes: segmentBytes}, room)
			})
		}
	}
}

// fillUp lets a store run out of room, opens it again without any, and gives it room.
func fillUp(t *testing.T, opts diskstore.Options, room int64) {
	mem, o := vfs.NewMem(), new(oracle)
	s := open(t, dir, opts.On(mem))
	for range 40 {
		mustSend(t, o, s, event(500))
	}
	mem.SetCapacity(mem.Used() + room)
	for _, size := range []int{2000, 500, 100, 10, 0} {
		for more := true; more; {
			refused, wrong := o.send(t.Context(), s, o.add(event(size), nil))
			if isUnavailable, isUnknown := outcome(refused); wrong != nil || refused != nil && (!isUnavailable || isUnknown) {
				t.Fatalf("an append on a full disk: %v, %v", refused, wrong)
			}
			more = refused == nil
		}
		mustCheck(t, o, mem, s)
	}
	// Something large does not fit, and what is small afterwards fails or not, but nothing is lost.
	for range 3 {
		if refused, wrong := o.send(t.Context(), s, o.add(event(100_000), nil)); refused == nil || wrong != nil {
			t.Fatalf("100,000 bytes on a full disk: %v, %v", refused, wrong)
		}
	}
	_ = s.Close() // there may be no room to say that it was closed
	if n := mem.OpenHandles(); n != 0 {
		t.Fatalf("%d handles are open after Close", n)
	}
	s = open(t, dir, opts.On(mem))
	mustCheck(t, o, mem, s)
	if refused, wrong := o.send(t.Context(), s, o.add(event(100_000), nil)); refused == nil || wrong != nil {
		t.Fatalf("100,000 bytes on a full disk: %v, %v", refused, wrong)
	}
	mem.SetCapacity(-1)
	for _, size := range []int{10, 500, 100_000, 10} {
		mustSend(t, o, s, event(size))
	}
	mustCheck(t, o, mem, s)
	mustClose(t, mem, s)
	s = open(t, dir, opts.On(mem.Crash(nil)))
	if err := o.check(t.Context(), mem, s, randomOf(1, 2)); err != nil {
		t.Fatal(err)
	}
}

func TestASmallAppendFitsWhereALargeOneDidNot(t *testing.T) {
	t.Parallel()
	mem, o := vfs.NewMem(), new(oracle)
	opts := diskstore.Options{SegmentBytes: 16 << 20}
	s := open(t, dir, opts.On(mem))
	mustSend(t, o, s, event(10))
	mustClose(t, mem, s)
	mem.SetCapacity(mem.Used() + 10_000)
	s = open(t, dir, opts.On(mem))
	if refused, wrong := o.send(t.Context(), s, o.add(event(20_000), nil)); refused == nil || wrong != nil {
		t.Fatalf("20,000 bytes where 10,000 fit: %v, %v", refused, wrong)
	}
	for range 9 {
		mustSend(t, o, s, event(900))
	}
	mustCheck(t, o, mem, s)
}

func TestIndexFilesThatCannotBeWrittenStopAppendsOnlyWhenManyWait(t *testing.T) {
	t.Parallel()
	for _, cause := range []error{syscall.ENOSPC, errInjected} {
		for _, kind := range []vfs.Kind{vfs.Create, vfs.Write, vfs.Sync, vfs.Rename} {
			t.Run(fmt.Sprintf("%s: %v", kind, cause), func(t *testing.T) {
				t.Parallel()
				mem, o := vfs.NewMem(), new(oracle)
				s := open(t, dir, small(mem))
				mem.Inject(func(op vfs.Op) error {
					if strings.Contains(op.Name, ".index") && op.Kind == kind {
						return cause
					}
					return nil
				})
				recorded, stopped := 0, false
				for i := 0; i < 200 && !stopped; i++ {
					refused, wrong := o.send(t.Context(), s, o.add(event(500), nil))
					isUnavailable, isUnknown := outcome(refused)
					if wrong != nil || refused != nil && (!isUnavailable || isUnknown) {
						t.Fatalf("%v, %v", refused, wrong)
					}
					if stopped = refused != nil; !stopped {
						recorded++
					}
				}
				if !stopped || recorded < 3*diskstore.MinSegmentBytes/600 {
					t.Errorf("%d appends were recorded; then one failed: %v", recorded, stopped)
				}
				mustCheck(t, o, mem, s)
				mem.Inject(nil)
				for range 60 {
					mustSend(t, o, s, event(500))
				}
				mustCheck(t, o, mem, s)
				mustClose(t, mem, s)
				s = open(t, dir, small(mem))
				mustCheck(t, o, mem, s)
				for range 60 {
					mustSend(t, o, s, event(500))
				}
				untilMerged(s)
				mustClose(t, mem, s)
			})
		}
	}
}
