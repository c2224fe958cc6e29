package vfs

import (
	"fmt"
	"math"
	"path/filepath"
)

// Kind is a kind of operation that changes a file system.
type Kind string

// The operations that a hook is asked about.
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
	Kind  Kind
	Name  string // of the file or directory, clean; a file's is the one with which it was opened, a Rename's is the old one
	Bytes int    // how many a Write writes, or by how many Preallocate makes the file longer
	N     int64  // counts the operations since Inject, from 1
}

// Partial is an error with which a Write or Preallocate fails after it was done in part: the first so many bytes are written, or the file is
// longer by so many, and not synced. Every other operation fails with it as with any error, before anything is done.
type Partial struct {
	Bytes int
	Err   error
}

func (p Partial) Error() string { return fmt.Sprintf("after %d bytes: %v", p.Bytes, p.Err) }

// Unwrap returns the cause.
func (p Partial) Unwrap() error { return p.Err }

// Inject has hook called before every operation that changes something, from the goroutine that wants it. If it returns an error the
// operation fails with that error in its chain; a Sync then leaves what was written before it in doubt, as [File] says. The
// hook may use m, and take a Crash of it: one that has all before the operation and nothing of it. nil takes the hook away.
func (m *Mem) Inject(hook func(op Op) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hook, m.changes = hook, 0
}

// begin asks the hook about an operation, with nothing locked.
func (m *Mem) begin(op Op) error {
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

// SetCapacity says how many bytes all files may have together; less than none is no limit, as at first. What would need more fails
// with an error for which IsFull holds: a WriteAt after it wrote what fits, Preallocate too, and Create when nothing fits. To write inside a
// file never fails for lack of room, nor does Truncate, which makes holes.
func (m *Mem) SetCapacity(bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.capacity = max(bytes, unlimited)
}

// Used returns how many bytes all files have together.
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

// room returns how many bytes fit on the disk.
func (m *Mem) room() int64 {
	if m.capacity == unlimited {
		return math.MaxInt64 / 2 // so that it can be added to
	}
	return max(0, m.capacity-m.used())
}

// OpenHandles returns how many files, mappings and locks are open.
func (m *Mem) OpenHandles() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.handles
}

// Flip changes the bits of a byte that are set in mask, on the disk and in what is read from it. It panics if there is no such byte.
func (m *Mem) Flip(name string, offset int64, mask byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, file := m.find(filepath.Clean(name))
	if file == nil || offset < 0 || offset >= int64(len(file.data)) {
		panic(fmt.Sprintf("vfs: flip: %s has no byte %d", name, offset))
	}
	file.put([]byte{file.data[offset] ^ mask}, offset)
	for _, pages := range []map[int64]*page{file.dirty, file.doubt} {
		if old := pages[offset/pageSize]; old != nil {
			old[offset%pageSize] ^= mask
		}
	}
}

// ReadFile returns a copy of a file's content, or nil if there is no such file.
func (m *Mem) ReadFile(name string) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, file := m.find(filepath.Clean(name))
	if file == nil {
		return nil
	}
	return append([]byte{}, file.data...)
}

// WriteFile makes a file have that content, on the disk too, and syncs its directory. No hook sees it and no capacity stops it. It panics if
// there is no such directory.
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
