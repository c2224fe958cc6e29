package vfs

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"slices"
)

// pageSize is the unit that a disk writes atomically, except at a loss of power. It is the
// smallest in use.
const pageSize = 512

type page [pageSize]byte

// inode is the content of a file, without a name.
//
// Invariants: a page in neither dirty nor uncertain is on the disk as in data. For the others,
// the map has the page that the disk has. After the end, both data (up to its capacity) and the
// disk have zeros, so extending a file changes no page.
type inode struct {
	data      []byte          // what reads return; never nil
	synced    int64           // the length on the disk
	dirty     map[int64]*page // pages written since the last Sync, by number
	uncertain map[int64]*page // pages written before a failed Sync and not since; no later Sync writes them
	mappings  []*memMapping
	locked    bool
}

func newInode() *inode {
	return &inode{data: []byte{}, dirty: make(map[int64]*page), uncertain: make(map[int64]*page)}
}

// markDirty marks the pages with the bytes from from to to as dirty.
func (i *inode) markDirty(from, to int64) {
	for n := from / pageSize; from < to && n*pageSize < to; n++ {
		if i.dirty[n] != nil {
			continue
		}
		old := i.uncertain[n]
		if old == nil {
			old = new(page)
			if n*pageSize < int64(len(i.data)) {
				copy(old[:], i.data[n*pageSize:])
			}
		}
		delete(i.uncertain, n)
		i.dirty[n] = old
	}
}

func (i *inode) write(p []byte, at int64) {
	i.markDirty(at, at+int64(len(p)))
	if end := at + int64(len(p)); end > int64(len(i.data)) {
		i.resize(end)
	}
	i.store(p, at)
}

// store copies p into data and into older mappings, whose memory can differ from data by now. It
// does not change the length.
func (i *inode) store(p []byte, at int64) {
	copy(i.data[at:], p)
	for _, mapping := range i.mappings {
		if at < int64(len(mapping.bytes)) {
			copy(mapping.bytes[at:], p)
		}
	}
}

func (i *inode) resize(size int64) {
	old := int64(len(i.data))
	switch {
	case size < old:
		i.markDirty(size, old)
		i.store(make([]byte, old-size), size)
		i.data = i.data[:size]
	case size <= int64(cap(i.data)):
		i.data = i.data[:size]
	default:
		moved := make([]byte, size, max(size, old+old/4))
		copy(moved, i.data)
		i.data = moved
	}
}

func (i *inode) sync() {
	clear(i.dirty)
	i.synced = int64(len(i.data))
	for n, old := range i.uncertain { // truncated bytes do not come back
		clear(old[min(max(i.synced-n*pageSize, 0), pageSize):])
	}
}

// failSync does what Linux does: pages that could not be written count as clean afterwards.
func (i *inode) failSync() {
	maps.Copy(i.uncertain, i.dirty)
	clear(i.dirty)
}

// memFile is an open file. Mem.mu guards it.
type memFile struct {
	mem      *Mem
	name     string // at the time of opening
	inode    *inode
	writable bool
	closed   bool
}

var _ File = (*memFile)(nil)

func (f *memFile) ReadAt(p []byte, at int64) (int, error) {
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	switch data := f.inode.data; {
	case f.closed:
		return 0, pathError("read", f.name, fs.ErrClosed)
	case at < 0:
		return 0, pathError("read", f.name, errNegative)
	case len(p) == 0:
		return 0, nil
	case at >= int64(len(data)):
		return 0, io.EOF
	default:
		n := copy(p, data[at:])
		if n < len(p) {
			return n, io.EOF
		}
		return n, nil
	}
}

func (f *memFile) WriteAt(p []byte, at int64) (n int, err error) {
	err = f.change(Write, len(p), func(part int) error {
		if at < 0 {
			return errNegative
		}
		size := int64(len(f.inode.data))
		fits := max(min(size+f.mem.free()-at, int64(part)), min(size-at, int64(part)), 0)
		if fits > 0 {
			f.inode.write(p[:fits], at)
		}
		n = int(fits)
		if n < part {
			return errFull
		}
		return nil
	})
	return n, err
}

func (f *memFile) Size() (int64, error) {
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	if f.closed {
		return 0, pathError("stat", f.name, fs.ErrClosed)
	}
	return int64(len(f.inode.data)), nil
}

func (f *memFile) Truncate(size int64) error {
	return f.change(Truncate, 0, func(int) error {
		if size < 0 {
			return errNegative
		}
		f.inode.resize(size)
		return nil
	})
}

func (f *memFile) Preallocate(size int64) error {
	old, err := f.Size()
	if err != nil {
		return err
	}
	missing := max(0, size-old)
	return f.change(Preallocate, int(missing), func(part int) error {
		fits := min(int64(part), f.mem.free())
		f.inode.resize(max(int64(len(f.inode.data)), old+fits))
		if fits < int64(part) {
			return errFull
		}
		return nil
	})
}

// Reserve implements [File.Reserve]. It is the same as Preallocate, because Mem has no metadata
// of blocks.
func (f *memFile) Reserve(size int64) error { return f.Preallocate(size) }

func (f *memFile) Sync() error {
	return f.change(Sync, 0, func(int) error { return nil })
}

// change calls the hook and then does the part of an operation that the hook allows. do makes
// the change for the given number of bytes. A successful Sync or Preallocate syncs the file.
func (f *memFile) change(kind Kind, bytes int, do func(part int) error) error {
	injected := f.mem.callHook(Op{Kind: kind, Name: f.name, Bytes: bytes})
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	partial, isPartial := errors.AsType[Partial](injected)
	var err error
	switch {
	case f.closed:
		err = fs.ErrClosed
	case !f.writable:
		err = fs.ErrPermission
	case injected == nil:
		if err = do(bytes); err == nil && (kind == Sync || kind == Preallocate) {
			f.inode.sync()
		}
	case kind == Sync:
		f.inode.failSync()
		err = injected
	case kind == Preallocate && !IsFull(injected): // its sync fails, too, and reports the error only once
		if isPartial {
			_ = do(min(max(partial.Bytes, 0), bytes)) // the injected error is returned anyway
		}
		f.inode.failSync()
		err = injected
	case isPartial && (kind == Write || kind == Preallocate):
		if err = do(min(max(partial.Bytes, 0), bytes)); err == nil {
			err = injected
		}
	default:
		err = injected
	}
	if err != nil {
		return pathError(string(kind), f.name, err)
	}
	return nil
}

var errNegative = errors.New("negative offset")

func (f *memFile) Map() (Mapping, error) {
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	if f.closed {
		return nil, pathError("map", f.name, fs.ErrClosed)
	}
	size := len(f.inode.data)
	mapping := &memMapping{mem: f.mem, inode: f.inode, bytes: f.inode.data[:size:size]}
	f.inode.mappings = append(f.inode.mappings, mapping)
	f.mem.handles++
	return mapping, nil
}

func (f *memFile) Close() error {
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	return f.close()
}

func (f *memFile) close() error {
	if f.closed {
		return pathError("close", f.name, fs.ErrClosed)
	}
	f.closed = true
	f.mem.handles--
	return nil
}

type memMapping struct {
	mem   *Mem
	inode *inode
	bytes []byte // the memory of the inode when it was mapped, kept current; nil after Close
}

// Bytes takes no lock. Reading while another goroutine closes is a mistake, which the race
// detector finds.
func (m *memMapping) Bytes() []byte { return m.bytes }

func (m *memMapping) Close() error {
	m.mem.mu.Lock()
	defer m.mem.mu.Unlock()
	if m.bytes == nil {
		return fs.ErrClosed
	}
	m.bytes = nil
	m.inode.mappings = slices.DeleteFunc(m.inode.mappings, func(other *memMapping) bool { return other == m })
	m.mem.handles--
	return nil
}
