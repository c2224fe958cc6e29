package vfs_test

import (
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/dcbstore/dcb/internal/vfs"
)

func TestAFullDiskOfTheSystemIsFull(t *testing.T) {
	t.Parallel()
	f, err := vfs.OS().OpenWrite("/dev/full") // every write there fails for lack of room
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("abc"), 0); !vfs.IsFull(err) {
		t.Errorf("WriteAt returned %v, which IsFull does not know", err)
	}
	for err, want := range map[error]bool{
		nil: false, os.ErrNotExist: false, syscall.EIO: false, syscall.EDQUOT: true, fmt.Errorf("append: %w", syscall.ENOSPC): true,
	} {
		if got := vfs.IsFull(err); got != want {
			t.Errorf("IsFull(%v) is %t", err, got)
		}
	}
}

func TestPreallocatingAndReservingTakeTheRoom(t *testing.T) {
	t.Parallel()
	p := place{t, vfs.OS(), t.TempDir()}
	const size = 3<<20 + 1
	for name, grow := range map[string]func(vfs.File, int64) error{"a": vfs.File.Preallocate, "b": vfs.File.Reserve} {
		f := p.create(name, "abc")
		p.must(grow(f, size))
		p.must(f.Close())
		info, err := os.Stat(p.path(name))
		p.must(err)
		if taken := info.Sys().(*syscall.Stat_t).Blocks * 512; taken < size {
			t.Errorf("of %d bytes %d are taken", size, taken)
		}
	}
}
