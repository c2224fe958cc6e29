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
	"github.com/dcbstore/dcb/diskstore/internal/frame"
	"github.com/dcbstore/dcb/diskstore/internal/indexfile"
	"github.com/dcbstore/dcb/diskstore/internal/tail"
	"github.com/dcbstore/dcb/diskstore/internal/term"
	"github.com/dcbstore/dcb/internal/vfs"
)

// holding returns a file system with a closed store of n events in many segments, and some index files.
func holding(t *testing.T, n int) *vfs.Mem {
	t.Helper()
	files := vfs.NewMem()
	s := open(t, dir, small(files))
	put(t, s, n)
	indexed(t, files, s)
	return files
}

// indexed closes the store, with an index file of every sealed segment, which it does not wait for otherwise.
func indexed(t *testing.T, files vfs.FS, s *diskstore.Store) {
	t.Helper()
	err := s.Close()
	if err == nil {
		err = open(t, dir, small(files)).Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// put appends n events, one or a few at a time.
func put(t *testing.T, s *diskstore.Store, n int) {
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

func TestASoundStoreIsVerified(t *testing.T) {
	t.Parallel()
	files := holding(t, 400)
	before := files.Clone()
	report := verify(t, files, dir)
	logs, indexes := filesOf(t, files, ".log"), filesOf(t, files, ".index")
	if len(report.Problems) > 0 || report.Events != 400 || report.Segments != len(logs) || report.IndexFiles != len(indexes) || report.InUse || report.Unfinished > 0 {
		t.Errorf("%d segments, %d index files: the report is %+v", len(logs), len(indexes), report)
	}
	if len(logs) < 10 || len(indexes) < 1 {
		t.Errorf("with %d segments and %d index files this test shows little", len(logs), len(indexes))
	}
	for _, name := range append(logs, indexes...) {
		if !slices.Equal(files.ReadFile(name), before.ReadFile(name)) {
			t.Errorf("verifying has changed %s", name)
		}
	}
}

func TestAStoreIsVerifiedWhileItIsAppendedTo(t *testing.T) {
	t.Parallel()
	files := vfs.NewMem()
	s := open(t, dir, small(files))
	put(t, s, 100)
	appended := make(chan error, 1)
	go func() { appended <- appendMore(t.Context(), s, 1500) }()
	for {
		report := verify(t, files, dir)
		if len(report.Problems) > 0 || !report.InUse || report.Events < 100 {
			t.Errorf("the report is %+v", report)
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

func TestWhatIsLeftOfACrashIsNoDamage(t *testing.T) {
	t.Parallel()
	files := holding(t, 50)
	logs := filesOf(t, files, ".log")
	last := logs[len(logs)-1]
	content := files.ReadFile(last)
	files.WriteFile(last, append(content, content[64:90]...)) // the beginning of a frame
	report := verify(t, files, dir)
	if len(report.Problems) > 0 || report.Events != 50 || report.Unfinished == 0 {
		t.Errorf("the report is %+v", report)
	}
}

// TestAnIndexThatLiesIsFound: its checksums are right, but it is not that of the log.
func TestAnIndexThatLiesIsFound(t *testing.T) {
	t.Parallel()
	for name, lie := range map[string]func(x *tail.Index, place uint32, typeKey term.Key, tags []term.Key, i int){
		"another place": func(x *tail.Index, place uint32, typeKey term.Key, tags []term.Key, i int) {
			x.Add(place+1, typeKey, 0, tags)
		},
		"a tag too few": func(x *tail.Index, place uint32, typeKey term.Key, tags []term.Key, i int) {
			x.Add(place, typeKey, 0, tags[1:])
		},
		"a tag too many": func(x *tail.Index, place uint32, typeKey term.Key, tags []term.Key, i int) {
			x.Add(place, typeKey, 0, append(tags, term.OfTag("x")))
		},
		"another type": func(x *tail.Index, place uint32, typeKey term.Key, tags []term.Key, i int) {
			x.Add(place, term.OfType("X"), 0, tags)
		},
		"an ID": func(x *tail.Index, place uint32, typeKey term.Key, tags []term.Key, i int) {
			x.Add(place, typeKey, term.OfID([16]byte{9}), tags)
		},
		"nothing but the truth": func(x *tail.Index, place uint32, typeKey term.Key, tags []term.Key, i int) {
			x.Add(place, typeKey, 0, tags)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := vfs.NewMem()
			s := open(t, dir, small(files))
			for i := range 30 {
				if _, err := s.Append(t.Context(), []dcb.Event{{Type: "T", Tags: []string{"a", fmt.Sprint(i)}, Data: make([]byte, 300)}}, nil); err != nil {
					t.Fatal(err)
				}
			}
			indexed(t, files, s)
			forge(t, files, lie)
			problems := verify(t, files, dir).Problems
			if honest := name == "nothing but the truth"; honest != (len(problems) == 0) {
				t.Errorf("the problems are %v", problems)
			}
		})
	}
}

// forge writes the first index file anew, with the last event of the first segment as lie has it.
func forge(t *testing.T, files *vfs.Mem, lie func(x *tail.Index, place uint32, typeKey term.Key, tags []term.Key, i int)) {
	t.Helper()
	name := filesOf(t, files, ".index")[0]
	old, err := indexfile.Open(files, name)
	if err != nil {
		t.Fatal(err)
	}
	meta := old.Meta()
	x := tail.New()
	typeKey := term.OfType("T")
	for i := range int(meta.Count) {
		place, _, err := old.Event(uint32(i))
		if err != nil {
			t.Fatal(err)
		}
		tags := []term.Key{term.OfTag("a"), term.OfTag(fmt.Sprint(i))}
		if i == 3 {
			lie(x, place, typeKey, tags, i)
		} else {
			x.Add(place, typeKey, 0, tags)
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

func TestWhatIsMissingIsFound(t *testing.T) {
	t.Parallel()
	whole := holding(t, 100)
	logs := filesOf(t, whole, ".log")
	for name, remove := range map[string]string{"the first segment": logs[0], "one in the middle": logs[3], "the last one": logs[len(logs)-1]} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := whole.Clone()
			if err := files.Remove(remove); err != nil {
				t.Fatal(err)
			}
			if report := verify(t, files, dir); len(report.Problems) == 0 {
				t.Errorf("the report is %+v", report)
			}
		})
	}
}

func TestANewerVersionIsNotVerified(t *testing.T) {
	t.Parallel()
	files := holding(t, 5)
	name := filesOf(t, files, ".log")[0]
	content := files.ReadFile(name)
	binary.LittleEndian.PutUint32(content[8:], 2)
	binary.LittleEndian.PutUint32(content[12:], 0)
	binary.LittleEndian.PutUint32(content[12:], crc32.Checksum(content[:frame.SegmentBytes], crc32.MakeTable(crc32.Castagnoli)))
	files.WriteFile(name, content)
	if _, err := diskstore.Verify(t.Context(), dir, diskstore.InspectOptions{}.On(files)); !errors.Is(err, diskstore.ErrVersion) {
		t.Errorf("the error is %v; want ErrVersion", err)
	}
	for _, name := range []string{"nowhere", "."} {
		if _, err := diskstore.Verify(t.Context(), filepath.Join(t.TempDir(), name), nil); err == nil {
			t.Errorf("%s was verified", name)
		}
	}
}
