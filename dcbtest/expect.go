package dcbtest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/dcbtest/internal/describe"
)

// This file holds the calls and the checks that most cases share. A call that fails
// unexpectedly ends the case.

// append appends events without a condition and returns the position of the last one.
func (t *T) append(events ...dcb.Event) dcb.Position { return t.appendTo(t.Store, nil, events...) }

// appendIf appends events on the condition that no event after the position matches q.
func (t *T) appendIf(q dcb.Query, after dcb.Position, events ...dcb.Event) dcb.Position {
	return t.appendTo(t.Store, &dcb.AppendCondition{FailIfEventsMatch: q, After: after}, events...)
}

func (t *T) appendTo(s dcb.Store, condition *dcb.AppendCondition, events ...dcb.Event) dcb.Position {
	position, err := s.Append(t.ctx, events, condition)
	if err != nil {
		t.Fatalf("Append(%s; %s): %w", describe.Events(events), describe.Condition(condition), err)
	}
	return position
}

// tryAppend appends events under a condition and reports whether the condition held.
func (t *T) tryAppend(s dcb.Store, q dcb.Query, after dcb.Position, events ...dcb.Event) bool {
	_, err := s.Append(t.ctx, events, &dcb.AppendCondition{FailIfEventsMatch: q, After: after})
	if err != nil && !errors.Is(err, dcb.ErrConflict) {
		t.Fatalf("Append(%s): %w", describe.Events(events), err)
	}
	return err == nil
}

// appendFails checks that an append fails with target and leaves the head where it was. It returns
// the error.
func (t *T) appendFails(target error, condition *dcb.AppendCondition, events ...dcb.Event) error {
	before := t.head()
	position, err := t.Store.Append(t.ctx, events, condition)
	if !errors.Is(err, target) {
		t.Fatalf("Append(%s; %s) = %d, error %v, want error %v",
			describe.Events(events), describe.Condition(condition), position, err, target)
	}
	if after := t.head(); after != before {
		t.Fatalf("Append(%s; %s) failed with %v and moved the head from %d to %d",
			describe.Events(events), describe.Condition(condition), err, before, after)
	}
	return err
}

// appendConflicts checks that an append fails with a *dcb.ConflictError and records nothing.
func (t *T) appendConflicts(q dcb.Query, after dcb.Position, events ...dcb.Event) *dcb.ConflictError {
	err := t.appendFails(dcb.ErrConflict, &dcb.AppendCondition{FailIfEventsMatch: q, After: after}, events...)
	conflict, ok := errors.AsType[*dcb.ConflictError](err)
	if !ok {
		t.Fatalf("the error of a failed condition is a %T, want a *dcb.ConflictError", err)
	}
	return conflict
}

// appendRepeats checks that an append is recognized as a retry: it returns the position want and
// records nothing.
func (t *T) appendRepeats(want dcb.Position, condition *dcb.AppendCondition, events ...dcb.Event) {
	before := t.head()
	if got := t.appendTo(t.Store, condition, events...); got != want {
		t.Errorf("the retry of Append(%s) = %d, want %d", describe.Events(events), got, want)
	}
	if after := t.head(); after != before {
		t.Errorf("the retry of Append(%s) moved the head from %d to %d", describe.Events(events), before, after)
	}
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

func (t *T) readAll() []dcb.SequencedEvent { return t.read(dcb.All(), dcb.ReadOptions{}).Events }

func (t *T) head() dcb.Position { return t.headOf(t.Store) }

func (t *T) headOf(s dcb.Store) dcb.Position {
	head, err := s.Head(t.ctx)
	if err != nil {
		t.Fatalf("Head: %w", err)
	}
	return head
}

// selects checks that q selects the events at the given positions.
func (t *T) selects(q dcb.Query, want ...dcb.Position) {
	if got := positions(t.read(q, dcb.ReadOptions{}).Events); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s selects %v, want %v", describe.Query(q), got, want)
	}
}

// holds checks that the store holds exactly the given events, and returns them as read.
func (t *T) holds(want ...dcb.Event) []dcb.SequencedEvent {
	events := t.readAll()
	t.wantEvents(events, want...)
	if head := t.head(); head != dcb.Position(len(want)) {
		t.Errorf("Head = %d, want %d", head, len(want))
	}
	return events
}

// wantEvents checks that got are the events that were appended as want.
func (t *T) wantEvents(got []dcb.SequencedEvent, want ...dcb.Event) {
	if len(got) != len(want) {
		t.Fatalf("got %d events (%v), want %d", len(got), positions(got), len(want))
	}
	for i := range want {
		if difference := describe.Difference(got[i].Event, want[i]); difference != "" {
			t.Errorf("the event at position %d: %s", got[i].Position, difference)
		}
	}
}

// wantDense checks that the store holds an event at every position from 1 to its head.
func (t *T) wantDense() {
	result := t.read(dcb.All(), dcb.ReadOptions{})
	got := positions(result.Events)
	if !slices.IsSorted(got) || len(got) > 0 && (got[0] != 1 || got[len(got)-1] != dcb.Position(len(got))) {
		t.Errorf("the positions have gaps or are out of order: %v", got)
	}
	if result.Head != dcb.Position(len(got)) {
		t.Errorf("the store has %d events and head %d", len(got), result.Head)
	}
}

// wantContiguous checks that appends of n events each are not interleaved. All events of one append
// must have the same tags, which no other append has.
func (t *T) wantContiguous(n int) {
	events := t.readAll()
	if len(events)%n != 0 {
		t.Errorf("the store has %d events after appends of %d", len(events), n)
	}
	for i := range events {
		if first := events[i/n*n]; !slices.Equal(events[i].Tags, first.Tags) {
			t.Errorf("the event at position %d has tags %v, between events with %v",
				events[i].Position, events[i].Tags, first.Tags)
			return
		}
	}
}

// wantRisingTimes checks that RecordedAt never falls.
func (t *T) wantRisingTimes() {
	var last time.Time
	for _, e := range t.readAll() {
		if e.RecordedAt.Before(last) {
			t.Errorf("RecordedAt falls at position %d, from %v to %v", e.Position, last, e.RecordedAt)
		}
		last = e.RecordedAt
	}
}

// event returns an event without data.
func event(eventType string, tags ...string) dcb.Event { return dcb.Event{Type: eventType, Tags: tags} }

// withID returns an event with a new ID.
func withID(eventType string, tags ...string) dcb.Event {
	return dcb.Event{Type: eventType, Tags: tags, ID: uuid.New()}
}

// fullEvent returns an event with a value in every field.
func fullEvent() dcb.Event {
	return dcb.Event{
		Type: "T", Tags: []string{"x", "y"}, Data: []byte("data"), ID: uuid.New(),
		Metadata: map[string]string{"k": "v"},
	}
}

// plainEvents returns n equal events without tags, data, ID and metadata.
func plainEvents(n int) []dcb.Event {
	events := make([]dcb.Event, n)
	for i := range events {
		events[i].Type = "T"
	}
	return events
}

// tagged returns the query for events that have all of tags.
func tagged(tags ...string) dcb.Query { return dcb.Query{{Tags: tags}} }

// typed returns the query for events that have one of types.
func typed(types ...string) dcb.Query { return dcb.Query{{Types: types}} }

func cloneEvents(events []dcb.Event) []dcb.Event {
	cloned := make([]dcb.Event, len(events))
	for i := range events {
		cloned[i] = events[i].Clone()
	}
	return cloned
}

func cloneQuery(q dcb.Query) dcb.Query {
	cloned := slices.Clone(q)
	for i := range cloned {
		cloned[i] = dcb.QueryItem{Types: slices.Clone(q[i].Types), Tags: slices.Clone(q[i].Tags)}
	}
	return cloned
}

func positions(events []dcb.SequencedEvent) []dcb.Position {
	positions := make([]dcb.Position, len(events))
	for i := range events {
		positions[i] = events[i].Position
	}
	return positions
}
