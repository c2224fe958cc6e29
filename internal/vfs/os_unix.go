//go:build unix

package vfs

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// errFull is the error of a full disk.
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
		err = nil // the file system cannot sync a directory; PostgreSQL ignores this error, too
	}
	return errors.Join(err, dir.Close())
}

// lock uses flock. The locks of fcntl belong to the process: a second store of the process would
// not see them, and closing any file of that name would release them.
func lock(f *os.File) error {
	err := retryInterrupted(func() error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) })
	if errors.Is(err, unix.EWOULDBLOCK) {
		return ErrLocked
	}
	return err
}

func unlock(f *os.File) error {
	return retryInterrupted(func() error { return unix.Flock(int(f.Fd()), unix.LOCK_UN) })
}

func mapFile(number uintptr, size int) ([]byte, error) {
	return unix.Mmap(int(number), 0, size, unix.PROT_READ, unix.MAP_SHARED)
}

func unmapFile(bytes []byte) error { return unix.Munmap(bytes) }

// retryInterrupted calls call until a signal does not interrupt it.
func retryInterrupted(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
