package bench

import (
	"context"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/dcbstore/dcb/diskstore"
	"github.com/dcbstore/dcb/internal/vfs"
	"github.com/dcbstore/dcb/memstore"
)

func TestLimitMeasuresAFileAndRemovesIt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	settings := Settings{Workload: "limit", Store: "here", Batch: 10, Size: 256, Duration: 10 * time.Millisecond}
	result, err := settings.Limit(t.Context(), vfs.OS(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if result.Ops == 0 || result.EventsPerSecond < result.OpsPerSecond || result.BytesPerSecond <= 0 || result.Clients != 1 {
		t.Errorf("Limit = %+v, want the rates of one client", result)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("the directory has %v after Limit (%v), want nothing", left, err)
	}
}

func TestLimitStartsAgainAtTheEndOfTheFile(t *testing.T) {
	t.Parallel()
	files := vfs.NewMem()
	file, err := files.Create("file")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	w := &writer{b: make([]byte, 40), file: file, size: 100}
	next := w.client(0)
	for i, want := range []int64{40, 80, 40, 80} {
		if _, err := next(t.Context()); err != nil || w.offset != want {
			t.Errorf("the offset after %d writes is %d (%v), want %d", i+1, w.offset, err, want)
		}
	}
}

// The length of a tag varies by some bytes.
func TestRecordBytesIsTheSizeOfAnAppendOfDiskstore(t *testing.T) {
	t.Parallel()
	for _, batch := range []int{1, 10} {
		sizes := make(map[int]int64)
		for _, appends := range []int{0, 100} {
			dir := t.TempDir()
			store, err := diskstore.Open(dir, &diskstore.Options{Durability: diskstore.NoSync})
			if err != nil {
				t.Fatal(err)
			}
			next := Append(store, batch, 256)(0)
			for range appends {
				if _, err := next(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if err := store.Close(); err != nil {
				t.Fatal(err)
			}
			found, err := vfs.OS().List(dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range found {
				sizes[appends] += file.Size
			}
		}
		got, want := int(sizes[100]-sizes[0])/100, recordBytes(batch, 256)
		if off := got - want; off < -4*batch || off > 4*batch {
			t.Errorf("recordBytes(%d) = %d, want about %d as in diskstore", batch, want, got)
		}
	}
}

func TestVolumeMeasuresAtItsSteps(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	settings := Settings{
		Clients: 1, Batch: 1, Duration: time.Millisecond, Steps: []int{0, 20_000, 30_000}, Events: 10,
		Filling: func(uint64, uint64) {},
	}
	var at []int
	open := func(context.Context) (Store, error) { return store, nil }
	err := settings.Volume(t.Context(), open, false, func(r Result) error {
		at = append(at, int(r.EventsAtStart))
		return nil
	})
	if err != nil || !slices.IsSorted(at) || len(at) != 3 || at[0] != 0 || at[1] < 20_000 || at[2] < 30_000 {
		t.Errorf("Volume measured at %d events (%v), want %d", at, err, settings.Steps)
	}
}
