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

// Mem is a file system in memory for tests. It records what was synced, and so knows what a
// crash may leave ([Mem.Crash]). It injects errors ([Mem.Inject]) and can fill up
// ([Mem.SetCapacity]). It is stricter than most disks: after a crash it keeps nothing that [FS]
// does not promise. Directories cannot be renamed or removed, and creating one is durable at
// once.
//
// It is safe for concurrent use.
type Mem struct {
	mu       sync.Mutex            // guards all fields, and every directory, inode, file and mapping
	dirs     map[string]*directory // by clean name; roots are created on first use
	hook     func(Op) error
	changes  int64 // operations since Inject
	capacity int64 // in bytes, or unlimited
	handles  int   // open files, mappings and locks
}

const unlimited = -1

var _ FS = (*Mem)(nil)

// NewMem returns an empty file system without a limit of its capacity.
func NewMem() *Mem { return &Mem{dirs: make(map[string]*directory), capacity: unlimited} }

// directory is the files of a directory by name. Its subdirectories are in Mem.dirs.
//
// Invariant: durable with all of changes applied gives files.
type directory struct {
	files   map[string]*inode
	durable map[string]*inode
	changes []change // since the last SyncDir, in order
}

// change is a change of names: the name from is removed, and the name to stands for file, or is
// removed if file is nil. A creation or removal has from equal to to.
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

// find returns the directory of a file and the file itself. Each may be nil.
func (m *Mem) find(name string) (*directory, *inode) {
	d := m.dir(filepath.Dir(name))
	if d == nil {
		return nil, nil
	}
	return d, d.files[filepath.Base(name)]
}

// Create implements [FS.Create]. On a full disk it fails, even for an empty file.
func (m *Mem) Create(name string) (File, error) { return asFile(m.create(name)) }

func (m *Mem) create(name string) (*memFile, error) {
	name = filepath.Clean(name)
	injected := m.callHook(Op{Kind: Create, Name: name})
	m.mu.Lock()
	defer m.mu.Unlock()
	d, file := m.find(name)
	switch {
	case injected != nil:
		return nil, pathError("create", name, injected)
	case d == nil:
		return nil, pathError("create", name, fs.ErrNotExist)
	case file != nil || m.dir(name) != nil:
		return nil, pathError("create", name, fs.ErrExist)
	case m.free() <= 0:
		return nil, pathError("create", name, errFull)
	}
	file = newInode()
	d.change(change{from: filepath.Base(name), to: filepath.Base(name), file: file})
	return m.open(name, file, true), nil
}

// Open implements [FS.Open].
func (m *Mem) Open(name string) (File, error) { return asFile(m.openExisting(name, false)) }

// OpenWrite implements [FS.OpenWrite].
func (m *Mem) OpenWrite(name string) (File, error) { return asFile(m.openExisting(name, true)) }

func (m *Mem) openExisting(name string, writable bool) (*memFile, error) {
	name = filepath.Clean(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	_, file := m.find(name)
	if file == nil {
		return nil, pathError("open", name, fs.ErrNotExist)
	}
	return m.open(name, file, writable), nil
}

// asFile returns f as a File, and a nil File if there is an error.
func asFile(f *memFile, err error) (File, error) {
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (m *Mem) open(name string, file *inode, writable bool) *memFile {
	m.handles++
	return &memFile{mem: m, name: name, inode: file, writable: writable}
}

// Rename implements [FS.Rename]. It fails if the directories differ.
func (m *Mem) Rename(from, to string) error {
	from, to = filepath.Clean(from), filepath.Clean(to)
	injected := m.callHook(Op{Kind: Rename, Name: from})
	m.mu.Lock()
	defer m.mu.Unlock()
	d, file := m.find(from)
	switch {
	case injected != nil:
		return pathError("rename", from, injected)
	case file == nil:
		return pathError("rename", from, fs.ErrNotExist)
	case filepath.Dir(from) != filepath.Dir(to):
		return pathError("rename", from, errors.New("Mem cannot rename into another directory"))
	case m.dir(to) != nil:
		return pathError("rename", to, fs.ErrExist)
	case from == to:
		return nil
	}
	d.change(change{from: filepath.Base(from), to: filepath.Base(to), file: file})
	return nil
}

// Remove implements [FS.Remove]. An open file stays usable, but its space is free at once.
func (m *Mem) Remove(name string) error {
	name = filepath.Clean(name)
	injected := m.callHook(Op{Kind: Remove, Name: name})
	m.mu.Lock()
	defer m.mu.Unlock()
	d, file := m.find(name)
	switch {
	case injected != nil:
		return pathError("remove", name, injected)
	case file == nil:
		return pathError("remove", name, fs.ErrNotExist)
	}
	d.change(change{from: filepath.Base(name), to: filepath.Base(name)})
	return nil
}

// List implements [FS.List].
func (m *Mem) List(dir string) ([]Info, error) {
	dir = filepath.Clean(dir)
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.dir(dir)
	if d == nil {
		return nil, pathError("list", dir, fs.ErrNotExist)
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

// MakeDir implements [FS.MakeDir]. The hook is called once for all directories that it creates.
func (m *Mem) MakeDir(dir string) error {
	dir = filepath.Clean(dir)
	injected := m.callHook(Op{Kind: MakeDir, Name: dir})
	m.mu.Lock()
	defer m.mu.Unlock()
	if injected != nil {
		return pathError("mkdir", dir, injected)
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
		return pathError("mkdir", dir, fs.ErrExist)
	}
	m.dirs[dir] = newDirectory()
	return nil
}

// SyncDir implements [FS.SyncDir].
func (m *Mem) SyncDir(dir string) error {
	dir = filepath.Clean(dir)
	injected := m.callHook(Op{Kind: SyncDir, Name: dir})
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.dir(dir)
	switch {
	case injected != nil:
		return pathError("sync", dir, injected)
	case d == nil:
		return pathError("sync", dir, fs.ErrNotExist)
	}
	d.sync()
	return nil
}

// Lock implements [FS.Lock]. The hook is called only for the creation of the lock file.
func (m *Mem) Lock(name string) (io.Closer, error) {
	file, err := m.openExisting(name, true)
	if errors.Is(err, fs.ErrNotExist) {
		file, err = m.create(name)
	}
	if errors.Is(err, fs.ErrExist) { // created by another goroutine meanwhile
		file, err = m.openExisting(name, true)
	}
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if file.inode.locked {
		return nil, errors.Join(pathError("lock", file.name, ErrLocked), file.close())
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

func pathError(op, name string, err error) error {
	return &fs.PathError{Op: op, Path: name, Err: err}
}
