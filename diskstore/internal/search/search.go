// Package search evaluates a query on the index of a run of positions, whether that is in memory or in a file.
//
// An item of the query is served by the rarest of its tags, and the lists of its other tags are skipped through in step; or by its types, if
// those are rarer still. The streams of all items are merged. No list is walked that need not be, forwards or backwards, and none
// further than the caller asks.
//
// The index knows keys, not text: what comes out is a candidate, to be judged by dcb.QueryItem.Matches. What does not come out does not match.
package search

import (
	"cmp"
	"container/heap"
	"context"
	"slices"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/diskstore/internal/postings"
	"github.com/dcbstore/dcb/diskstore/internal/term"
)

// Index is what is searched. Events are named by their offset: their position less that of the first event of the index.
type Index interface {
	// List returns the offsets of the events that have a term.
	List(key term.Key) (postings.List, error)
	// TypeID returns by what number Event names the type with that key; not ok, if no event has it.
	TypeID(key term.Key) (id uint32, ok bool, err error)
	// Event returns where the record of an event lies in its segment, and the ID of its type.
	Event(offset uint32) (place, typeID uint32, err error)
}

// stepsUnasked is after how many steps that led to no candidate the context is asked whether anybody still waits.
const stepsUnasked = 4096

// few candidates are judged sooner than their types are looked up.
const few = 32

// Search is one evaluation. It may be used again, so that it allocates nothing in the end.
type Search struct {
	index     Index
	from, to  uint32
	backwards bool
	exact     bool
	streams   []*stream // a heap; the one whose turn it is comes first
	spare     []*stream
	cursors   []*postings.Cursor
	used      int // of cursors
	err       error
}

// Candidate is an event that an item of the query selects, as far as the index can tell.
type Candidate struct {
	Offset uint32
	Item   int // of the query
}

// Start begins to evaluate q on the events of an index from an offset to another, inclusive. Candidates of the wrong type may come out where that is cheaper than
// looking, unless the search is to be exact. Errors come from Next.
func (s *Search) Start(ctx context.Context, index Index, q *Query, from, to uint32, backwards, exact bool) {
	s.index, s.from, s.to, s.backwards, s.exact = index, from, to, backwards, exact
	s.spare = append(s.spare, s.streams...)
	s.streams, s.used, s.err = s.streams[:0], 0, nil
	for i := range q.items {
		streams, used := len(s.streams), s.used
		if s.err = s.addItem(ctx, i, &q.items[i]); s.err != nil {
			return
		}
		if len(s.streams) == streams {
			s.used = used // it selects nothing, and needs no lists
		}
	}
	if len(s.streams) > 1 {
		heap.Init(s)
	}
}

// Next returns the next candidate in the order of the search, or false if there is none. An event comes as often as items select it.
func (s *Search) Next(ctx context.Context) (c Candidate, ok bool, err error) {
	if s.err != nil || len(s.streams) == 0 {
		return Candidate{}, false, s.err
	}
	first := s.streams[0]
	c = Candidate{first.offset, first.item}
	more, err := s.advance(ctx, first)
	switch {
	case err != nil:
		s.err = err
		return Candidate{}, false, err
	case !more && len(s.streams) == 1:
		s.spare = append(s.spare, first)
		s.streams = s.streams[:0]
	case !more:
		s.spare = append(s.spare, heap.Pop(s).(*stream))
	case len(s.streams) > 1:
		heap.Fix(s, 0)
	}
	return c, true, nil
}

// Size returns how many lists the search has had in step, for which it keeps the memory.
func (s *Search) Size() int { return len(s.cursors) }

// AtMost returns a bound on how many candidates are left.
func (s *Search) AtMost() int {
	total := 0
	for _, st := range s.streams {
		if st.driver != nil {
			total += st.driver.Remaining()
		} else {
			total += int(s.to-s.from) + 1
		}
	}
	return total
}

// stream is the candidates of one item, or of one type of an item.
type stream struct {
	item    int
	driver  *postings.Cursor // nil: every event is a candidate
	filters []*postings.Cursor
	room    []*postings.Cursor // of filters, from its beginning
	types   []uint32           // of which the type must be one, if there are any
	offset  uint32             // the candidate that is next
}

// addItem adds the streams that together have every event that the item selects.
func (s *Search) addItem(ctx context.Context, number int, it *item) error {
	if len(it.tags) > dcb.MaxTags {
		return nil // no event has so many
	}
	if len(it.tags) == 0 && len(it.types) == 0 {
		st := s.stream(number)
		st.offset = s.from
		if s.backwards {
			st.offset = s.to
		}
		s.streams = append(s.streams, st)
		return nil
	}
	st := s.stream(number)
	for _, tag := range it.tags {
		cursor, err := s.cursor(tag)
		if err != nil {
			return err
		}
		if cursor.Remaining() == 0 {
			s.spare = append(s.spare, st)
			return cursor.Err()
		}
		st.filters = append(st.filters, cursor)
	}
	if len(it.tags) == 0 {
		s.spare = append(s.spare, st)
		return s.addTypes(ctx, number, it)
	}
	slices.SortFunc(st.filters, func(a, b *postings.Cursor) int { return cmp.Compare(a.Remaining(), b.Remaining()) })
	if len(it.types) > 0 && (s.exact || st.filters[0].Remaining() > few) {
		rarer, err := s.typesOf(st, it)
		if err != nil {
			return err
		}
		if len(st.types) == 0 || rarer {
			s.spare = append(s.spare, st)
			return s.addTypes(ctx, number, it)
		}
	}
	st.room, st.driver, st.filters = st.filters, st.filters[0], st.filters[1:]
	return s.begin(ctx, st)
}

// typesOf sets the IDs of the types that events of st may have, and reports whether their events are rarer than those of its rarest tag.
func (s *Search) typesOf(st *stream, it *item) (rarer bool, err error) {
	events, bound := 0, st.filters[0].Remaining()
	for _, key := range it.types {
		id, ok, err := s.index.TypeID(key)
		if err != nil {
			return false, err
		}
		if !ok {
			continue
		}
		st.types = append(st.types, id)
		if bound > few && events < bound {
			cursor, err := s.cursor(key)
			if err != nil {
				return false, err
			}
			events += cursor.Remaining()
			s.used-- // it was only asked how long it is
		}
	}
	slices.Sort(st.types)
	return bound > few && events < bound, nil
}

// has reports whether a type is among types, which ascend.
func has(types []uint32, typeID uint32) bool {
	if len(types) > few {
		_, found := slices.BinarySearch(types, typeID)
		return found
	}
	return slices.Contains(types, typeID)
}

// addTypes adds a stream for each type of the item.
func (s *Search) addTypes(ctx context.Context, number int, it *item) error {
	for _, key := range it.types {
		driver, err := s.cursor(key)
		if err != nil {
			return err
		}
		if driver.Remaining() == 0 {
			if err := driver.Err(); err != nil {
				return err
			}
			continue
		}
		st := s.stream(number)
		st.driver = driver
		for _, tag := range it.tags {
			cursor, err := s.cursor(tag)
			if err != nil {
				return err
			}
			st.filters = append(st.filters, cursor)
		}
		if err := s.begin(ctx, st); err != nil {
			return err
		}
	}
	return nil
}

// begin adds a stream if it has any candidate.
func (s *Search) begin(ctx context.Context, st *stream) error {
	ok, err := s.settle(ctx, st)
	if ok {
		s.streams = append(s.streams, st)
	} else {
		s.spare = append(s.spare, st)
	}
	return err
}

// advance moves on to the next candidate of st.
func (s *Search) advance(ctx context.Context, st *stream) (ok bool, err error) {
	if st.driver != nil {
		st.driver.Next()
		return s.settle(ctx, st)
	}
	if s.backwards {
		st.offset--
		return st.offset+1 > s.from, nil
	}
	st.offset++
	return st.offset <= s.to && st.offset != 0, nil
}

// settle sets st's candidate to the next one that all of its lists have, from where its driver is.
func (s *Search) settle(ctx context.Context, st *stream) (ok bool, err error) {
	for steps := 1; ; steps++ {
		if steps%stepsUnasked == 0 {
			if err := ctx.Err(); err != nil {
				return false, err
			}
		}
		offset, ok := st.driver.Current()
		if !ok {
			return false, st.driver.Err()
		}
		if at, ok, err := inAll(st.filters, offset); err != nil || !ok {
			return false, err
		} else if at != offset {
			st.driver.Seek(at)
			continue
		}
		if len(st.types) > 0 {
			_, typeID, err := s.index.Event(offset)
			if err != nil {
				return false, err
			}
			if !has(st.types, typeID) {
				st.driver.Next()
				continue
			}
		}
		st.offset = offset
		return true, nil
	}
}

// inAll returns offset if all lists have it, and otherwise the next that they could all have; not ok, if one of them is at its end.
func inAll(lists []*postings.Cursor, offset uint32) (at uint32, ok bool, err error) {
	for _, list := range lists {
		list.Seek(offset)
		at, ok := list.Current()
		if !ok || at != offset {
			return at, ok, list.Err()
		}
	}
	return offset, true, nil
}

// stream returns one to be filled.
func (s *Search) stream(item int) *stream {
	if len(s.spare) == 0 {
		return &stream{item: item}
	}
	st := s.spare[len(s.spare)-1]
	s.spare = s.spare[:len(s.spare)-1]
	if st.room == nil {
		st.room = st.filters
	}
	*st = stream{item: item, filters: st.room[:0], types: st.types[:0]}
	return st
}

// cursor returns one at the beginning of a term's list.
func (s *Search) cursor(key term.Key) (*postings.Cursor, error) {
	list, err := s.index.List(key)
	if err != nil {
		return nil, err
	}
	if s.used == len(s.cursors) {
		s.cursors = append(s.cursors, new(postings.Cursor))
	}
	c := s.cursors[s.used]
	s.used++
	c.Reset(list, s.from, s.to, s.backwards)
	return c, nil
}

// Len, Less, Swap, Push and Pop make a heap of the streams. They are for package heap.

// Len returns how many streams are left.
func (s *Search) Len() int { return len(s.streams) }

// Less reports whether the candidate of stream i comes before that of stream j.
func (s *Search) Less(i, j int) bool {
	if s.backwards {
		return s.streams[i].offset > s.streams[j].offset
	}
	return s.streams[i].offset < s.streams[j].offset
}

// Swap swaps two streams.
func (s *Search) Swap(i, j int) { s.streams[i], s.streams[j] = s.streams[j], s.streams[i] }

// Push is never called: a search has all its streams from the start.
func (s *Search) Push(any) { panic("a search has all its streams from the start") }

// Pop takes the last stream away.
func (s *Search) Pop() any {
	last := s.streams[len(s.streams)-1]
	s.streams = s.streams[:len(s.streams)-1]
	return last
}
