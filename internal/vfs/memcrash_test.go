package vfs_test

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/dcbstore/dcb/internal/vfs"
)

// crashOutcomes returns what inspect returns after many crashes, and how often.
func (m memFixture) crashOutcomes(inspect func(after memFixture) string) map[string]int {
	seen := make(map[string]int)
	for seed := range uint64(400) {
		seen[inspect(m.on(m.mem.Crash(rand.New(rand.NewPCG(seed, 1)))))]++
	}
	return seen
}

func wantOutcomes(t *testing.T, got map[string]int, want ...string) {
	t.Helper()
	slices.Sort(want)
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(got))); diff != "" {
		t.Errorf("outcomes of crashes differ (-want +got):\n%s", diff)
	}
}

func TestCrashOfDirectoryChanges(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		before []string // existing files, synced
		run    func(m memFixture)
		want   []string // the possible contents of a, b and c; "-" means missing
	}{
		{"no change", []string{"a"}, func(memFixture) {}, []string{"a--"}},
		{"a file was created", []string{"b"}, func(m memFixture) { m.createFile("a", "") }, []string{"-b-", "b-"}},
		{"a file was removed", []string{"a", "b"}, func(m memFixture) { m.must(m.Remove(m.path("a"))) }, []string{"ab-", "-b-"}},
		{"a file was renamed", []string{"a"}, func(m memFixture) { m.must(m.Rename(m.path("a"), m.path("b"))) }, []string{"a--", "-a-"}},
		{"a file replaced another", []string{"a", "b"}, func(m memFixture) {
			m.must(m.Rename(m.path("a"), m.path("b")))
		}, []string{"ab-", "-a-"}},
		{"a file was renamed twice", []string{"a"}, func(m memFixture) {
			m.must(m.Rename(m.path("a"), m.path("b")))
			m.must(m.Rename(m.path("b"), m.path("c")))
		}, []string{"a--", "-a-", "--a"}},
		{"a file was renamed and another removed, in any order", []string{"a", "c"}, func(m memFixture) {
			m.must(m.Rename(m.path("a"), m.path("b")))
			m.must(m.Remove(m.path("c")))
		}, []string{"a-c", "a--", "-ac", "-a-"}},
		{"a file was removed and created again", []string{"a"}, func(m memFixture) {
			m.must(m.Remove(m.path("a")))
			m.createFile("a", "")
		}, []string{"a--", "---", "--"}},
		{"all changes were synced", []string{"a", "b"}, func(m memFixture) {
			m.must(m.Rename(m.path("a"), m.path("c")))
			m.must(m.Remove(m.path("b")))
			m.must(m.SyncDir(m.dir))
		}, []string{"--a"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := newMemory(t)
			for _, name := range c.before {
				m.mem.WriteFile(m.path(name), []byte(name))
			}
			c.run(m)
			wantOutcomes(t, m.crashOutcomes(func(after memFixture) string {
				return after.contentOf("a") + after.contentOf("b") + after.contentOf("c")
			}), c.want...)
		})
	}
}

func TestCrashOfPages(t *testing.T) {
	t.Parallel()
	m := newMemory(t)
	old, now := strings.Repeat("o", 512), strings.Repeat("n", 512)
	m.mem.WriteFile(m.path("a"), []byte(old+old+old))
	f, err := m.OpenWrite(m.path("a"))
	m.must(err)
	m.write(f, "intermediate", 0)
	m.write(f, now+now, 0)
	got := m.crashOutcomes(func(after memFixture) string {
		content := after.contentOf("a")
		if content[1024:] != old || len(content) != 1536 {
			t.Errorf("the synced page contains %q", content[1024:])
		}
		var fates string
		for _, page := range []string{content[:512], content[512:1024]} {
			fresh := len(page) - len(strings.TrimLeft(page, "n"))
			switch {
			case page[fresh:] != old[fresh:]:
				t.Errorf("a page is not a new beginning with an old end: %q", page)
			case fresh == 0:
				fates += "lost "
			case fresh == 512:
				fates += "kept "
			default:
				fates += "torn "
			}
		}
		return fates
	})
	wantOutcomes(t, got, "kept kept ", "kept lost ", "kept torn ", "lost kept ", "lost lost ", "lost torn ", "torn kept ", "torn lost ", "torn torn ")
	m.must(f.Close())
}

func TestCrashOfLengths(t *testing.T) {
	t.Parallel()
	m := newMemory(t)
	for _, name := range []string{"shorter", "longer", "emptied"} {
		m.mem.WriteFile(m.path(name), []byte("abc"))
	}
	shorter, err := m.OpenWrite(m.path("shorter"))
	m.must(err)
	m.must(shorter.Truncate(1))
	wantOutcomes(t, m.crashOutcomes(func(after memFixture) string { return after.contentOf("shorter") }), "abc", "a", "a\x00\x00", "a\x00c")

	longer, err := m.OpenWrite(m.path("longer"))
	m.must(err)
	m.must(longer.Truncate(5))
	wantOutcomes(t, m.crashOutcomes(func(after memFixture) string { return after.contentOf("longer") }), "abc", "abc\x00", "abc\x00\x00")

	emptied, err := m.OpenWrite(m.path("emptied"))
	m.must(err)
	m.must(emptied.Truncate(0))
	wantOutcomes(t, m.crashOutcomes(func(after memFixture) string { return after.contentOf("emptied") }), "abc", "")

	m.on(m.mem.Crash(nil)).wantFile("longer", "abc")
	for _, f := range []vfs.File{shorter, longer, emptied} {
		m.must(f.Sync())
		m.must(f.Close())
	}
	after := m.on(m.mem.Crash(nil))
	after.wantFile("shorter", "a")
	after.wantFile("longer", "abc\x00\x00")
	after.wantFile("emptied", "")
}

func TestCrashClearsLocksAndHooks(t *testing.T) {
	t.Parallel()
	m := newMemory(t)
	lock, err := m.Lock(m.path("lock"))
	m.must(err)
	m.must(m.SyncDir(m.dir))
	f := m.create("a", "abc")
	m.mem.SetCapacity(100)
	m.mem.Inject(func(vfs.Op) error { return errInjected })
	for name, mem := range map[string]*vfs.Mem{"Crash": m.mem.Crash(nil), "KillClone": m.mem.KillClone(), "Clone": m.mem.Clone()} {
		after := m.on(mem)
		if open := mem.OpenHandles(); open != 0 {
			t.Errorf("%s left %d handles open", name, open)
		}
		again, err := after.Lock(m.path("lock"))
		m.must(err)
		m.must(again.Close())
		b := after.create("b", "")
		if err := b.Preallocate(101); !vfs.IsFull(err) {
			t.Errorf("%s: Preallocate beyond the capacity = %v, want a full disk", name, err)
		}
	}
	m.mem.Inject(nil)
	m.must(f.Close())
	m.must(lock.Close())
}

func TestKillClone(t *testing.T) {
	t.Parallel()
	m := newMemory(t)
	m.mem.WriteFile(m.path("a"), []byte("abc"))
	f, err := m.OpenWrite(m.path("a"))
	m.must(err)
	m.write(f, "X", 0)
	m.must(m.Rename(m.path("a"), m.path("b")))
	after := m.on(m.mem.KillClone())
	m.write(f, "Y", 0) // the clone does not see it
	m.must(f.Close())
	after.wantFile("a", "-")
	after.wantFile("b", "Xbc")
	after.on(after.mem.Crash(nil)).wantFile("a", "abc")
	m.wantFile("b", "Ybc")
	wantOutcomes(t, after.crashOutcomes(func(after memFixture) string {
		if a := after.contentOf("a"); a != "-" {
			return "a" + a[1:]
		}
		return "b" + after.contentOf("b")[1:]
	}), "abc", "bbc")

	g, err := after.OpenWrite(m.path("b"))
	m.must(err)
	m.must(g.Sync())
	m.must(after.SyncDir(m.dir))
	after.on(after.mem.Crash(nil)).wantFile("b", "Xbc")
	m.on(m.mem.Crash(nil)).wantFile("a", "abc")
}

// diskModel is a model of what a directory of a Mem may contain after a crash. It works by bytes
// and names, whereas Mem works by pages and a list of changes.
type diskModel struct {
	live       map[string]*modelFile
	past       map[string][]*modelFile // the files of each name since the last SyncDir; nil means none
	mustRemain map[*modelFile]bool     // existed at the last SyncDir, and not removed or replaced since
	opened     map[*modelFile]vfs.File
}

type modelFile struct {
	id          byte // the first byte of its content, never overwritten
	synced, now []byte
}

func (f *modelFile) resize(size int) {
	f.now = append(slices.Clone(f.now[:min(size, len(f.now))]), make([]byte, max(0, size-len(f.now)))...)
}

var names = []string{"a", "b", "c"}

func (d *diskModel) bind(name string, f *modelFile) {
	if old := d.live[name]; old != nil && old != f {
		delete(d.mustRemain, old)
	}
	d.live[name] = f
	d.past[name] = append(d.past[name], f)
}

func (d *diskModel) syncDir() {
	clear(d.mustRemain)
	for _, name := range names {
		d.past[name] = []*modelFile{d.live[name]}
		if f := d.live[name]; f != nil {
			d.mustRemain[f] = true
		}
	}
}

// byteAt returns a byte of content, or zero after its end.
func byteAt(content []byte, at int) byte {
	if at < len(content) {
		return content[at]
	}
	return 0
}

// check fails the test if a crash cannot have left this content.
func (d *diskModel) check(t *rapid.T, after *vfs.Mem) {
	found := make(map[*modelFile]string)
	for _, name := range names {
		content := after.ReadFile(name)
		var file *modelFile
		if content != nil {
			for _, f := range d.past[name] {
				if f != nil && len(content) > 0 && f.id == content[0] {
					file = f
				}
			}
			if file == nil {
				t.Fatalf("%s contains %q, which no file of that name had since the last SyncDir", name, content)
			}
		}
		if !slices.Contains(d.past[name], file) {
			t.Fatalf("%s is missing, but existed since the last SyncDir", name)
		}
		if file == nil {
			continue
		}
		if other, twice := found[file]; twice {
			t.Fatalf("%s and %s are the same file", name, other)
		}
		found[file] = name
		if len(content) < min(len(file.synced), len(file.now)) || len(content) > max(len(file.synced), len(file.now)) {
			t.Fatalf("%s has %d bytes, want between %d (synced) and %d (written)", name, len(content), len(file.synced), len(file.now))
		}
		for at, got := range content {
			if got != byteAt(file.synced, at) && got != byteAt(file.now, at) {
				t.Fatalf("byte %d of %s is %d, want %d (synced) or %d (written)", at, name, got, byteAt(file.synced, at), byteAt(file.now, at))
			}
		}
	}
	for file := range d.mustRemain {
		if _, ok := found[file]; !ok {
			t.Fatalf("file %d has no name any more", file.id)
		}
	}
}

func TestCrashMatchesModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		mem := vfs.NewMem()
		d := &diskModel{
			live: make(map[string]*modelFile), past: make(map[string][]*modelFile),
			mustRemain: make(map[*modelFile]bool), opened: make(map[*modelFile]vfs.File),
		}
		d.syncDir()
		id := byte(0)
		must := func(err error) {
			if err != nil {
				t.Fatal(err)
			}
		}
		name := rapid.SampledFrom(names)
		drawFile := func(t *rapid.T) (string, *modelFile, vfs.File) {
			name := name.Draw(t, "name")
			f := d.live[name]
			if f == nil {
				t.Skip("no file of that name")
			}
			return name, f, d.opened[f]
		}
		t.Repeat(map[string]func(*rapid.T){
			"create": func(t *rapid.T) {
				name := name.Draw(t, "name")
				if d.live[name] != nil || id == 100 {
					t.Skip("the file exists, or there were too many")
				}
				file, err := mem.Create(name)
				must(err)
				id++
				f := &modelFile{id: id, now: []byte{id}, synced: []byte{id}}
				_, err = file.WriteAt(f.now, 0)
				must(err)
				must(file.Sync())
				d.opened[f] = file
				d.bind(name, f)
			},
			"write": func(t *rapid.T) {
				_, f, file := drawFile(t)
				at := rapid.IntRange(1, 2000).Draw(t, "at")
				p := slices.Repeat([]byte{byte(rapid.IntRange(101, 255).Draw(t, "byte"))}, rapid.IntRange(0, 1200).Draw(t, "length"))
				if len(p) > 0 {
					f.resize(max(at+len(p), len(f.now)))
					copy(f.now[at:], p)
				}
				_, err := file.WriteAt(p, int64(at))
				must(err)
			},
			"truncate": func(t *rapid.T) {
				_, f, file := drawFile(t)
				size := rapid.IntRange(1, 3000).Draw(t, "size")
				must(file.Truncate(int64(size)))
				f.resize(size)
			},
			"preallocate": func(t *rapid.T) {
				_, f, file := drawFile(t)
				size := rapid.IntRange(1, 3000).Draw(t, "size")
				must(file.Preallocate(int64(size)))
				f.resize(max(size, len(f.now)))
				f.synced = slices.Clone(f.now)
			},
			"sync": func(t *rapid.T) {
				_, f, file := drawFile(t)
				must(file.Sync())
				f.synced = slices.Clone(f.now)
			},
			"rename": func(t *rapid.T) {
				from, f, _ := drawFile(t)
				to := name.Draw(t, "to")
				must(mem.Rename(from, to))
				if from != to {
					d.live[from] = nil
					d.past[from] = append(d.past[from], nil)
					d.bind(to, f)
				}
			},
			"remove": func(t *rapid.T) {
				name, _, _ := drawFile(t)
				must(mem.Remove(name))
				d.bind(name, nil)
			},
			"sync the directory": func(*rapid.T) {
				must(mem.SyncDir("."))
				d.syncDir()
			},
			"continue in a clone": func(*rapid.T) {
				mem = mem.KillClone()
				for _, name := range names {
					if f := d.live[name]; f != nil {
						file, err := mem.OpenWrite(name)
						must(err)
						d.opened[f] = file
					}
				}
			},
			"": func(t *rapid.T) {
				seed := rapid.Uint64().Draw(t, "seed of the crash")
				after := mem.Crash(rand.New(rand.NewPCG(seed, 0)))
				again := mem.Crash(rand.New(rand.NewPCG(seed, 0)))
				d.check(t, after)
				d.check(t, mem.Crash(nil))
				for _, name := range names {
					content := after.ReadFile(name)
					if !slices.Equal(content, again.ReadFile(name)) || !slices.Equal(content, after.Crash(nil).ReadFile(name)) {
						t.Fatalf("%s differs after the same crash again, or after a second crash", name)
					}
					var want []byte
					if f := d.live[name]; f != nil {
						want = f.now
					}
					if got := mem.ReadFile(name); !slices.Equal(got, want) || (got == nil) != (want == nil) {
						t.Fatalf("%s has %d bytes, want the %d bytes written", name, len(got), len(want))
					}
				}
			},
		})
	})
}

func TestCloneIsIndependent(t *testing.T) {
	t.Parallel()
	m := newMemory(t)
	f := m.create("a", "abcdef")
	m.must(f.Sync())
	m.write(f, "xyz", 0) // not synced: the disk has the old content
	m.must(m.SyncDir(m.dir))
	clone := m.mem.Clone()
	clone.Flip(m.path("a"), 1, 0xff)
	m.on(m.mem.Crash(nil)).wantFile("a", "abcdef")
	m.wantFile("a", "xyzdef")
	m.must(f.Close())
}
