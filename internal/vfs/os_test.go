package vfs_test

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dcbstore/dcb/internal/vfs"
)

// lockVariable names the lock that a process of this test takes instead of running tests.
const lockVariable = "DCB_TEST_VFS_LOCK"

func TestMain(m *testing.M) {
	name, ok := os.LookupEnv(lockVariable)
	if !ok {
		os.Exit(m.Run())
	}
	if _, err := vfs.OS().Lock(name); err != nil {
		panic(err)
	}
	println("locked") // to standard error
	select {}
}

func TestALockIsFreeWhenItsProcessWasKilled(t *testing.T) {
	t.Parallel()
	p := place{t, vfs.OS(), t.TempDir()}
	name := p.path("lock")
	process := exec.Command(os.Args[0])
	process.Env = append(os.Environ(), lockVariable+"="+name)
	out, err := process.StderrPipe()
	p.must(err)
	p.must(process.Start())
	defer func() {
		_ = process.Process.Kill() // unless it was already
		_ = process.Wait()
	}()
	if said, err := bufio.NewReader(out).ReadString('\n'); said != "locked\n" {
		t.Fatalf("the other process said %q, %v", said, err)
	}
	_, err = p.Lock(name)
	p.wants("Lock", err, vfs.ErrLocked)

	p.must(process.Process.Kill())
	if err := process.Wait(); err == nil {
		t.Error("the other process ended by itself")
	}
	lock, err := p.Lock(name)
	p.must(err)
	p.must(lock.Close())
}

func TestADirectoryCanBeMadeWhereOneStands(t *testing.T) {
	t.Chdir(t.TempDir())
	p := place{t, vfs.OS(), "."}
	p.must(p.MakeDir("a/b"))
	p.file("a/b/c", "abc")
	p.must(p.SyncDir("a/b"))
	p.must(p.SyncDir("."))
	p.holds("a/b/c", "abc")
}

func TestAnErrorOfTheOperatingSystemNamesTheFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f, err := vfs.OS().Create(filepath.Join(dir, "events"))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "events")) {
		t.Errorf("Sync returned %v, without the name", err)
	}
}

// The hot path of an append. This test is not parallel, because others need memory.
func TestAnAppendAndAReadNeedNoMemory(t *testing.T) {
	f, record := hotFile(t)
	m, err := f.Map()
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	var at int64
	var sum byte
	allocations := testing.AllocsPerRun(10, func() {
		if _, err := f.WriteAt(record, at); err != nil {
			t.Error(err)
		}
		if err := f.Sync(); err != nil {
			t.Error(err)
		}
		sum += m.Bytes()[at]
		at += int64(len(record))
	})
	if allocations != 0 {
		t.Errorf("%v allocations, want none", allocations)
	}
}

func BenchmarkWriteAndSync(b *testing.B) {
	f, record := hotFile(b)
	b.SetBytes(int64(len(record)))
	b.ReportAllocs()
	var at int64
	for b.Loop() {
		if _, err := f.WriteAt(record, at%(1<<20)); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
		at += int64(len(record))
	}
}

// hotFile returns a preallocated file and what to write to it.
func hotFile(tb testing.TB) (f vfs.File, record []byte) {
	tb.Helper()
	f, err := vfs.OS().Create(filepath.Join(tb.TempDir(), "log"))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { f.Close() })
	if err := f.Preallocate(2 << 20); err != nil {
		tb.Fatal(err)
	}
	return f, make([]byte, 300)
}
