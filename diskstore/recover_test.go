package diskstore_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/diskstore"
	"github.com/dcbstore/dcb/diskstore/internal/logfile"
	"github.com/dcbstore/dcb/internal/vfs"
)

// These tests construct cases that random tests reach too rarely.

func TestOpenAfterKillThenCrash(t *testing.T) {
	t.Parallel()
	mem, o := vfs.NewMem(), new(oracle)
	mem.Inject(func(op vfs.Op) error {
		before := o.snapshot()
		killed := mem.KillClone()
		known := between(before, o.snapshot()) // the operation may belong to the background work
		for _, a := range known.attempts {
			a.unresolved++ // each attempt may be under way
		}
		s := open(t, dir, smallSegments(killed))
		mustSend(t, known, s, oneEvent(10))
		after := killed.Crash(nil) // the second store has synced what the killed one had not
		s = open(t, dir, smallSegments(after))
		if err := known.check(t.Context(), after, s, randomOf(1, 1)); err != nil {
			t.Errorf("killed before operation %d (%s %s): %v", op.N, op.Kind, op.Name, err)
		}
		return nil
	})
	s := open(t, dir, smallSegments(mem))
	for range 40 {
		mustSend(t, o, s, oneEvent(500))
	}
	mustClose(t, mem, s)
}

func TestAppendFailsAfterOneFailedSync(t *testing.T) {
	t.Parallel()
	mem, o := vfs.NewMem(), new(oracle)
	s := open(t, dir, diskstore.Options{}.On(mem))
	mustSend(t, o, s, oneEvent(10))
	failed := false
	mem.Inject(func(op vfs.Op) error {
		if op.Kind == vfs.Sync && isLog(op) && !failed {
			failed = true
			return errInjected
		}
		return nil
	})
	for range 3 { // later syncs succeed, but do not tell what the failed one lost
		if refused, wrong := o.send(t.Context(), s, o.add(oneEvent(10), nil)); !errors.Is(refused, dcb.ErrUnavailable) || wrong != nil {
			t.Errorf("Append = %v, %v, want dcb.ErrUnavailable", refused, wrong)
		}
	}
	mustClose(t, mem, s)
}

func TestOpenAfterRefusedAppend(t *testing.T) {
	t.Parallel()
	for _, whole := range []bool{true, false} {
		mem, o := vfs.NewMem(), new(oracle)
		s := open(t, dir, diskstore.Options{}.On(mem))
		mustSend(t, o, s, oneEvent(10))
		failed := false
		mem.Inject(func(op vfs.Op) error {
			if op.Kind != vfs.Write || !isLog(op) || failed {
				return nil
			}
			failed = true
			if whole {
				return vfs.Partial{Bytes: op.Bytes, Err: errInjected} // everything is written before the error
			}
			return vfs.Partial{Bytes: op.Bytes / 2, Err: errInjected}
		})
		refused, wrong := o.send(t.Context(), s, o.add(oneEvent(300), nil))
		if _, unknown := outcome(refused); refused == nil || unknown || wrong != nil {
			t.Fatalf("Append = %v, %v, want an error with a known outcome", refused, wrong)
		}
		for _, after := range []*vfs.Mem{mem.KillClone(), mem.Crash(nil), mem.Crash(randomOf(1, 1))} {
			again := open(t, dir, diskstore.Options{}.On(after))
			if err := o.snapshot().check(t.Context(), after, again, randomOf(1, 1)); err != nil {
				t.Error(err)
			}
		}
		mustSend(t, o, s, oneEvent(10))
		mustCheck(t, o, mem, s)
	}
}

// twoInOneWrite returns the file system of a killed store, which had recorded one event and had
// written two appends in one group without a sync.
func twoInOneWrite(t *testing.T, o *oracle, bytes int) *vfs.Mem {
	t.Helper()
	mem := vfs.NewMem()
	s := open(t, dir, diskstore.Options{}.On(mem))
	g := newGate(mem)
	first := appendAsync(t.Context(), s, o.add(oneEvent(10), nil).events, nil)
	<-g.reached
	var others []chan appendResult
	for i := range 2 {
		others = append(others, appendAsync(t.Context(), s, o.add(oneEvent(bytes), nil).events, nil))
		waitForAdmitted(s, dcb.Position(2+i))
	}
	g.opened <- struct{}{}
	if r := awaitResult(t, first); r.err != nil {
		t.Fatal(r.err)
	}
	<-g.reached
	killed := mem.KillClone()
	close(g.opened)
	for _, done := range others {
		awaitResult(t, done)
	}
	return killed
}

func TestOpenDiscardsTornAppendForGood(t *testing.T) {
	t.Parallel()
	const bytes = 300
	o := new(oracle)
	mem := twoInOneWrite(t, o, bytes)
	path := listFiles(t, mem, ".log")[0]
	firstEnd := int64(logfile.SegmentHeaderBytes + firstRecordBytes(t, mem, 0))
	mem.Flip(path, firstEnd+100, 1) // the second append is torn, the third is complete
	s := open(t, dir, diskstore.Options{}.On(mem))
	mustReadCount(t, s, 1)
	// After the clean-shutdown marker that Open wrote, an append of this size ends where the third
	// append begins, and the third has the position that comes next.
	if _, err := s.Append(t.Context(), o.add(oneEvent(bytes-logfile.RecordHeaderBytes), nil).events, nil); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, diskstore.Options{}.On(mem.KillClone()))
	mustReadCount(t, s, 2)
}

// firstRecordBytes returns the size of the first log record of a segment.
func firstRecordBytes(t *testing.T, mem *vfs.Mem, segment int) int {
	t.Helper()
	b := mem.ReadFile(listFiles(t, mem, ".log")[segment])[logfile.SegmentHeaderBytes:]
	return int(b[0]) | int(b[1])<<8 | int(b[2])<<16
}

func TestOpenDetectsDamageOfLastAppend(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(t *testing.T, s *diskstore.Store, mem *vfs.Mem) *vfs.Mem{
		"closed": func(t *testing.T, s *diskstore.Store, mem *vfs.Mem) *vfs.Mem {
			mustClose(t, mem, s)
			return mem
		},
		"opened after a crash": func(t *testing.T, _ *diskstore.Store, mem *vfs.Mem) *vfs.Mem {
			killed := mem.KillClone()
			open(t, dir, diskstore.Options{}.On(killed))
			return killed.KillClone()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mem, o := vfs.NewMem(), new(oracle)
			s := open(t, dir, diskstore.Options{}.On(mem))
			mustSend(t, o, s, oneEvent(10))
			mem = leave(t, s, mem)
			path := listFiles(t, mem, ".log")[0]
			for offset := range logfile.SegmentHeaderBytes + firstRecordBytes(t, mem, 0) {
				flipped := mem.KillClone()
				flipped.Flip(path, int64(offset), 1)
				if _, err := diskstore.Open(dir, diskstore.Options{}.On(flipped)); !errors.Is(err, dcb.ErrCorrupt) {
					t.Errorf("Open with a wrong bit at offset %d = %v, want dcb.ErrCorrupt", offset, err)
				}
			}
		})
	}
}

func TestAppendChecksAgainAfterFailedGroup(t *testing.T) {
	t.Parallel()
	for _, kind := range []vfs.Kind{vfs.Write, vfs.Sync} {
		synctest.Test(t, func(t *testing.T) {
			mem := vfs.NewMem()
			s := open(t, dir, diskstore.Options{}.On(mem))
			reached, opened := make(chan struct{}), make(chan struct{})
			var failed atomic.Bool
			mem.Inject(func(op vfs.Op) error {
				if op.Kind != kind || !isLog(op) || failed.Swap(true) { // only the first
					return nil
				}
				close(reached)
				<-opened
				return errInjected
			})
			failing := appendAsync(t.Context(), s, oneEvent(1), nil)
			<-reached
			// The append being written may conflict with this one, which therefore waits.
			waiting := appendAsync(t.Context(), s, oneEvent(1), &dcb.AppendCondition{FailIfEventsMatch: dcb.Query{{Tags: []string{"course:1"}}}})
			synctest.Wait()
			close(opened)
			if r := <-failing; !errors.Is(r.err, dcb.ErrUnavailable) {
				t.Errorf("%s: Append = %+v, want dcb.ErrUnavailable", kind, r)
			}
			r := <-waiting
			if kind == vfs.Write && (r.err != nil || r.position != 1) {
				t.Errorf("Append = %+v, want position 1, since the failed append is not recorded", r)
			}
			if kind == vfs.Sync && !errors.Is(r.err, dcb.ErrUnavailable) {
				t.Errorf("Append = %+v, want dcb.ErrUnavailable", r)
			}
			mustClose(t, mem, s)
		})
	}
}
