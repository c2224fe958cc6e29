package history

import (
	"iter"
	"slices"
	"sort"

	"github.com/dcbstore/dcb"
)

// eventIndex finds the events of the final sequence by type, by tag, and by both, so that checking
// a call takes no longer than the call. It shares no code with the stores that it checks.
type eventIndex struct {
	events    []dcb.SequencedEvent // ascending
	positions map[term][]dcb.Position
}

// term is an event type and a tag. An empty field matches any.
type term struct{ eventType, tag string }

func newEventIndex(events []dcb.SequencedEvent) *eventIndex {
	x := &eventIndex{events: events, positions: make(map[term][]dcb.Position)}
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

func (x *eventIndex) add(t term, position dcb.Position) {
	x.positions[t] = append(x.positions[t], position)
}

// last returns the last position, or 0.
func (x *eventIndex) last() dcb.Position {
	if len(x.events) == 0 {
		return 0
	}
	return x.events[len(x.events)-1].Position
}

// at returns the event at position, or nil.
func (x *eventIndex) at(position dcb.Position) *dcb.SequencedEvent {
	n := x.countUpTo(position)
	if n == 0 || x.events[n-1].Position != position {
		return nil
	}
	return &x.events[n-1]
}

// countUpTo returns the number of events at and below position.
func (x *eventIndex) countUpTo(position dcb.Position) int {
	if position <= dcb.Position(len(x.events)) && (position == 0 || x.events[position-1].Position == position) {
		return int(position) // the usual case: positions are dense
	}
	return sort.Search(len(x.events), func(i int) bool { return x.events[i].Position > position })
}

// firstMatch returns the lowest position in (after, last] whose event matches q, or 0.
func (x *eventIndex) firstMatch(q dcb.Query, after, last dcb.Position) dcb.Position {
	for position := range x.matches(q, after, last, false) {
		return position
	}
	return 0
}

// matches yields the positions in (after, last] whose events match q, each once.
func (x *eventIndex) matches(q dcb.Query, after, last dcb.Position, backwards bool) iter.Seq[dcb.Position] {
	return func(yield func(dcb.Position) bool) {
		lists := x.candidates(q, after, last)
		for position := pop(lists, backwards); position != 0; position = pop(lists, backwards) {
			if q.Matches(x.at(position).Event) && !yield(position) {
				return
			}
		}
	}
}

// candidates returns ascending lists that together hold every position in (after, last] whose event
// matches q. Of each item it uses the rarest tag.
func (x *eventIndex) candidates(q dcb.Query, after, last dcb.Position) [][]dcb.Position {
	var lists [][]dcb.Position
	for i := range q {
		rarest := ""
		for j, tag := range q[i].Tags {
			if j == 0 || len(x.positions[term{tag: tag}]) < len(x.positions[term{tag: rarest}]) {
				rarest = tag
			}
		}
		types := q[i].Types
		if len(types) == 0 {
			types = []string{""}
		}
		for _, eventType := range types {
			if list := between(x.positions[term{eventType, rarest}], after, last); len(list) > 0 {
				lists = append(lists, list)
			}
		}
	}
	return lists
}

// between returns the part of ascending positions that lies in (after, last].
func between(positions []dcb.Position, after, last dcb.Position) []dcb.Position {
	if last <= after {
		return nil
	}
	from, found := slices.BinarySearch(positions, after)
	if found {
		from++
	}
	to, found := slices.BinarySearch(positions, last)
	if found {
		to++
	}
	return positions[from:to]
}

// pop removes the lowest position (backwards: the highest) from every list that has it, and returns
// it. It returns 0 if all lists are empty.
func pop(lists [][]dcb.Position, backwards bool) dcb.Position {
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
