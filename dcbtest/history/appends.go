package history

import (
	"errors"
	"slices"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
)

// checkSubmission checks what the final sequence holds of s, and then the result of each attempt.
func (c *checker) checkSubmission(s *submission) {
	c.checkRecorded(s)
	for _, o := range s.attempts {
		switch o.outcome() {
		case acknowledged:
			c.checkAcknowledged(s, o)
		case rejected:
			c.checkRejected(s, o)
		case unknown: // whatever checkRecorded accepts is right
		}
	}
}

// checkRecorded checks that s is recorded as a whole or not at all, and that one of its attempts
// may have recorded it at its positions.
func (c *checker) checkRecorded(s *submission) {
	if missing := slices.Index(s.positions, 0); missing >= 0 {
		if slices.Max(s.positions) > 0 {
			c.report(RulePartial, "%s is not recorded, but other events of its append are, at positions %v; it was sent by\n\t%v",
				describeData(s.events[missing]), s.positions, describeAll(s.attempts))
		}
		return
	}
	first := s.firstPosition()
	for i, position := range s.positions {
		if position != first+dcb.Position(i) {
			c.report(RuleConsecutive, "the events are at positions %v; they were sent by\n\t%v", s.positions, describeAll(s.attempts))
			break
		}
	}
	if seen := c.visible.before(s.start); first <= seen.position {
		c.report(RuleOrder, "position %d was recorded by\n\t%v\nwhich began after position %d was visible to\n\t%v",
			first, describeAll(s.attempts), seen.position, seen.by)
	}
	recorders := c.recorders(s)
	if len(recorders) == 0 {
		c.report(RuleRejected, "position %d was recorded by\n\t%v", first, describeAll(s.attempts))
		return
	}
	mayRecord := func(o *Operation) bool { return c.conflictBelow(o, first) == 0 }
	if !slices.ContainsFunc(recorders, mayRecord) {
		c.report(RuleCondition, "position %d is recorded although position %d matches the condition of\n\t%v",
			first, c.conflictBelow(recorders[0], first), describeAll(recorders))
	}
}

// recorders returns the attempts that may have recorded s. An attempt that began after s was
// visible only repeated it. If all began after that, RuleOrder reports it, and recorders returns
// every attempt that was not rejected.
func (c *checker) recorders(s *submission) []*Operation {
	var inTime, notRejected []*Operation
	for _, o := range s.attempts {
		if o.outcome() == rejected {
			continue
		}
		notRejected = append(notRejected, o)
		if c.visible.before(o.Start).position < s.firstPosition() {
			inTime = append(inTime, o)
		}
	}
	if len(inTime) == 0 {
		return notRejected
	}
	return inTime
}

// conflictBelow returns the lowest position below limit that makes the condition of o fail, or 0.
func (c *checker) conflictBelow(o *Operation, limit dcb.Position) dcb.Position {
	if o.Condition == nil || limit == 0 {
		return 0
	}
	return c.firstMatch(o.Condition.FailIfEventsMatch, o.Condition.After, limit-1)
}

func (c *checker) checkAcknowledged(s *submission, o *Operation) {
	switch {
	case slices.Max(s.positions) == 0:
		c.report(RuleLost, "the final sequence ends at %d and does not hold the events of\n\t%v", c.last(), o)
	case s.isRecorded() && o.Position != s.lastPosition():
		c.report(RulePosition, "the last event is at position %d; it was sent by\n\t%v", s.lastPosition(), o)
	}
}

// checkRejected checks that o had the cause that its error names. That s is not recorded by o is
// checked by checkRecorded; checkError checks all other errors.
func (c *checker) checkRejected(s *submission, o *Operation) {
	switch {
	case errors.Is(o.Err, dcb.ErrConflict):
		c.checkConflict(s, o)
	case errors.Is(o.Err, dcb.ErrDuplicateID):
		position := c.duplicateOf(s)
		if position == 0 || !c.couldBeVisible(position, o.End) {
			c.report(RuleDuplicateID, "no other append recorded one of its IDs before the end of\n\t%v", o)
		}
	}
}

// checkConflict checks an append that failed with dcb.ErrConflict. At some moment of the call an
// event that matches the condition was visible, and neither s nor one of its IDs was.
func (c *checker) checkConflict(s *submission, o *Operation) {
	if o.Condition == nil {
		c.report(RuleSpuriousConflict, "there is no condition in\n\t%v", o)
		return
	}
	seen := c.visible.before(o.Start)
	if position := c.duplicateOf(s); position != 0 && position <= seen.position {
		c.report(RuleDuplicateID, "one of its IDs was at position %d before its start; want ErrDuplicateID from\n\t%v", position, o)
	}
	if s.isRecorded() && s.firstPosition() <= seen.position {
		c.report(RuleRetry, "its events were recorded from position %d on, before the start of\n\t%v\nas was visible to\n\t%v",
			s.firstPosition(), o, seen.by)
		return
	}
	first := c.firstMatch(o.Condition.FailIfEventsMatch, o.Condition.After, c.last())
	if first == 0 || !c.couldBeVisible(first, o.End) {
		c.report(RuleSpuriousConflict, "no event that matches the condition could be visible before the end of\n\t%v", o)
		return
	}
	named := conflictPosition(o)
	switch {
	case !c.isConflict(o, named):
		c.report(RuleConflictPosition, "the position is %d; position %d, for example, matches the condition of\n\t%v", named, first, o)
	case s.isRecorded() && named >= s.firstPosition():
		c.report(RuleRetry, "its events are recorded from position %d on, but it conflicts with position %d:\n\t%v",
			s.firstPosition(), named, o)
	}
}

// isConflict reports whether the event at position made the condition of o fail.
func (c *checker) isConflict(o *Operation, position dcb.Position) bool {
	event := c.at(position)
	return event != nil && position > o.Condition.After && o.Condition.FailIfEventsMatch.Matches(event.Event) &&
		c.couldBeVisible(position, o.End)
}

// conflictPosition returns the position in the conflict of o, or 0 if there is none.
func conflictPosition(o *Operation) dcb.Position {
	if conflict, ok := errors.AsType[*dcb.ConflictError](o.Err); ok {
		return conflict.Position
	}
	return 0
}

// duplicateOf returns the lowest position of an event of another submission that has one of the IDs
// of s, or 0.
func (c *checker) duplicateOf(s *submission) dcb.Position {
	lowest := dcb.Position(0)
	for i := range s.events {
		if s.events[i].ID == uuid.Nil {
			continue
		}
		for _, position := range c.positionsOf[s.events[i].ID] {
			if position != s.positions[i] && (lowest == 0 || position < lowest) {
				lowest = position
			}
		}
	}
	return lowest
}
