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

// A process that is being started has such a copy of every open file, until its program begins.
func TestAClosedLockIsFreeThoughThereIsACopyOfItsFile(t *testing.T) {
	t.Parallel()
	p := place{t, vfs.OS(), t.TempDir()}
	lock, err := p.Lock(p.path("lock"))
	p.must(err)
	number, err := syscall.Dup(int(lock.(interface{ Fd() uintptr }).Fd()))
	p.must(err)
	defer syscall.Close(number)
	p.must(lock.Close())
	lock, err = p.Lock(p.path("lock"))
	p.must(err)
	p.must(lock.Close())
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
