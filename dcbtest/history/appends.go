package history

import (
	"errors"
	"slices"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
)

// checkSend judges an append and its repetitions.
func (c *checker) checkSend(s *send) {
	c.checkRecorded(s)
	for _, o := range s.operations {
		switch o.outcome() {
		case accepted:
			c.checkAccepted(s, o)
		case refused:
			c.checkRefused(s, o)
		case unknown:
		}
	}
}

// checkRecorded judges what the final sequence holds of s.
func (c *checker) checkRecorded(s *send) {
	missing := slices.Index(s.positions, 0)
	if missing >= 0 {
		if slices.Max(s.positions) > 0 {
			c.report(RuleTorn, "%s is not recorded, other events of the append are, at positions %v; it was sent by\n\t%v",
				dataOf(s.events[missing]), s.positions, tell(s.operations))
		}
		return
	}
	for i := range s.positions {
		if s.positions[i] != s.first+dcb.Position(i) {
			c.report(RuleInterleaved, "the events are at positions %v, and were sent by\n\t%v", s.positions, tell(s.operations))
			break
		}
	}
	if shown := c.seen.before(s.start); s.first <= shown.position {
		c.report(RuleOrder, "position %d was recorded by\n\t%v\nwhich began after position %d was shown by\n\t%v",
			s.first, tell(s.operations), shown.position, shown.by)
	}
	recorders := c.recorders(s)
	if len(recorders) == 0 {
		c.report(RuleGhost, "position %d was recorded by\n\t%v", s.first, tell(s.operations))
	} else if !slices.ContainsFunc(recorders, func(o *Operation) bool { return c.conflict(o, s.first) == 0 }) {
		c.report(RuleCondition, "position %d was recorded although position %d matches the condition of\n\t%v",
			s.first, c.conflict(recorders[0], s.first), tell(recorders))
	}
}

// recorders returns the operations that may have recorded s: no others can if one of them was over, or shown, before they began.
func (c *checker) recorders(s *send) []*Operation {
	var recorders, all []*Operation
	for _, o := range s.operations {
		if o.outcome() == refused {
			continue
		}
		all = append(all, o)
		if c.seen.before(o.Start).position < s.first {
			recorders = append(recorders, o)
		}
	}
	if len(recorders) == 0 {
		return all
	}
	return recorders
}

// conflict returns the position below the given one of an event that matches the condition of o, 0 if there is none.
func (c *checker) conflict(o *Operation, below dcb.Position) dcb.Position {
	if o.Condition == nil || below == 0 {
		return 0
	}
	return c.first(o.Condition.FailIfEventsMatch, o.Condition.After, below-1)
}

func (c *checker) checkAccepted(s *send, o *Operation) {
	switch {
	case slices.Max(s.positions) == 0:
		c.report(RuleLost, "the final sequence ends at %d, without what was recorded by\n\t%v", c.last(), o)
	case s.recorded() && o.Position != s.last:
		c.report(RulePosition, "the last event is at position %d, and was recorded by\n\t%v", s.last, o)
	}
}

// checkRefused judges an append that failed, and by which error.
func (c *checker) checkRefused(s *send, o *Operation) {
	switch {
	case errors.Is(o.Err, dcb.ErrConflict):
		c.checkConflict(s, o)
	case errors.Is(o.Err, dcb.ErrDuplicateID):
		position := c.stolen(s)
		if position == 0 || !c.couldBeVisible(position, o.End) {
			c.report(RuleDuplicateID, "none of its IDs was recorded otherwise before the end of\n\t%v", o)
		}
	}
}

func (c *checker) checkConflict(s *send, o *Operation) {
	if o.Condition == nil {
		c.report(RuleSpuriousConflict, "there was no condition to fail in\n\t%v", o)
		return
	}
	shown := c.seen.before(o.Start)
	if position := c.stolen(s); position != 0 && position <= shown.position {
		c.report(RuleDuplicateID, "one of its IDs was at position %d before its start, so the error should be ErrDuplicateID:\n\t%v", position, o)
	}
	if s.recorded() && s.first <= shown.position {
		c.report(RuleRetry, "its events were recorded from position %d on, before the start of\n\t%v\nas was shown by\n\t%v", s.first, o, shown.by)
		return
	}
	first := c.first(o.Condition.FailIfEventsMatch, o.Condition.After, c.last())
	if first == 0 || !c.couldBeVisible(first, o.End) {
		c.report(RuleSpuriousConflict, "no event that matches the condition could be seen before the end of\n\t%v", o)
		return
	}
	named, ok := conflictPosition(o)
	event := c.at(named)
	if !ok || event == nil || named <= o.Condition.After || !o.Condition.FailIfEventsMatch.Matches(event.Event) || !c.couldBeVisible(named, o.End) {
		c.report(RuleConflictPosition, "position %d was meant perhaps, and %d named, by\n\t%v", first, named, o)
	} else if s.recorded() && named >= s.first {
		c.report(RuleRetry, "its events are recorded from position %d on, yet it was refused because of position %d:\n\t%v", s.first, named, o)
	}
}

func conflictPosition(o *Operation) (dcb.Position, bool) {
	var conflict *dcb.ConflictError
	if !errors.As(o.Err, &conflict) {
		return 0, false
	}
	return conflict.Position, true
}

// stolen returns the lowest position at which one of the IDs of s is recorded for an event that is not of s, or 0.
func (c *checker) stolen(s *send) dcb.Position {
	lowest := dcb.Position(0)
	for i := range s.events {
		if s.events[i].ID == uuid.Nil {
			continue
		}
		for _, position := range c.ids[s.events[i].ID] {
			if position != s.positions[i] && (lowest == 0 || position < lowest) {
				lowest = position
			}
		}
	}
	return lowest
}

// checkError judges the errors that have nothing to do with what is recorded.
func (c *checker) checkError(o *Operation) {
	switch {
	case o.Hung:
		c.report(RuleHang, "%v", o)
	case o.Err == nil:
	case isContextError(o.Err) && o.Cancelled:
	case errors.Is(o.Err, dcb.ErrUnavailable) && c.MayFail:
	case o.Method == Append && (errors.Is(o.Err, dcb.ErrConflict) || errors.Is(o.Err, dcb.ErrDuplicateID)):
	default:
		c.report(RuleError, "%v", o)
	}
}
