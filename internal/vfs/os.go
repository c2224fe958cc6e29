package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
)

// What is made is the owner's; the group may read it, to back it up. The umask takes more away.
const (
	fileMode = 0o640
	dirMode  = 0o750
)

// OS returns the file system of the operating system.
func OS() FS { return osFS{} }

var _ FS = osFS{}

type osFS struct{}

func (osFS) Create(name string) (File, error) {
	return opened(openFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL))
}

func (osFS) Open(name string) (File, error) { return opened(openFile(name, os.O_RDONLY)) }

func (osFS) OpenWrite(name string) (File, error) { return opened(openFile(name, os.O_RDWR)) }

func (osFS) Rename(from, to string) error { return rename(from, to) }

func (osFS) Remove(name string) error { return os.Remove(name) }

func (osFS) List(dir string) ([]Info, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	list := make([]Info, 0, len(entries))
	for _, entry := range entries {
		info, err := entry.Info()
		switch {
		case errors.Is(err, fs.ErrNotExist): // removed since the directory was read
		case err != nil:
			return nil, err
		case info.IsDir():
			list = append(list, Info{Name: info.Name(), Dir: true})
		default:
			list = append(list, Info{Name: info.Name(), Size: info.Size()})
		}
	}
	return list, nil
}

func (o osFS) MakeDir(dir string) error {
	dir = filepath.Clean(dir)
	err := os.Mkdir(dir, dirMode)
	if errors.Is(err, fs.ErrNotExist) && filepath.Dir(dir) != dir {
		if err := o.MakeDir(filepath.Dir(dir)); err != nil {
			return err
		}
		err = os.Mkdir(dir, dirMode)
	}
	if errors.Is(err, fs.ErrExist) {
		if info, failed := os.Stat(dir); failed == nil && info.IsDir() {
			return nil
		}
	}
	if err != nil {
		return err
	}
	return o.SyncDir(filepath.Dir(dir))
}

func (osFS) SyncDir(dir string) error { return syncDir(dir) }

func (osFS) Lock(name string) (io.Closer, error) {
	f, err := openFile(name, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	if err := lock(f); err != nil {
		return nil, errors.Join(&fs.PathError{Op: "lock", Path: name, Err: err}, f.Close())
	}
	return held{f}, nil
}

// held is a lock that was taken.
type held struct{ *os.File }

// Close unlocks, and then closes the file, which alone would not do: a process that is being started has a copy of every open file until its
// program begins, and as long as there is a copy there is the lock.
func (h held) Close() error {
	err := unlock(h.File)
	return errors.Join(h.File.Close(), err)
}

// osFile is a file of the operating system. Reading, writing and truncating are as os.File does them: at once for the whole of what is
// asked for, tried again after an interruption, and without memory of their own.
type osFile struct {
	*os.File

	// number is what the system calls the file. Who uses it holds using for reading, so that Close does not give the number to
	// another file meanwhile. (SyscallConn does this too, but needs memory for every call.)
	number uintptr
	using  sync.RWMutex
	closed bool // guarded by using
}

var _ File = (*osFile)(nil)

func opened(f *os.File, err error) (File, error) {
	if err != nil {
		return nil, err
	}
	return &osFile{File: f, number: f.Fd()}, nil
}

func (f *osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// zeros is what Preallocate writes at a time.
var zeros [1 << 20]byte

// Preallocate is as File says.
func (f *osFile) Preallocate(size int64) error { return f.grow(size, f.fill) }

// Reserve is as File says.
func (f *osFile) Reserve(size int64) error {
	return f.grow(size, func(_, size int64) error { return f.Truncate(size) })
}

// grow makes the file larger, by what take does with the room once it is reserved.
func (f *osFile) grow(size int64, take func(old, size int64) error) error {
	old, err := f.Size()
	if err != nil || size <= old {
		return err
	}
	if err = f.reserve(old, size); err == nil {
		err = take(old, size)
	}
	if err == nil {
		err = f.File.Sync() // of all metadata too, so that little or none is left for the Sync of an append
	}
	if err != nil {
		return errors.Join(err, f.Truncate(old)) // gives back what the disk had left
	}
	return nil
}

// fill writes zeros from old, where the file ends, to size.
func (f *osFile) fill(old, size int64) error {
	for at := old; at < size; {
		n, err := f.WriteAt(zeros[:min(size-at, int64(len(zeros)))], at)
		if err != nil {
			return err
		}
		at += int64(n)
	}
	return nil
}

func (f *osFile) Map() (Mapping, error) {
	f.using.RLock()
	defer f.using.RUnlock()
	size, err := f.Size()
	switch {
	case err != nil:
		return nil, err
	case size == 0: // which no system maps
		return &osMapping{bytes: []byte{}}, nil
	case int64(int(size)) != size:
		return nil, f.failed("map", errors.New(strconv.FormatInt(size, 10)+" bytes are more than the memory can address"))
	}
	bytes, err := mapFile(f.number, int(size))
	if err != nil {
		return nil, f.failed("map", err)
	}
	return &osMapping{bytes: bytes}, nil
}

func (f *osFile) Close() error {
	f.using.Lock()
	defer f.using.Unlock()
	f.closed = true
	return f.File.Close()
}

func (f *osFile) failed(op string, err error) error {
	return &fs.PathError{Op: op, Path: f.Name(), Err: err}
}

type osMapping struct {
	bytes []byte // nil after Close
}

func (m *osMapping) Bytes() []byte { return m.bytes }

func (m *osMapping) Close() error {
	bytes := m.bytes
	m.bytes = nil
	switch {
	case bytes == nil:
		return fs.ErrClosed
	case len(bytes) == 0:
		return nil
	}
	return unmapFile(bytes)
}
