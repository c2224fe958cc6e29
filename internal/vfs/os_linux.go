package vfs

import (
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"
)

// Sync implements [File.Sync] with fdatasync, which does not write the modification time. Within
// preallocated space, a sync is then the write of the data and a flush of the disk's cache.
func (f *osFile) Sync() error {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.closed {
		return f.pathError("sync", fs.ErrClosed)
	}
	for {
		switch err := unix.Fdatasync(int(f.fd)); err {
		case nil:
			return nil
		case unix.EINTR:
		default:
			return f.pathError("sync", err)
		}
	}
}

// reserve reserves space with fallocate, in one piece if possible. If there is not enough, it
// reserves nothing. The length of the file stays, so that the file never ends in reserved space
// without zeros.
func (f *osFile) reserve(old, size int64) error {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.closed {
		return f.pathError("preallocate", fs.ErrClosed)
	}
	err := retryInterrupted(func() error { return unix.Fallocate(int(f.fd), unix.FALLOC_FL_KEEP_SIZE, old, size-old) })
	if err == nil || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return nil // the file system has no fallocate; it allocates the space when it is written
	}
	return f.pathError("preallocate", err)
}
