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

// place is a directory of a file system, with what a test does there and must not fail.
type place struct {
	*testing.T
	vfs.FS
	dir string
}

func (p place) path(name string) string { return filepath.Join(p.dir, name) }

func (p place) must(err error) {
	p.Helper()
	if err != nil {
		p.Fatal(err)
	}
}

// wants fails the test if err is not of that kind.
func (p place) wants(what string, err, kind error) {
	p.Helper()
	if !errors.Is(err, kind) {
		p.Errorf("%s returned %v, want %v", what, err, kind)
	}
}

func (p place) create(name, content string) vfs.File {
	p.Helper()
	f, err := p.Create(p.path(name))
	p.must(err)
	p.write(f, content, 0)
	return f
}

// file makes a file and closes it.
func (p place) file(name, content string) {
	p.Helper()
	p.must(p.create(name, content).Close())
}

func (p place) open(name string) vfs.File {
	p.Helper()
	f, err := p.Open(p.path(name))
	p.must(err)
	return f
}

func (p place) mapped(f vfs.File) vfs.Mapping {
	p.Helper()
	m, err := f.Map()
	p.must(err)
	return m
}

func (p place) write(f vfs.File, content string, at int64) {
	p.Helper()
	if n, err := f.WriteAt([]byte(content), at); n != len(content) || err != nil {
		p.Fatalf("WriteAt returned %d, %v, want %d", n, err, len(content))
	}
}

func (p place) content(f vfs.File) string {
	p.Helper()
	size, err := f.Size()
	p.must(err)
	buf := make([]byte, size)
	if n, err := f.ReadAt(buf, 0); n != len(buf) || err != nil && !errors.Is(err, io.EOF) {
		p.Fatalf("ReadAt returned %d, %v, want %d", n, err, len(buf))
	}
	return string(buf)
}

func (p place) holds(name, want string) {
	p.Helper()
	f := p.open(name)
	if got := p.content(f); got != want {
		p.Errorf("%s has %q, want %q", name, got, want)
	}
	p.must(f.Close())
}

// suite is what holds for every file system.
var suite = []struct {
	name string
	run  func(p place)
}{
	{"a file that is there cannot be created", func(p place) {
		p.file("a", "old")
		_, err := p.Create(p.path("a"))
		p.wants("Create", err, fs.ErrExist)
		p.holds("a", "old")
	}},
	{"a file that is missing cannot be opened, renamed or removed", func(p place) {
		_, err := p.Open(p.path("a"))
		p.wants("Open", err, fs.ErrNotExist)
		_, err = p.OpenWrite(p.path("a"))
		p.wants("OpenWrite", err, fs.ErrNotExist)
		p.wants("Rename", p.Rename(p.path("a"), p.path("b")), fs.ErrNotExist)
		p.wants("Remove", p.Remove(p.path("a")), fs.ErrNotExist)
	}},
	{"nothing can be done in a directory that is missing", func(p place) {
		_, err := p.Create(p.path("no/a"))
		p.wants("Create", err, fs.ErrNotExist)
		_, err = p.Lock(p.path("no/a"))
		p.wants("Lock", err, fs.ErrNotExist)
		_, err = p.List(p.path("no"))
		p.wants("List", err, fs.ErrNotExist)
		p.wants("SyncDir", p.SyncDir(p.path("no")), fs.ErrNotExist)
	}},
	{"a write goes anywhere in a file, and what lies between is zero", func(p place) {
		f := p.create("a", "abcdef")
		p.write(f, "XY", 2)
		p.write(f, "z", 8)
		p.must(f.Sync())
		p.must(f.Close())
		p.holds("a", "abXYef\x00\x00z")
	}},
	{"a read past the end is short and says io.EOF", func(p place) {
		f := p.create("a", "abc")
		buf := make([]byte, 4)
		if n, err := f.ReadAt(buf, 1); n != 2 || !errors.Is(err, io.EOF) || string(buf[:n]) != "bc" {
			p.Errorf("ReadAt returned %d, %v and %q", n, err, buf[:n])
		}
		if n, err := f.ReadAt(buf, 3); n != 0 || !errors.Is(err, io.EOF) {
			p.Errorf("ReadAt at the end returned %d, %v", n, err)
		}
		if n, err := f.ReadAt(buf[:2], 1); n != 2 || err != nil {
			p.Errorf("ReadAt up to the end returned %d, %v", n, err)
		}
		if _, err := f.ReadAt(buf, -1); err == nil {
			p.Error("ReadAt before the beginning returned no error")
		}
		p.must(f.Close())
	}},
	{"a file opened for writing is written, one opened for reading is not", func(p place) {
		p.file("a", "abc")
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
		p.holds("a", "abcd")
	}},
	{"a renamed file takes the place of another", func(p place) {
		p.file("a", "old")
		p.file("b", "new")
		p.must(p.Rename(p.path("b"), p.path("a")))
		p.must(p.SyncDir(p.dir))
		p.holds("a", "new")
		_, err := p.Open(p.path("b"))
		p.wants("Open", err, fs.ErrNotExist)
	}},
	{"a file renamed to the name it has stays", func(p place) {
		p.file("a", "abc")
		p.must(p.Rename(p.path("a"), p.path("a")))
		p.holds("a", "abc")
	}},
	{"a file can be renamed and removed while it is open", func(p place) {
		f := p.create("a", "abc")
		p.must(p.Rename(p.path("a"), p.path("b")))
		p.write(f, "d", 3)
		p.holds("b", "abcd")
		p.must(p.Remove(p.path("b")))
		if got := p.content(f); got != "abcd" {
			p.Errorf("the removed file has %q", got)
		}
		p.must(f.Close())
	}},
	{"a directory lists what is in it by name, with sizes", func(p place) {
		p.file("b", "12345")
		p.file("a", "")
		p.must(p.MakeDir(p.path("c/d")))
		p.file("c/e", "1")
		got, err := p.List(p.dir)
		p.must(err)
		want := []vfs.Info{{Name: "a"}, {Name: "b", Size: 5}, {Name: "c", Dir: true}}
		if diff := cmp.Diff(want, got); diff != "" {
			p.Errorf("List (-want +got):\n%s", diff)
		}
	}},
	{"an empty directory lists nothing", func(p place) {
		if got, err := p.List(p.dir); len(got) != 0 || err != nil {
			p.Errorf("List returned %v, %v", got, err)
		}
	}},
	{"a directory that is there is made again without a word, and none in the place of a file", func(p place) {
		p.must(p.MakeDir(p.path("c/d")))
		p.must(p.MakeDir(p.path("c/d") + string(filepath.Separator)))
		p.must(p.MakeDir(p.path("c")))
		p.file("a", "")
		p.wants("MakeDir", p.MakeDir(p.path("a")), fs.ErrExist)
	}},
	{"a lock is held by one, and free when it is closed", func(p place) {
		held, err := p.Lock(p.path("lock"))
		p.must(err)
		for range 2 { // the one that failed must not unlock anything
			_, err = p.Lock(p.path("lock"))
			p.wants("Lock", err, vfs.ErrLocked)
		}
		other, err := p.Lock(p.path("other"))
		p.must(err)
		p.must(other.Close())
		p.must(held.Close())
		p.wants("Close", held.Close(), fs.ErrClosed)
		held, err = p.Lock(p.path("lock"))
		p.must(err)
		p.must(held.Close())
	}},
	{"of many who want a lock one gets it", func(p place) {
		const n = 8
		locks := make(chan io.Closer, n)
		var all sync.WaitGroup
		for range n {
			all.Go(func() {
				lock, err := p.Lock(p.path("lock"))
				if err == nil {
					locks <- lock
				} else {
					p.wants("Lock", err, vfs.ErrLocked)
				}
			})
		}
		all.Wait()
		if len(locks) != 1 {
			p.Fatalf("%d got the lock", len(locks))
		}
		p.must((<-locks).Close())
	}},
	{"a mapping shows what is written later, also after the file grew, and outlives it", func(p place) {
		f := p.create("a", "abcdef")
		m := p.mapped(f)
		p.write(f, "XY", 2)
		p.must(f.Preallocate(1 << 20))
		p.write(f, "Z", 5)
		p.write(f, "far", 1<<20)
		p.must(f.Close())
		if got := string(m.Bytes()); got != "abXYeZ" {
			p.Errorf("the mapping has %q", got)
		}
		p.must(m.Close())
		if m.Bytes() != nil {
			p.Error("the closed mapping has bytes")
		}
		p.wants("Close", m.Close(), fs.ErrClosed)
	}},
	{"a file opened for reading is mapped, and shows what another handle writes", func(p place) {
		w := p.create("a", "abc")
		r := p.open("a")
		m := p.mapped(r)
		p.must(r.Close())
		p.write(w, "X", 1)
		if got := string(m.Bytes()); got != "aXc" {
			p.Errorf("the mapping has %q", got)
		}
		p.must(m.Close())
		p.must(w.Close())
	}},
	{"a mapping of an empty file has no bytes", func(p place) {
		f := p.create("a", "")
		m := p.mapped(f)
		p.write(f, "abc", 0)
		if got := m.Bytes(); len(got) != 0 {
			p.Errorf("the mapping has %q", got)
		}
		p.must(m.Close())
		p.wants("Close", m.Close(), fs.ErrClosed)
		p.must(f.Close())
	}},
	{"readers of a mapping and a writer of other bytes do not disturb each other", func(p place) {
		f := p.create("a", "")
		p.must(f.Preallocate(1 << 16))
		m := p.mapped(f)
		written := make(chan int64, 1<<10) // how far the mapping may be read
		var reader sync.WaitGroup
		reader.Go(func() {
			for end := range written {
				if got := m.Bytes()[end-3 : end]; string(got) != "abc" {
					p.Errorf("before byte %d the mapping has %q", end, got)
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
	{"preallocating keeps the content and fills up with zeros", func(p place) {
		f := p.create("a", "abc")
		const size = 2<<20 + 100
		p.must(f.Preallocate(size))
		want := append([]byte("abc"), make([]byte, size-3)...)
		if got := p.content(f); got != string(want) {
			p.Errorf("the file has %d bytes, or others than before and zeros", len(got))
		}
		p.must(f.Preallocate(5)) // it is longer already
		if size, err := f.Size(); size != int64(len(want)) || err != nil {
			p.Errorf("Size returned %d, %v, want %d", size, err, len(want))
		}
		p.must(f.Close())
	}},
	{"reserving keeps the content and reads as zeros", func(p place) {
		f := p.create("a", "abc")
		const size = 2<<20 + 100
		p.must(f.Reserve(size))
		m := p.mapped(f)
		p.write(f, "xyz", 1<<20)
		want := make([]byte, size)
		copy(want, "abc")
		copy(want[1<<20:], "xyz")
		if got := p.content(f); got != string(want) || !slices.Equal(m.Bytes(), want) {
			p.Errorf("the file has %d bytes, or others than were written and zeros", len(got))
		}
		p.must(f.Reserve(5)) // it is longer already
		p.must(m.Close())
		p.must(f.Close())
		p.wants("Reserve", f.Reserve(10), fs.ErrClosed)
	}},
	{"truncating cuts off, and what comes back is zero", func(p place) {
		f := p.create("a", "abcdef")
		p.must(f.Truncate(2))
		if got := p.content(f); got != "ab" {
			p.Errorf("after the cut the file has %q", got)
		}
		p.must(f.Truncate(4))
		p.must(f.Sync())
		if got := p.content(f); got != "ab\x00\x00" {
			p.Errorf("after growing the file has %q", got)
		}
		if f.Truncate(-1) == nil {
			p.Error("Truncate(-1) returned no error")
		}
		p.must(f.Close())
	}},
	{"what is closed is closed", func(p place) {
		f := p.create("a", "abc")
		p.must(f.Close())
		_, err := f.ReadAt(make([]byte, 1), 0)
		p.wants("ReadAt", err, fs.ErrClosed)
		_, err = f.WriteAt([]byte("x"), 0)
		p.wants("WriteAt", err, fs.ErrClosed)
		_, err = f.Size()
		p.wants("Size", err, fs.ErrClosed)
		_, err = f.Map()
		p.wants("Map", err, fs.ErrClosed)
		p.wants("Truncate", f.Truncate(0), fs.ErrClosed)
		p.wants("Preallocate", f.Preallocate(10), fs.ErrClosed)
		p.wants("Sync", f.Sync(), fs.ErrClosed)
		p.wants("Close", f.Close(), fs.ErrClosed)
	}},
	{"a file is synced by many at once while it is closed", func(p place) {
		f := p.create("a", "abc")
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for {
					if err := f.Sync(); err != nil {
						p.wants("Sync", err, fs.ErrClosed)
						return
					}
				}
			})
		}
		p.must(f.Sync())
		p.must(f.Close())
		all.Wait()
	}},
	{"large writes are whole", func(p place) {
		f := p.create("a", "")
		content := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
		if n, err := f.WriteAt(content, 5); n != len(content) || err != nil {
			p.Fatalf("WriteAt returned %d, %v", n, err)
		}
		m := p.mapped(f)
		if !slices.Equal(m.Bytes()[5:], content) {
			p.Error("the file has other bytes than were written")
		}
		p.must(m.Close())
		p.must(f.Close())
	}},
}

func TestTheOperatingSystemKeepsTheContract(t *testing.T) {
	t.Parallel()
	for _, c := range suite {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(place{t, vfs.OS(), t.TempDir()})
		})
	}
}

func TestMemKeepsTheContractAndLeavesNothingOpen(t *testing.T) {
	t.Parallel()
	for _, c := range suite {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := place{t, vfs.NewMem(), filepath.FromSlash("/some/where")}
			p.must(p.MakeDir(p.dir))
			c.run(p)
			if open := p.FS.(*vfs.Mem).OpenHandles(); open != 0 {
				t.Errorf("%d handles are open", open)
			}
		})
	}
}
