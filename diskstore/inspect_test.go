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

// watched is a file system that tells what is looked at, before it is.
type watched struct {
	*vfs.Mem
	list, open func(name string)
}

func (w watched) List(dir string) ([]vfs.Info, error) {
	if w.list != nil {
		w.list(dir)
	}
	return w.Mem.List(dir)
}

func (w watched) Open(name string) (vfs.File, error) {
	if w.open != nil {
		w.open(name)
	}
	return w.Mem.Open(name)
}

// oneSegment returns a file system with a closed store of n events in one segment.
func oneSegment(t *testing.T, n int) *vfs.Mem {
	t.Helper()
	files := vfs.NewMem()
	s := open(t, dir, diskstore.Options{}.On(files))
	put(t, s, n)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return files
}

// further appends n events, one at a time.
func further(t *testing.T, s *diskstore.Store, n int) {
	t.Helper()
	for i := range n {
		if _, err := s.Append(t.Context(), []dcb.Event{{Type: "Further", Tags: []string{fmt.Sprint("further", i)}, Data: make([]byte, 100)}}, nil); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheOnlySegmentDamagedIsNotBackedUp(t *testing.T) {
	t.Parallel()
	files := oneSegment(t, 1000)
	backup(t, files, "copy")
	name := filesOf(t, files, ".log")[0]
	files.Flip(name, int64(len(files.ReadFile(name))/2), 1)
	var corrupt *diskstore.CorruptError
	if _, err := diskstore.Backup(t.Context(), dir, "copy", diskstore.InspectOptions{}.On(files)); !errors.As(err, &corrupt) || corrupt.File != name {
		t.Errorf("the error is %v; want it to name %s", err, name)
	}
	if report := verify(t, files, "copy"); len(report.Problems) > 0 || report.Events != 1000 {
		t.Errorf("the backup of before: %+v", report)
	}
}

func TestABackupIsNotMadeShorter(t *testing.T) {
	t.Parallel()
	files := oneSegment(t, 500)
	name := filesOf(t, files, ".log")[0]
	older := files.ReadFile(name)
	s := open(t, dir, diskstore.Options{}.On(files))
	further(t, s, 500)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	backup(t, files, "copy")
	files.WriteFile(name, older) // somebody has restored it
	refused := func(what string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), "its events differ from those of dir, from position 501 on") {
			t.Errorf("%s: the error is %v", what, err)
		}
		if report := verify(t, files, "copy"); len(report.Problems) > 0 || report.Events != 1000 {
			t.Errorf("%s: the backup: %+v", what, report)
		}
	}
	_, err := diskstore.Backup(t.Context(), dir, "copy", diskstore.InspectOptions{}.On(files))
	refused("from outside", err)
	s = open(t, dir, diskstore.Options{}.On(files))
	_, err = s.Backup(t.Context(), "copy", nil)
	refused("by the store", err)
	further(t, s, 600)
	_, err = s.Backup(t.Context(), "copy", nil)
	refused("with other events in their place", err)
}

func TestALogThatRollsWhileItIsBackedUpIsNotDamaged(t *testing.T) {
	t.Parallel()
	var s *diskstore.Store
	var rolls atomic.Bool
	files := watched{Mem: vfs.NewMem(), list: func(name string) {
		if name == dir && rolls.Swap(false) {
			further(t, s, 100)
		}
	}}
	s = open(t, dir, small(files))
	put(t, s, 2)
	rolls.Store(true)
	report, err := s.Backup(t.Context(), "copy", nil)
	if err != nil || report.Head != 2 {
		t.Fatalf("the report is %+v, %v; want it up to position 2", report, err)
	}
	if damage := verify(t, files, "copy"); len(damage.Problems) > 0 || damage.Events != 2 {
		t.Errorf("the copy: %+v", damage)
	}
	if report, err = s.Backup(t.Context(), "copy", nil); err != nil || report.Head != 102 {
		t.Errorf("the second time the report is %+v, %v", report, err)
	}
	if damage := verify(t, files, "copy"); len(damage.Problems) > 0 || damage.Events != 102 {
		t.Errorf("the second copy: %+v", damage)
	}
}

func TestABackupHasNothingThatACrashTakesFromTheStore(t *testing.T) {
	t.Parallel()
	files := vfs.NewMem()
	s := open(t, dir, diskstore.Options{}.On(files))
	put(t, s, 10)
	written, synced := make(chan bool), make(chan bool)
	var begun atomic.Bool
	files.Inject(func(op vfs.Op) error {
		if op.Kind == vfs.Sync && strings.HasSuffix(op.Name, ".log") && !begun.Swap(true) {
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
	crashed := files.Crash(nil) // all is lost that was not synced
	close(synced)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if events := everything(t, crashed, dir); dcb.Position(len(events)) < report.Head {
		t.Errorf("the backup has %d events, and the store %d", report.Head, len(events))
	}
}

func TestSegmentsThatNothingWasWrittenToAreUnfinished(t *testing.T) {
	t.Parallel()
	files := holding(t, 50)
	files.WriteFile(filepath.Join(dir, fmt.Sprintf("%020d.log", 60)), make([]byte, 4096))
	files.WriteFile(filepath.Join(dir, fmt.Sprintf("%020d.log", 70)), append(make([]byte, 4000), "torn"...))
	files.WriteFile(filepath.Join(dir, fmt.Sprintf("%020d.log", 80)), nil)
	report := verify(t, files, dir)
	if len(report.Problems) > 0 || report.Events != 50 || report.Unfinished == 0 {
		t.Errorf("the report is %+v", report)
	}
	mem := files.Clone()
	if events := everything(t, mem, dir); len(events) != 50 {
		t.Errorf("the store that is opened has %d events", len(events))
	}
	// What is before them is the end of the log, and damage to that is noticed.
	logs := filesOf(t, files, ".log")
	last := logs[len(logs)-4]
	content := files.ReadFile(last)
	files.Flip(last, int64(len(content)-40), 1)
	if report := verify(t, files, dir); len(report.Problems) != 1 {
		t.Errorf("with the end of the log damaged the report is %+v", report)
	}
}

func TestStatsAreRightWhileOthersAppend(t *testing.T) {
	t.Parallel()
	s := open(t, dir, small(vfs.NewMem()))
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
		if uint64(len(stats.Types)) != stats.Events { // each has its own
			t.Fatalf("there are %d types, and %d events", len(stats.Types), stats.Events)
		}
	}
	writers.Wait()
}

func TestAStoreIsOpenedWhileItIsVerified(t *testing.T) {
	t.Parallel()
	mem := holding(t, 100)
	var s *diskstore.Store
	files := watched{Mem: mem, open: func(name string) {
		if strings.HasSuffix(name, ".index") && s == nil {
			s = open(t, dir, small(mem))
			further(t, s, 200)
		}
	}}
	report := verify(t, files, dir)
	if s == nil || len(report.Problems) > 0 {
		t.Errorf("the report is %+v", report)
	}
}

func TestTheRootOfAVolumeIsEmpty(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	for _, name := range []string{"lost+found", ".snapshots"} {
		if err := mem.MakeDir(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	mem.WriteFile(filepath.Join(dir, ".volume"), []byte("x"))
	if _, err := diskstore.Verify(t.Context(), dir, diskstore.InspectOptions{}.On(mem)); !errors.Is(err, diskstore.ErrNoStore) {
		t.Errorf("verified: %v; want ErrNoStore", err)
	}
	s := open(t, dir, small(mem))
	put(t, s, 3)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	backup(t, mem, "copy")
}

func TestNothingIsChangedInAStoreThatIsDamaged(t *testing.T) {
	t.Parallel()
	whole := holding(t, 100)
	logs := filesOf(t, whole, ".log")
	for name, damage := range map[string]func(mem *vfs.Mem) (file string){
		"the end of the log": func(mem *vfs.Mem) string {
			last := logs[len(logs)-1]
			mem.Flip(last, 100, 1)
			return last
		},
		"a segment without an index": func(mem *vfs.Mem) string {
			for _, index := range filesOf(t, mem, ".index") {
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
			mustRefuse(t, mem, dcb.ErrCorrupt, damage(mem))
		})
	}
}
