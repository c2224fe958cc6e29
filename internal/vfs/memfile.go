package vfs

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"slices"
)

// pageSize is what a disk writes wholly or not at all, unless power is lost just then: the smallest there is.
const pageSize = 512

type page [pageSize]byte

// inode is a file without its name.
//
// A page that is in neither dirty nor doubt is on the disk as it is in data; what is in them is what the disk has instead. Beyond the
// end, data has zeros up to its capacity, and so has the disk: to make a file longer changes no page.
type inode struct {
	data   []byte          // what is read; never nil
	synced int64           // the length that the disk has
	dirty  map[int64]*page // by their number, the pages written since the last Sync
	doubt  map[int64]*page // the pages written before a Sync that failed, and not since: no Sync will write them any more
	views  []*memMapping
	locked bool
}

func newInode() *inode {
	return &inode{data: []byte{}, dirty: make(map[int64]*page), doubt: make(map[int64]*page)}
}

// touch makes the pages dirty that have something of the bytes between from and to.
func (i *inode) touch(from, to int64) {
	for n := from / pageSize; from < to && n*pageSize < to; n++ {
		if i.dirty[n] != nil {
			continue
		}
		old := i.doubt[n]
		if old == nil {
			old = new(page)
			if n*pageSize < int64(len(i.data)) {
				copy(old[:], i.data[n*pageSize:])
			}
		}
		delete(i.doubt, n)
		i.dirty[n] = old
	}
}

func (i *inode) write(p []byte, at int64) {
	i.touch(at, at+int64(len(p)))
	if end := at + int64(len(p)); end > int64(len(i.data)) {
		i.resize(end)
	}
	i.put(p, at)
}

// put stores bytes within the length, and where older mappings have them: data may have moved since.
func (i *inode) put(p []byte, at int64) {
	copy(i.data[at:], p)
	for _, view := range i.views {
		if at < int64(len(view.bytes)) {
			copy(view.bytes[at:], p)
		}
	}
}

func (i *inode) resize(size int64) {
	old := int64(len(i.data))
	switch {
	case size < old:
		i.touch(size, old)
		i.put(make([]byte, old-size), size)
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
	for n, old := range i.doubt { // what the disk has cut off does not come back
		clear(old[min(max(i.synced-n*pageSize, 0), pageSize):])
	}
}

// failSync is what Linux does: the pages that could not be written count as clean from then on.
func (i *inode) failSync() {
	maps.Copy(i.doubt, i.dirty)
	clear(i.dirty)
}

// memFile is an open file of a Mem, which guards it.
type memFile struct {
	mem      *Mem
	name     string // when it was opened
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
		return 0, failed("read", f.name, fs.ErrClosed)
	case at < 0:
		return 0, failed("read", f.name, errNegative)
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
		fits := max(min(size+f.mem.room()-at, int64(part)), min(size-at, int64(part)), 0)
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
		return 0, failed("stat", f.name, fs.ErrClosed)
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
		fits := min(int64(part), f.mem.room())
		f.inode.resize(max(int64(len(f.inode.data)), old+fits))
		if fits < int64(part) {
			return errFull
		}
		return nil
	})
}

// Reserve is Preallocate: room has no metadata here.
func (f *memFile) Reserve(size int64) error { return f.Preallocate(size) }

func (f *memFile) Sync() error {
	return f.change(Sync, 0, func(int) error { return nil })
}

// change asks the hook, and then does what that leaves of an operation on so many bytes. What ends with a sync is synced here, when all was done.
func (f *memFile) change(kind Kind, bytes int, do func(part int) error) error {
	injected := f.mem.begin(Op{Kind: kind, Name: f.name, Bytes: bytes})
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	var partial Partial
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
	case kind == Preallocate && !IsFull(injected): // it ends with a sync, and what that was told nobody is told again
		if errors.As(injected, &partial) {
			_ = do(min(max(partial.Bytes, 0), bytes)) // it fails anyway
		}
		f.inode.failSync()
		err = injected
	case errors.As(injected, &partial) && (kind == Write || kind == Preallocate):
		if err = do(min(max(partial.Bytes, 0), bytes)); err == nil {
			err = injected
		}
	default:
		err = injected
	}
	if err != nil {
		return failed(string(kind), f.name, err)
	}
	return nil
}

var errNegative = errors.New("negative offset")

func (f *memFile) Map() (Mapping, error) {
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	if f.closed {
		return nil, failed("map", f.name, fs.ErrClosed)
	}
	size := len(f.inode.data)
	view := &memMapping{mem: f.mem, inode: f.inode, bytes: f.inode.data[:size:size]}
	f.inode.views = append(f.inode.views, view)
	f.mem.handles++
	return view, nil
}

func (f *memFile) Close() error {
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	return f.close()
}

func (f *memFile) close() error {
	if f.closed {
		return failed("close", f.name, fs.ErrClosed)
	}
	f.closed = true
	f.mem.handles--
	return nil
}

type memMapping struct {
	mem   *Mem
	inode *inode
	bytes []byte // live: the inode's data, or what that was when it was mapped; nil after Close
}

// Bytes takes no lock: who reads while another closes has made a mistake, which the race detector then finds.
func (v *memMapping) Bytes() []byte { return v.bytes }

func (v *memMapping) Close() error {
	v.mem.mu.Lock()
	defer v.mem.mu.Unlock()
	if v.bytes == nil {
		return fs.ErrClosed
	}
	v.bytes = nil
	v.inode.views = slices.DeleteFunc(v.inode.views, func(other *memMapping) bool { return other == v })
	v.mem.handles--
	return nil
}
