package vfs

import (
	"fmt"
	"math"
	"path/filepath"
)

// Kind is a kind of operation that changes a file system.
type Kind string

// The operations for which a hook is called.
const (
	Create      Kind = "create"
	Write       Kind = "write"
	Truncate    Kind = "truncate"
	Preallocate Kind = "preallocate"
	Sync        Kind = "sync"
	SyncDir     Kind = "sync directory"
	Rename      Kind = "rename"
	Remove      Kind = "remove"
	MakeDir     Kind = "make directory"
)

// Op is an operation that is about to change a [Mem].
type Op struct {
	Kind Kind
	// Name is the clean name of the file or directory: for a file, the name with which it was
	// opened; for Rename, the old name.
	Name string
	// Bytes is the number of bytes of a Write, or the number that Preallocate adds.
	Bytes int
	// N counts the operations since Inject, from 1.
	N int64
}

// Partial is an injected error with which a Write or Preallocate is done in part: it writes or
// adds the first Bytes bytes, without a sync, and fails. Every other operation does nothing and
// fails.
type Partial struct {
	Bytes int
	Err   error
}

func (p Partial) Error() string { return fmt.Sprintf("after %d bytes: %v", p.Bytes, p.Err) }

// Unwrap returns the cause.
func (p Partial) Unwrap() error { return p.Err }

// Inject sets a function that is called before every change, in the goroutine that makes the
// change. If hook returns an error, the operation fails with an error that wraps it. A Sync that
// fails so leaves earlier writes in doubt, as [File.Sync] describes. The hook may call methods
// of m, including Crash, which then sees everything before the operation. A nil hook removes it.
func (m *Mem) Inject(hook func(op Op) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hook, m.changes = hook, 0
}

// callHook calls the hook for an operation. The caller must not hold mu.
func (m *Mem) callHook(op Op) error {
	m.mu.Lock()
	m.changes++
	op.N = m.changes
	hook := m.hook
	m.mu.Unlock()
	if hook == nil {
		return nil
	}
	return hook(op)
}

// SetCapacity limits the size of all files together, in bytes. A negative number means no limit,
// which is the default. An operation that needs more fails with an error for which IsFull is
// true: WriteAt and Preallocate after a part that fits, and Create if nothing fits. Writing
// inside a file and Truncate, which makes holes, do not fail.
func (m *Mem) SetCapacity(bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.capacity = max(bytes, unlimited)
}

// Used returns the size of all files together, in bytes.
func (m *Mem) Used() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.used()
}

func (m *Mem) used() int64 {
	var bytes int64
	for _, d := range m.dirs {
		for _, file := range d.files {
			bytes += int64(len(file.data))
		}
	}
	return bytes
}

// free returns how many bytes are free.
func (m *Mem) free() int64 {
	if m.capacity == unlimited {
		return math.MaxInt64 / 2 // half, so that callers can add to it
	}
	return max(0, m.capacity-m.used())
}

// OpenHandles returns the number of open files, mappings and locks.
func (m *Mem) OpenHandles() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.handles
}

// Flip flips the bits of mask in a byte of a file, on the disk and in what is read. It panics if
// there is no such byte.
func (m *Mem) Flip(name string, offset int64, mask byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, file := m.find(filepath.Clean(name))
	if file == nil || offset < 0 || offset >= int64(len(file.data)) {
		panic(fmt.Sprintf("vfs: flip: %s has no byte %d", name, offset))
	}
	file.store([]byte{file.data[offset] ^ mask}, offset)
	for _, pages := range []map[int64]*page{file.dirty, file.uncertain} {
		if old := pages[offset/pageSize]; old != nil {
			old[offset%pageSize] ^= mask
		}
	}
}

// ReadFile returns a copy of the content of a file, or nil if there is no such file.
func (m *Mem) ReadFile(name string) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, file := m.find(filepath.Clean(name))
	if file == nil {
		return nil
	}
	return append([]byte{}, file.data...)
}

// WriteFile creates or replaces a file durably. It calls no hook and ignores the capacity. It
// panics if the directory does not exist.
func (m *Mem) WriteFile(name string, content []byte) {
	name = filepath.Clean(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	d, file := m.find(name)
	if d == nil || m.dir(name) != nil {
		panic(fmt.Sprintf("vfs: write file: %s cannot be a file", name))
	}
	if file == nil {
		file = newInode()
		d.change(change{from: filepath.Base(name), to: filepath.Base(name), file: file})
	}
	file.resize(0)
	file.write(content, 0)
	file.sync()
	d.sync()
}
