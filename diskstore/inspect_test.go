package diskstore_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/diskstore"
	"github.com/dcbstore/dcb/internal/vfs"
)

// hookedFS is a file system that calls a function before it lists a directory or opens a file.
type hookedFS struct {
	*vfs.Mem
	onList, onOpen func(name string)
}

func (w hookedFS) List(dir string) ([]vfs.Info, error) {
	if w.onList != nil {
		w.onList(dir)
	}
	return w.Mem.List(dir)
}

func (w hookedFS) Open(name string) (vfs.File, error) {
	if w.onOpen != nil {
		w.onOpen(name)
	}
	return w.Mem.Open(name)
}

// oneSegment returns a file system with a closed store of n events in one segment.
func oneSegment(t *testing.T, n int) *vfs.Mem {
	t.Helper()
	files := vfs.NewMem()
	s := open(t, dir, diskstore.Options{}.On(files))
	appendEvents(t, s, n)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return files
}

// appendFurther appends n events, one at a time.
func appendFurther(t *testing.T, s *diskstore.Store, n int) {
	t.Helper()
	for i := range n {
		if _, err := s.Append(t.Context(), []dcb.Event{{Type: "Further", Tags: []string{fmt.Sprint("further", i)}, Data: make([]byte, 100)}}, nil); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBackupRefusesDamagedOnlySegment(t *testing.T) {
	t.Parallel()
	files := oneSegment(t, 1000)
	backup(t, files, "copy")
	name := listFiles(t, files, ".log")[0]
	files.Flip(name, int64(len(files.ReadFile(name))/2), 1)
	_, err := diskstore.Backup(t.Context(), dir, "copy", diskstore.InspectOptions{}.On(files))
	if corrupt, ok := errors.AsType[*diskstore.CorruptError](err); !ok || corrupt.File != name {
		t.Errorf("Backup = %v, want a CorruptError for %s", err, name)
	}
	if report := verify(t, files, "copy"); len(report.Problems) > 0 || report.Events != 1000 {
		t.Errorf("Verify of the earlier backup = %+v, want 1000 events and no problem", report)
	}
}

func TestBackupRefusesShorterLog(t *testing.T) {
	t.Parallel()
	files := oneSegment(t, 500)
	name := listFiles(t, files, ".log")[0]
	older := files.ReadFile(name)
	s := open(t, dir, diskstore.Options{}.On(files))
	appendFurther(t, s, 500)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	backup(t, files, "copy")
	files.WriteFile(name, older) // an older copy was restored
	refused := func(what string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), "from position 501 on it has other events than dir") {
			t.Errorf("%s: Backup = %v, want an error that it has other events", what, err)
		}
		if report := verify(t, files, "copy"); len(report.Problems) > 0 || report.Events != 1000 {
			t.Errorf("%s: Verify of the backup = %+v, want 1000 events and no problem", what, report)
		}
	}
	_, err := diskstore.Backup(t.Context(), dir, "copy", diskstore.InspectOptions{}.On(files))
	refused("a closed store", err)
	s = open(t, dir, diskstore.Options{}.On(files))
	_, err = s.Backup(t.Context(), "copy", nil)
	refused("an open store", err)
	appendFurther(t, s, 600)
	_, err = s.Backup(t.Context(), "copy", nil)
	refused("other events in their place", err)
}

func TestBackupWhileLogRolls(t *testing.T) {
	t.Parallel()
	var s *diskstore.Store
	var rolls atomic.Bool
	files := hookedFS{Mem: vfs.NewMem(), onList: func(name string) {
		if name == dir && rolls.Swap(false) {
			appendFurther(t, s, 100)
		}
	}}
	s = open(t, dir, smallSegments(files))
	appendEvents(t, s, 2)
	rolls.Store(true)
	report, err := s.Backup(t.Context(), "copy", nil)
	if err != nil || report.Head != 2 {
		t.Fatalf("Backup = %+v, %v, want head 2", report, err)
	}
	if damage := verify(t, files, "copy"); len(damage.Problems) > 0 || damage.Events != 2 {
		t.Errorf("Verify of the copy = %+v, want 2 events and no problem", damage)
	}
	if report, err = s.Backup(t.Context(), "copy", nil); err != nil || report.Head != 102 {
		t.Errorf("the second Backup = %+v, %v, want head 102", report, err)
	}
	if damage := verify(t, files, "copy"); len(damage.Problems) > 0 || damage.Events != 102 {
		t.Errorf("Verify of the second copy = %+v, want 102 events and no problem", damage)
	}
}

func TestBackupHasNoUnsyncedAppend(t *testing.T) {
	t.Parallel()
	files := vfs.NewMem()
	s := open(t, dir, diskstore.Options{}.On(files))
	appendEvents(t, s, 10)
	written, synced := make(chan bool), make(chan bool)
	var started atomic.Bool
	files.Inject(func(op vfs.Op) error {
		if op.Kind == vfs.Sync && strings.HasSuffix(op.Name, ".log") && !started.Swap(true) {
			close(written)
			<-synced
		}
		return nil
	})
	done := make(chan error, 1)
	go func() {
		_, err := s.Append(context.WithoutCancel(t.Context()), []dcb.Event{{Type: "Late", Data: make([]byte, 20_000)}}, nil)
		done <- err
	}()
	<-written
	report := backup(t, files, "copy")
	crashed := files.Crash(nil) // all unsynced data is lost
	close(synced)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if events := everything(t, crashed, dir); dcb.Position(len(events)) < report.Head {
		t.Errorf("the backup has %d events, but the store has %d after a crash", report.Head, len(events))
	}
}

func TestVerifyCountsUnusedSegmentsAsUnfinished(t *testing.T) {
	t.Parallel()
	files := storeWith(t, 50)
	files.WriteFile(filepath.Join(dir, fmt.Sprintf("%020d.log", 60)), make([]byte, 4096))
	files.WriteFile(filepath.Join(dir, fmt.Sprintf("%020d.log", 70)), append(make([]byte, 4000), "torn"...))
	files.WriteFile(filepath.Join(dir, fmt.Sprintf("%020d.log", 80)), nil)
	report := verify(t, files, dir)
	if len(report.Problems) > 0 || report.Events != 50 || report.Unfinished == 0 {
		t.Errorf("Verify = %+v, want 50 events, unfinished bytes and no problem", report)
	}
	mem := files.Clone()
	if events := everything(t, mem, dir); len(events) != 50 {
		t.Errorf("the opened store has %d events, want 50", len(events))
	}
	// Damage at the end of the log before them is found all the same.
	logs := listFiles(t, files, ".log")
	last := logs[len(logs)-4]
	content := files.ReadFile(last)
	files.Flip(last, int64(len(content)-40), 1)
	if report := verify(t, files, dir); len(report.Problems) != 1 {
		t.Errorf("Verify with a damaged end of the log = %+v, want one problem", report)
	}
}

func TestStoreStatsDuringAppends(t *testing.T) {
	t.Parallel()
	s := open(t, dir, smallSegments(vfs.NewMem()))
	ctx, stop := context.WithTimeout(t.Context(), time.Second)
	defer stop()
	var writers sync.WaitGroup
	for w := range 16 {
		writers.Go(func() {
			for i := 0; ; i++ {
				_, err := s.Append(ctx, []dcb.Event{{Type: fmt.Sprint("T", w, "-", i), Data: make([]byte, 200)}}, nil)
				if ctx.Err() != nil {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for ctx.Err() == nil {
		stats, err := s.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if uint64(len(stats.Types)) != stats.Events { // each event has a type of its own
			t.Fatalf("Stats has %d types and %d events, want as many types as events", len(stats.Types), stats.Events)
		}
	}
	writers.Wait()
}

func TestVerifyWhileStoreIsOpened(t *testing.T) {
	t.Parallel()
	mem := storeWith(t, 100)
	var s *diskstore.Store
	files := hookedFS{Mem: mem, onOpen: func(name string) {
		if strings.HasSuffix(name, ".index") && s == nil {
			s = open(t, dir, smallSegments(mem))
			appendFurther(t, s, 200)
		}
	}}
	report := verify(t, files, dir)
	if s == nil || len(report.Problems) > 0 {
		t.Errorf("Verify = %+v, want no problem", report)
	}
}

func TestOpenInVolumeRoot(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	for _, name := range []string{"lost+found", ".snapshots"} {
		if err := mem.MakeDir(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	mem.WriteFile(filepath.Join(dir, ".volume"), []byte("x"))
	if _, err := diskstore.Verify(t.Context(), dir, diskstore.InspectOptions{}.On(mem)); !errors.Is(err, diskstore.ErrNoStore) {
		t.Errorf("Verify = %v, want ErrNoStore", err)
	}
	s := open(t, dir, smallSegments(mem))
	appendEvents(t, s, 3)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	backup(t, mem, "copy")
}

func TestOpenChangesNothingInDamagedStore(t *testing.T) {
	t.Parallel()
	whole := storeWith(t, 100)
	logs := listFiles(t, whole, ".log")
	for name, damage := range map[string]func(mem *vfs.Mem) (file string){
		"the end of the log": func(mem *vfs.Mem) string {
			last := logs[len(logs)-1]
			mem.Flip(last, 100, 1)
			return last
		},
		"a segment without an index": func(mem *vfs.Mem) string {
			for _, index := range listFiles(t, mem, ".index") {
				if err := mem.Remove(index); err != nil {
					t.Fatal(err)
				}
			}
			mem.Flip(logs[3], 200, 1)
			return logs[3]
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mem := whole.Clone()
			mem.WriteFile(filepath.Join(dir, "spare.log.tmp"), make([]byte, 4096))
			mem.WriteFile(filepath.Join(dir, fmt.Sprintf("%020d.log", 500)), make([]byte, 4096))
			mem.WriteFile(logs[0], append(mem.ReadFile(logs[0]), make([]byte, 100)...)) // to be trimmed
			mustNotOpen(t, mem, dcb.ErrCorrupt, damage(mem))
		})
	}
}
