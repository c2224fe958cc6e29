// Package vfs is the little that a store needs of a file system: the operating system's ([OS]), and one in memory that
// can crash, tear, fail and fill up ([Mem]), for tests.
//
// Names are paths as the operating system writes them. To read: the contract is in this file; os.go is the one implementation, with a
// file for what each system does in its own way; mem.go is the other, where memfile.go says what a file is before and after a Sync, and
// memcrash.go what a crash leaves of it.
package vfs

import (
	"errors"
	"io"
)

// ErrLocked: another process, or another store of this one, holds the lock.
var ErrLocked = errors.New("vfs: locked")

// IsFull reports whether an operation failed because the disk, or what the user may have of it, is full.
func IsFull(err error) bool { return isFull(err) }

// FS is a file system. Any number of goroutines may use it. A file that is missing is fs.ErrNotExist, one that is there already
// fs.ErrExist, and a full disk IsFull.
type FS interface {
	// Create makes a file that is not there yet, and opens it for reading and writing. It lasts when its directory was synced.
	Create(name string) (File, error)
	// Open opens a file for reading.
	Open(name string) (File, error)
	// OpenWrite opens a file that is there for reading and writing.
	OpenWrite(name string) (File, error)
	// Rename gives a file another name in the same directory, in the place of the file that has that name if there is one (Windows wants
	// that one closed before). It lasts when the directory was synced.
	Rename(from, to string) error
	// Remove takes a file away. It may be open; Windows wants its mappings closed before.
	Remove(name string) error
	// List returns what is in a directory, sorted by name.
	List(dir string) ([]Info, error)
	// MakeDir makes a directory and those above it, where they are missing, and syncs what it made them in.
	MakeDir(dir string) error
	// SyncDir makes the names in a directory durable.
	SyncDir(dir string) error
	// Lock takes the lock that a file stands for, making the file if it is missing, or fails with ErrLocked at once. The
	// kernel gives it back when the process ends.
	Lock(name string) (io.Closer, error)
}

// Info is what a directory knows of a file.
type Info struct {
	Name string // without the directory
	Size int64  // in bytes
	Dir  bool
}

// File is an open file. Any number of goroutines may use it. After Close everything fails with fs.ErrClosed. What was opened for
// reading cannot be written, truncated, preallocated or synced.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Size returns the length in bytes.
	Size() (int64, error)
	// Truncate makes the file that long.
	Truncate(size int64) error
	// Preallocate makes the file that long, and sees to it that its room on the disk is taken and written with zeros, and synced, so that
	// a later Sync of what is written there changes no metadata. What is in the file already stays. On a full disk it fails, and the file may
	// have any length between the old and the new.
	Preallocate(size int64) error
	// Reserve is Preallocate without the zeros, which costs next to nothing now, and makes each Sync of what is first written there dearer by some
	// metadata: for what is written in large pieces. Where a system cannot reserve room, a write to it may find the disk full.
	Reserve(size int64) error
	// Sync makes what was written durable, and the length. When it fails, what was written since the last one may be lost,
	// even if a later Sync succeeds.
	Sync() error
	// Map makes the file, as long as it is now, readable as memory. The mapping outlives the file's Close.
	Map() (Mapping, error)
}

// Mapping is a file as memory that can be read. What is written to the file later, within the length that was mapped, is seen in it. Reading where the disk fails is a fault that debug.SetPanicOnFault turns into a panic.
type Mapping interface {
	// Bytes returns the file's content: valid until Close, which must not come while somebody reads, and never to be written. After Close it is nil.
	Bytes() []byte
	io.Closer
}
