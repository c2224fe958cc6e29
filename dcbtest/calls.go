package dcbtest

import (
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/dcbtest/internal/describe"
)

// The calls that cases make most: each ends the case if the store fails where it must not.

// append records events unconditionally.
func (t *T) append(events ...dcb.Event) dcb.Position { return t.appendTo(t.Store, nil, events...) }

// appendIf records events under the condition that nothing after a position matches q.
func (t *T) appendIf(q dcb.Query, after dcb.Position, events ...dcb.Event) dcb.Position {
	return t.appendTo(t.Store, &dcb.AppendCondition{FailIfEventsMatch: q, After: after}, events...)
}

func (t *T) appendTo(s dcb.Store, condition *dcb.AppendCondition, events ...dcb.Event) dcb.Position {
	position, err := s.Append(t.ctx, events, condition)
	if err != nil {
		t.Fatalf("Append(%s, %s): %w", describe.Events(events), describe.Condition(condition), err)
	}
	return position
}

// refused expects an append to fail with target, and to leave nothing behind.
func (t *T) refused(target error, condition *dcb.AppendCondition, events ...dcb.Event) error {
	before := t.head()
	position, err := t.Store.Append(t.ctx, events, condition)
	if !errors.Is(err, target) {
		t.Fatalf("Append(%s, %s): got position %d and error %v, want error %v",
			describe.Events(events), describe.Condition(condition), position, err, target)
	}
	if after := t.head(); after != before {
		t.Fatalf("Append(%s, %s) failed with %v, but moved the head from %d to %d",
			describe.Events(events), describe.Condition(condition), err, before, after)
	}
	return err
}

// conflicts expects an append to conflict, and to leave nothing behind.
func (t *T) conflicts(q dcb.Query, after dcb.Position, events ...dcb.Event) *dcb.ConflictError {
	err := t.refused(dcb.ErrConflict, &dcb.AppendCondition{FailIfEventsMatch: q, After: after}, events...)
	var conflict *dcb.ConflictError
	if !errors.As(err, &conflict) {
		t.Fatalf("the error of a conflict is a %T, want a *dcb.ConflictError", err)
	}
	return conflict
}

func (t *T) read(q dcb.Query, opts dcb.ReadOptions) dcb.ReadResult {
	return t.readFrom(t.Store, q, opts)
}

func (t *T) readFrom(s dcb.Store, q dcb.Query, opts dcb.ReadOptions) dcb.ReadResult {
	result, err := s.Read(t.ctx, q, opts)
	if err != nil {
		t.Fatalf("Read(%s, %+v): %w", describe.Query(q), opts, err)
	}
	return result
}

// all reads everything.
func (t *T) all() []dcb.SequencedEvent { return t.read(dcb.All(), dcb.ReadOptions{}).Events }

func (t *T) head() dcb.Position { return t.headOf(t.Store) }

func (t *T) headOf(s dcb.Store) dcb.Position {
	head, err := s.Head(t.ctx)
	if err != nil {
		t.Fatalf("Head: %w", err)
	}
	return head
}

// selects expects q to select the events at the given positions.
func (t *T) selects(q dcb.Query, want ...dcb.Position) {
	if got := positions(t.read(q, dcb.ReadOptions{}).Events); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s selects %v, want %v", describe.Query(q), got, want)
	}
}

// recorded expects the store to hold exactly the given events.
func (t *T) recorded(want ...dcb.Event) []dcb.SequencedEvent {
	events := t.all()
	t.sameEvents(events, want...)
	if head := t.head(); head != dcb.Position(len(want)) {
		t.Errorf("the head is %d, want %d", head, len(want))
	}
	return events
}

// sameEvents expects got to be what the wanted events are when recorded, tags in order.
func (t *T) sameEvents(got []dcb.SequencedEvent, want ...dcb.Event) {
	if len(got) != len(want) {
		t.Fatalf("got %d events (%v), want %d", len(got), positions(got), len(want))
	}
	for i := range want {
		if problem := describe.Difference(got[i].Event, want[i]); problem != "" {
			t.Errorf("the event at position %d: %s", got[i].Position, problem)
		}
	}
}

// event is short for an event without data.
func event(eventType string, tags ...string) dcb.Event { return dcb.Event{Type: eventType, Tags: tags} }

// identified is an event with an ID of its own.
func identified(eventType string, tags ...string) dcb.Event {
	return dcb.Event{Type: eventType, Tags: tags, ID: uuid.New()}
}

// tagged is short for the query of the events that have all of tags.
func tagged(tags ...string) dcb.Query { return dcb.Query{{Tags: tags}} }

// typed is short for the query of the events that have one of types.
func typed(types ...string) dcb.Query { return dcb.Query{{Types: types}} }

func positions(events []dcb.SequencedEvent) []dcb.Position {
	positions := make([]dcb.Position, len(events))
	for i := range events {
		positions[i] = events[i].Position
	}
	return positions
}
