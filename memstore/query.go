package memstore

import (
	"cmp"
	"container/heap"
	"iter"
	"slices"

	"github.com/dcbstore/dcb"
)

// bounds limit a walk to the positions after after and up to last, in one direction.
type bounds struct {
	after, last dcb.Position
	backwards   bool
}

// matches yields the positions of the events within b that q selects, in b's order, each once.
func (s *Store) matches(q dcb.Query, b bounds) iter.Seq[dcb.Position] {
	return s.walk(s.merge(q, b))
}

// walk yields what matches. Every item is served by its shortest lists of positions; the lists of all items are merged, and
// each event they lead to is judged by its item.
func (s *Store) walk(merged *merge) iter.Seq[dcb.Position] {
	return func(yield func(dcb.Position) bool) {
		for yielded := dcb.Position(0); len(merged.cursors) > 0; merged.advance() {
			next := &merged.cursors[0]
			position := next.position()
			if position == yielded || !next.item.Matches(s.events.at(position).Event) {
				continue
			}
			if !yield(position) {
				return
			}
			yielded = position
		}
	}
}

func (s *Store) merge(q dcb.Query, b bounds) *merge {
	merged := &merge{bounds: b, cursors: make([]cursor, 0, len(q))}
	for i := range q {
		s.addLists(merged, &q[i])
	}
	heap.Init(merged)
	return merged
}

// addLists adds lists that together hold every event that item selects, and as few others as the index can tell.
func (s *Store) addLists(merged *merge, item *dcb.QueryItem) {
	if len(item.Types) == 0 && len(item.Tags) == 0 {
		merged.add(item, list{first: 1, length: int(merged.bounds.last)})
		return
	}
	var rarestTag list
	for i, tag := range item.Tags {
		if found := listOf(s.byTag.of(tag)); i == 0 || found.length < rarestTag.length {
			rarestTag = found
		}
	}
	if len(item.Tags) > 0 && (len(item.Types) == 0 || rarestTag.length <= s.countTypes(item.Types)) {
		merged.add(item, rarestTag)
		return
	}
	for _, eventType := range item.Types {
		merged.add(item, listOf(s.byType.of(eventType)))
	}
}

func (s *Store) countTypes(types []string) int {
	total := 0
	for _, eventType := range types {
		total += len(s.byType.of(eventType))
	}
	return total
}

// list is an ascending list of positions: those given, or if there are none, length of them from first on.
type list struct {
	positions []dcb.Position
	first     dcb.Position
	length    int
}

func listOf(positions []dcb.Position) list {
	return list{positions: positions, length: len(positions)}
}

func (l list) at(i int) dcb.Position {
	if l.positions != nil {
		return l.positions[i]
	}
	return l.first + dcb.Position(i)
}

// within returns the part of l that lies within b.
func (l list) within(b bounds) list {
	from, to := l.countUpTo(b.after), l.countUpTo(b.last)
	if to <= from {
		return list{}
	}
	if l.positions != nil {
		return listOf(l.positions[from:to])
	}
	return list{first: l.first + dcb.Position(from), length: to - from}
}

// countUpTo returns how many of l's positions are at or below position.
func (l list) countUpTo(position dcb.Position) int {
	if l.positions == nil {
		return int(min(position-min(position, l.first-1), dcb.Position(l.length)))
	}
	n, found := slices.BinarySearch(l.positions, position)
	if found {
		n++
	}
	return n
}

// cursor is a place in a list that is walked in one direction.
type cursor struct {
	list
	walked    int
	backwards bool
	item      *dcb.QueryItem
}

func (c *cursor) position() dcb.Position {
	if c.backwards {
		return c.at(c.length - 1 - c.walked)
	}
	return c.at(c.walked)
}

// merge is a heap of cursors, none of which is at its end; the one whose turn it is comes first.
type merge struct {
	bounds  bounds
	cursors []cursor
}

func (m *merge) add(item *dcb.QueryItem, l list) {
	if l = l.within(m.bounds); l.length > 0 {
		m.cursors = append(m.cursors, cursor{list: l, item: item, backwards: m.bounds.backwards})
	}
}

// atMost returns a bound on how many positions are left.
func (m *merge) atMost() int {
	total := 0
	for i := range m.cursors {
		total += m.cursors[i].length
	}
	return total
}

// advance moves on the cursor whose turn it is.
func (m *merge) advance() {
	m.cursors[0].walked++
	if m.cursors[0].walked == m.cursors[0].length {
		heap.Pop(m)
	} else if len(m.cursors) > 1 {
		heap.Fix(m, 0)
	}
}

func (m *merge) Len() int      { return len(m.cursors) }
func (m *merge) Swap(i, j int) { m.cursors[i], m.cursors[j] = m.cursors[j], m.cursors[i] }
func (m *merge) Push(any)      { panic("a merge has all its cursors from the start") }

func (m *merge) Less(i, j int) bool {
	order := cmp.Compare(m.cursors[i].position(), m.cursors[j].position())
	if m.cursors[i].backwards {
		order = -order
	}
	return order < 0
}

func (m *merge) Pop() any {
	m.cursors = m.cursors[:len(m.cursors)-1]
	return nil
}
