// Package vfs is the file system interface of the stores. [OS] is the file system of the
// operating system. [Mem] is one in memory for tests: it can crash, tear writes, fail and fill
// up.
//
// File names are paths in the notation of the operating system.
//
// Start with the interfaces [FS] and [File] in this file. os.go implements them with the
// operating system, and os_*.go hold what differs between systems. mem.go implements them in
// memory: memfile.go keeps the state of a file before and after a Sync, and memcrash.go derives
// from it what a crash leaves.
package vfs

import (
	"errors"
	"io"
)

// ErrLocked means that another process, or another store of this process, holds the lock.
var ErrLocked = errors.New("vfs: locked")

// IsFull reports whether err means that the disk or the user's quota is full.
func IsFull(err error) bool { return isFull(err) }

// FS is a file system. It is safe for concurrent use. The error for a missing file matches
// fs.ErrNotExist, the error for an existing one fs.ErrExist, and IsFull recognizes the error of
// a full disk.
type FS interface {
	// Create creates a file and opens it for reading and writing. It fails if the file exists.
	// The name is durable after SyncDir of its directory.
	Create(name string) (File, error)
	// Open opens a file for reading.
	Open(name string) (File, error)
	// OpenWrite opens an existing file for reading and writing.
	OpenWrite(name string) (File, error)
	// Rename renames a file within its directory and replaces a file with the new name. On
	// Windows that file must be closed. The change is durable after SyncDir.
	Rename(from, to string) error
	// Remove removes a file, which may be open. On Windows its mappings must be closed.
	Remove(name string) error
	// List returns the content of a directory, sorted by name.
	List(dir string) ([]Info, error)
	// MakeDir creates a directory and its missing parents. It syncs the directories in which it
	// creates one.
	MakeDir(dir string) error
	// SyncDir makes the names in a directory durable.
	SyncDir(dir string) error
	// Lock locks a lock file, which it creates if it is missing. If the lock is taken, it fails
	// with ErrLocked at once. The kernel releases the lock when the process ends.
	Lock(name string) (io.Closer, error)
}

// Info describes an entry of a directory.
type Info struct {
	Name string // without the directory
	Size int64  // in bytes
	Dir  bool
}

// File is an open file. It is safe for concurrent use. After Close every method fails with
// fs.ErrClosed. A file opened for reading cannot be written, truncated, preallocated or synced.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Size returns the length in bytes.
	Size() (int64, error)
	// Truncate sets the length. Bytes that it adds are zero.
	Truncate(size int64) error
	// Preallocate extends the file to size with zeros and syncs it. A later Sync of data written
	// there then changes no metadata. The existing content stays, and a longer file is not
	// changed. If the disk is full, Preallocate fails, and the length may be anything between
	// the old and the new one.
	Preallocate(size int64) error
	// Reserve does the same without writing zeros. It is much faster, but each Sync of data that
	// is first written there also writes metadata. It suits data that is written in large
	// pieces. On systems that cannot reserve space, a later write may find the disk full.
	Reserve(size int64) error
	// Sync makes the written data and the length durable. If it fails, the data written since
	// the previous Sync may be lost, even if a later Sync succeeds.
	Sync() error
	// Map maps the file into memory for reading, with its current length. The mapping outlives
	// the Close of the file.
	Map() (Mapping, error)
}

// Mapping is a file mapped into memory. It shows later writes within the mapped length. If the
// disk fails, reading it causes a fault, which debug.SetPanicOnFault turns into a panic.
type Mapping interface {
	// Bytes returns the content. It is valid until Close, and must not be written. Close must
	// not be called while another goroutine reads. After Close, Bytes returns nil.
	Bytes() []byte
	io.Closer
}
