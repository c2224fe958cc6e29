package history

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/dcbstore/dcb"
)

// couldBeVisible reports whether the event at position can have been visible at a moment: whether
// the appends that recorded it and all events below it had begun.
func (c *checker) couldBeVisible(position dcb.Position, at time.Duration) bool {
	n := c.countUpTo(position)
	return n == 0 || c.notBefore[n-1] <= at
}

// checkHead checks a head that was the store's last position at some moment of o.
func (c *checker) checkHead(o *Operation, head dcb.Position) {
	if acknowledged := latestBefore(c.visible.toAppends, o.Start); head < acknowledged.position {
		c.report(RuleStaleHead, "the head is %d in\n\t%v\nwhich began after the end of\n\t%v", head, o, acknowledged.by)
	}
	if other := latestBefore(c.visible.toOthers, o.Start); head < other.position {
		c.report(RuleFallingHead, "the head is %d in\n\t%v\nbut position %d was visible before to\n\t%v", head, o, other.position, other.by)
	}
	event := c.at(head)
	if event == nil || event.Position <= c.Before {
		return
	}
	if sent, ok := c.sent[string(event.Data)]; ok && sent.index < len(sent.events)-1 {
		c.report(RulePartlyVisible, "head %d lies within positions %v of the append\n\t%v\nand was seen by\n\t%v",
			head, sent.positions, sent.attempts[0], o)
	}
}

// sighting is a position that was visible when an operation ended, by the operation's own result.
type sighting struct {
	position dcb.Position
	by       *Operation // nil in the zero sighting, before the first one
	end      time.Duration
}

// visibility answers how much of the sequence was visible at a moment, as far as the operations
// that had ended by then show it. Each slice is ascending in end and in position.
type visibility struct {
	toAll     []sighting
	toAppends []sighting // of acknowledged appends only
	toOthers  []sighting // of all other operations
}

// newVisibility collects the sightings of all operations, and reports those that the final sequence
// lacks.
func newVisibility(c *checker) *visibility {
	v := &visibility{}
	for i := range c.Operations {
		o := &c.Operations[i]
		position, ok := c.sightedBy(o)
		if !ok {
			continue
		}
		if position > c.last() {
			c.report(RuleVanished, "the final sequence ends at %d, but position %d was visible to\n\t%v", c.last(), position, o)
			continue
		}
		s := sighting{position, o, o.End}
		v.toAll = append(v.toAll, s)
		if o.outcome() == acknowledged && o.Method == Append {
			v.toAppends = append(v.toAppends, s)
		} else {
			v.toOthers = append(v.toOthers, s)
		}
	}
	v.toAll, v.toAppends, v.toOthers = keepHighest(v.toAll), keepHighest(v.toAppends), keepHighest(v.toOthers)
	return v
}

// sightedBy returns the highest position that the result of o shows to be visible. It ignores
// results that another rule reports, because every later operation would contradict them too.
func (c *checker) sightedBy(o *Operation) (dcb.Position, bool) {
	switch {
	case o.Hung:
		return 0, false
	case errors.Is(o.Err, dcb.ErrConflict):
		position := conflictPosition(o)
		return position, position != 0 && position <= c.last() && c.couldBeVisible(position, o.End)
	case o.Err != nil:
		return 0, false
	}
	switch o.Method {
	case Append:
		s := c.submissionOf[o]
		return o.Position, s != nil && o.Position == s.lastPosition()
	case Read:
		if o.Result.More {
			return max(o.Result.Head, c.nextMatch(o)), true // More shows the event that was left out
		}
		return o.Result.Head, true
	case Follow:
		return o.Result.Head, o.Result.Head > o.After // a follower that starts beyond the head gets its start back
	case Head, Wait:
	}
	return o.Position, true
}

// keepHighest sorts sightings by end, and drops those that are not above all before them.
func keepHighest(all []sighting) []sighting {
	slices.SortStableFunc(all, func(a, b sighting) int {
		return cmp.Or(cmp.Compare(a.end, b.end), cmp.Compare(b.position, a.position))
	})
	highest := dcb.Position(0)
	return slices.DeleteFunc(all, func(s sighting) bool {
		if s.position <= highest {
			return true
		}
		highest = s.position
		return false
	})
}

// before returns the highest sighting that ended before a moment, or the zero sighting.
func (v *visibility) before(moment time.Duration) sighting { return latestBefore(v.toAll, moment) }

// latestBefore returns the last of the sightings that ended before moment, or the zero sighting.
// Moments that touch are in no order.
func latestBefore(sightings []sighting, moment time.Duration) sighting {
	i, _ := slices.BinarySearchFunc(sightings, moment, func(s sighting, m time.Duration) int { return cmp.Compare(s.end, m) })
	if i == 0 {
		return sighting{}
	}
	return sightings[i-1]
}
