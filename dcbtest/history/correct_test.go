package history

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
)

// The operations of correctHistory, by name, so that a test can change one of them.
const (
	appendTwo = iota
	appendThird
	conflictWithThird
	readX
	readFirst
	readLast
	headThree
	waitForThree
	retryTwo
	stealID
	followTwo
	followThree
	cancelledRecorded
	cancelledNotRecorded
	headFive
)

// correctHistory returns a history made by hand: five events, and at least one call of each method
// and outcome.
func correctHistory() *History {
	x := dcb.Query{{Tags: []string{"x"}}}
	two := []dcb.Event{newEvent("a0", "x"), newEvent("a1", "y")}
	two[0].ID, two[1].ID = uuid.UUID{1}, uuid.UUID{2}
	third := []dcb.Event{newEvent("b", "x")}
	stolen := []dcb.Event{newEvent("d")}
	stolen[0].ID = two[0].ID
	cancelled := []dcb.Event{newEvent("u0", "y"), newEvent("u1", "y")}
	h := &History{Final: sequence(two[0], two[1], third[0], cancelled[0], cancelled[1])}
	h.Operations = []Operation{
		appendTwo: {
			Method: Append, Start: 0, End: 10, Events: two, Position: 2,
		},
		appendThird: {
			Method: Append, Start: 20, End: 30, Events: third, Condition: unless(x, 2), Position: 3,
		},
		conflictWithThird: {
			Method: Append, Start: 40, End: 50, Events: []dcb.Event{newEvent("c")}, Condition: unless(x, 2),
			Err: &dcb.ConflictError{Position: 3},
		},
		readX: {
			Method: Read, Start: 60, End: 70, Query: x,
			Result: dcb.ReadResult{Events: h.eventsAt(1, 3), Head: 3},
		},
		readFirst: {
			Method: Read, Start: 60, End: 70, Query: dcb.All(), Options: dcb.ReadOptions{Limit: 1},
			Result: dcb.ReadResult{Events: h.eventsAt(1), Head: 1, More: true},
		},
		readLast: {
			Method: Read, Start: 60, End: 70, Query: dcb.All(), Options: dcb.ReadOptions{Limit: 1, Backwards: true},
			Result: dcb.ReadResult{Events: h.eventsAt(3), Head: 3, More: true},
		},
		headThree: {
			Method: Head, Start: 60, End: 70, Position: 3,
		},
		waitForThree: {
			Method: Wait, Start: 15, End: 35, After: 2, Position: 3,
		},
		retryTwo: {
			Method: Append, Start: 80, End: 90, Events: two, Condition: unless(x, 0), Position: 2,
		},
		stealID: {
			Method: Append, Start: 100, End: 110, Events: stolen, Err: dcb.ErrDuplicateID,
		},
		followTwo: {
			Method: Follow, Start: 0, End: 12, Query: dcb.All(),
			Result: dcb.ReadResult{Events: h.eventsAt(1, 2), Head: 2},
		},
		followThree: {
			Method: Follow, Start: 12, End: 32, Query: dcb.All(), After: 2,
			Result: dcb.ReadResult{Events: h.eventsAt(3), Head: 3},
		},
		cancelledRecorded: {
			Method: Append, Start: 120, End: 125, Events: cancelled, Err: context.Canceled, Cancelled: true,
		},
		cancelledNotRecorded: {
			Method: Append, Start: 121, End: 125, Events: []dcb.Event{newEvent("v")}, Err: context.Canceled, Cancelled: true,
		},
		headFive: {
			Method: Head, Start: 130, End: 140, Position: 5,
		},
	}
	return h
}

func newEvent(data string, tags ...string) dcb.Event {
	return dcb.Event{Type: "T", Tags: tags, Data: []byte(data)}
}

// unless returns the condition that no event after a position matches q.
func unless(q dcb.Query, after dcb.Position) *dcb.AppendCondition {
	return &dcb.AppendCondition{FailIfEventsMatch: q, After: after}
}

// sequence returns events as a final sequence.
func sequence(events ...dcb.Event) []dcb.SequencedEvent {
	final := make([]dcb.SequencedEvent, len(events))
	for i := range events {
		final[i] = dcb.SequencedEvent{Event: events[i], Position: dcb.Position(i + 1), RecordedAt: time.UnixMicro(int64(1 + i)).UTC()}
	}
	return final
}

// eventsAt returns copies of the events at positions of the final sequence.
func (h *History) eventsAt(positions ...int) []dcb.SequencedEvent {
	events := make([]dcb.SequencedEvent, len(positions))
	for i, position := range positions {
		events[i] = h.Final[position-1].Clone()
	}
	return events
}

// add adds an operation, and the events that it recorded to the end of the sequence.
func (h *History) add(o Operation, recorded ...dcb.Event) {
	h.Operations = append(h.Operations, o)
	h.Final = sequence(append(eventsOf(h.Final), recorded...)...)
}

// remove removes every operation for which unwanted returns true.
func (h *History) remove(unwanted func(o *Operation) bool) {
	var kept []Operation
	for i := range h.Operations {
		if !unwanted(&h.Operations[i]) {
			kept = append(kept, h.Operations[i])
		}
	}
	h.Operations = kept
}

func eventsOf(sequenced []dcb.SequencedEvent) []dcb.Event {
	events := make([]dcb.Event, len(sequenced))
	for i := range sequenced {
		events[i] = sequenced[i].Event
	}
	return events
}
