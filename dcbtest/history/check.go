package history

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/dcbtest/internal/describe"
)

// maxPerRule is how many violations of one rule are told. A store that breaks a rule breaks it again and again.
const maxPerRule = 5

// Check returns how the history breaks the contract: nil if it could be that of a correct store. Positions give the order in which
// appends took effect, so nothing has to be searched for: every operation is compared with the final sequence, in about the time that
// it took itself.
//
// Of an append whose outcome is unknown (its context ended, or dcb.UnavailableError says so) it checks that it is recorded as a whole
// or not at all, together, above everything that was visible before it began, and within its condition. When it was recorded
// cannot be known: it may even be after it returned, but it is before Final was read or never.
//
// At most five violations of each rule are returned.
func (h *History) Check() []Violation {
	c := &checker{History: h, count: make(map[Rule]int)}
	c.checkSequence()
	c.traceSends()
	c.seen = newVisibility(c)
	for i := range c.sends {
		c.checkSend(&c.sends[i])
	}
	for i := range h.Operations {
		c.checkOperation(&h.Operations[i])
	}
	return c.found
}

type checker struct {
	*History
	*finalIndex
	ids    map[uuid.UUID][]dcb.Position // where each is recorded: at one position, if all is well
	sends  []send                       // in the order in which they were first sent
	places map[string]place             // by the data of an event
	sendOf map[*Operation]int           // an append's place in sends
	begun  []time.Duration              // of each event in the final sequence: before that moment it could not be visible
	seen   *visibility
	count  map[Rule]int
	found  []Violation
}

// send is an append with all its repetitions, whoever made them.
type send struct {
	events     []dcb.Event
	operations []*Operation   // by Start
	start      time.Duration  // of the first operation that may have recorded it
	positions  []dcb.Position // where each event is recorded, 0 if it is not
	first      dcb.Position   // where the first is recorded
	last       dcb.Position   // where the last is recorded
}

func (s *send) recorded() bool { return s.first != 0 && s.last != 0 }

// place says which event of which send one is.
type place struct{ send, event int }

func (c *checker) report(rule Rule, format string, arguments ...any) {
	if c.count[rule]++; c.count[rule] <= maxPerRule {
		c.found = append(c.found, Violation{Rule: rule, Problem: fmt.Sprintf(format, arguments...)})
	}
}

// checkSequence judges the final sequence by itself.
func (c *checker) checkSequence() {
	events := c.Final
	byPosition := func(a, b dcb.SequencedEvent) int { return cmp.Compare(a.Position, b.Position) }
	if !slices.IsSortedFunc(events, byPosition) {
		c.report(RuleReadExtra, "the final read is not in the order of positions")
		events = slices.Clone(events)
		slices.SortFunc(events, byPosition)
	}
	c.ids = make(map[uuid.UUID][]dcb.Position, len(events))
	for i := range events {
		e := &events[i]
		if want := dcb.Position(i + 1); e.Position != want && (i == 0 || e.Position != events[i-1].Position+1) {
			c.report(RuleDense, "the %s event of the final sequence, %s, has position %d, want %d", ordinal(i+1), dataOf(e.Event), e.Position, want)
		}
		if i > 0 && e.RecordedAt.Before(events[i-1].RecordedAt) {
			c.report(RuleClock, "position %d was recorded at %v, position %d at %v",
				events[i-1].Position, events[i-1].RecordedAt, e.Position, e.RecordedAt)
		}
		if at := e.RecordedAt; at.Location() != time.UTC || at.Nanosecond()%1000 != 0 || at.IsZero() {
			c.report(RuleClock, "position %d was recorded at %v, which is not UTC in whole microseconds", e.Position, at)
		}
		if e.ID == uuid.Nil {
			continue
		}
		if c.ids[e.ID] = append(c.ids[e.ID], e.Position); len(c.ids[e.ID]) > 1 {
			c.report(RuleTwice, "the ID %s is recorded at positions %v", e.ID, c.ids[e.ID])
		}
	}
	c.finalIndex = newFinalIndex(events)
}

// traceSends gathers the appends by what they sent, and finds each event of the final sequence among them.
func (c *checker) traceSends() {
	c.places, c.sendOf = make(map[string]place), make(map[*Operation]int)
	for _, o := range c.appendsByStart() {
		at, ok := c.places[string(o.Events[0].Data)]
		if !ok {
			at = place{send: len(c.sends)}
			c.sends = append(c.sends, send{events: o.Events, positions: make([]dcb.Position, len(o.Events))})
			for j := range o.Events {
				c.places[string(o.Events[j].Data)] = place{at.send, j}
			}
		}
		c.sendOf[o] = at.send
		s := &c.sends[at.send]
		if !slices.ContainsFunc(s.operations, func(o *Operation) bool { return o.outcome() != refused }) {
			s.start = o.Start
		}
		s.operations = append(s.operations, o)
	}
	c.begun = make([]time.Duration, len(c.events))
	for i := range c.events {
		e := &c.events[i]
		if i > 0 {
			c.begun[i] = c.begun[i-1]
		}
		if e.Position <= c.Before {
			continue
		}
		if at, ok := c.places[string(e.Data)]; ok {
			c.traced(e, at)
			c.begun[i] = max(c.begun[i], c.sends[at.send].start)
		} else {
			c.report(RuleInvented, "nobody sent what is recorded at position %d: %s %s", e.Position, e.Type, dataOf(e.Event))
		}
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

// traced notes that e was sent as at says.
func (c *checker) traced(e *dcb.SequencedEvent, at place) {
	s := &c.sends[at.send]
	if before := s.positions[at.event]; before != 0 {
		c.report(RuleTwice, "%s is recorded at positions %d and %d, and was sent by\n\t%v", dataOf(e.Event), before, e.Position, tell(s.operations))
		return
	}
	s.positions[at.event] = e.Position
	if at.event == 0 {
		s.first = e.Position
	}
	if at.event == len(s.events)-1 {
		s.last = e.Position
	}
	if problem := describe.Difference(e.Event, s.events[at.event]); problem != "" {
		c.report(RuleAltered, "the event at position %d %s, as sent by\n\t%v", e.Position, problem, s.operations[0])
	}
}

// couldBeVisible reports whether the event at position could have been seen at a moment: the appends that recorded it and all
// below had begun.
func (c *checker) couldBeVisible(position dcb.Position, at time.Duration) bool {
	i := c.upTo(position)
	return i == 0 || c.begun[i-1] <= at
}

func (c *checker) checkOperation(o *Operation) {
	c.checkError(o)
	if o.Hung || o.Err != nil {
		return
	}
	switch o.Method {
	case Read:
		c.checkRead(o)
	case Follow:
		c.checkBatch(o)
	case Head:
		c.checkHead(o, o.Position)
	case Wait:
		if o.Position <= o.After {
			c.report(RuleWait, "%v", o)
		}
		c.checkHead(o, o.Position)
	case Append:
	}
}

func dataOf(e dcb.Event) string { return describe.Text(string(e.Data)) }

func tell(operations []*Operation) string {
	told := make([]string, len(operations))
	for i, o := range operations {
		told[i] = o.String()
	}
	return strings.Join(told, "\n\t")
}

func ordinal(n int) string {
	if n%100 < 11 || n%100 > 13 {
		switch n % 10 {
		case 1:
			return fmt.Sprintf("%dst", n)
		case 2:
			return fmt.Sprintf("%dnd", n)
		case 3:
			return fmt.Sprintf("%drd", n)
		}
	}
	return fmt.Sprintf("%dth", n)
}
