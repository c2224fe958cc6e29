package indexfile_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync"
	"testing"

	"github.com/dcbstore/dcb/internal/vfs"
)

// memory is the little of a file system that an index file needs.
type memory struct {
	vfs.FS // what is missing panics

	mu    sync.Mutex
	files map[string]*memoryFile
}

func newMemory() *memory { return &memory{files: make(map[string]*memoryFile)} }

func (m *memory) Create(name string) (vfs.File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.files[name] != nil {
		return nil, fs.ErrExist
	}
	m.files[name] = &memoryFile{fail: -1}
	return m.files[name], nil
}

func (m *memory) Open(name string) (vfs.File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.files[name] == nil {
		return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	return m.files[name], nil
}

// put makes a file with that content.
func (m *memory) put(name string, b []byte) { m.files[name] = &memoryFile{b: b, fail: -1} }

var errDisk = errors.New("the disk is at fault")

// memoryFile is a file in memory.
type memoryFile struct {
	vfs.File

	b      []byte
	calls  int  // of WriteAt and Sync
	fail   int  // which of them fails; -1: none
	synced bool // nothing was written since the last Sync
}

func (f *memoryFile) disturbed() error {
	f.calls++
	if f.calls-1 == f.fail {
		return errDisk
	}
	return nil
}

func (f *memoryFile) WriteAt(b []byte, at int64) (int, error) {
	if err := f.disturbed(); err != nil {
		return 0, err
	}
	f.synced = false
	if missing := int(at) + len(b) - len(f.b); missing > 0 {
		f.b = append(f.b, make([]byte, missing)...)
	}
	return copy(f.b[at:], b), nil
}

func (f *memoryFile) ReadAt(b []byte, at int64) (int, error) {
	n := copy(b, f.b[min(at, int64(len(f.b))):])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memoryFile) Size() (int64, error) { return int64(len(f.b)), nil }

func (f *memoryFile) Sync() error {
	if err := f.disturbed(); err != nil {
		return err
	}
	f.synced = true
	return nil
}

func (f *memoryFile) Close() error { return nil }

func (f *memoryFile) Map() (vfs.Mapping, error) { return mapping(slices.Clone(f.b)), nil }

type mapping []byte

func (m mapping) Bytes() []byte { return m }
func (m mapping) Close() error  { return nil }

// check ends the test if err is not nil.
func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
