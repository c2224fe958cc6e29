package vfs_test

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dcbstore/dcb/internal/vfs"
)

// memFixture is a fixture in a Mem.
type memFixture struct {
	fixture
	mem *vfs.Mem
}

func newMemory(t *testing.T) memFixture {
	t.Helper()
	m := memFixture{mem: vfs.NewMem()}
	m.fixture = fixture{t, m.mem, "db"}
	m.must(m.MakeDir(m.dir))
	return m
}

// on returns the same directory in another Mem, for example after a crash.
func (m memFixture) on(mem *vfs.Mem) memFixture {
	m.mem, m.FS = mem, mem
	return m
}

// contentOf returns the content of a file, or "-" if it does not exist.
func (m memFixture) contentOf(name string) string {
	content := m.mem.ReadFile(m.path(name))
	if content == nil {
		return "-"
	}
	return string(content)
}

func (m memFixture) wantFile(name, want string) {
	m.Helper()
	if got := m.contentOf(name); got != want {
		m.Errorf("%s contains %q, want %q", name, got, want)
	}
}

var errInjected = errors.New("injected")

// failNext makes only the next operation fail.
func (m memFixture) failNext(err error) {
	m.mem.Inject(func(op vfs.Op) error {
		if op.N == 1 {
			return err
		}
		return nil
	})
}

func TestInjectSeesEveryChange(t *testing.T) {
	t.Parallel()
	m := newMemory(t)
	var got []vfs.Op
	m.mem.Inject(func(op vfs.Op) error { got = append(got, op); return nil })
	m.must(m.MakeDir("db/."))
	f := m.create("a", "abc")
	m.must(f.Preallocate(10))
	m.must(f.Truncate(5))
	m.must(f.Sync())
	m.content(f)
	m.must(m.mustMap(f).Close())
	m.must(f.Close())
	m.must(m.SyncDir(m.dir))
	m.must(m.Rename(m.path("a"), m.path("b")))
	m.must(m.Remove(m.path("b")))
	lock, err := m.Lock(m.path("lock"))
	m.must(err)
	m.must(lock.Close())
	lock, err = m.Lock(m.path("lock"))
	m.must(err)
	m.must(lock.Close())
	a, lockName := m.path("a"), m.path("lock")
	want := []vfs.Op{
		{Kind: vfs.MakeDir, Name: "db", N: 1},
		{Kind: vfs.Create, Name: a, N: 2},
		{Kind: vfs.Write, Name: a, Bytes: 3, N: 3},
		{Kind: vfs.Preallocate, Name: a, Bytes: 7, N: 4},
		{Kind: vfs.Truncate, Name: a, N: 5},
		{Kind: vfs.Sync, Name: a, N: 6},
		{Kind: vfs.SyncDir, Name: "db", N: 7},
		{Kind: vfs.Rename, Name: a, N: 8},
		{Kind: vfs.Remove, Name: m.path("b"), N: 9},
		{Kind: vfs.Create, Name: lockName, N: 10},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("operations of the hook differ (-want +got):\n%s", diff)
	}
}

func TestInjectFailsOperation(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind vfs.Kind
		run  func(m memFixture, f vfs.File) error
	}{
		{vfs.Create, func(m memFixture, _ vfs.File) error { _, err := m.Create(m.path("b")); return err }},
		{vfs.Write, func(_ memFixture, f vfs.File) error { _, err := f.WriteAt([]byte("x"), 0); return err }},
		{vfs.Truncate, func(_ memFixture, f vfs.File) error { return f.Truncate(1) }},
		{vfs.Preallocate, func(_ memFixture, f vfs.File) error { return f.Preallocate(10) }},
		{vfs.Sync, func(_ memFixture, f vfs.File) error { return f.Sync() }},
		{vfs.SyncDir, func(m memFixture, _ vfs.File) error { return m.SyncDir(m.dir) }},
		{vfs.Rename, func(m memFixture, _ vfs.File) error { return m.Rename(m.path("a"), m.path("b")) }},
		{vfs.Remove, func(m memFixture, _ vfs.File) error { return m.Remove(m.path("a")) }},
		{vfs.MakeDir, func(m memFixture, _ vfs.File) error { return m.MakeDir("other") }},
	} {
		t.Run(string(c.kind), func(t *testing.T) {
			t.Parallel()
			m := newMemory(t)
			f := m.create("a", "abc")
			m.mem.Inject(func(op vfs.Op) error {
				if op.Kind != c.kind {
					t.Errorf("hook called for %s, want %s", op.Kind, c.kind)
				}
				return errInjected
			})
			m.wantErr(string(c.kind), c.run(m, f), errInjected)
			m.mem.Inject(nil)
			m.wantFile("a", "abc")
			m.wantFile("b", "-")
			m.on(m.mem.Crash(nil)).wantFile("a", "-")
			if _, err := m.List("other"); err == nil {
				t.Error("the failed MakeDir created the directory")
			}
			m.must(f.Close())
		})
	}
}

func TestInjectPartial(t *testing.T) {
	t.Parallel()
	m := newMemory(t)
	f := m.create("a", "abcdef")
	m.failNext(vfs.Partial{Bytes: 2, Err: errInjected})
	n, err := f.WriteAt([]byte("UVWX"), 1)
	m.wantErr("WriteAt", err, errInjected)
	if n != 2 {
		t.Errorf("WriteAt = %d, want 2", n)
	}
	m.wantFile("a", "aUVdef")
	m.failNext(vfs.Partial{Bytes: 1, Err: errInjected})
	m.wantErr("Preallocate", f.Preallocate(10), errInjected)
	m.wantFile("a", "aUVdef\x00")
	m.must(m.SyncDir(m.dir))
	m.on(m.mem.Crash(nil)).wantFile("a", "")

	m.failNext(vfs.Partial{Bytes: 100, Err: errInjected}) // everything, but not synced
	m.wantErr("Preallocate", f.Preallocate(8), errInjected)
	m.wantFile("a", "aUVdef\x00\x00")
	m.on(m.mem.Crash(nil)).wantFile("a", "")
	m.must(f.Preallocate(9))
	// A sync does not write what was written before a failed sync.
	m.on(m.mem.Crash(nil)).wantFile("a", "\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	m.write(f, "aUVdef", 0)
	m.must(f.Preallocate(10))
	m.on(m.mem.Crash(nil)).wantFile("a", "aUVdef\x00\x00\x00\x00")
	m.must(f.Close())
}

func TestInjectHookCanCrash(t *testing.T) {
	t.Parallel()
	m := newMemory(t)
	f := m.create("a", "abc")
	m.must(f.Sync())
	m.must(m.SyncDir(m.dir))
	var before *vfs.Mem
	m.mem.Inject(func(vfs.Op) error { before = m.mem.Crash(rand.New(rand.NewPCG(1, 2))); return nil })
	m.write(f, "X", 1)
	m.wantFile("a", "aXc")
	m.on(before).wantFile("a", "abc")
	m.must(f.Close())
}

func TestSetCapacity(t *testing.T) {
	t.Parallel()
	m := newMemory(t)
	f := m.create("a", "abcdef")
	if used := m.mem.Used(); used != 6 {
		t.Errorf("Used() = %d, want 6", used)
	}
	full := func(what string, err error) {
		t.Helper()
		if !vfs.IsFull(err) {
			t.Errorf("%s = %v, want an error that IsFull recognizes", what, err)
		}
	}
	m.mem.SetCapacity(8)
	n, err := f.WriteAt([]byte("1234"), 5)
	full("WriteAt", err)
	if n != 3 {
		t.Errorf("WriteAt = %d, want 3, which fits", n)
	}
	m.wantFile("a", "abcde123")
	_, err = m.Create(m.path("b"))
	full("Create", err)
	_, err = m.Lock(m.path("lock"))
	full("Lock", err)
	full("Preallocate", f.Preallocate(9))
	m.mem.SetCapacity(3)
	m.write(f, "X", 0)
	n, err = f.WriteAt([]byte("!"), 20)
	full("WriteAt", err)
	if size, err := f.Size(); n != 0 || size != 8 || err != nil {
		t.Errorf("WriteAt = %d, Size = %d, %v, want 0 and 8", n, size, err)
	}
	m.mem.SetCapacity(10)
	full("Preallocate", f.Preallocate(12))
	m.wantFile("a", "Xbcde123\x00\x00")
	m.must(f.Truncate(4))
	m.must(f.Preallocate(6))
	m.createFile("b", "1234")
	m.must(m.Remove(m.path("b")))
	m.write(f, "7890", 6)
	m.mem.SetCapacity(-1)
	m.write(f, "1", 10)
	m.must(f.Close())
}

func TestSyncFailureLosesEarlierWrites(t *testing.T) {
	t.Parallel()
	m := newMemory(t)
	page := func(c string) string { return strings.Repeat(c, 512) }
	m.mem.WriteFile(m.path("a"), []byte(page("a")+page("b")+page("c")))
	f, err := m.OpenWrite(m.path("a"))
	m.must(err)
	m.write(f, page("A")+page("B"), 0)
	m.failNext(errInjected)
	m.wantErr("Sync", f.Sync(), errInjected)
	m.write(f, "!", 512) // writes the whole page of B again
	m.write(f, page("C"), 1024)
	m.must(f.Sync())
	m.must(f.Sync())
	m.wantFile("a", page("A")+"!"+page("B")[1:]+page("C"))
	m.on(m.mem.Crash(nil)).wantFile("a", page("a")+"!"+page("B")[1:]+page("C"))
	outcomes := make(map[string]bool)
	for seed := range uint64(100) {
		content := m.on(m.mem.Crash(rand.New(rand.NewPCG(seed, 0)))).contentOf("a")
		outcomes[content[:1]+content[511:512]] = true
		if content[512:] != "!"+page("B")[1:]+page("C") {
			t.Fatalf("seed %d: the synced pages are wrong: %q", seed, content)
		}
	}
	if !outcomes["aa"] || !outcomes["AA"] || !outcomes["Aa"] {
		t.Errorf("the uncertain page was %v, want it lost, kept and torn at times", outcomes)
	}

	m.must(f.Truncate(0))
	m.must(f.Sync())
	m.must(f.Truncate(512))
	m.on(m.mem.Crash(nil)).wantFile("a", "")
	m.must(f.Sync())
	m.on(m.mem.Crash(nil)).wantFile("a", page("\x00"))
	m.must(f.Close())
}

func TestSyncFailureAfterTruncate(t *testing.T) {
	t.Parallel()
	m := newMemory(t)
	m.mem.WriteFile(m.path("a"), []byte("abcdef"))
	f, err := m.OpenWrite(m.path("a"))
	m.must(err)
	m.must(f.Truncate(2))
	m.failNext(errInjected)
	m.wantErr("Sync", f.Sync(), errInjected)
	m.on(m.mem.Crash(nil)).wantFile("a", "abcdef")
	m.must(f.Sync())
	m.must(f.Preallocate(4))
	m.on(m.mem.Crash(nil)).wantFile("a", "ab\x00\x00")
	m.must(f.Close())
}

func TestFlip(t *testing.T) {
	t.Parallel()
	m := newMemory(t)
	m.mem.WriteFile(m.path("a"), []byte("abc"))
	f, err := m.OpenWrite(m.path("a"))
	m.must(err)
	mapping := m.mustMap(f)
	m.write(f, "X", 0)
	m.mem.Flip(m.path("a"), 1, 0x20)
	if got := string(mapping.Bytes()); got != "XBc" {
		t.Errorf("the mapping contains %q, want \"XBc\"", got)
	}
	m.wantFile("a", "XBc")
	m.on(m.mem.Crash(nil)).wantFile("a", "aBc")
	m.mem.Flip(m.path("a"), 1, 0x20)
	m.on(m.mem.Crash(nil)).wantFile("a", "abc")
	m.must(mapping.Close())
	m.must(f.Close())
}

func TestWriteFileIsDurable(t *testing.T) {
	t.Parallel()
	m := newMemory(t)
	m.mem.Inject(func(vfs.Op) error { return errInjected })
	m.mem.SetCapacity(0)
	m.mem.WriteFile(m.path("a"), []byte("abcdef"))
	m.mem.WriteFile(m.path("a"), []byte("xyz"))
	m.mem.WriteFile(m.path("b"), nil)
	m.wantFile("a", "xyz")
	m.on(m.mem.Crash(nil)).wantFile("a", "xyz")
	m.on(m.mem.Crash(nil)).wantFile("b", "")
	m.wantFile("c", "-")
}

func TestOpenHandles(t *testing.T) {
	t.Parallel()
	m := newMemory(t)
	want := func(n int) {
		t.Helper()
		if got := m.mem.OpenHandles(); got != n {
			t.Errorf("OpenHandles() = %d, want %d", got, n)
		}
	}
	want(0)
	f := m.create("a", "abc")
	want(1)
	mapping := m.mustMap(f)
	want(2)
	lock, err := m.Lock(m.path("lock"))
	m.must(err)
	want(3)
	if _, err := m.Lock(m.path("lock")); err == nil {
		t.Error("a second Lock returned no error")
	}
	want(3)
	m.must(f.Close())
	m.wantErr("Close", f.Close(), fs.ErrClosed)
	want(2)
	m.must(mapping.Close())
	m.wantErr("Close", mapping.Close(), fs.ErrClosed)
	want(1)
	m.must(lock.Close())
	m.wantErr("Close", lock.Close(), fs.ErrClosed)
	want(0)
}

func TestMemConcurrentUse(t *testing.T) {
	t.Parallel()
	m := newMemory(t)
	m.mem.Inject(func(op vfs.Op) error {
		if op.N%10 == 0 {
			m.mem.Crash(rand.New(rand.NewPCG(uint64(op.N), 0)))
		}
		return nil
	})
	var all sync.WaitGroup
	for _, name := range []string{"a", "b", "c", "d"} {
		all.Go(func() {
			f := m.create(name, "")
			for at := range int64(20) {
				m.write(f, name, 100*at)
				m.must(f.Sync())
				m.content(f)
				if _, err := m.List(m.dir); err != nil {
					t.Error(err)
				}
			}
			m.must(m.Rename(m.path(name), m.path(name+name)))
			m.must(m.SyncDir(m.dir))
			m.must(f.Close())
		})
	}
	all.Wait()
	if list, err := m.List(m.dir); len(list) != 4 || err != nil {
		t.Errorf("List = %v, %v, want 4 files", list, err)
	}
}
