//go:build unix

package vfs

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// errFull is what the system says when the disk is full.
const errFull = unix.ENOSPC

func isFull(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

func openFile(name string, flags int) (*os.File, error) { return os.OpenFile(name, flags, fileMode) }

func rename(from, to string) error { return os.Rename(from, to) }

func syncDir(name string) error {
	dir, err := os.Open(name)
	if err != nil {
		return err
	}
	err = dir.Sync()
	if errors.Is(err, unix.EINVAL) {
		err = nil // so says a file system that has nothing to sync in a directory; PostgreSQL takes it so as well
	}
	return errors.Join(err, dir.Close())
}

// lock is flock and not fcntl, whose locks belong to the process: a second store in the same one would not see it, and closing any file of
// that name would unlock it.
func lock(f *os.File) error {
	err := again(func() error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) })
	if errors.Is(err, unix.EWOULDBLOCK) {
		return ErrLocked
	}
	return err
}

func unlock(f *os.File) error {
	return again(func() error { return unix.Flock(int(f.Fd()), unix.LOCK_UN) })
}

func mapFile(number uintptr, size int) ([]byte, error) {
	return unix.Mmap(int(number), 0, size, unix.PROT_READ, unix.MAP_SHARED)
}

func unmapFile(bytes []byte) error { return unix.Munmap(bytes) }

// again calls call until it is not interrupted by a signal.
func again(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
