package diskstore_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/diskstore"
	"github.com/dcbstore/dcb/diskstore/internal/logfile"
	"github.com/dcbstore/dcb/internal/vfs"
)

// saltOf returns the salt of the log records of a store.
func saltOf(t *testing.T, mem *vfs.Mem) logfile.Salt {
	t.Helper()
	header, err := logfile.ReadSegmentHeader(mem.ReadFile(listFiles(t, mem, ".log")[0]))
	if err != nil {
		t.Fatal(err)
	}
	return header.Salt()
}

// longerLog returns the log of another store with more events than any store in these tests.
func longerLog(t *testing.T) []byte {
	t.Helper()
	mem := vfs.NewMem()
	s := open(t, dir, diskstore.Options{}.On(mem))
	for range 50 {
		mustAppend(t, s, oneEvent(10))
	}
	mustClose(t, mem, s)
	return mem.ReadFile(listFiles(t, mem, ".log")[0])
}

func mustAppend(t *testing.T, s *diskstore.Store, events []dcb.Event) {
	t.Helper()
	if _, err := s.Append(t.Context(), events, nil); err != nil {
		t.Fatal(err)
	}
}

// forgedProof is event data that looks like a log record, which proves that later positions were
// durable.
type forgedProof struct {
	data     func(own logfile.Salt) []byte
	usesSalt bool // it has the salt of the store, which only a reader of the files knows
}

func forgedProofs(t *testing.T) map[string]forgedProof {
	t.Helper()
	log, now := longerLog(t), time.Now().UnixMicro()
	marker := func(salt logfile.Salt, next dcb.Position) []byte { return logfile.ShutdownMarker(salt, next, now) }
	return map[string]forgedProof{
		"the log of another store":         {func(logfile.Salt) []byte { return log }, false},
		"a marker without a salt":          {func(logfile.Salt) []byte { return marker(0, 20) }, false},
		"a marker with a wrong salt":       {func(own logfile.Salt) []byte { return marker(own+1, 20) }, false},
		"a marker with the store's salt":   {func(own logfile.Salt) []byte { return marker(own, 20) }, true},
		"the marker that the store writes": {func(own logfile.Salt) []byte { return marker(own, 12) }, true},
	}
}

// mustVerifyAs expects Verify to find only an unfinished append if the store is sound, and
// otherwise a problem.
func mustVerifyAs(t *testing.T, mem *vfs.Mem, sound bool) {
	t.Helper()
	report, err := diskstore.Verify(t.Context(), dir, diskstore.InspectOptions{}.On(mem))
	if err != nil || (len(report.Problems) == 0) != sound || sound && report.Unfinished == 0 {
		t.Errorf("Verify = %+v, %v, want a sound store: %v", report, err, sound)
	}
}

func TestOpenIgnoresProofInTornAppend(t *testing.T) {
	t.Parallel()
	for name, claim := range forgedProofs(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mem := vfs.NewMem()
			s := open(t, dir, diskstore.Options{}.On(mem))
			for range 10 {
				mustAppend(t, s, oneEvent(10))
			}
			e := oneEvent(0)
			e[0].Data = slices.Concat(claim.data(saltOf(t, mem)), []byte("the last bytes, which are lost"))
			mustAppend(t, s, e)
			torn := mem.KillClone()
			path := listFiles(t, torn, ".log")[0]
			b := torn.ReadFile(path)
			at := strings.Index(string(b), "which are lost")
			clear(b[at:])
			torn.WriteFile(path, b)
			mustVerifyAs(t, torn, !claim.usesSalt)
			if claim.usesSalt {
				mustNotOpen(t, torn, dcb.ErrCorrupt, path)
				return
			}
			s = open(t, dir, diskstore.Options{}.On(torn))
			mustReadCount(t, s, 10)
			mustAppend(t, s, oneEvent(10))
			mustClose(t, torn, s)
			mustReadCount(t, open(t, dir, diskstore.Options{}.On(torn)), 11)
		})
	}
}

// TestOpenIgnoresProofInUnusedSegment crashes a store while it writes the first group of a
// segment.
func TestOpenIgnoresProofInUnusedSegment(t *testing.T) {
	t.Parallel()
	for name, claim := range forgedProofs(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mem := vfs.NewMem()
			s := open(t, dir, smallSegments(mem))
			for range 10 {
				mustAppend(t, s, oneEvent(10))
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
			e := oneEvent(0)
			e[0].Data = slices.Concat(claim.data(saltOf(t, mem)), make([]byte, diskstore.MinSegmentBytes))
			mustAppend(t, s, e)
			if torn == nil {
				t.Fatal("the append started no new segment")
			}
			path := filepath.Join(dir, "00000000000000000011.log")
			b := mem.ReadFile(path)
			clear(b[:logfile.SegmentHeaderBytes])
			torn.WriteFile(path, b)
			mustVerifyAs(t, torn, !claim.usesSalt)
			if claim.usesSalt {
				mustNotOpen(t, torn, dcb.ErrCorrupt, path)
				return
			}
			s = open(t, dir, smallSegments(torn))
			mustReadCount(t, s, 10)
			mustClose(t, torn, s)
		})
	}
}
