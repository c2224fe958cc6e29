// Package tail indexes the segment that is being appended to, in memory: which events have a term, where each event lies,
// and what type it has. It answers what package indexfile answers of sealed segments, from which it differs in that it grows.
//
// One goroutine at a time adds. Any number read at the same time, without a lock: what was added before a reader loaded the head that
// it looks up to is all there, and what is being added lies beyond. Nothing is ever overwritten or moved, only grown beside the old.
//
// An event is named by its offset: its position less that of the first event of the index.
package tail

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/dcbstore/dcb/diskstore/internal/indexfile"
	"github.com/dcbstore/dcb/diskstore/internal/postings"
	"github.com/dcbstore/dcb/diskstore/internal/term"
	"github.com/dcbstore/dcb/internal/chunked"
)

// shards divide the terms by the low bits of their keys, so that making one table larger is done before anybody notices.
const shards = 64

// Index is the index of one segment. Make one with New.
type Index struct {
	tables  [shards]atomic.Pointer[table]
	entries chunked.Array[entry]
	events  chunked.Array[event]
	lists   arena

	sorting sync.Once
	sorted  sorted
}

var _ indexfile.Source = (*Index)(nil)

// entry is a term and where its list is. Its number is the term's, and the ID of a type.
type entry struct {
	key  term.Key
	list atomic.Uint64 // address in the arena << 32 | length
}

type event struct {
	place    uint32 // of the record in the segment
	typeTerm uint32 // the number of the type's entry
}

// New returns an index without events.
func New() *Index {
	x := new(Index)
	for i := range x.tables {
		x.tables[i].Store(newTable(smallestTable))
	}
	return x
}

// Add adds the next event: the place of its record in the segment, the keys of its type and its tags, and that of its ID if it has one, and
// otherwise 0.
func (x *Index) Add(place uint32, typeKey, idKey term.Key, tags []term.Key) {
	offset := uint32(x.events.Len())
	x.events.Push(event{place, x.add(typeKey, offset)})
	for _, tag := range tags {
		x.add(tag, offset)
	}
	if idKey != 0 {
		x.add(idKey, offset)
	}
}

// Added returns how many events were added. It is for the goroutine that adds.
func (x *Index) Added() uint32 { return uint32(x.events.Len()) }

// add puts offset at the end of the list of key, and returns the number of its entry.
func (x *Index) add(key term.Key, offset uint32) uint32 {
	number, ok := x.find(key)
	if !ok {
		number = x.insert(key)
	}
	e := x.entries.At(uint64(number))
	list := e.list.Load()
	if length := uint32(list); length > 0 && x.lists.slice(list)[length-1] == offset {
		return number // two tags of one event with the same key
	}
	e.list.Store(x.lists.push(list, offset))
	return number
}

// List returns the offsets of the events that have a term, possibly with some beyond the reader's head.
func (x *Index) List(key term.Key) (postings.List, error) {
	number, ok := x.find(key)
	if !ok {
		return postings.List{}, nil
	}
	return postings.Plain(x.lists.slice(x.entries.At(uint64(number)).list.Load())), nil
}

// TypeID returns the number by which Event names the type with that key.
func (x *Index) TypeID(key term.Key) (id uint32, ok bool, err error) {
	id, ok = x.find(key)
	return id, ok, nil
}

// Event returns where the record of an event lies in its segment, and the ID of its type.
func (x *Index) Event(offset uint32) (place, typeID uint32, err error) {
	e := x.events.At(uint64(offset))
	return e.place, e.typeTerm, nil
}

// TypeKey returns the key of the type with that ID.
func (x *Index) TypeKey(id uint32) (term.Key, error) { return x.entries.At(uint64(id)).key, nil }

// The rest of the methods are for an index that nobody adds to any more: they make it a source of an index file.

// Count returns how many events there are.
func (x *Index) Count() uint32 { return x.Added() }

// TermCount returns how many terms of a kind there are.
func (x *Index) TermCount(kind term.Kind) int { return len(x.sort().ranked[kind]) }

// ReadTerms sets into to the terms of a kind from that with a rank on.
func (x *Index) ReadTerms(kind term.Kind, rank int, into []indexfile.Term) error {
	for i, number := range x.sort().ranked[kind][rank:][:len(into)] {
		e := x.entries.At(uint64(number))
		into[i] = indexfile.Term{Key: e.key, List: postings.Plain(x.lists.slice(e.list.Load()))}
	}
	return nil
}

// ReadEvents sets into to the events from offset on. The type of an event is the rank of its key.
func (x *Index) ReadEvents(offset uint32, into []indexfile.Event) error {
	rank := x.sort().rank
	for i := range into {
		e := x.events.At(uint64(offset + uint32(i)))
		into[i] = indexfile.Event{Place: e.place, Type: rank[e.typeTerm]}
	}
	return nil
}

// sorted is the entries in the order of their keys.
type sorted struct {
	ranked [term.Kinds][]uint32 // the numbers of the entries of a kind, ascending by key
	rank   map[uint32]uint32    // of a type, by the number of its entry
}

// sort sorts the entries, the first time that it is called.
func (x *Index) sort() *sorted {
	x.sorting.Do(func() {
		for number := range uint32(x.entries.Len()) {
			kind := x.entries.At(uint64(number)).key.Kind()
			x.sorted.ranked[kind] = append(x.sorted.ranked[kind], number)
		}
		for kind := range x.sorted.ranked {
			slices.SortFunc(x.sorted.ranked[kind], func(a, b uint32) int { return cmp.Compare(x.entries.At(uint64(a)).key, x.entries.At(uint64(b)).key) })
		}
		x.sorted.rank = make(map[uint32]uint32)
		for rank, number := range x.sorted.ranked[term.Type] {
			x.sorted.rank[number] = uint32(rank)
		}
	})
	return &x.sorted
}

// table finds the number of a term's entry by its key: open addressing with linear probing, never more than half full.
type table struct {
	used  int             // of the goroutine that adds
	slots []atomic.Uint64 // the high half of the key << 32 | the number of its entry + 1; 0 is free
}

const smallestTable = 16

func newTable(size int) *table { return &table{slots: make([]atomic.Uint64, size)} }

// The low bits of the key choose the shard, those above them the slot, and the high half tells keys apart before the entry is looked at.
func firstSlot(key term.Key) uint64 { return uint64(key) / shards }

func (x *Index) find(key term.Key) (number uint32, ok bool) {
	t := x.tables[key%shards].Load()
	mask := uint64(len(t.slots) - 1)
	for i := firstSlot(key) & mask; ; i = (i + 1) & mask {
		slot := t.slots[i].Load()
		if slot == 0 {
			return 0, false
		}
		if slot>>32 == uint64(key)>>32 && x.entries.At(uint64(uint32(slot)-1)).key == key {
			return uint32(slot) - 1, true
		}
	}
}

// insert makes an entry for a key that has none.
func (x *Index) insert(key term.Key) (number uint32) {
	number = uint32(x.entries.Len())
	x.entries.Next().key = key
	shard := &x.tables[key%shards]
	t := shard.Load()
	if t.used++; 2*t.used > len(t.slots) {
		larger := newTable(2 * len(t.slots))
		larger.used = t.used
		for i := range t.slots {
			if slot := t.slots[i].Load(); slot != 0 {
				larger.put(x.entries.At(uint64(uint32(slot)-1)).key, slot)
			}
		}
		t = larger
		shard.Store(t)
	}
	t.put(key, uint64(key)>>32<<32|uint64(number+1))
	return number
}

func (t *table) put(key term.Key, slot uint64) {
	mask := uint64(len(t.slots) - 1)
	i := firstSlot(key) & mask
	for t.slots[i].Load() != 0 {
		i = (i + 1) & mask
	}
	t.slots[i].Store(slot)
}
