package tail_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/dcbstore/dcb/diskstore/internal/indexfile"
	"github.com/dcbstore/dcb/diskstore/internal/postings"
	"github.com/dcbstore/dcb/diskstore/internal/tail"
	"github.com/dcbstore/dcb/diskstore/internal/term"
)

// added is an event as it was added, and what of it is in lists.
type added struct {
	place   uint32
	typeKey term.Key
	terms   []term.Key
}

// add adds an event with random terms, some of them rare and some on nearly every event.
func add(x *tail.Index, random *rand.Rand, place uint32) added {
	e := added{place: place, typeKey: term.OfType(fmt.Sprint("Type", random.IntN(7)))}
	var tags []term.Key
	for range random.IntN(4) {
		tags = append(tags, term.OfTag(fmt.Sprint("tag", int(random.ExpFloat64()*50))))
	}
	var id term.Key
	if random.IntN(2) == 0 {
		id = term.OfID([16]byte{byte(place), byte(place >> 8), byte(place >> 16), 1})
	}
	x.Add(place, e.typeKey, id, tags)
	e.terms = append(tags, e.typeKey)
	if id != 0 {
		e.terms = append(e.terms, id)
	}
	return e
}

func offsets(t *testing.T, list postings.List, to uint32) (found []uint32) {
	t.Helper()
	var c postings.Cursor
	c.Reset(list, 0, to, false)
	for offset, ok := c.Current(); ok; offset, ok = c.Current() {
		found = append(found, offset)
		c.Next()
	}
	if err := c.Err(); err != nil {
		t.Fatal(err)
	}
	return found
}

func TestTheIndexHasWhatWasAdded(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	x := tail.New()
	const events = 20_000
	lists := make(map[term.Key][]uint32)
	var all []added
	for i := range uint32(events) {
		e := add(x, random, 64+3*i)
		all = append(all, e)
		for _, key := range e.terms {
			if list := lists[key]; len(list) == 0 || list[len(list)-1] != i {
				lists[key] = append(list, i)
			}
		}
	}
	for key, want := range lists {
		list, err := x.List(key)
		if got := offsets(t, list, events); err != nil || !slices.Equal(got, want) {
			t.Fatalf("the list of %#x has %d offsets (%v), want %d", uint64(key), len(got), err, len(want))
		}
	}
	if list, err := x.List(term.OfTag("never")); err != nil || list.Len() != 0 {
		t.Errorf("a term that no event has has %d", list.Len())
	}
	for offset, e := range all {
		place, typeID, err := x.Event(uint32(offset))
		id, ok, _ := x.TypeID(e.typeKey)
		if err != nil || place != e.place || !ok || typeID != id {
			t.Fatalf("event %d lies at %d with type %d; want %d and %d", offset, place, typeID, e.place, id)
		}
	}
	asSource(t, x, lists, all)
}

// asSource checks what an index file is made from.
func asSource(t *testing.T, x *tail.Index, lists map[term.Key][]uint32, all []added) {
	t.Helper()
	if x.Count() != uint32(len(all)) {
		t.Errorf("Count is %d, want %d", x.Count(), len(all))
	}
	total := 0
	for kind := range term.Kinds {
		keys := slices.Sorted(maps.Keys(lists))
		keys = slices.DeleteFunc(keys, func(key term.Key) bool { return key.Kind() != term.Kind(kind) })
		terms := make([]indexfile.Term, x.TermCount(term.Kind(kind)))
		if err := x.ReadTerms(term.Kind(kind), 0, terms); err != nil {
			t.Fatal(err)
		}
		for i, got := range terms {
			if i >= len(keys) || got.Key != keys[i] || !slices.Equal(offsets(t, got.List, x.Count()), lists[got.Key]) {
				t.Fatalf("term %d of kind %d is not the one that was added", i, kind)
			}
		}
		if total += len(terms); len(terms) != len(keys) {
			t.Errorf("there are %d terms of kind %d, want %d", len(terms), kind, len(keys))
		}
	}
	if total != len(lists) {
		t.Errorf("there are %d terms, want %d", total, len(lists))
	}
	types := make([]indexfile.Term, x.TermCount(term.Type))
	events := make([]indexfile.Event, len(all))
	if err := x.ReadTerms(term.Type, 0, types); err != nil {
		t.Fatal(err)
	}
	if err := x.ReadEvents(0, events); err != nil {
		t.Fatal(err)
	}
	for i, e := range events {
		if e.Place != all[i].place || types[e.Type].Key != all[i].typeKey {
			t.Fatalf("event %d of the source is not the one that was added", i)
		}
	}
}

// TestReadersSeeAllUpToTheirHeadWhileMoreIsAdded is worth most under the race detector.
func TestReadersSeeAllUpToTheirHeadWhileMoreIsAdded(t *testing.T) {
	t.Parallel()
	const events = 30_000
	x := tail.New()
	var head atomic.Uint32 // events up to it may be looked at
	everywhere, tenth := term.OfTag("everywhere"), func(i uint32) term.Key { return term.OfTag(fmt.Sprint("tenth", i/10)) }
	typeKey := term.OfType("Type")
	var readers sync.WaitGroup
	for reader := range 3 {
		readers.Go(func() {
			random := rand.New(rand.NewPCG(uint64(reader), 1))
			for {
				h := head.Load()
				if h > 0 {
					i := random.Uint32N(h)
					list, _ := x.List(everywhere)
					if got := offsets(t, list, h-1); len(got) != int(h) {
						t.Errorf("a tag that all %d events have has %d", h, len(got))
						return
					}
					list, _ = x.List(tenth(i))
					if got, want := len(offsets(t, list, h-1)), int(min(h-i/10*10, 10)); got != want {
						t.Errorf("a tag that %d events have has %d", want, got)
						return
					}
					if place, _, _ := x.Event(i); place != i+64 {
						t.Errorf("event %d lies at %d", i, place)
						return
					}
				}
				if h == events {
					return
				}
			}
		})
	}
	for i := range uint32(events) {
		x.Add(i+64, typeKey, 0, []term.Key{everywhere, tenth(i)})
		head.Store(i + 1)
	}
	readers.Wait()
}

func BenchmarkAdd(b *testing.B) {
	typeKey := term.OfType("Type")
	tags := make([]term.Key, 1)
	b.ReportAllocs()
	x, n := tail.New(), uint32(0)
	for b.Loop() {
		if n == 500_000 {
			x, n = tail.New(), 0
		}
		tags[0] = term.Key(uint64(n/10)*0x9e3779b97f4a7c15) >> 2
		x.Add(n, typeKey, 0, tags)
		n++
	}
}
