package vfs

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// Mem is a file system in memory for tests. It knows what was synced and what was not, and so what a crash can leave ([Mem.Crash]); it
// fails when it is told to ([Mem.Inject]), and fills up ([Mem.SetCapacity]). It is stricter than most disks are: nothing lasts that the
// contract of [FS] does not promise to last. Directories cannot be renamed or removed, and their making is durable at once.
//
// Any number of goroutines may use it.
type Mem struct {
	mu       sync.Mutex            // guards all below, and what is in every directory, inode, file and mapping
	dirs     map[string]*directory // by their clean names; the roots are made when they are looked for
	hook     func(Op) error
	changes  int64 // how many operations the hook could have seen
	capacity int64 // in bytes, or unlimited
	handles  int   // files, mappings and locks that are open
}

const unlimited = -1

var _ FS = (*Mem)(nil)

// NewMem returns an empty file system with room without end.
func NewMem() *Mem { return &Mem{dirs: make(map[string]*directory), capacity: unlimited} }

// directory is the names of files. What is below it is in Mem.dirs.
//
// durable and then all of changes give files.
type directory struct {
	files   map[string]*inode
	durable map[string]*inode
	changes []change // since the last SyncDir, in their order
}

// change is a change of a directory: whatever file from stood for, to now stands for file, or for nothing if that is nil. What is created
// or removed has the same name twice.
type change struct {
	from, to string
	file     *inode
}

func newDirectory() *directory {
	return &directory{files: make(map[string]*inode), durable: make(map[string]*inode)}
}

func (c change) apply(files map[string]*inode) {
	delete(files, c.from)
	delete(files, c.to)
	if c.file != nil {
		files[c.to] = c.file
	}
}

func (d *directory) change(c change) {
	c.apply(d.files)
	d.changes = append(d.changes, c)
}

func (d *directory) sync() {
	d.durable = maps.Clone(d.files)
	d.changes = nil
}

// dir returns the directory with a clean name, or nil.
func (m *Mem) dir(name string) *directory {
	d := m.dirs[name]
	if d == nil && filepath.Dir(name) == name {
		d = newDirectory()
		m.dirs[name] = d
	}
	return d
}

// find returns the directory that has or would have a file, and the file; each may be nil.
func (m *Mem) find(name string) (*directory, *inode) {
	d := m.dir(filepath.Dir(name))
	if d == nil {
		return nil, nil
	}
	return d, d.files[filepath.Base(name)]
}

// Create is as FS says. It fails on a full disk, however small the file will be.
func (m *Mem) Create(name string) (File, error) { return memOpened(m.create(name)) }

func (m *Mem) create(name string) (*memFile, error) {
	name = filepath.Clean(name)
	injected := m.begin(Op{Kind: Create, Name: name})
	m.mu.Lock()
	defer m.mu.Unlock()
	d, file := m.find(name)
	switch {
	case injected != nil:
		return nil, failed("create", name, injected)
	case d == nil:
		return nil, failed("create", name, fs.ErrNotExist)
	case file != nil || m.dir(name) != nil:
		return nil, failed("create", name, fs.ErrExist)
	case m.room() <= 0:
		return nil, failed("create", name, errFull)
	}
	file = newInode()
	d.change(change{from: filepath.Base(name), to: filepath.Base(name), file: file})
	return m.open(name, file, true), nil
}

// Open is as FS says.
func (m *Mem) Open(name string) (File, error) { return memOpened(m.openExisting(name, false)) }

// OpenWrite is as FS says.
func (m *Mem) OpenWrite(name string) (File, error) { return memOpened(m.openExisting(name, true)) }

func (m *Mem) openExisting(name string, writable bool) (*memFile, error) {
	name = filepath.Clean(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	_, file := m.find(name)
	if file == nil {
		return nil, failed("open", name, fs.ErrNotExist)
	}
	return m.open(name, file, writable), nil
}

// memOpened makes no File of no file.
func memOpened(f *memFile, err error) (File, error) {
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (m *Mem) open(name string, file *inode, writable bool) *memFile {
	m.handles++
	return &memFile{mem: m, name: name, inode: file, writable: writable}
}

// Rename is as FS says. From one directory to another it fails.
func (m *Mem) Rename(from, to string) error {
	from, to = filepath.Clean(from), filepath.Clean(to)
	injected := m.begin(Op{Kind: Rename, Name: from})
	m.mu.Lock()
	defer m.mu.Unlock()
	d, file := m.find(from)
	switch {
	case injected != nil:
		return failed("rename", from, injected)
	case file == nil:
		return failed("rename", from, fs.ErrNotExist)
	case filepath.Dir(from) != filepath.Dir(to):
		return failed("rename", from, errors.New("to another directory, which Mem cannot"))
	case m.dir(to) != nil:
		return failed("rename", to, fs.ErrExist)
	case from == to:
		return nil
	}
	d.change(change{from: filepath.Base(from), to: filepath.Base(to), file: file})
	return nil
}

// Remove is as FS says. Who has the file open can go on using it; its room is free at once.
func (m *Mem) Remove(name string) error {
	name = filepath.Clean(name)
	injected := m.begin(Op{Kind: Remove, Name: name})
	m.mu.Lock()
	defer m.mu.Unlock()
	d, file := m.find(name)
	switch {
	case injected != nil:
		return failed("remove", name, injected)
	case file == nil:
		return failed("remove", name, fs.ErrNotExist)
	}
	d.change(change{from: filepath.Base(name), to: filepath.Base(name)})
	return nil
}

// List is as FS says.
func (m *Mem) List(dir string) ([]Info, error) {
	dir = filepath.Clean(dir)
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.dir(dir)
	if d == nil {
		return nil, failed("list", dir, fs.ErrNotExist)
	}
	list := make([]Info, 0, len(d.files))
	for name, file := range d.files {
		list = append(list, Info{Name: name, Size: int64(len(file.data))})
	}
	for name := range m.dirs {
		if name != dir && filepath.Dir(name) == dir {
			list = append(list, Info{Name: filepath.Base(name), Dir: true})
		}
	}
	slices.SortFunc(list, func(a, b Info) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// MakeDir is as FS says. The hook sees it once, however many directories it makes.
func (m *Mem) MakeDir(dir string) error {
	dir = filepath.Clean(dir)
	injected := m.begin(Op{Kind: MakeDir, Name: dir})
	m.mu.Lock()
	defer m.mu.Unlock()
	if injected != nil {
		return failed("mkdir", dir, injected)
	}
	return m.makeDir(dir)
}

func (m *Mem) makeDir(dir string) error {
	if m.dir(dir) != nil {
		return nil
	}
	if err := m.makeDir(filepath.Dir(dir)); err != nil {
		return err
	}
	if _, file := m.find(dir); file != nil {
		return failed("mkdir", dir, fs.ErrExist)
	}
	m.dirs[dir] = newDirectory()
	return nil
}

// SyncDir is as FS says.
func (m *Mem) SyncDir(dir string) error {
	dir = filepath.Clean(dir)
	injected := m.begin(Op{Kind: SyncDir, Name: dir})
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.dir(dir)
	switch {
	case injected != nil:
		return failed("sync", dir, injected)
	case d == nil:
		return failed("sync", dir, fs.ErrNotExist)
	}
	d.sync()
	return nil
}

// Lock is as FS says. To the hook it is Create if it has to make the file, and otherwise nothing.
func (m *Mem) Lock(name string) (io.Closer, error) {
	file, err := m.openExisting(name, true)
	if errors.Is(err, fs.ErrNotExist) {
		file, err = m.create(name)
	}
	if errors.Is(err, fs.ErrExist) { // somebody else was faster
		file, err = m.openExisting(name, true)
	}
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if file.inode.locked {
		return nil, errors.Join(failed("lock", file.name, ErrLocked), file.close())
	}
	file.inode.locked = true
	return memLock{file}, nil
}

type memLock struct{ file *memFile }

func (l memLock) Close() error {
	l.file.mem.mu.Lock()
	defer l.file.mem.mu.Unlock()
	if err := l.file.close(); err != nil {
		return err
	}
	l.file.inode.locked = false
	return nil
}

func failed(op, name string, err error) error {
	return &fs.PathError{Op: op, Path: name, Err: err}
}
