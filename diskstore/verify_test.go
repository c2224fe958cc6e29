package diskstore_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"slices"
	"testing"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/diskstore"
	"github.com/dcbstore/dcb/diskstore/internal/indexfile"
	"github.com/dcbstore/dcb/diskstore/internal/logfile"
	"github.com/dcbstore/dcb/diskstore/internal/tail"
	"github.com/dcbstore/dcb/diskstore/internal/term"
	"github.com/dcbstore/dcb/internal/vfs"
)

// storeWith returns a file system with a closed store of n events in many segments, and index
// files.
func storeWith(t *testing.T, n int) *vfs.Mem {
	t.Helper()
	files := vfs.NewMem()
	s := open(t, dir, smallSegments(files))
	appendEvents(t, s, n)
	closeIndexed(t, files, s)
	return files
}

// closeIndexed closes the store and makes sure that every sealed segment has an index file, for
// which Close alone does not wait.
func closeIndexed(t *testing.T, files vfs.FS, s *diskstore.Store) {
	t.Helper()
	err := s.Close()
	if err == nil {
		err = open(t, dir, smallSegments(files)).Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// appendEvents appends n events, one to three at a time.
func appendEvents(t *testing.T, s *diskstore.Store, n int) {
	t.Helper()
	for i := 0; i < n; {
		var events []dcb.Event
		for range min(1+i%3, n-i) {
			events = append(events, dcb.Event{
				Type: fmt.Sprint("T", i%5), Tags: []string{fmt.Sprint("tag", i%17), fmt.Sprint("own", i)}, Data: make([]byte, 100), ID: [16]byte{1, byte(i), byte(i >> 8)},
			})
			i++
		}
		if _, err := s.Append(t.Context(), events, nil); err != nil {
			t.Fatal(err)
		}
	}
}

func verify(t *testing.T, files vfs.FS, dir string) diskstore.Report {
	t.Helper()
	report, err := diskstore.Verify(t.Context(), dir, diskstore.InspectOptions{}.On(files))
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestVerifySoundStore(t *testing.T) {
	t.Parallel()
	files := storeWith(t, 400)
	before := files.Clone()
	report := verify(t, files, dir)
	logs, indexes := listFiles(t, files, ".log"), listFiles(t, files, ".index")
	if len(report.Problems) > 0 || report.Events != 400 || report.Segments != len(logs) || report.IndexFiles != len(indexes) || report.InUse || report.Unfinished > 0 {
		t.Errorf("Verify = %+v, want %d segments, %d index files and no problem", report, len(logs), len(indexes))
	}
	if len(logs) < 10 || len(indexes) < 1 {
		t.Errorf("the store has %d segments and %d index files, want more", len(logs), len(indexes))
	}
	for _, name := range append(logs, indexes...) {
		if !slices.Equal(files.ReadFile(name), before.ReadFile(name)) {
			t.Errorf("Verify changed %s", name)
		}
	}
}

func TestVerifyDuringAppends(t *testing.T) {
	t.Parallel()
	files := vfs.NewMem()
	s := open(t, dir, smallSegments(files))
	appendEvents(t, s, 100)
	appended := make(chan error, 1)
	go func() { appended <- appendMore(t.Context(), s, 1500) }()
	for {
		report := verify(t, files, dir)
		if len(report.Problems) > 0 || !report.InUse || report.Events < 100 {
			t.Errorf("Verify = %+v, want at least 100 events, in use and no problem", report)
		}
		select {
		case err := <-appended:
			if err != nil {
				t.Error(err)
			}
			return
		default:
		}
	}
}

// appendMore appends n events, one at a time.
func appendMore(ctx context.Context, s *diskstore.Store, n int) error {
	for i := range n {
		if _, err := s.Append(ctx, []dcb.Event{{Type: "More", Tags: []string{fmt.Sprint("more", i)}, Data: make([]byte, i%700)}}, nil); err != nil {
			return err
		}
	}
	return nil
}

func TestVerifyCountsUnfinishedAppend(t *testing.T) {
	t.Parallel()
	files := storeWith(t, 50)
	logs := listFiles(t, files, ".log")
	last := logs[len(logs)-1]
	content := files.ReadFile(last)
	files.WriteFile(last, append(content, content[64:90]...)) // the start of a log record
	report := verify(t, files, dir)
	if len(report.Problems) > 0 || report.Events != 50 || report.Unfinished == 0 {
		t.Errorf("Verify = %+v, want 50 events, unfinished bytes and no problem", report)
	}
}

// TestVerifyFindsWrongIndex forges index files whose checksums are right but whose content is
// wrong.
func TestVerifyFindsWrongIndex(t *testing.T) {
	t.Parallel()
	for name, forge := range map[string]func(x *tail.Index, offset uint32, typeKey term.Key, tags []term.Key){
		"another offset": func(x *tail.Index, offset uint32, typeKey term.Key, tags []term.Key) {
			x.Add(offset+1, typeKey, 0, tags)
		},
		"a tag too few": func(x *tail.Index, offset uint32, typeKey term.Key, tags []term.Key) {
			x.Add(offset, typeKey, 0, tags[1:])
		},
		"a tag too many": func(x *tail.Index, offset uint32, typeKey term.Key, tags []term.Key) {
			x.Add(offset, typeKey, 0, append(tags, term.OfTag("x")))
		},
		"another type": func(x *tail.Index, offset uint32, typeKey term.Key, tags []term.Key) {
			x.Add(offset, term.OfType("X"), 0, tags)
		},
		"an ID": func(x *tail.Index, offset uint32, typeKey term.Key, tags []term.Key) {
			x.Add(offset, typeKey, term.OfID([16]byte{9}), tags)
		},
		"no change": func(x *tail.Index, offset uint32, typeKey term.Key, tags []term.Key) {
			x.Add(offset, typeKey, 0, tags)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := vfs.NewMem()
			s := open(t, dir, smallSegments(files))
			for i := range 30 {
				if _, err := s.Append(t.Context(), []dcb.Event{{Type: "T", Tags: []string{"a", fmt.Sprint(i)}, Data: make([]byte, 300)}}, nil); err != nil {
					t.Fatal(err)
				}
			}
			closeIndexed(t, files, s)
			rewriteIndex(t, files, forge)
			problems := verify(t, files, dir).Problems
			if unchanged := name == "no change"; unchanged != (len(problems) == 0) {
				t.Errorf("Verify found the problems %v", problems)
			}
		})
	}
}

// rewriteIndex writes the first index file again. The fourth event is added by forge.
func rewriteIndex(t *testing.T, files *vfs.Mem, forge func(x *tail.Index, offset uint32, typeKey term.Key, tags []term.Key)) {
	t.Helper()
	name := listFiles(t, files, ".index")[0]
	old, err := indexfile.Open(files, name)
	if err != nil {
		t.Fatal(err)
	}
	meta := old.Meta()
	x := tail.New()
	typeKey := term.OfType("T")
	for i := range int(meta.Count) {
		offset, _, err := old.Event(uint32(i))
		if err != nil {
			t.Fatal(err)
		}
		tags := []term.Key{term.OfTag("a"), term.OfTag(fmt.Sprint(i))}
		if i == 3 {
			forge(x, offset, typeKey, tags)
		} else {
			x.Add(offset, typeKey, 0, tags)
		}
	}
	if err := errors.Join(old.Close(), files.Remove(name)); err != nil {
		t.Fatal(err)
	}
	f, err := files.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(indexfile.Write(t.Context(), f, meta, x), f.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestVerifyFindsMissingSegment(t *testing.T) {
	t.Parallel()
	whole := storeWith(t, 100)
	logs := listFiles(t, whole, ".log")
	for name, remove := range map[string]string{"the first segment": logs[0], "one in the middle": logs[3], "the last": logs[len(logs)-1]} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := whole.Clone()
			if err := files.Remove(remove); err != nil {
				t.Fatal(err)
			}
			if report := verify(t, files, dir); len(report.Problems) == 0 {
				t.Errorf("Verify = %+v, want a problem", report)
			}
		})
	}
}

func TestVerifyRefusesNewerVersion(t *testing.T) {
	t.Parallel()
	files := storeWith(t, 5)
	name := listFiles(t, files, ".log")[0]
	content := files.ReadFile(name)
	binary.LittleEndian.PutUint32(content[8:], 2)
	binary.LittleEndian.PutUint32(content[12:], 0)
	binary.LittleEndian.PutUint32(content[12:], crc32.Checksum(content[:logfile.SegmentHeaderBytes], crc32.MakeTable(crc32.Castagnoli)))
	files.WriteFile(name, content)
	if _, err := diskstore.Verify(t.Context(), dir, diskstore.InspectOptions{}.On(files)); !errors.Is(err, diskstore.ErrVersion) {
		t.Errorf("Verify = %v, want ErrVersion", err)
	}
	for _, name := range []string{"nowhere", "."} {
		if _, err := diskstore.Verify(t.Context(), filepath.Join(t.TempDir(), name), nil); err == nil {
			t.Errorf("Verify of %s returned no error", name)
		}
	}
}
