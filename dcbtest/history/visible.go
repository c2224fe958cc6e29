package history

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/dcbstore/dcb"
)

// shown is a position that was visible when an operation ended, because the operation said so.
type shown struct {
	position dcb.Position
	by       *Operation // nil for what was there before the history began
	end      time.Duration
}

// visibility knows how far the sequence was visible at any moment, as far as the operations that were over by then tell.
type visibility struct {
	all     []shown // by end, position never falling: each is the highest so far
	appends []shown // the same, of appends that returned alone
	others  []shown // the same, of all other operations
}

func newVisibility(c *checker) *visibility {
	v := &visibility{}
	for i := range c.Operations {
		o := &c.Operations[i]
		position, ok := c.shownBy(o)
		switch {
		case !ok:
			continue
		case position > c.last():
			c.report(RuleVanished, "the final sequence ends at %d, but %d was shown by\n\t%v", c.last(), position, o)
			continue
		}
		s := shown{position, o, o.End}
		if v.all = append(v.all, s); o.Method == Append && o.Err == nil {
			v.appends = append(v.appends, s)
		} else {
			v.others = append(v.others, s)
		}
	}
	v.all, v.appends, v.others = risen(v.all), risen(v.appends), risen(v.others)
	return v
}

// shownBy returns the highest position that o shows to be recorded.
func (c *checker) shownBy(o *Operation) (dcb.Position, bool) {
	switch {
	case o.Hung:
		return 0, false
	case errors.Is(o.Err, dcb.ErrConflict):
		named, _ := conflictPosition(o)
		return named, named != 0 && named <= c.last() && c.couldBeVisible(named, o.End) // else it is told as a wrong position
	case o.Err != nil:
		return 0, false
	case o.Method == Append:
		at, ok := c.sendOf[o]
		// What is lost or at another position is told as such, and would only make everything else look wrong.
		return o.Position, ok && o.Position == c.sends[at].last
	case o.Method == Read:
		return o.Result.Head, true
	case o.Method == Follow:
		return o.Result.Head, o.Result.Head > o.After // a follower that began beyond the head was shown nothing
	}
	return o.Position, true
}

// risen sorts by end and keeps those that are above everything before them.
func risen(all []shown) []shown {
	slices.SortStableFunc(all, func(a, b shown) int {
		return cmp.Or(cmp.Compare(a.end, b.end), cmp.Compare(b.position, a.position))
	})
	highest := dcb.Position(0)
	return slices.DeleteFunc(all, func(s shown) bool {
		if s.position <= highest {
			return true
		}
		highest = s.position
		return false
	})
}

// before returns the highest position that was shown before moment.
func (v *visibility) before(moment time.Duration) shown { return latest(v.all, moment) }

// latest returns the last of risen that ended before moment.
func latest(risen []shown, moment time.Duration) shown {
	i, _ := slices.BinarySearchFunc(risen, moment, func(s shown, m time.Duration) int { return cmp.Compare(s.end, m) })
	if i == 0 {
		return shown{}
	}
	return risen[i-1]
}

// checkHead judges a head that was the store's last position at some moment of o.
func (c *checker) checkHead(o *Operation, head dcb.Position) {
	if acknowledged := latest(c.seen.appends, o.Start); head < acknowledged.position {
		c.report(RuleLaggingHead, "the head is %d in\n\t%v\nwhich began after the end of\n\t%v", head, o, acknowledged.by)
	}
	if other := latest(c.seen.others, o.Start); head < other.position {
		c.report(RuleFallingHead, "the head is %d in\n\t%v\nand was %d before, in\n\t%v", head, o, other.position, other.by)
	}
	event := c.at(head)
	if event == nil || event.Position <= c.Before {
		return
	}
	if at, ok := c.places[string(event.Data)]; ok {
		if s := &c.sends[at.send]; at.event < len(s.events)-1 {
			c.report(RuleHalfVisible, "head %d lies within positions %v of the append\n\t%v\nand was seen by\n\t%v", head, s.positions, s.operations[0], o)
		}
	}
}
