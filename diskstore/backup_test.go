package diskstore_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/diskstore"
	"github.com/dcbstore/dcb/internal/vfs"
)

func backup(t *testing.T, files vfs.FS, to string) diskstore.BackupReport {
	t.Helper()
	report, err := diskstore.Backup(t.Context(), dir, to, diskstore.InspectOptions{}.On(files))
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// everything opens the store in dir and returns all its events.
func everything(t *testing.T, files vfs.FS, dir string) []dcb.SequencedEvent {
	t.Helper()
	s := open(t, dir, smallSegments(files))
	result, err := s.Read(t.Context(), dcb.All(), dcb.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return result.Events
}

func TestBackupCopiesTheStore(t *testing.T) {
	t.Parallel()
	files := storeWith(t, 200)
	report := backup(t, files, "copy")
	if report.Head != 200 || report.Reused != 0 || report.Copied < 10 {
		t.Errorf("Backup = %+v, want head 200, nothing reused and at least 10 files copied", report)
	}
	if damage := verify(t, files, "copy"); len(damage.Problems) > 0 || damage.Unindexed > 0 || damage.Events != 200 {
		t.Errorf("Verify of the copy = %+v, want 200 events and no problem", damage)
	}
	if diff := cmp.Diff(everything(t, files, dir), everything(t, files, "copy"), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("the copy differs (-store +copy):\n%s", diff)
	}
}

func TestBackupAgainCopiesOnlyNewEvents(t *testing.T) {
	t.Parallel()
	files := storeWith(t, 200)
	first := backup(t, files, "copy")
	for i := range 60 {
		s := open(t, dir, smallSegments(files))
		if _, err := s.Append(t.Context(), []dcb.Event{{Type: "New", Data: make([]byte, 200)}}, nil); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		report := backup(t, files, "copy")
		if report.Head != dcb.Position(201+i) || report.Reused < 8 || report.Copied > 8 || report.CopiedBytes > first.CopiedBytes/2 {
			t.Fatalf("Backup after %d more events = %+v, want only the end of the log copied", i+1, report)
		}
	}
	if damage := verify(t, files, "copy"); len(damage.Problems) > 0 || damage.Events != 260 {
		t.Errorf("Verify of the copy = %+v, want 260 events and no problem", damage)
	}
	if diff := cmp.Diff(everything(t, files, dir), everything(t, files, "copy"), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("the copy differs (-store +copy):\n%s", diff)
	}
}

func TestBackupOfOpenStoreHasAcknowledgedAppends(t *testing.T) {
	t.Parallel()
	files := vfs.NewMem()
	s := open(t, dir, smallSegments(files))
	ctx, stop := context.WithCancel(t.Context())
	appended := make(chan error, 1)
	go func() { appended <- appendMore(ctx, s, 2000) }()
	for i := range 20 {
		head, err := s.Wait(t.Context(), dcb.Position(20*i))
		if err != nil {
			t.Fatal(err)
		}
		var report diskstore.BackupReport
		to := fmt.Sprint("copy", i%2) // alternately by Backup and by Store.Backup
		if i%2 == 0 {
			report = backup(t, files, to)
		} else if report, err = s.Backup(t.Context(), to, nil); err != nil {
			t.Fatal(err)
		}
		if report.Head < head {
			t.Fatalf("the backup ends at position %d, want at least %d, which was acknowledged before", report.Head, head)
		}
		if damage := verify(t, files, to); len(damage.Problems) > 0 || dcb.Position(damage.Events) != report.Head {
			t.Fatalf("Verify of the backup up to %d = %+v", report.Head, damage)
		}
	}
	stop()
	if err := <-appended; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestBackupAgainAfterCrash(t *testing.T) {
	t.Parallel()
	seed, _ := seedOf(t)
	original := storeWith(t, 70)
	want := everything(t, original, dir)
	for k := int64(1); ; k++ {
		files := original.Clone()
		var crashed *vfs.Mem
		files.Inject(func(op vfs.Op) error {
			if op.N == k {
				crashed = files.Crash(randomOf(seed, uint64(k)))
				return errors.New("crashed")
			}
			return nil
		})
		_, err := diskstore.Backup(t.Context(), dir, "copy", diskstore.InspectOptions{}.On(files))
		if crashed == nil {
			if err != nil || k < 20 {
				t.Errorf("Backup without a crash = %v after %d operations, want at least 20", err, k)
			}
			return
		}
		backup(t, crashed, "copy")
		if diff := cmp.Diff(want, everything(t, crashed, "copy"), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("seed %d, crash at operation %d: the copy differs (-store +copy):\n%s", seed, k, diff)
		}
	}
}

func TestBackupRefusesOtherDestinations(t *testing.T) {
	t.Parallel()
	files := storeWith(t, 50)
	other := open(t, "other", smallSegments(files))
	appendEvents(t, other, 10)
	if _, err := diskstore.Backup(t.Context(), dir, "other", diskstore.InspectOptions{}.On(files)); !errors.Is(err, diskstore.ErrLocked) {
		t.Errorf("Backup to an open store = %v, want ErrLocked", err)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if err := files.MakeDir("things"); err != nil {
		t.Fatal(err)
	}
	files.WriteFile(filepath.Join("things", "thing"), []byte("x"))
	if err := files.MakeDir("none"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ from, to, want string }{
		{dir, "other", "another store"},
		{dir, "things", "other files"},
		{dir, dir, "to itself"},
		{"none", "copy", "no log"},
		{"nowhere", "copy", "nowhere"},
	} {
		if _, err := diskstore.Backup(t.Context(), c.from, c.to, diskstore.InspectOptions{}.On(files)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Backup from %s to %s = %v, want an error with %q", c.from, c.to, err, c.want)
		}
	}
	// A fork: a backup that was appended to.
	backup(t, files, "copy")
	fork := open(t, "copy", smallSegments(files))
	for range 100 {
		if _, err := fork.Append(t.Context(), []dcb.Event{{Type: "Fork", Data: make([]byte, 100)}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := fork.Close(); err != nil {
		t.Fatal(err)
	}
	before := everything(t, files, "copy")
	if _, err := diskstore.Backup(t.Context(), dir, "copy", diskstore.InspectOptions{}.On(files)); err == nil || !strings.Contains(err.Error(), "it has other events than dir") {
		t.Errorf("Backup to a fork = %v, want an error that it has other events", err)
	}
	if diff := cmp.Diff(before, everything(t, files, "copy"), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("Backup changed the fork (-before +after):\n%s", diff)
	}
}

func TestBackupRefusesDamagedSegment(t *testing.T) {
	t.Parallel()
	files := storeWith(t, 100)
	backup(t, files, "copy")
	damaged := listFiles(t, files, ".log")[2]
	files.Flip(damaged, 300, 1)
	_, err := diskstore.Backup(t.Context(), dir, "new", diskstore.InspectOptions{}.On(files))
	if corrupt, ok := errors.AsType[*diskstore.CorruptError](err); !ok || corrupt.File != damaged {
		t.Errorf("Backup returned %v, want a CorruptError for %s", err, damaged)
	}
	if report := verify(t, files, "copy"); len(report.Problems) > 0 || report.Events != 100 {
		t.Errorf("Verify of the earlier backup = %+v, want 100 events and no problem", report)
	}
}

func TestStoreStats(t *testing.T) {
	t.Parallel()
	files := storeWith(t, 300)
	s := open(t, dir, smallSegments(files))
	for range 2 { // the second time with the end in the tail index
		stats, err := s.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		head, err := s.Head(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		events, more := uint64(head), uint64(head)-300
		want := diskstore.Stats{
			Events: events, Segments: len(listFiles(t, files, ".log")), LogBytes: stats.LogBytes,
			IndexFiles: stats.IndexFiles, IndexBytes: stats.IndexBytes,
			Tags: 17 + 300 + int(more), IDs: 300,
			Types: []diskstore.TypeStats{{Type: "T0", Events: 60}, {Type: "T1", Events: 60}, {Type: "T2", Events: 60}, {Type: "T3", Events: 60}, {Type: "T4", Events: 60}},
		}
		if more > 0 {
			want.Types = append(want.Types, diskstore.TypeStats{Type: "Z", Events: more})
		}
		if diff := cmp.Diff(want, stats); diff != "" {
			t.Errorf("Stats differ (-want +got):\n%s", diff)
		}
		if stats.LogBytes < 30_000 || stats.IndexBytes < 3_000 || stats.IndexFiles == 0 {
			t.Errorf("Stats = %+v, want larger sizes", stats)
		}
		for i := range 50 {
			if _, err := s.Append(t.Context(), []dcb.Event{{Type: "Z", Tags: []string{fmt.Sprint("z", i)}, Data: make([]byte, 100)}}, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestStoreMetrics(t *testing.T) {
	t.Parallel()
	s := open(t, dir, smallSegments(vfs.NewMem()))
	appendEvents(t, s, 10)
	conflict := &dcb.AppendCondition{FailIfEventsMatch: dcb.Query{{Tags: []string{"tag1"}}}}
	if _, err := s.Append(t.Context(), []dcb.Event{{Type: "T"}}, conflict); !errors.Is(err, dcb.ErrConflict) {
		t.Fatal(err)
	}
	if _, err := s.Read(t.Context(), dcb.All(), dcb.ReadOptions{}); err != nil {
		t.Fatal(err)
	}
	m := s.Metrics()
	if m.Events != 10 || m.Appends == 0 || m.Groups != m.Appends || m.Conflicts != 1 || m.Reads != 1 || m.EventsRead != 10 || m.Lookups == 0 {
		t.Errorf("Metrics = %+v", m)
	}
	syncs, groups := int64(0), int64(0)
	for i := range m.SyncTime.Counts {
		syncs += m.SyncTime.Counts[i]
		groups += m.GroupTime.Counts[i]
	}
	if syncs != m.Syncs || groups != m.Groups {
		t.Errorf("the histograms count %d syncs and %d groups, want %d and %d", syncs, groups, m.Syncs, m.Groups)
	}
}
