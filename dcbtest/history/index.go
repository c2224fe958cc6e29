package history

import (
	"iter"
	"slices"
	"sort"

	"github.com/dcbstore/dcb"
)

// finalIndex finds events of a final sequence by type, tag and both, so that judging an operation costs no more than the
// operation did. It shares no code with the stores that it judges.
type finalIndex struct {
	events    []dcb.SequencedEvent // ascending
	positions map[term][]dcb.Position
}

// term is a type and a tag; an empty one stands for any.
type term struct{ eventType, tag string }

func newFinalIndex(events []dcb.SequencedEvent) *finalIndex {
	x := &finalIndex{events: events, positions: make(map[term][]dcb.Position)}
	for i := range events {
		e := &events[i]
		x.add(term{}, e.Position)
		x.add(term{eventType: e.Type}, e.Position)
		for _, tag := range dcb.UniqueTags(e.Tags) {
			x.add(term{tag: tag}, e.Position)
			x.add(term{e.Type, tag}, e.Position)
		}
	}
	return x
}

func (x *finalIndex) add(t term, position dcb.Position) {
	x.positions[t] = append(x.positions[t], position)
}

// last returns the last position, 0 if there is none.
func (x *finalIndex) last() dcb.Position {
	if len(x.events) == 0 {
		return 0
	}
	return x.events[len(x.events)-1].Position
}

// at returns the event at position, nil if there is none.
func (x *finalIndex) at(position dcb.Position) *dcb.SequencedEvent {
	i := x.upTo(position)
	if i == 0 || x.events[i-1].Position != position {
		return nil
	}
	return &x.events[i-1]
}

// upTo returns how many events lie at and below position.
func (x *finalIndex) upTo(position dcb.Position) int {
	if position <= dcb.Position(len(x.events)) && (position == 0 || x.events[position-1].Position == position) {
		return int(position) // positions are dense, as they should be
	}
	return sort.Search(len(x.events), func(i int) bool { return x.events[i].Position > position })
}

// first returns the lowest position after the given one that q selects, up to upTo, or 0.
func (x *finalIndex) first(q dcb.Query, after, upTo dcb.Position) dcb.Position {
	for position := range x.matches(q, after, upTo, false) {
		return position
	}
	return 0
}

// matches yields the positions that q selects, after the one and up to the other, each once.
func (x *finalIndex) matches(q dcb.Query, after, upTo dcb.Position, backwards bool) iter.Seq[dcb.Position] {
	return func(yield func(dcb.Position) bool) {
		lists := x.candidates(q, after, upTo)
		for position := next(lists, backwards); position != 0; position = next(lists, backwards) {
			if q.Matches(x.at(position).Event) && !yield(position) {
				return
			}
		}
	}
}

// candidates returns lists that together hold every position between the bounds that q selects.
func (x *finalIndex) candidates(q dcb.Query, after, upTo dcb.Position) [][]dcb.Position {
	var lists [][]dcb.Position
	for i := range q {
		tag := ""
		for j, other := range q[i].Tags {
			if j == 0 || len(x.positions[term{tag: other}]) < len(x.positions[term{tag: tag}]) {
				tag = other
			}
		}
		types := q[i].Types
		if len(types) == 0 {
			types = []string{""}
		}
		for _, eventType := range types {
			if list := between(x.positions[term{eventType, tag}], after, upTo); len(list) > 0 {
				lists = append(lists, list)
			}
		}
	}
	return lists
}

func between(positions []dcb.Position, after, upTo dcb.Position) []dcb.Position {
	if upTo <= after {
		return nil
	}
	from, found := slices.BinarySearch(positions, after)
	if found {
		from++
	}
	to, found := slices.BinarySearch(positions, upTo)
	if found {
		to++
	}
	return positions[from:to]
}

// next takes the first position (backwards: the last) off all lists that begin (end) with it, and returns it; 0 at the end.
func next(lists [][]dcb.Position, backwards bool) dcb.Position {
	end := func(list []dcb.Position) int {
		if backwards {
			return len(list) - 1
		}
		return 0
	}
	best := dcb.Position(0)
	for _, list := range lists {
		if len(list) == 0 {
			continue
		}
		if p := list[end(list)]; best == 0 || (p > best) == backwards && p != best {
			best = p
		}
	}
	for i, list := range lists {
		if len(list) == 0 || list[end(list)] != best {
			continue
		}
		if backwards {
			lists[i] = list[:len(list)-1]
		} else {
			lists[i] = list[1:]
		}
	}
	return best
}
