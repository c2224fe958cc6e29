package history

import (
	"cmp"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/dcbtest/internal/describe"
)

// checkSequence checks the final sequence by itself.
func (c *checker) checkSequence() {
	events := c.Final
	byPosition := func(a, b dcb.SequencedEvent) int { return cmp.Compare(a.Position, b.Position) }
	if !slices.IsSortedFunc(events, byPosition) {
		c.report(RuleReadExtra, "the final read is not in position order")
		events = slices.Clone(events)
		slices.SortFunc(events, byPosition)
	}
	c.positionsOf = make(map[uuid.UUID][]dcb.Position, len(events))
	for i := range events {
		c.checkPosition(events, i)
		c.checkTime(events, i)
		if e := &events[i]; e.ID != uuid.Nil {
			c.positionsOf[e.ID] = append(c.positionsOf[e.ID], e.Position)
			if all := c.positionsOf[e.ID]; len(all) > 1 {
				c.report(RuleDuplicate, "ID %s is recorded at positions %v", e.ID, all)
			}
		}
	}
	c.eventIndex = newEventIndex(events)
}

// checkPosition checks that the i-th event follows the one before it. A gap is reported once, where
// it begins.
func (c *checker) checkPosition(events []dcb.SequencedEvent, i int) {
	want := dcb.Position(1)
	if i > 0 {
		want = events[i-1].Position + 1
	}
	if got := events[i].Position; got != want {
		c.report(RuleDense, "the position of %s is %d, want %d", describeData(events[i].Event), got, want)
	}
}

func (c *checker) checkTime(events []dcb.SequencedEvent, i int) {
	e := &events[i]
	if at := e.RecordedAt; at.Location() != time.UTC || at.Nanosecond()%1000 != 0 || at.IsZero() {
		c.report(RuleTime, "position %d was recorded at %v, which is not UTC in whole microseconds", e.Position, at)
	}
	if i > 0 && e.RecordedAt.Before(events[i-1].RecordedAt) {
		c.report(RuleTime, "position %d was recorded at %v, but position %d at %v",
			events[i-1].Position, events[i-1].RecordedAt, e.Position, e.RecordedAt)
	}
}

// submission is one append with all its attempts: the first call and its retries, by any caller.
type submission struct {
	events   []dcb.Event
	attempts []*Operation // by Start; at least one
	// start is the start of the first attempt that was not rejected, or else of the last attempt.
	start     time.Duration
	positions []dcb.Position // of each event in the final sequence; 0 if it is not recorded
}

func (s *submission) firstPosition() dcb.Position { return s.positions[0] }

func (s *submission) lastPosition() dcb.Position { return s.positions[len(s.positions)-1] }

// isRecorded reports whether the first and the last event are recorded.
func (s *submission) isRecorded() bool { return s.firstPosition() != 0 && s.lastPosition() != 0 }

// sentEvent is one event of a submission.
type sentEvent struct {
	*submission
	index int // of the event in the submission
}

// matchAppends groups the appends by what they sent and matches each event of the final sequence
// with the submission that sent it.
func (c *checker) matchAppends() {
	c.groupAppends()
	c.notBefore = make([]time.Duration, len(c.events))
	for i := range c.events {
		if i > 0 {
			c.notBefore[i] = c.notBefore[i-1]
		}
		e := &c.events[i]
		if e.Position <= c.Before {
			continue
		}
		sent, ok := c.sent[string(e.Data)]
		if !ok {
			c.report(RuleUnknownEvent, "position %d has type %s and data %s", e.Position, e.Type, describeData(e.Event))
			continue
		}
		c.matchEvent(e, sent)
		c.notBefore[i] = max(c.notBefore[i], sent.start)
	}
}

// groupAppends makes the submissions. Appends whose first events have the same data are attempts of
// one submission.
func (c *checker) groupAppends() {
	c.sent, c.submissionOf = make(map[string]sentEvent), make(map[*Operation]*submission)
	for _, o := range c.appendsByStart() {
		s := c.sent[string(o.Events[0].Data)].submission
		if s == nil {
			s = &submission{events: o.Events, positions: make([]dcb.Position, len(o.Events))}
			c.submissions = append(c.submissions, s)
			for i := range o.Events {
				c.sent[string(o.Events[i].Data)] = sentEvent{s, i}
			}
		}
		c.submissionOf[o] = s
		if !slices.ContainsFunc(s.attempts, func(earlier *Operation) bool { return earlier.outcome() != rejected }) {
			s.start = o.Start
		}
		s.attempts = append(s.attempts, o)
	}
}

func (c *checker) appendsByStart() []*Operation {
	var appends []*Operation
	for i := range c.Operations {
		if o := &c.Operations[i]; o.Method == Append && len(o.Events) > 0 {
			appends = append(appends, o)
		}
	}
	slices.SortStableFunc(appends, func(a, b *Operation) int { return cmp.Compare(a.Start, b.Start) })
	return appends
}

// matchEvent notes that the recorded event e is the sent one.
func (c *checker) matchEvent(e *dcb.SequencedEvent, sent sentEvent) {
	if other := sent.positions[sent.index]; other != 0 {
		c.report(RuleDuplicate, "%s is recorded at positions %d and %d; it was sent by\n\t%v",
			describeData(e.Event), other, e.Position, describeAll(sent.attempts))
		return
	}
	sent.positions[sent.index] = e.Position
	if difference := describe.Difference(e.Event, sent.events[sent.index]); difference != "" {
		c.report(RuleAltered, "the event at position %d %s, as sent by\n\t%v", e.Position, difference, sent.attempts[0])
	}
}
