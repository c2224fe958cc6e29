package diskstore_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/dcbtest/history"
	"github.com/dcbstore/dcb/diskstore"
	"github.com/dcbstore/dcb/diskstore/internal/frame"
	"github.com/dcbstore/dcb/internal/vfs"
)

// filled returns a store of many segments, whose index files have been merged, that was closed.
func filled(t *testing.T, seed uint64, steps int) (*vfs.Mem, *oracle) {
	t.Helper()
	mem, o := vfs.NewMem(), new(oracle)
	s := open(t, dir, small(mem))
	if err := busy(t.Context(), s, o, seed, 1, steps); err != nil {
		t.Fatalf("%s=%d: %v", history.SeedVariable, seed, err)
	}
	for len(filesOf(t, mem, ".log")) < 6 { // of which all but the last will have index files, and these will be merged
		mustSend(t, o, s, event(900))
	}
	untilMerged(s)
	mustClose(t, mem, s)
	mustClose(t, mem, open(t, dir, small(mem))) // which makes the index files that Close did not wait for
	return mem, o
}

// untilMerged waits until the store has merged index files. It must have what can be merged.
func untilMerged(s *diskstore.Store) {
	for s.Metrics().Merges == 0 {
		time.Sleep(time.Millisecond)
	}
}

// filesOf returns the paths of the files that end so, sorted.
func filesOf(t testing.TB, files vfs.FS, suffix string) (paths []string) {
	t.Helper()
	infos, err := files.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, info := range infos {
		if strings.HasSuffix(info.Name, suffix) {
			paths = append(paths, filepath.Join(dir, info.Name))
		}
	}
	return paths
}

// contents returns what all files of the directory hold, but for the lock.
func contents(t testing.TB, mem *vfs.Mem) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, path := range filesOf(t, mem, "") {
		all[path] = string(mem.ReadFile(path))
	}
	return all
}

// mustRefuse expects that the directory cannot be opened, for a reason that names something, and is left as it is.
func mustRefuse(t *testing.T, mem *vfs.Mem, want error, name string) {
	t.Helper()
	before := contents(t, mem)
	s, err := diskstore.Open(dir, small(mem))
	if err == nil {
		result, err := s.Read(t.Context(), dcb.All(), dcb.ReadOptions{})
		_ = s.Close()
		t.Fatalf("a store was opened that reads %d events, %v; want %v", len(result.Events), err, want)
	}
	if !errors.Is(err, want) || !strings.Contains(err.Error(), name) {
		t.Errorf("Open: %v; want %v that names %s", err, want, name)
	}
	after := contents(t, mem)
	for path, content := range before {
		if after[path] != content {
			t.Errorf("%s was changed or removed", path)
		}
	}
	if len(after) != len(before) {
		t.Errorf("there are %d files, and were %d", len(after), len(before))
	}
	if n := mem.OpenHandles(); n != 0 {
		t.Errorf("%d handles are open after an opening that failed", n)
	}
}

// mustOpen expects that the directory can be opened and holds what it must.
func mustOpen(t *testing.T, mem *vfs.Mem, o *oracle) *diskstore.Store {
	t.Helper()
	s := open(t, dir, small(mem))
	mustCheck(t, o, mem, s)
	return s
}

func TestADirectoryIsOpenedOnce(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]*diskstore.Options{"in memory": small(vfs.NewMem()), "on the disk": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := open(t, dir, opts)
			_, err := diskstore.Open(dir, opts)
			if !errors.Is(err, diskstore.ErrLocked) || !errors.Is(err, dcb.ErrUnavailable) || !strings.Contains(err.Error(), dir) {
				t.Errorf("a second Open: %v; want ErrLocked, and dcb.ErrUnavailable, and the name of the directory", err)
			}
			if _, err := s.Append(t.Context(), event(1), nil); err != nil {
				t.Errorf("the first store after the second opening: %v", err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if head, err := open(t, dir, opts).Head(t.Context()); head != 1 || err != nil {
				t.Errorf("the head after the first store was closed: %d, %v; want 1", head, err)
			}
		})
	}
}

func TestANewerVersionIsRefusedAndLeftAsItIs(t *testing.T) {
	t.Parallel()
	original, o := filled(t, 1, 30)
	for _, path := range filesOf(t, original, ".log") {
		mem := original.Clone()
		b := mem.ReadFile(path)
		binary.LittleEndian.PutUint32(b[8:], frame.Version+1)
		clear(b[12:16])
		binary.LittleEndian.PutUint32(b[12:], crc32.Checksum(b[:frame.SegmentBytes], crc32.MakeTable(crc32.Castagnoli)))
		mem.WriteFile(path, b)
		mem.WriteFile(filepath.Join(dir, "spare.log.tmp"), []byte("what the newer version left unfinished"))
		mustRefuse(t, mem, diskstore.ErrVersion, path)
	}
	for _, path := range filesOf(t, original, ".index") { // an index is made again by whoever needs it
		mem := original.Clone()
		b := mem.ReadFile(path)
		binary.LittleEndian.PutUint32(b[8:], 99)
		clear(b[12:16])
		binary.LittleEndian.PutUint32(b[12:], crc32.Checksum(b[:128], crc32.MakeTable(crc32.Castagnoli)))
		mem.WriteFile(path, b)
		mustOpen(t, mem, o.snapshot())
	}
}

func TestADirectoryOfOtherThingsIsRefusedAndLeftAsItIs(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"notes.txt", "1.log", "00000000000000000001.logs", "0000000000000000000x.log", "00000000000000000000.log"} {
		mem := vfs.NewMem()
		if err := mem.MakeDir(dir); err != nil {
			t.Fatal(err)
		}
		mem.WriteFile(filepath.Join(dir, name), []byte("something"))
		mustRefuse(t, mem, diskstore.ErrNoStore, dir)
	}
	mem := vfs.NewMem()
	if err := mem.MakeDir(filepath.Join(dir, "photos")); err != nil {
		t.Fatal(err)
	}
	mustRefuse(t, mem, diskstore.ErrNoStore, "photos")
	mem.WriteFile(dir+"2", []byte("a file"))
	if _, err := diskstore.Open(dir+"2", small(mem)); err == nil {
		t.Error("a file was opened as a directory")
	}
}

func TestAMissingSegmentIsNamed(t *testing.T) {
	t.Parallel()
	original, _ := filled(t, 2, 60)
	for _, path := range filesOf(t, original, ".log") {
		for _, withIndexes := range []bool{true, false} {
			mem := original.Clone()
			paths := filesOf(t, mem, ".log")
			isLast := path == paths[len(paths)-1]
			if !withIndexes && isLast {
				continue // nothing says that there was more
			}
			if err := mem.Remove(path); err != nil {
				t.Fatal(err)
			}
			if !withIndexes {
				removeIndexes(t, mem)
			}
			named := path
			if isLast {
				named = paths[len(paths)-2]
			}
			mustRefuse(t, mem, dcb.ErrCorrupt, named)
		}
	}
	mem := original.Clone()
	for _, path := range filesOf(t, mem, ".log") {
		if err := mem.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	mustRefuse(t, mem, dcb.ErrCorrupt, "00000000000000000001.log")
}

func removeIndexes(t *testing.T, mem *vfs.Mem) {
	t.Helper()
	for _, path := range filesOf(t, mem, ".index") {
		if err := mem.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

func TestATruncatedSegmentIsNamed(t *testing.T) {
	t.Parallel()
	original, o := filled(t, 3, 60)
	paths := filesOf(t, original, ".log")
	for i, path := range paths {
		whole := original.ReadFile(path)
		for _, size := range []int{0, 1, 63, 64, 65, 100, len(whole) / 2, len(whole) - frame.HeaderBytes - 1, len(whole) - frame.HeaderBytes, len(whole) - 1} {
			mem := original.Clone()
			mem.WriteFile(path, whole[:size])
			isLast := i == len(paths)-1
			switch {
			case !isLast || size < frame.SegmentBytes:
				named := path
				if isLast { // as if it had never been written to; but an index tells that it was
					named = paths[i-1]
				}
				mustRefuse(t, mem, dcb.ErrCorrupt, named)
			case size >= len(whole)-frame.HeaderBytes: // without the mark that is behind the last event
				mustOpen(t, mem, o.snapshot())
			default: // nothing tells where the log ended, but it is whole up to there
				known := o.snapshot()
				known.lossy = true
				mustOpen(t, mem, known)
			}
		}
	}
}

func TestASegmentOfAnotherStoreIsNamed(t *testing.T) {
	t.Parallel()
	original, _ := filled(t, 4, 60)
	other, _ := filled(t, 4, 60) // the same events
	for i, path := range filesOf(t, original, ".log") {
		b := other.ReadFile(path)
		if b == nil {
			continue // it begins elsewhere
		}
		mem := original.Clone()
		mem.WriteFile(path, b)
		if i == 0 { // the second one then belongs to another store than the first
			path = filesOf(t, original, ".log")[1]
		}
		mustRefuse(t, mem, dcb.ErrCorrupt, path)
	}
	mem := original.Clone()
	paths := filesOf(t, mem, ".log")
	first, second := mem.ReadFile(paths[1]), mem.ReadFile(paths[2])
	mem.WriteFile(paths[1], second)
	mem.WriteFile(paths[2], first)
	mustRefuse(t, mem, dcb.ErrCorrupt, paths[1])
}

func TestIndexFilesAreMadeAgainFromTheLog(t *testing.T) {
	t.Parallel()
	original, o := filled(t, 5, 80)
	paths := filesOf(t, original, ".index")
	other, _ := filled(t, 6, 80)
	random := randomOf(5, 5)
	damages := map[string]func(whole []byte) []byte{
		"empty":         func([]byte) []byte { return nil },
		"short":         func(whole []byte) []byte { return whole[:len(whole)/2] },
		"a header":      func(whole []byte) []byte { return whole[:128] },
		"one byte less": func(whole []byte) []byte { return whole[:len(whole)-1] },
		"one byte more": func(whole []byte) []byte { return append(whole, 0) },
		"zeros":         func(whole []byte) []byte { return make([]byte, len(whole)) },
		"garbage": func(whole []byte) []byte {
			for i := range whole {
				whole[i] = byte(random.Uint32())
			}
			return whole
		},
		"garbage behind the header": func(whole []byte) []byte {
			for i := range whole[128:] {
				whole[128+i] = byte(random.Uint32())
			}
			return whole
		},
		"that of another store": func([]byte) []byte { return other.ReadFile(filesOf(t, other, ".index")[0]) },
	}
	for name, damage := range damages {
		for _, path := range append(slices.Clone(paths), "all") {
			mem := original.Clone()
			for _, p := range paths {
				if path == p || path == "all" {
					mem.WriteFile(p, damage(mem.ReadFile(p)))
				}
			}
			s := mustOpen(t, mem, o.snapshot())
			mustClose(t, mem, s)
			if t.Failed() {
				t.Fatalf("%s: %s", path, name)
			}
		}
	}
	mem := original.Clone()
	removeIndexes(t, mem)
	s := mustOpen(t, mem, o.snapshot())
	mustClose(t, mem, s)
	mustIndexEverything(t, mem)
	if bytes.Equal(mem.ReadFile(paths[0]), nil) {
		t.Log("the files were made anew, of other widths")
	}
}

// mustIndexEverything expects the index files to cover all segments but the last.
func mustIndexEverything(t *testing.T, mem *vfs.Mem) {
	t.Helper()
	next := 1
	for _, path := range filesOf(t, mem, ".index") {
		var first, last int
		if _, err := fmt.Sscanf(filepath.Base(path), "%020d-%020d.index", &first, &last); err != nil || first != next {
			t.Errorf("%s: %v; want one from %d on", path, err, next)
		}
		next = last + 1
	}
	logs := filesOf(t, mem, ".log")
	if want := filepath.Join(dir, fmt.Sprintf("%020d.log", next)); logs[len(logs)-1] != want {
		t.Errorf("the indexes go up to %s, and the last segment is %s", want, logs[len(logs)-1])
	}
}
