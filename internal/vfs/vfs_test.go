package vfs_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dcbstore/dcb/internal/vfs"
)

// fixture is a directory of a file system, with operations that fail the test on an error.
type fixture struct {
	*testing.T
	vfs.FS
	dir string
}

func (p fixture) path(name string) string { return filepath.Join(p.dir, name) }

func (p fixture) must(err error) {
	p.Helper()
	if err != nil {
		p.Fatal(err)
	}
}

// wantErr fails the test if err does not match kind.
func (p fixture) wantErr(what string, err, kind error) {
	p.Helper()
	if !errors.Is(err, kind) {
		p.Errorf("%s = %v, want %v", what, err, kind)
	}
}

func (p fixture) create(name, content string) vfs.File {
	p.Helper()
	f, err := p.Create(p.path(name))
	p.must(err)
	p.write(f, content, 0)
	return f
}

// createFile creates a file and closes it.
func (p fixture) createFile(name, content string) {
	p.Helper()
	p.must(p.create(name, content).Close())
}

func (p fixture) open(name string) vfs.File {
	p.Helper()
	f, err := p.Open(p.path(name))
	p.must(err)
	return f
}

func (p fixture) mustMap(f vfs.File) vfs.Mapping {
	p.Helper()
	m, err := f.Map()
	p.must(err)
	return m
}

func (p fixture) write(f vfs.File, content string, at int64) {
	p.Helper()
	if n, err := f.WriteAt([]byte(content), at); n != len(content) || err != nil {
		p.Fatalf("WriteAt = %d, %v, want %d", n, err, len(content))
	}
}

func (p fixture) content(f vfs.File) string {
	p.Helper()
	size, err := f.Size()
	p.must(err)
	buf := make([]byte, size)
	if n, err := f.ReadAt(buf, 0); n != len(buf) || err != nil && !errors.Is(err, io.EOF) {
		p.Fatalf("ReadAt = %d, %v, want %d", n, err, len(buf))
	}
	return string(buf)
}

func (p fixture) wantContent(name, want string) {
	p.Helper()
	f := p.open(name)
	if got := p.content(f); got != want {
		p.Errorf("%s contains %q, want %q", name, got, want)
	}
	p.must(f.Close())
}

// contract is the contract of every file system.
var contract = []struct {
	name string
	run  func(p fixture)
}{
	{"Create refuses an existing file", func(p fixture) {
		p.createFile("a", "old")
		_, err := p.Create(p.path("a"))
		p.wantErr("Create", err, fs.ErrExist)
		p.wantContent("a", "old")
	}},
	{"Open, Rename and Remove refuse a missing file", func(p fixture) {
		_, err := p.Open(p.path("a"))
		p.wantErr("Open", err, fs.ErrNotExist)
		_, err = p.OpenWrite(p.path("a"))
		p.wantErr("OpenWrite", err, fs.ErrNotExist)
		p.wantErr("Rename", p.Rename(p.path("a"), p.path("b")), fs.ErrNotExist)
		p.wantErr("Remove", p.Remove(p.path("a")), fs.ErrNotExist)
	}},
	{"a missing directory", func(p fixture) {
		_, err := p.Create(p.path("no/a"))
		p.wantErr("Create", err, fs.ErrNotExist)
		_, err = p.Lock(p.path("no/a"))
		p.wantErr("Lock", err, fs.ErrNotExist)
		_, err = p.List(p.path("no"))
		p.wantErr("List", err, fs.ErrNotExist)
		p.wantErr("SyncDir", p.SyncDir(p.path("no")), fs.ErrNotExist)
	}},
	{"WriteAt writes anywhere and fills gaps with zeros", func(p fixture) {
		f := p.create("a", "abcdef")
		p.write(f, "XY", 2)
		p.write(f, "z", 8)
		p.must(f.Sync())
		p.must(f.Close())
		p.wantContent("a", "abXYef\x00\x00z")
	}},
	{"ReadAt beyond the end is short and returns io.EOF", func(p fixture) {
		f := p.create("a", "abc")
		buf := make([]byte, 4)
		if n, err := f.ReadAt(buf, 1); n != 2 || !errors.Is(err, io.EOF) || string(buf[:n]) != "bc" {
			p.Errorf("ReadAt beyond the end = %d, %v, %q, want 2, io.EOF, \"bc\"", n, err, buf[:n])
		}
		if n, err := f.ReadAt(buf, 3); n != 0 || !errors.Is(err, io.EOF) {
			p.Errorf("ReadAt at the end = %d, %v, want 0, io.EOF", n, err)
		}
		if n, err := f.ReadAt(buf[:2], 1); n != 2 || err != nil {
			p.Errorf("ReadAt up to the end = %d, %v, want 2", n, err)
		}
		if _, err := f.ReadAt(buf, -1); err == nil {
			p.Error("ReadAt at offset -1 returned no error")
		}
		p.must(f.Close())
	}},
	{"only a file opened for writing can be changed", func(p fixture) {
		p.createFile("a", "abc")
		w, err := p.OpenWrite(p.path("a"))
		p.must(err)
		p.write(w, "d", 3)
		p.must(w.Close())
		r := p.open("a")
		if _, err := r.WriteAt([]byte("x"), 0); err == nil {
			p.Error("WriteAt returned no error")
		}
		if r.Truncate(0) == nil {
			p.Error("Truncate returned no error")
		}
		if r.Preallocate(10) == nil {
			p.Error("Preallocate returned no error")
		}
		p.must(r.Close())
		p.wantContent("a", "abcd")
	}},
	{"Rename replaces a file", func(p fixture) {
		p.createFile("a", "old")
		p.createFile("b", "new")
		p.must(p.Rename(p.path("b"), p.path("a")))
		p.must(p.SyncDir(p.dir))
		p.wantContent("a", "new")
		_, err := p.Open(p.path("b"))
		p.wantErr("Open", err, fs.ErrNotExist)
	}},
	{"Rename to the same name", func(p fixture) {
		p.createFile("a", "abc")
		p.must(p.Rename(p.path("a"), p.path("a")))
		p.wantContent("a", "abc")
	}},
	{"Rename and Remove of an open file", func(p fixture) {
		f := p.create("a", "abc")
		p.must(p.Rename(p.path("a"), p.path("b")))
		p.write(f, "d", 3)
		p.wantContent("b", "abcd")
		p.must(p.Remove(p.path("b")))
		if got := p.content(f); got != "abcd" {
			p.Errorf("the removed file contains %q, want \"abcd\"", got)
		}
		p.must(f.Close())
	}},
	{"List is sorted and has sizes", func(p fixture) {
		p.createFile("b", "12345")
		p.createFile("a", "")
		p.must(p.MakeDir(p.path("c/d")))
		p.createFile("c/e", "1")
		got, err := p.List(p.dir)
		p.must(err)
		want := []vfs.Info{{Name: "a"}, {Name: "b", Size: 5}, {Name: "c", Dir: true}}
		if diff := cmp.Diff(want, got); diff != "" {
			p.Errorf("List differs (-want +got):\n%s", diff)
		}
	}},
	{"List of an empty directory", func(p fixture) {
		if got, err := p.List(p.dir); len(got) != 0 || err != nil {
			p.Errorf("List = %v, %v, want nothing", got, err)
		}
	}},
	{"MakeDir accepts an existing directory and refuses a file", func(p fixture) {
		p.must(p.MakeDir(p.path("c/d")))
		p.must(p.MakeDir(p.path("c/d") + string(filepath.Separator)))
		p.must(p.MakeDir(p.path("c")))
		p.createFile("a", "")
		p.wantErr("MakeDir", p.MakeDir(p.path("a")), fs.ErrExist)
	}},
	{"Lock is exclusive until it is closed", func(p fixture) {
		held, err := p.Lock(p.path("lock"))
		p.must(err)
		for range 2 { // the failed call must not unlock anything
			_, err = p.Lock(p.path("lock"))
			p.wantErr("Lock", err, vfs.ErrLocked)
		}
		other, err := p.Lock(p.path("other"))
		p.must(err)
		p.must(other.Close())
		p.must(held.Close())
		p.wantErr("Close", held.Close(), fs.ErrClosed)
		held, err = p.Lock(p.path("lock"))
		p.must(err)
		p.must(held.Close())
	}},
	{"Lock by many goroutines", func(p fixture) {
		const n = 8
		locks := make(chan io.Closer, n)
		var all sync.WaitGroup
		for range n {
			all.Go(func() {
				lock, err := p.Lock(p.path("lock"))
				if err == nil {
					locks <- lock
				} else {
					p.wantErr("Lock", err, vfs.ErrLocked)
				}
			})
		}
		all.Wait()
		if len(locks) != 1 {
			p.Fatalf("%d goroutines have the lock, want 1", len(locks))
		}
		p.must((<-locks).Close())
	}},
	{"Map shows later writes and outlives the file", func(p fixture) {
		f := p.create("a", "abcdef")
		m := p.mustMap(f)
		p.write(f, "XY", 2)
		p.must(f.Preallocate(1 << 20))
		p.write(f, "Z", 5)
		p.write(f, "far", 1<<20)
		p.must(f.Close())
		if got := string(m.Bytes()); got != "abXYeZ" {
			p.Errorf("the mapping contains %q", got)
		}
		p.must(m.Close())
		if m.Bytes() != nil {
			p.Error("Bytes of a closed mapping is not nil")
		}
		p.wantErr("Close", m.Close(), fs.ErrClosed)
	}},
	{"Map of a file opened for reading shows writes of another handle", func(p fixture) {
		w := p.create("a", "abc")
		r := p.open("a")
		m := p.mustMap(r)
		p.must(r.Close())
		p.write(w, "X", 1)
		if got := string(m.Bytes()); got != "aXc" {
			p.Errorf("the mapping contains %q", got)
		}
		p.must(m.Close())
		p.must(w.Close())
	}},
	{"Map of an empty file", func(p fixture) {
		f := p.create("a", "")
		m := p.mustMap(f)
		p.write(f, "abc", 0)
		if got := m.Bytes(); len(got) != 0 {
			p.Errorf("the mapping contains %q", got)
		}
		p.must(m.Close())
		p.wantErr("Close", m.Close(), fs.ErrClosed)
		p.must(f.Close())
	}},
	{"Map with concurrent writes to other bytes", func(p fixture) {
		f := p.create("a", "")
		p.must(f.Preallocate(1 << 16))
		m := p.mustMap(f)
		written := make(chan int64, 1<<10) // the end of what was written
		var reader sync.WaitGroup
		reader.Go(func() {
			for end := range written {
				if got := m.Bytes()[end-3 : end]; string(got) != "abc" {
					p.Errorf("the mapping contains %q before byte %d, want \"abc\"", got, end)
				}
			}
		})
		for at := range int64(1 << 10) {
			p.write(f, "abc", 3*at)
			written <- 3*at + 3
		}
		close(written)
		reader.Wait()
		p.must(m.Close())
		p.must(f.Close())
	}},
	{"Preallocate keeps the content and adds zeros", func(p fixture) {
		f := p.create("a", "abc")
		const size = 2<<20 + 100
		p.must(f.Preallocate(size))
		want := append([]byte("abc"), make([]byte, size-3)...)
		if got := p.content(f); got != string(want) {
			p.Errorf("after Preallocate the file has %d bytes, or wrong ones", len(got))
		}
		p.must(f.Preallocate(5)) // the file is longer
		if size, err := f.Size(); size != int64(len(want)) || err != nil {
			p.Errorf("Size = %d, %v, want %d", size, err, len(want))
		}
		p.must(f.Close())
	}},
	{"Reserve keeps the content and adds zeros", func(p fixture) {
		f := p.create("a", "abc")
		const size = 2<<20 + 100
		p.must(f.Reserve(size))
		m := p.mustMap(f)
		p.write(f, "xyz", 1<<20)
		want := make([]byte, size)
		copy(want, "abc")
		copy(want[1<<20:], "xyz")
		if got := p.content(f); got != string(want) || !slices.Equal(m.Bytes(), want) {
			p.Errorf("after Reserve the file has %d bytes, or wrong ones", len(got))
		}
		p.must(f.Reserve(5)) // the file is longer
		p.must(m.Close())
		p.must(f.Close())
		p.wantErr("Reserve", f.Reserve(10), fs.ErrClosed)
	}},
	{"Truncate shortens, and extends with zeros", func(p fixture) {
		f := p.create("a", "abcdef")
		p.must(f.Truncate(2))
		if got := p.content(f); got != "ab" {
			p.Errorf("after Truncate(2) the file contains %q, want \"ab\"", got)
		}
		p.must(f.Truncate(4))
		p.must(f.Sync())
		if got := p.content(f); got != "ab\x00\x00" {
			p.Errorf("after Truncate(4) the file contains %q, want two zeros at the end", got)
		}
		if f.Truncate(-1) == nil {
			p.Error("Truncate(-1) returned no error")
		}
		p.must(f.Close())
	}},
	{"every method fails after Close", func(p fixture) {
		f := p.create("a", "abc")
		p.must(f.Close())
		_, err := f.ReadAt(make([]byte, 1), 0)
		p.wantErr("ReadAt", err, fs.ErrClosed)
		_, err = f.WriteAt([]byte("x"), 0)
		p.wantErr("WriteAt", err, fs.ErrClosed)
		_, err = f.Size()
		p.wantErr("Size", err, fs.ErrClosed)
		_, err = f.Map()
		p.wantErr("Map", err, fs.ErrClosed)
		p.wantErr("Truncate", f.Truncate(0), fs.ErrClosed)
		p.wantErr("Preallocate", f.Preallocate(10), fs.ErrClosed)
		p.wantErr("Sync", f.Sync(), fs.ErrClosed)
		p.wantErr("Close", f.Close(), fs.ErrClosed)
	}},
	{"Sync by many goroutines during Close", func(p fixture) {
		f := p.create("a", "abc")
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for {
					if err := f.Sync(); err != nil {
						p.wantErr("Sync", err, fs.ErrClosed)
						return
					}
				}
			})
		}
		p.must(f.Sync())
		p.must(f.Close())
		all.Wait()
	}},
	{"WriteAt of a large content", func(p fixture) {
		f := p.create("a", "")
		content := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
		if n, err := f.WriteAt(content, 5); n != len(content) || err != nil {
			p.Fatalf("WriteAt = %d, %v, want %d", n, err, len(content))
		}
		m := p.mustMap(f)
		if !slices.Equal(m.Bytes()[5:], content) {
			p.Error("the file differs from what was written")
		}
		p.must(m.Close())
		p.must(f.Close())
	}},
}

func TestOSContract(t *testing.T) {
	t.Parallel()
	for _, c := range contract {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(fixture{t, vfs.OS(), t.TempDir()})
		})
	}
}

func TestMemContract(t *testing.T) {
	t.Parallel()
	for _, c := range contract {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := fixture{t, vfs.NewMem(), filepath.FromSlash("/some/where")}
			p.must(p.MakeDir(p.dir))
			c.run(p)
			if open := p.FS.(*vfs.Mem).OpenHandles(); open != 0 {
				t.Errorf("%d handles are open, want 0", open)
			}
		})
	}
}
