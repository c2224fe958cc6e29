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
	"github.com/dcbstore/dcb/diskstore/internal/logfile"
	"github.com/dcbstore/dcb/internal/vfs"
)

// mergedStore returns a closed store of many segments whose index files were merged.
func mergedStore(t *testing.T, seed uint64, steps int) (*vfs.Mem, *oracle) {
	t.Helper()
	mem, o := vfs.NewMem(), new(oracle)
	s := open(t, dir, smallSegments(mem))
	if err := runCallers(t.Context(), s, o, seed, 1, steps); err != nil {
		t.Fatalf("%s=%d: %v", history.SeedVariable, seed, err)
	}
	for len(listFiles(t, mem, ".log")) < 6 { // five get index files, which is enough for a merge
		mustSend(t, o, s, oneEvent(900))
	}
	waitForMerge(s)
	mustClose(t, mem, s)
	mustClose(t, mem, open(t, dir, smallSegments(mem))) // builds the index files that Close did not wait for
	return mem, o
}

// waitForMerge waits until the store has merged index files. There must be enough of them.
func waitForMerge(s *diskstore.Store) {
	for s.Metrics().Merges == 0 {
		time.Sleep(time.Millisecond)
	}
}

// listFiles returns the sorted paths of the files with a suffix.
func listFiles(t testing.TB, files vfs.FS, suffix string) (paths []string) {
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

// contents returns the content of all files of the directory except the lock.
func contents(t testing.TB, mem *vfs.Mem) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, path := range listFiles(t, mem, "") {
		all[path] = string(mem.ReadFile(path))
	}
	return all
}

// mustNotOpen expects Open to fail with an error that is want and contains name, and to change
// nothing.
func mustNotOpen(t *testing.T, mem *vfs.Mem, want error, name string) {
	t.Helper()
	before := contents(t, mem)
	s, err := diskstore.Open(dir, smallSegments(mem))
	if err == nil {
		result, err := s.Read(t.Context(), dcb.All(), dcb.ReadOptions{})
		_ = s.Close()
		t.Fatalf("Open opened a store that reads %d events, %v, want %v", len(result.Events), err, want)
	}
	if !errors.Is(err, want) || !strings.Contains(err.Error(), name) {
		t.Errorf("Open = %v, want %v that names %s", err, want, name)
	}
	after := contents(t, mem)
	for path, content := range before {
		if after[path] != content {
			t.Errorf("Open changed or removed %s", path)
		}
	}
	if len(after) != len(before) {
		t.Errorf("there are %d files, want %d as before", len(after), len(before))
	}
	if n := mem.OpenHandles(); n != 0 {
		t.Errorf("Open failed and left %d handles open", n)
	}
}

// mustOpen opens the directory and checks the store.
func mustOpen(t *testing.T, mem *vfs.Mem, o *oracle) *diskstore.Store {
	t.Helper()
	s := open(t, dir, smallSegments(mem))
	mustCheck(t, o, mem, s)
	return s
}

func TestOpenRefusesLockedDirectory(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]*diskstore.Options{"in memory": smallSegments(vfs.NewMem()), "on the disk": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := open(t, dir, opts)
			_, err := diskstore.Open(dir, opts)
			if !errors.Is(err, diskstore.ErrLocked) || !errors.Is(err, dcb.ErrUnavailable) || !strings.Contains(err.Error(), dir) {
				t.Errorf("a second Open = %v, want ErrLocked and dcb.ErrUnavailable with the name of the directory", err)
			}
			if _, err := s.Append(t.Context(), oneEvent(1), nil); err != nil {
				t.Errorf("Append to the first store after the second Open = %v, want nil", err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if head, err := open(t, dir, opts).Head(t.Context()); head != 1 || err != nil {
				t.Errorf("Head after the first store was closed = %d, %v, want 1", head, err)
			}
		})
	}
}

func TestOpenRefusesNewerVersion(t *testing.T) {
	t.Parallel()
	original, o := mergedStore(t, 1, 30)
	for _, path := range listFiles(t, original, ".log") {
		mem := original.Clone()
		b := mem.ReadFile(path)
		binary.LittleEndian.PutUint32(b[8:], logfile.Version+1)
		clear(b[12:16])
		binary.LittleEndian.PutUint32(b[12:], crc32.Checksum(b[:logfile.SegmentHeaderBytes], crc32.MakeTable(crc32.Castagnoli)))
		mem.WriteFile(path, b)
		mem.WriteFile(filepath.Join(dir, "spare.log.tmp"), []byte("unfinished, by the newer version"))
		mustNotOpen(t, mem, diskstore.ErrVersion, path)
	}
	for _, path := range listFiles(t, original, ".index") { // an index file of another version is rebuilt
		mem := original.Clone()
		b := mem.ReadFile(path)
		binary.LittleEndian.PutUint32(b[8:], 99)
		clear(b[12:16])
		binary.LittleEndian.PutUint32(b[12:], crc32.Checksum(b[:128], crc32.MakeTable(crc32.Castagnoli)))
		mem.WriteFile(path, b)
		mustOpen(t, mem, o.snapshot())
	}
}

func TestOpenRefusesOtherFiles(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"notes.txt", "1.log", "00000000000000000001.logs", "0000000000000000000x.log", "00000000000000000000.log"} {
		mem := vfs.NewMem()
		if err := mem.MakeDir(dir); err != nil {
			t.Fatal(err)
		}
		mem.WriteFile(filepath.Join(dir, name), []byte("other content"))
		mustNotOpen(t, mem, diskstore.ErrNoStore, dir)
	}
	mem := vfs.NewMem()
	if err := mem.MakeDir(filepath.Join(dir, "photos")); err != nil {
		t.Fatal(err)
	}
	mustNotOpen(t, mem, diskstore.ErrNoStore, "photos")
	mem.WriteFile(dir+"2", []byte("a file"))
	if _, err := diskstore.Open(dir+"2", smallSegments(mem)); err == nil {
		t.Error("Open opened a file as a directory")
	}
}

func TestOpenNamesMissingSegment(t *testing.T) {
	t.Parallel()
	original, _ := mergedStore(t, 2, 60)
	for _, path := range listFiles(t, original, ".log") {
		for _, withIndexes := range []bool{true, false} {
			mem := original.Clone()
			paths := listFiles(t, mem, ".log")
			isLast := path == paths[len(paths)-1]
			if !withIndexes && isLast {
				continue // nothing proves that there was another segment
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
			mustNotOpen(t, mem, dcb.ErrCorrupt, named)
		}
	}
	mem := original.Clone()
	for _, path := range listFiles(t, mem, ".log") {
		if err := mem.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	mustNotOpen(t, mem, dcb.ErrCorrupt, "00000000000000000001.log")
}

func removeIndexes(t *testing.T, mem *vfs.Mem) {
	t.Helper()
	for _, path := range listFiles(t, mem, ".index") {
		if err := mem.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOpenNamesTruncatedSegment(t *testing.T) {
	t.Parallel()
	original, o := mergedStore(t, 3, 60)
	paths := listFiles(t, original, ".log")
	for i, path := range paths {
		whole := original.ReadFile(path)
		for _, size := range []int{0, 1, 63, 64, 65, 100, len(whole) / 2, len(whole) - logfile.RecordHeaderBytes - 1, len(whole) - logfile.RecordHeaderBytes, len(whole) - 1} {
			mem := original.Clone()
			mem.WriteFile(path, whole[:size])
			isLast := i == len(paths)-1
			switch {
			case !isLast || size < logfile.SegmentHeaderBytes:
				named := path
				if isLast { // an index file proves that it was not unused
					named = paths[i-1]
				}
				mustNotOpen(t, mem, dcb.ErrCorrupt, named)
			case size >= len(whole)-logfile.RecordHeaderBytes: // without the clean-shutdown marker
				mustOpen(t, mem, o.snapshot())
			default: // a torn write: nothing proves where the log ended
				known := o.snapshot()
				known.lossy = true
				mustOpen(t, mem, known)
			}
		}
	}
}

func TestOpenNamesForeignSegment(t *testing.T) {
	t.Parallel()
	original, _ := mergedStore(t, 4, 60)
	other, _ := mergedStore(t, 4, 60) // the same events
	for i, path := range listFiles(t, original, ".log") {
		b := other.ReadFile(path)
		if b == nil {
			continue // the other store has no segment of that name
		}
		mem := original.Clone()
		mem.WriteFile(path, b)
		if i == 0 { // then the second segment differs from the first
			path = listFiles(t, original, ".log")[1]
		}
		mustNotOpen(t, mem, dcb.ErrCorrupt, path)
	}
	mem := original.Clone()
	paths := listFiles(t, mem, ".log")
	first, second := mem.ReadFile(paths[1]), mem.ReadFile(paths[2])
	mem.WriteFile(paths[1], second)
	mem.WriteFile(paths[2], first)
	mustNotOpen(t, mem, dcb.ErrCorrupt, paths[1])
}

func TestOpenRebuildsIndexFiles(t *testing.T) {
	t.Parallel()
	original, o := mergedStore(t, 5, 80)
	paths := listFiles(t, original, ".index")
	other, _ := mergedStore(t, 6, 80)
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
		"garbage after the header": func(whole []byte) []byte {
			for i := range whole[128:] {
				whole[128+i] = byte(random.Uint32())
			}
			return whole
		},
		"of another store": func([]byte) []byte { return other.ReadFile(listFiles(t, other, ".index")[0]) },
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
		t.Log("the rebuilt files cover other ranges")
	}
}

// mustIndexEverything expects the index files to cover all segments but the last.
func mustIndexEverything(t *testing.T, mem *vfs.Mem) {
	t.Helper()
	next := 1
	for _, path := range listFiles(t, mem, ".index") {
		var first, last int
		if _, err := fmt.Sscanf(filepath.Base(path), "%020d-%020d.index", &first, &last); err != nil || first != next {
			t.Errorf("index file %s (%v), want one that starts at %d", path, err, next)
		}
		next = last + 1
	}
	logs := listFiles(t, mem, ".log")
	if want := filepath.Join(dir, fmt.Sprintf("%020d.log", next)); logs[len(logs)-1] != want {
		t.Errorf("the index files end before %s, but the last segment is %s", want, logs[len(logs)-1])
	}
}
