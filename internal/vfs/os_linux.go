package vfs

import (
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"
)

// Sync is fdatasync: like fsync, but the time of the last change is not worth a write to the journal. Within what Preallocate
// wrote, a sync is then the write of the data and a flush of the disk's cache.
func (f *osFile) Sync() error {
	f.using.RLock()
	defer f.using.RUnlock()
	if f.closed {
		return f.failed("sync", fs.ErrClosed)
	}
	for {
		switch err := unix.Fdatasync(int(f.number)); err {
		case nil:
			return nil
		case unix.EINTR:
		default:
			return f.failed("sync", err)
		}
	}
}

// reserve takes the room before zeros are written to it: in one piece, and with nothing done where there is not enough. The
// length stays, so that the file never ends in what was reserved and not yet written.
func (f *osFile) reserve(old, size int64) error {
	f.using.RLock()
	defer f.using.RUnlock()
	if f.closed {
		return f.failed("preallocate", fs.ErrClosed)
	}
	err := again(func() error { return unix.Fallocate(int(f.number), unix.FALLOC_FL_KEEP_SIZE, old, size-old) })
	if err == nil || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return nil // a file system that cannot do it takes the room when it is written
	}
	return f.failed("preallocate", err)
}
