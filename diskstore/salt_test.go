package diskstore_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/diskstore"
	"github.com/dcbstore/dcb/diskstore/internal/frame"
	"github.com/dcbstore/dcb/internal/vfs"
)

// saltOf returns what the frames of a store are sealed with.
func saltOf(t *testing.T, mem *vfs.Mem) frame.Salt {
	t.Helper()
	header, err := frame.ReadSegment(mem.ReadFile(filesOf(t, mem, ".log")[0]))
	if err != nil {
		t.Fatal(err)
	}
	return header.Salt()
}

// laterLog returns the log of another store, which is longer than that of any test here.
func laterLog(t *testing.T) []byte {
	t.Helper()
	mem := vfs.NewMem()
	s := open(t, dir, diskstore.Options{}.On(mem))
	for range 50 {
		mustAppend(t, s, event(10))
	}
	mustClose(t, mem, s)
	return mem.ReadFile(filesOf(t, mem, ".log")[0])
}

func mustAppend(t *testing.T, s *diskstore.Store, events []dcb.Event) {
	t.Helper()
	if _, err := s.Append(t.Context(), events, nil); err != nil {
		t.Fatal(err)
	}
}

// claim is data that claim, as a frame of a log does, that more is durable than there is.
type claim struct {
	data func(own frame.Salt) []byte
	own  bool // with the store's own salt, which nobody else knows
}

func claims(t *testing.T) map[string]claim {
	t.Helper()
	log, now := laterLog(t), time.Now().UnixMicro()
	mark := func(salt frame.Salt, next dcb.Position) []byte { return frame.Mark(salt, next, now) }
	return map[string]claim{
		"the log of another store":      {func(frame.Salt) []byte { return log }, false},
		"a mark without a salt":         {func(frame.Salt) []byte { return mark(0, 20) }, false},
		"a mark with the wrong salt":    {func(own frame.Salt) []byte { return mark(own+1, 20) }, false},
		"a mark with the store's salt":  {func(own frame.Salt) []byte { return mark(own, 20) }, true},
		"the mark that the store makes": {func(own frame.Salt) []byte { return mark(own, 12) }, true},
	}
}

// mustVerify expects Verify to find nothing but what a crash has left, or, if the store is not sound, a problem.
func mustVerify(t *testing.T, mem *vfs.Mem, sound bool) {
	t.Helper()
	report, err := diskstore.Verify(t.Context(), dir, diskstore.InspectOptions{}.On(mem))
	if err != nil || (len(report.Problems) == 0) != sound || sound && report.Unfinished == 0 {
		t.Errorf("Verify: %+v, %v", report, err)
	}
}

func TestWhatATornFrameHasAsDataProvesNothing(t *testing.T) {
	t.Parallel()
	for name, claim := range claims(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mem := vfs.NewMem()
			s := open(t, dir, diskstore.Options{}.On(mem))
			for range 10 {
				mustAppend(t, s, event(10))
			}
			e := event(0)
			e[0].Data = slices.Concat(claim.data(saltOf(t, mem)), []byte("the last bytes, which are torn off"))
			mustAppend(t, s, e)
			torn := mem.KillClone()
			path := filesOf(t, torn, ".log")[0]
			b := torn.ReadFile(path)
			at := strings.Index(string(b), "which are torn off")
			clear(b[at:])
			torn.WriteFile(path, b)
			mustVerify(t, torn, !claim.own)
			if claim.own {
				mustRefuse(t, torn, dcb.ErrCorrupt, path)
				return
			}
			s = open(t, dir, diskstore.Options{}.On(torn))
			mustCheckRead(t, s, 10)
			mustAppend(t, s, event(10))
			mustClose(t, torn, s)
			mustCheckRead(t, open(t, dir, diskstore.Options{}.On(torn)), 11)
		})
	}
}

// TestWhatASegmentWithoutAHeaderHasAsDataProvesNothing is of a crash while the first group of a segment was written.
func TestWhatASegmentWithoutAHeaderHasAsDataProvesNothing(t *testing.T) {
	t.Parallel()
	for name, claim := range claims(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mem := vfs.NewMem()
			s := open(t, dir, small(mem))
			for range 10 {
				mustAppend(t, s, event(10))
			}
			var torn *vfs.Mem
			rolled := false
			mem.Inject(func(op vfs.Op) error {
				isSpare := strings.Contains(op.Name, "spare")
				switch {
				case isSpare && op.Kind == vfs.Rename:
					rolled = true
				case isSpare && op.Kind == vfs.Write && rolled && torn == nil:
					torn = mem.KillClone()
				}
				return nil
			})
			e := event(0)
			e[0].Data = slices.Concat(claim.data(saltOf(t, mem)), make([]byte, diskstore.MinSegmentBytes))
			mustAppend(t, s, e)
			if torn == nil {
				t.Fatal("nothing was written to a new segment")
			}
			path := filepath.Join(dir, "00000000000000000011.log")
			b := mem.ReadFile(path)
			clear(b[:frame.SegmentBytes])
			torn.WriteFile(path, b)
			mustVerify(t, torn, !claim.own)
			if claim.own {
				mustRefuse(t, torn, dcb.ErrCorrupt, path)
				return
			}
			s = open(t, dir, small(torn))
			mustCheckRead(t, s, 10)
			mustClose(t, torn, s)
		})
	}
}
