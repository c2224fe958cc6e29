package search_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/diskstore/internal/indexfile"
	"github.com/dcbstore/dcb/diskstore/internal/search"
	"github.com/dcbstore/dcb/diskstore/internal/tail"
	"github.com/dcbstore/dcb/diskstore/internal/term"
	"github.com/dcbstore/dcb/internal/vfs"
)

// someEvents returns events of which some have rare tags and some frequent ones, in both cases together with rare and frequent types.
func someEvents(random *rand.Rand, n int) []dcb.Event {
	events := make([]dcb.Event, n)
	for i := range events {
		events[i].Type = fmt.Sprint("T", int(random.ExpFloat64()*2))
		for tag := range 6 {
			if random.IntN(1<<tag) == 0 { // tag 0 is on every event, tag 5 on one of 32
				events[i].Tags = append(events[i].Tags, fmt.Sprint("t", tag))
			}
		}
		if random.IntN(3) == 0 {
			events[i].Tags = append(events[i].Tags, fmt.Sprint("own", random.IntN(n/4+1)))
		}
	}
	return events
}

func indexOf(events []dcb.Event) *tail.Index {
	x := tail.New()
	for i, e := range events {
		var tags []term.Key
		for _, tag := range e.Tags {
			tags = append(tags, term.OfTag(tag))
		}
		x.Add(uint32(i), term.OfType(e.Type), 0, tags)
	}
	return x
}

// inFile returns the same index, in a file.
func inFile(t *testing.T, x *tail.Index) *indexfile.Index {
	t.Helper()
	files := vfs.NewMem()
	if err := files.MakeDir("dir"); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join("dir", "index")
	f, err := files.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := indexfile.Write(t.Context(), f, indexfile.Meta{First: 1, Count: x.Count(), Segments: 1}, x); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := indexfile.Open(files, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := file.Close(); err != nil {
			t.Error(err)
		}
	})
	return file
}

func someQuery(random *rand.Rand, n int) dcb.Query {
	q := make(dcb.Query, 1+random.IntN(3))
	for i := range q {
		for range random.IntN(4) {
			q[i].Types = append(q[i].Types, fmt.Sprint("T", random.IntN(12)))
		}
		for range random.IntN(4) {
			tag := fmt.Sprint("t", random.IntN(6))
			if random.IntN(4) == 0 {
				tag = fmt.Sprint("own", random.IntN(n/4+2))
			}
			q[i].Tags = append(q[i].Tags, tag)
		}
	}
	return q
}

func TestASearchFindsWhatMatchesInOrder(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for _, n := range []int{1, 2, 100, 5000} {
		events := someEvents(random, n)
		x := indexOf(events)
		for name, index := range map[string]search.Index{"in memory": x, "in a file": inFile(t, x)} {
			t.Run(fmt.Sprint(n, " events ", name), func(t *testing.T) {
				var s search.Search // used again and again
				for range 300 {
					a, b := uint32(random.IntN(n)), uint32(random.IntN(n))
					check(t, &s, index, events, someQuery(random, n), min(a, b), max(a, b), random.IntN(2) == 0)
				}
				check(t, &s, index, events, dcb.All(), 0, uint32(n-1), true)
				check(t, &s, index, events, dcb.All(), 0, uint32(n-1), false)
			})
		}
	}
}

// check compares an exact search, and one that leaves it to the caller to judge, with a scan.
func check(t *testing.T, s *search.Search, index search.Index, events []dcb.Event, query dcb.Query, from, to uint32, backwards bool) {
	t.Helper()
	var q search.Query
	q.Translate(query)
	var want []uint32
	for offset := from; offset <= to; offset++ {
		if query.Matches(events[offset]) {
			want = append(want, offset)
		}
	}
	if backwards {
		slices.Reverse(want)
	}
	for _, exact := range []bool{true, false} {
		s.Start(t.Context(), index, &q, from, to, backwards, exact)
		most := s.AtMost()
		var got []uint32
		for {
			c, ok, err := s.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			if len(got) > 0 && (backwards && c.Offset > got[len(got)-1] || !backwards && c.Offset < got[len(got)-1]) {
				t.Fatalf("%+v: %d comes after %d", query, c.Offset, got[len(got)-1])
			}
			most--
			if !exact && !query[c.Item].Matches(events[c.Offset]) {
				continue
			}
			got = append(got, c.Offset)
		}
		if got = slices.Compact(got); !slices.Equal(got, want) {
			t.Fatalf("%+v from %d to %d, backwards %t, exact %t: %v, want %v", query, from, to, backwards, exact, got, want)
		}
		if most < 0 {
			t.Fatalf("%+v: %d candidates more than AtMost said", query, -most)
		}
	}
}

func TestASearchDoesNotAllocate(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	events := someEvents(random, 5000)
	index := inFile(t, indexOf(events))
	query := dcb.Query{{Types: []string{"T1", "T2"}, Tags: []string{"t1", "t3"}}, {Tags: []string{"own7"}}, {Types: []string{"T8"}}}
	var q search.Query
	var s search.Search
	allocs := testing.AllocsPerRun(100, func() {
		q.Translate(query)
		s.Start(t.Context(), index, &q, 0, 4999, false, false)
		for {
			if _, ok, err := s.Next(t.Context()); err != nil || !ok {
				return
			}
		}
	})
	if allocs > 0 {
		t.Errorf("a search allocates %v times", allocs)
	}
}
