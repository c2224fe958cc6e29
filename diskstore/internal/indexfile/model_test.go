package indexfile_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/dcbstore/dcb/diskstore/internal/indexfile"
	"github.com/dcbstore/dcb/diskstore/internal/postings"
	"github.com/dcbstore/dcb/diskstore/internal/term"
	"github.com/dcbstore/dcb/internal/vfs"
)

// model is an index as simple as can be.
type model struct {
	lists  map[term.Key][]uint32
	places []uint32
	types  []term.Key // by event

	segments uint32

	sorted  [term.Kinds][]indexfile.Term
	ranks   map[term.Key]uint32
	foreign []term.Key
}

func newModel() *model { return &model{lists: make(map[term.Key][]uint32), segments: 1} }

// add adds an event.
func (m *model) add(place uint32, typeKey term.Key, others ...term.Key) {
	offset := uint32(len(m.places))
	m.places, m.types = append(m.places, place), append(m.types, typeKey)
	for _, key := range append(others, typeKey) {
		list := m.lists[key]
		if len(list) == 0 || list[len(list)-1] != offset {
			m.lists[key] = append(list, offset)
		}
	}
	m.ranks = nil
}

// join adds what other has behind m.
func (m *model) join(other *model) {
	base := uint32(len(m.places))
	m.places, m.types = append(m.places, other.places...), append(m.types, other.types...)
	for key, list := range other.lists {
		for _, offset := range list {
			m.lists[key] = append(m.lists[key], base+offset)
		}
	}
	m.segments += other.segments
	m.ranks = nil
}

func (m *model) meta() indexfile.Meta {
	return indexfile.Meta{StoreID: [16]byte{1, 2, 3}, First: 4711, Count: uint32(len(m.places)), Segments: m.segments, Sum: 0xC0FFEE}
}

func (m *model) sort() {
	if m.ranks != nil {
		return
	}
	m.ranks, m.sorted = make(map[term.Key]uint32), [term.Kinds][]indexfile.Term{}
	for _, key := range slices.Sorted(maps.Keys(m.lists)) {
		of := &m.sorted[key.Kind()]
		m.ranks[key] = uint32(len(*of))
		*of = append(*of, indexfile.Term{Key: key, List: postings.Plain(m.lists[key])})
	}
	m.foreign = m.strangers()
}

func (m *model) Count() uint32 { return uint32(len(m.places)) }

func (m *model) TermCount(kind term.Kind) int {
	m.sort()
	return len(m.sorted[kind])
}

func (m *model) ReadTerms(kind term.Kind, rank int, into []indexfile.Term) error {
	copy(into, m.sorted[kind][rank:rank+len(into)])
	return nil
}

func (m *model) ReadEvents(offset uint32, into []indexfile.Event) error {
	m.sort()
	for i := range into {
		into[i] = indexfile.Event{Place: m.places[offset+uint32(i)], Type: m.ranks[m.types[offset+uint32(i)]]}
	}
	return nil
}

// randomModel returns one of so many events of a segment.
func randomModel(r *rand.Rand, events, types, tags int) *model {
	m := newModel()
	place := uint32(64)
	for range events {
		var keys []term.Key
		for range r.IntN(4) {
			keys = append(keys, tagKey(r.IntN(1+r.IntN(1+r.IntN(tags))))) // a few tags are on many events
		}
		if r.IntN(3) > 0 {
			keys = append(keys, term.OfID([16]byte{0: byte(r.Uint32()), 1: byte(r.Uint32()), 2: byte(r.Uint32())}))
		}
		m.add(place, typeKey(r.IntN(types)), keys...)
		place += 1 + r.Uint32N(1000)
	}
	return m
}

func tagKey(n int) term.Key  { return term.OfTag(fmt.Sprint("tag ", n)) }
func typeKey(n int) term.Key { return term.OfType(fmt.Sprint("type ", n)) }

// check ends the test if err is not nil.
func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

const fileName = "an index"

// write writes an index and opens it.
func write(tb testing.TB, meta indexfile.Meta, sources ...indexfile.Source) *indexfile.Index {
	tb.Helper()
	return opened(tb, written(tb, meta, sources...))
}

// written returns the file of an index, as it is after a crash.
func written(tb testing.TB, meta indexfile.Meta, sources ...indexfile.Source) []byte {
	tb.Helper()
	fs := vfs.NewMem()
	check(tb, writeTo(tb.Context(), fs, meta, sources...))
	check(tb, fs.SyncDir("."))
	return fs.Crash(nil).ReadFile(fileName)
}

// writeTo writes an index into a new file.
func writeTo(ctx context.Context, fs vfs.FS, meta indexfile.Meta, sources ...indexfile.Source) error {
	f, err := fs.Create(fileName)
	if err != nil {
		return err
	}
	return errors.Join(indexfile.Write(ctx, f, meta, sources...), f.Close())
}

func opened(tb testing.TB, b []byte) *indexfile.Index {
	tb.Helper()
	x, err := openBytes(tb, b)
	check(tb, err)
	return x
}

// openBytes opens the file b until the test ends. What is opened must be closed then, and what fails leaves nothing open.
func openBytes(tb testing.TB, b []byte) (*indexfile.Index, error) {
	tb.Helper()
	fs := vfs.NewMem()
	f, err := fs.Create(fileName)
	check(tb, err)
	_, err = f.WriteAt(b, 0)
	check(tb, errors.Join(err, f.Close()))
	x, err := indexfile.Open(fs, fileName)
	if err == nil {
		tb.Cleanup(func() { check(tb, x.Close()) })
	}
	want := 0
	if err == nil {
		want = 1
	}
	if have := fs.OpenHandles(); have != want {
		tb.Fatalf("%d handles are open, want %d", have, want)
	}
	return x, err
}

// compare returns where x differs from m; ErrBroken, if x reports it.
func (m *model) compare(x *indexfile.Index) error {
	for key, want := range m.lists {
		have, err := listOf(x, key)
		if err != nil {
			return err
		}
		if !slices.Equal(have, want) {
			return fmt.Errorf("term %#x: have %v, want %v", key, have, want)
		}
	}
	m.sort()
	for _, key := range m.foreign {
		if have, err := listOf(x, key); err != nil || len(have) > 0 {
			return cmp.Or(err, fmt.Errorf("term %#x: have %v, want nothing", key, have))
		}
	}
	for offset := range m.places {
		place, id, err := x.Event(uint32(offset))
		if err != nil {
			return err
		}
		key, err := x.TypeKey(id)
		if err != nil {
			return err
		}
		if place != m.places[offset] || key != m.types[offset] {
			return fmt.Errorf("event %d: have place %d and type %#x, want %d and %#x", offset, place, key, m.places[offset], m.types[offset])
		}
		if back, ok, err := x.TypeID(key); err != nil || !ok || back != id {
			return cmp.Or(err, fmt.Errorf("type %#x: have %d, %v, want %d", key, back, ok, id))
		}
	}
	return nil
}

// strangers returns keys that m has not.
func (m *model) strangers() (keys []term.Key) {
	for i := range 20 {
		for _, key := range []term.Key{term.OfTag(fmt.Sprint("stranger ", i)), term.OfType(fmt.Sprint("stranger ", i)), term.OfID([16]byte{15: byte(i)})} {
			if m.lists[key] == nil {
				keys = append(keys, key)
			}
		}
	}
	for key := range m.lists {
		if m.lists[key+1] == nil && (key+1).Kind() == key.Kind() {
			keys = append(keys, key+1)
		}
		if len(keys) > 500 {
			break
		}
	}
	return append(keys, term.Key(math.MaxUint64)) // of no kind
}

func listOf(x *indexfile.Index, key term.Key) (have []uint32, err error) {
	list, err := x.List(key)
	if err != nil {
		return nil, err
	}
	var c postings.Cursor
	c.Reset(list, 0, math.MaxUint32, false)
	for offset, ok := c.Current(); ok; offset, ok = c.Current() {
		have = append(have, offset)
		c.Next()
	}
	if c.Err() == nil && len(have) != list.Len() {
		return nil, errors.New("the list has another length than it says")
	}
	return have, c.Err()
}
