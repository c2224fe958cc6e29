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

// The group may read the files, for backups. The umask can remove permissions.
const (
	fileMode = 0o640
	dirMode  = 0o750
)

// OS returns the file system of the operating system.
func OS() FS { return osFS{} }

var _ FS = osFS{}

type osFS struct{}

func (osFS) Create(name string) (File, error) {
	return newOSFile(openFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL))
}

func (osFS) Open(name string) (File, error) { return newOSFile(openFile(name, os.O_RDONLY)) }

func (osFS) OpenWrite(name string) (File, error) { return newOSFile(openFile(name, os.O_RDWR)) }

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
		case errors.Is(err, fs.ErrNotExist): // removed meanwhile
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
	return heldLock{f}, nil
}

// heldLock is a lock file that is locked.
type heldLock struct{ *os.File }

// Close unlocks the file and closes it. Closing alone would not be enough: while a process is
// being started, it has a copy of every open file, and the lock exists as long as a copy does.
func (h heldLock) Close() error {
	err := unlock(h.File)
	return errors.Join(h.File.Close(), err)
}

// osFile is a file of the operating system. Reading, writing and truncating are the methods of
// os.File: each call transfers all bytes, repeats after an interruption, and does not allocate.
type osFile struct {
	*os.File

	// fd is the file descriptor. A method that uses it holds mu for reading, so that Close does
	// not free the number for another file meanwhile. (SyscallConn would do the same, but
	// allocates on every call.)
	fd     uintptr
	mu     sync.RWMutex
	closed bool // guarded by mu
}

var _ File = (*osFile)(nil)

func newOSFile(f *os.File, err error) (File, error) {
	if err != nil {
		return nil, err
	}
	return &osFile{File: f, fd: f.Fd()}, nil
}

func (f *osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// zeros is what writeZeros writes at once.
var zeros [1 << 20]byte

// Preallocate implements [File.Preallocate]: it reserves the space with fallocate where the
// system has it, and then writes zeros.
func (f *osFile) Preallocate(size int64) error { return f.extend(size, f.writeZeros) }

// Reserve implements [File.Reserve].
func (f *osFile) Reserve(size int64) error {
	return f.extend(size, func(_, size int64) error { return f.Truncate(size) })
}

// extend reserves the space up to size, calls fill to extend the file into it, and syncs. After
// an error it restores the old length.
func (f *osFile) extend(size int64, fill func(old, size int64) error) error {
	old, err := f.Size()
	if err != nil || size <= old {
		return err
	}
	if err = f.reserve(old, size); err == nil {
		err = fill(old, size)
	}
	if err == nil {
		err = f.File.Sync() // also syncs all metadata, so that the Sync of an append writes little or none
	}
	if err != nil {
		return errors.Join(err, f.Truncate(old)) // frees the space
	}
	return nil
}

// writeZeros writes zeros from old, the end of the file, to size.
func (f *osFile) writeZeros(old, size int64) error {
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
	f.mu.RLock()
	defer f.mu.RUnlock()
	size, err := f.Size()
	switch {
	case err != nil:
		return nil, err
	case size == 0: // no system maps an empty file
		return &osMapping{bytes: []byte{}}, nil
	case int64(int(size)) != size:
		return nil, f.pathError("map", errors.New("the file has "+strconv.FormatInt(size, 10)+" bytes, more than this system can map"))
	}
	bytes, err := mapFile(f.fd, int(size))
	if err != nil {
		return nil, f.pathError("map", err)
	}
	return &osMapping{bytes: bytes}, nil
}

func (f *osFile) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	return f.File.Close()
}

func (f *osFile) pathError(op string, err error) error {
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
