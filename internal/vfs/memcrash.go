package vfs

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// Crash returns what a disk may hold after power was lost now. All that was synced is there. Of the rest, each page that was written is as
// it was, as it was last synced, or torn: its beginning is new and its end old. A new length is there, or the synced one, or, if the file grew,
// one between. Of the changes in a directory, any may be lost, with those that came later and build on it.
// So a created file may be missing, a removed one be there again, and a renamed one have either name, but never both or none.
//
// The same random numbers give the same crash; with nil all that was not synced is lost. m is not changed and goes on; nothing is locked or
// open in the new one, which has no hook and the same capacity.
func (m *Mem) Crash(random *rand.Rand) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	after := NewMem()
	after.capacity = m.capacity
	for _, dir := range slices.Sorted(maps.Keys(m.dirs)) {
		files := m.dirs[dir].crash(random)
		d := newDirectory()
		for _, name := range slices.Sorted(maps.Keys(files)) {
			d.files[name] = files[name].crash(random)
		}
		d.sync()
		after.dirs[dir] = d
	}
	return after
}

func (d *directory) crash(random *rand.Rand) map[string]*inode {
	files := maps.Clone(d.durable)
	lost := make(map[string]bool) // names whose last durable change is not their last before the crash
	fates := draw(random, len(d.changes))
	for k, c := range d.changes {
		if fates[k] != kept || lost[c.from] || lost[c.to] {
			lost[c.from], lost[c.to] = true, true
			continue
		}
		c.apply(files)
	}
	return files
}

func (i *inode) crash(random *rand.Rand) *inode {
	end := int64(len(i.data))
	data := make([]byte, max(end, i.synced))
	copy(data, i.data)
	pages := maps.Clone(i.dirty)
	maps.Copy(pages, i.doubt)
	numbers := slices.Sorted(maps.Keys(pages))
	for k, fate := range draw(random, len(numbers)) {
		n := numbers[k]
		at, fresh := n*pageSize, int64(0)
		switch {
		case at >= int64(len(data)):
			continue // written, and then cut off
		case at >= end: // nothing was written in its place
		case fate == kept:
			fresh = pageSize
		case fate == torn:
			fresh = 1 + random.Int64N(pageSize-1)
		}
		if at+fresh < int64(len(data)) {
			copy(data[at+fresh:], pages[n][fresh:])
		}
	}
	after := newInode()
	after.data = slices.Clip(data[:i.crashedLength(random)])
	after.sync()
	return after
}

func (i *inode) crashedLength(random *rand.Rand) int64 {
	now := int64(len(i.data))
	if random == nil || now == i.synced {
		return i.synced
	}
	switch random.IntN(3) {
	case 0:
		return i.synced
	case 1:
		return now
	default:
		return i.synced + random.Int64N(max(1, now-i.synced))
	}
}

// fate is what a crash does to one thing that was not synced.
type fate int

const (
	lost fate = iota
	kept
	torn // half of it is kept, if it has halves; otherwise it is lost
)

// draw draws the fates of n things, in the order in which they were done or lie. What errors hide behind has a
// chance however large n is: that all is lost, all is kept, or all up to one that is torn.
func draw(random *rand.Rand, n int) []fate {
	fates := make([]fate, n)
	if random == nil || n == 0 {
		return fates
	}
	switch random.IntN(5) {
	case 0: // all is lost
	case 1:
		for k := range fates {
			fates[k] = kept
		}
	case 2:
		last := random.IntN(n)
		for k := range last {
			fates[k] = kept
		}
		fates[last] = torn
	default:
		for k := range fates {
			fates[k] = fate(random.IntN(3))
		}
	}
	return fates
}

// Clone returns a copy, with what is synced and what is not. Nothing is locked or open in it, and it has no hook; the capacity is the same.
func (m *Mem) Clone() *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	after := NewMem()
	after.capacity = m.capacity
	c := cloner{}
	for dir, d := range m.dirs {
		twin := &directory{files: c.names(d.files), durable: c.names(d.durable), changes: slices.Clone(d.changes)}
		for k := range twin.changes {
			twin.changes[k].file = c.inode(twin.changes[k].file)
		}
		after.dirs[dir] = twin
	}
	return after
}

// KillClone returns what the next process finds after this one was killed, but not the machine: all that was written, whether it was
// synced or not, and nothing locked. A crash of the machine can still take away what is not synced.
func (m *Mem) KillClone() *Mem { return m.Clone() }

// cloner has the copy of every inode that was copied.
type cloner map[*inode]*inode

func (c cloner) names(files map[string]*inode) map[string]*inode {
	twins := make(map[string]*inode, len(files))
	for name, file := range files {
		twins[name] = c.inode(file)
	}
	return twins
}

func clonePages(pages map[int64]*page) map[int64]*page {
	twins := make(map[int64]*page, len(pages))
	for n, p := range pages {
		twin := *p
		twins[n] = &twin
	}
	return twins
}

func (c cloner) inode(i *inode) *inode {
	if i == nil || c[i] != nil {
		return c[i]
	}
	twin := &inode{data: append([]byte{}, i.data...), synced: i.synced, dirty: clonePages(i.dirty), doubt: clonePages(i.doubt)}
	c[i] = twin
	return twin
}
