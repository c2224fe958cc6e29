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

// lockVariable, if set, makes a process of this test binary take that lock instead of running
// tests.
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

func TestLockAfterKill(t *testing.T) {
	t.Parallel()
	p := fixture{t, vfs.OS(), t.TempDir()}
	name := p.path("lock")
	process := exec.Command(os.Args[0])
	process.Env = append(os.Environ(), lockVariable+"="+name)
	out, err := process.StderrPipe()
	p.must(err)
	p.must(process.Start())
	defer func() {
		_ = process.Process.Kill() // may have been killed already
		_ = process.Wait()
	}()
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "locked\n" {
		t.Fatalf("the other process printed %q, %v, want locked", line, err)
	}
	_, err = p.Lock(name)
	p.wantErr("Lock", err, vfs.ErrLocked)

	p.must(process.Process.Kill())
	if err := process.Wait(); err == nil {
		t.Error("the killed process ended without an error")
	}
	lock, err := p.Lock(name)
	p.must(err)
	p.must(lock.Close())
}

func TestMakeDirRelative(t *testing.T) {
	t.Chdir(t.TempDir())
	p := fixture{t, vfs.OS(), "."}
	p.must(p.MakeDir("a/b"))
	p.createFile("a/b/c", "abc")
	p.must(p.SyncDir("a/b"))
	p.must(p.SyncDir("."))
	p.wantContent("a/b/c", "abc")
}

func TestSyncErrorNamesFile(t *testing.T) {
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
		t.Errorf("Sync of a closed file = %v, want an error with its name", err)
	}
}

// TestWriteAtAndSyncDoNotAllocate checks the hot path of an append. It is not parallel, because
// other tests allocate.
func TestWriteAtAndSyncDoNotAllocate(t *testing.T) {
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
		t.Errorf("WriteAt and Sync allocate %v times, want 0", allocations)
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

// hotFile returns a preallocated file and a record to write to it.
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
