package vfs

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// Crash returns what the disk may contain after a loss of power now. All synced data is there.
// Each page that was written since is new, as it was last synced, or torn: its beginning is new
// and its end old. A changed length is the new one, the synced one or, if the file grew, one
// between them. Any change of a directory may be lost, together with later changes that depend
// on it. So a created file may be missing, a removed one may be back, and a renamed one has
// either name, but never both or none.
//
// The same random numbers give the same crash. With nil, everything unsynced is lost. m is not
// changed. In the returned file system nothing is locked or open; it has the same capacity and
// no hook.
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
	lost := make(map[string]bool) // names with a lost change: later changes of them are lost, too
	fates := drawFates(random, len(d.changes))
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
	maps.Copy(pages, i.uncertain)
	numbers := slices.Sorted(maps.Keys(pages))
	for k, fate := range drawFates(random, len(numbers)) {
		n := numbers[k]
		at, fresh := n*pageSize, int64(0)
		switch {
		case at >= int64(len(data)):
			continue // written and then truncated
		case at >= end: // truncated, so there is no new content
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

// fate is what a crash does to an unsynced page or change.
type fate int

const (
	lost fate = iota
	kept
	torn // the first part of a page is kept; a change is lost
)

// drawFates draws the fates of n pages or changes, in their order. Cases that reveal errors have
// a fixed probability for every n: all lost, all kept, or all kept up to one that is torn.
func drawFates(random *rand.Rand, n int) []fate {
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

// Clone returns a copy, with the same synced and unsynced data and the same capacity. In the
// copy nothing is locked or open, and there is no hook.
func (m *Mem) Clone() *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	after := NewMem()
	after.capacity = m.capacity
	c := cloner{}
	for dir, d := range m.dirs {
		clone := &directory{files: c.files(d.files), durable: c.files(d.durable), changes: slices.Clone(d.changes)}
		for k := range clone.changes {
			clone.changes[k].file = c.inode(clone.changes[k].file)
		}
		after.dirs[dir] = clone
	}
	return after
}

// KillClone returns what the next process finds after a kill of this one without a crash of the
// machine: all written data, synced or not, and no lock. A later Crash of it may still lose the
// unsynced data.
func (m *Mem) KillClone() *Mem { return m.Clone() }

// cloner maps each inode to its copy.
type cloner map[*inode]*inode

func (c cloner) files(files map[string]*inode) map[string]*inode {
	clones := make(map[string]*inode, len(files))
	for name, file := range files {
		clones[name] = c.inode(file)
	}
	return clones
}

func clonePages(pages map[int64]*page) map[int64]*page {
	clones := make(map[int64]*page, len(pages))
	for n, p := range pages {
		clone := *p
		clones[n] = &clone
	}
	return clones
}

func (c cloner) inode(i *inode) *inode {
	if i == nil || c[i] != nil {
		return c[i]
	}
	clone := &inode{data: append([]byte{}, i.data...), synced: i.synced, dirty: clonePages(i.dirty), uncertain: clonePages(i.uncertain)}
	c[i] = clone
	return clone
}
