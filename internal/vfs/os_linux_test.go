package vfs_test

import (
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/dcbstore/dcb/internal/vfs"
)

func TestIsFull(t *testing.T) {
	t.Parallel()
	f, err := vfs.OS().OpenWrite("/dev/full") // every write to it fails with ENOSPC
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("abc"), 0); !vfs.IsFull(err) {
		t.Errorf("IsFull(%v) = false for an error of /dev/full", err)
	}
	for err, want := range map[error]bool{
		nil: false, os.ErrNotExist: false, syscall.EIO: false, syscall.EDQUOT: true, fmt.Errorf("append: %w", syscall.ENOSPC): true,
	} {
		if got := vfs.IsFull(err); got != want {
			t.Errorf("IsFull(%v) = %t, want %t", err, got, want)
		}
	}
}

// A process that is being started has such a copy of every open file until its program starts.
func TestLockCloseWithDuplicateDescriptor(t *testing.T) {
	t.Parallel()
	p := fixture{t, vfs.OS(), t.TempDir()}
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

func TestPreallocateAndReserveAllocateBlocks(t *testing.T) {
	t.Parallel()
	p := fixture{t, vfs.OS(), t.TempDir()}
	const size = 3<<20 + 1
	for name, grow := range map[string]func(vfs.File, int64) error{"a": vfs.File.Preallocate, "b": vfs.File.Reserve} {
		f := p.create(name, "abc")
		p.must(grow(f, size))
		p.must(f.Close())
		info, err := os.Stat(p.path(name))
		p.must(err)
		if allocated := info.Sys().(*syscall.Stat_t).Blocks * 512; allocated < size {
			t.Errorf("%s has %d bytes allocated, want at least %d", name, allocated, size)
		}
	}
}
