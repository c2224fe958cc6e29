package diskstore_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/diskstore"
	"github.com/dcbstore/dcb/diskstore/internal/frame"
	"github.com/dcbstore/dcb/internal/vfs"
)

// Moments that random tests come by too rarely.

func TestWhatIsAnsweredAfterAKillSurvivesACrash(t *testing.T) {
	t.Parallel()
	mem, o := vfs.NewMem(), new(oracle)
	mem.Inject(func(op vfs.Op) error {
		before := o.snapshot()
		killed := mem.KillClone()
		known := around(before, o.snapshot()) // the operation may be one in the background
		for _, a := range known.attempts {
			a.open++ // it may be under way
		}
		s := open(t, dir, small(killed))
		mustSend(t, known, s, event(10))
		after := killed.Crash(nil) // whatever the one who was killed has not synced, this one has
		s = open(t, dir, small(after))
		if err := known.check(t.Context(), after, s, randomOf(1, 1)); err != nil {
			t.Errorf("killed before operation %d (%s %s): %v", op.N, op.Kind, op.Name, err)
		}
		return nil
	})
	s := open(t, dir, small(mem))
	for range 40 {
		mustSend(t, o, s, event(500))
	}
	mustClose(t, mem, s)
}

func TestOneSyncThatFailedIsEnough(t *testing.T) {
	t.Parallel()
	mem, o := vfs.NewMem(), new(oracle)
	s := open(t, dir, diskstore.Options{}.On(mem))
	mustSend(t, o, s, event(10))
	failed := false
	mem.Inject(func(op vfs.Op) error {
		if op.Kind == vfs.Sync && isLog(op) && !failed {
			failed = true
			return errInjected
		}
		return nil
	})
	for range 3 { // the disk is well again; but what it has forgotten nobody knows
		if refused, wrong := o.send(t.Context(), s, o.add(event(10), nil)); !errors.Is(refused, dcb.ErrUnavailable) || wrong != nil {
			t.Errorf("%v, %v; want dcb.ErrUnavailable", refused, wrong)
		}
	}
	mustClose(t, mem, s)
}

func TestAnAppendThatWasRefusedStaysAbsentWhateverComesThen(t *testing.T) {
	t.Parallel()
	for _, whole := range []bool{true, false} {
		mem, o := vfs.NewMem(), new(oracle)
		s := open(t, dir, diskstore.Options{}.On(mem))
		mustSend(t, o, s, event(10))
		failed := false
		mem.Inject(func(op vfs.Op) error {
			if op.Kind != vfs.Write || !isLog(op) || failed {
				return nil
			}
			failed = true
			if whole {
				return vfs.Partial{Bytes: op.Bytes, Err: errInjected} // all of it is written, and yet
			}
			return vfs.Partial{Bytes: op.Bytes / 2, Err: errInjected}
		})
		refused, wrong := o.send(t.Context(), s, o.add(event(300), nil))
		if _, unknown := outcome(refused); refused == nil || unknown || wrong != nil {
			t.Fatalf("%v, %v; want a refusal", refused, wrong)
		}
		for _, after := range []*vfs.Mem{mem.KillClone(), mem.Crash(nil), mem.Crash(randomOf(1, 1))} {
			again := open(t, dir, diskstore.Options{}.On(after))
			if err := o.snapshot().check(t.Context(), after, again, randomOf(1, 1)); err != nil {
				t.Error(err)
			}
		}
		mustSend(t, o, s, event(10))
		mustCheck(t, o, mem, s)
	}
}

// twoInOneWrite returns a file system on which a store was killed that had recorded one event, and then written two appends at once.
func twoInOneWrite(t *testing.T, o *oracle, bytes int) *vfs.Mem {
	t.Helper()
	mem := vfs.NewMem()
	s := open(t, dir, diskstore.Options{}.On(mem))
	g := newGate(mem)
	first := background(t.Context(), s, o.add(event(10), nil).events, nil)
	<-g.reached
	var others []chan result
	for i := range 2 {
		others = append(others, background(t.Context(), s, o.add(event(bytes), nil).events, nil))
		decided(s, dcb.Position(2+i))
	}
	g.opened <- struct{}{}
	if r := await(t, first); r.err != nil {
		t.Fatal(r.err)
	}
	<-g.reached
	killed := mem.KillClone()
	close(g.opened)
	for _, done := range others {
		await(t, done)
	}
	return killed
}

func TestWhatWasDroppedNeverComesBack(t *testing.T) {
	t.Parallel()
	const bytes = 300
	o := new(oracle)
	mem := twoInOneWrite(t, o, bytes)
	path := filesOf(t, mem, ".log")[0]
	firstEnd := int64(frame.SegmentBytes + frameBytes(t, mem, 0))
	mem.Flip(path, firstEnd+100, 1) // a page of the second append was not written; the third is whole
	s := open(t, dir, diskstore.Options{}.On(mem))
	mustCheckRead(t, s, 1)
	// With the mark that is there now, an append of this size ends where the third begins, which has the position that comes next.
	if _, err := s.Append(t.Context(), o.add(event(bytes-frame.HeaderBytes), nil).events, nil); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, diskstore.Options{}.On(mem.KillClone()))
	mustCheckRead(t, s, 2)
}

// frameBytes returns the size of the first frame of a segment.
func frameBytes(t *testing.T, mem *vfs.Mem, segment int) int {
	t.Helper()
	b := mem.ReadFile(filesOf(t, mem, ".log")[segment])[frame.SegmentBytes:]
	return int(b[0]) | int(b[1])<<8 | int(b[2])<<16
}

func TestTheLastAppendIsVouchedFor(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(t *testing.T, s *diskstore.Store, mem *vfs.Mem) *vfs.Mem{
		"when the store was closed": func(t *testing.T, s *diskstore.Store, mem *vfs.Mem) *vfs.Mem {
			mustClose(t, mem, s)
			return mem
		},
		"when the store was opened after a crash": func(t *testing.T, _ *diskstore.Store, mem *vfs.Mem) *vfs.Mem {
			killed := mem.KillClone()
			open(t, dir, diskstore.Options{}.On(killed))
			return killed.KillClone()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mem, o := vfs.NewMem(), new(oracle)
			s := open(t, dir, diskstore.Options{}.On(mem))
			mustSend(t, o, s, event(10))
			mem = leave(t, s, mem)
			path := filesOf(t, mem, ".log")[0]
			for offset := range frame.SegmentBytes + frameBytes(t, mem, 0) {
				flipped := mem.KillClone()
				flipped.Flip(path, int64(offset), 1)
				if _, err := diskstore.Open(dir, diskstore.Options{}.On(flipped)); !errors.Is(err, dcb.ErrCorrupt) {
					t.Errorf("offset %d was flipped, and Open returned %v; want dcb.ErrCorrupt", offset, err)
				}
			}
		})
	}
}

func TestWhoWaitsForAnAppendThatFailsIsJudgedAgain(t *testing.T) {
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
			failing := background(t.Context(), s, event(1), nil)
			<-reached
			// The one that is being written stands in the way of this one, perhaps.
			touched := background(t.Context(), s, event(1), &dcb.AppendCondition{FailIfEventsMatch: dcb.Query{{Tags: []string{"course:1"}}}})
			synctest.Wait()
			close(opened)
			if r := <-failing; !errors.Is(r.err, dcb.ErrUnavailable) {
				t.Errorf("%s: %+v; want dcb.ErrUnavailable", kind, r)
			}
			r := <-touched
			if kind == vfs.Write && (r.err != nil || r.position != 1) {
				t.Errorf("%+v; want position 1, since the other one is not recorded", r)
			}
			if kind == vfs.Sync && !errors.Is(r.err, dcb.ErrUnavailable) {
				t.Errorf("%+v; want dcb.ErrUnavailable", r)
			}
			mustClose(t, mem, s)
		})
	}
}
