package memstore

import (
	"cmp"
	"container/heap"
	"iter"
	"slices"

	"github.com/dcbstore/dcb"
)

// bounds limit a search to the positions above after and up to last, in one direction.
type bounds struct {
	after, last dcb.Position
	backwards   bool
}

// matches yields the position of each event within b that matches q, once, in b's direction.
func (s *Store) matches(q dcb.Query, b bounds) iter.Seq[dcb.Position] {
	return s.matching(s.candidates(q, b))
}

// matching yields the candidates that match the query item which they are candidates for, each
// position once.
func (s *Store) matching(c *candidates) iter.Seq[dcb.Position] {
	return func(yield func(dcb.Position) bool) {
		for yielded := dcb.Position(0); len(c.cursors) > 0; c.advance() {
			next := &c.cursors[0]
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

// candidates returns positions within b, among them the position of every event that matches q.
func (s *Store) candidates(q dcb.Query, b bounds) *candidates {
	c := &candidates{bounds: b, cursors: make([]cursor, 0, len(q))}
	for i := range q {
		s.addCandidates(c, &q[i])
	}
	heap.Init(c)
	return c
}

// addCandidates adds the shortest lists of the index that hold every event that matches item: the
// rarest of its tags, or its types if they are rarer together.
func (s *Store) addCandidates(c *candidates, item *dcb.QueryItem) {
	if len(item.Types) == 0 && len(item.Tags) == 0 {
		c.add(item, list{first: 1, length: int(c.bounds.last)})
		return
	}
	var rarestTag list
	for i, tag := range item.Tags {
		if found := listOf(s.byTag.positionsOf(tag)); i == 0 || found.length < rarestTag.length {
			rarestTag = found
		}
	}
	if len(item.Tags) > 0 && (len(item.Types) == 0 || rarestTag.length <= s.countTypes(item.Types)) {
		c.add(item, rarestTag)
		return
	}
	for _, eventType := range item.Types {
		c.add(item, listOf(s.byType.positionsOf(eventType)))
	}
}

// countTypes returns the number of events of the given types.
func (s *Store) countTypes(types []string) int {
	total := 0
	for _, eventType := range types {
		total += len(s.byType.positionsOf(eventType))
	}
	return total
}

// list is an ascending list of positions. If positions is nil, the list is the range of length
// positions that begins with first.
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

// within returns the positions of l within b.
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

// countUpTo returns the number of positions in l at or below position.
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

// cursor iterates over the candidates for one query item.
type cursor struct {
	list
	next      int // the number of positions before the current one, in the cursor's direction
	backwards bool
	item      *dcb.QueryItem
}

// position returns the current position.
func (c *cursor) position() dcb.Position {
	if c.backwards {
		return c.at(c.length - 1 - c.next)
	}
	return c.at(c.next)
}

// candidates merges cursors. They form a heap whose first cursor has the next position. No cursor
// is at its end.
type candidates struct {
	bounds  bounds
	cursors []cursor
}

// add adds the positions of l within the bounds as candidates for item.
func (c *candidates) add(item *dcb.QueryItem, l list) {
	if l = l.within(c.bounds); l.length > 0 {
		c.cursors = append(c.cursors, cursor{list: l, item: item, backwards: c.bounds.backwards})
	}
}

// atMost returns the number of candidates, where a position counts once for each item. It must be
// called before advance.
func (c *candidates) atMost() int {
	total := 0
	for i := range c.cursors {
		total += c.cursors[i].length
	}
	return total
}

// advance moves the first cursor to its next position, and removes it if there is none.
func (c *candidates) advance() {
	c.cursors[0].next++
	if c.cursors[0].next == c.cursors[0].length {
		heap.Pop(c)
	} else if len(c.cursors) > 1 {
		heap.Fix(c, 0)
	}
}

// Len, Less, Swap, Push and Pop implement [heap.Interface].

func (c *candidates) Len() int      { return len(c.cursors) }
func (c *candidates) Swap(i, j int) { c.cursors[i], c.cursors[j] = c.cursors[j], c.cursors[i] }
func (c *candidates) Push(any)      { panic("memstore: candidates are added before heap.Init") }

func (c *candidates) Less(i, j int) bool {
	order := cmp.Compare(c.cursors[i].position(), c.cursors[j].position())
	if c.cursors[i].backwards {
		order = -order
	}
	return order < 0
}

func (c *candidates) Pop() any {
	c.cursors = c.cursors[:len(c.cursors)-1]
	return nil
}
