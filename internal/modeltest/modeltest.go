// Package modeltest compares a store with package model by random sequences of calls. A sequence
// with different results is shortened and printed with its seed.
//
// The flag -rapid.seed repeats a sequence, and -rapid.checks sets the number of sequences.
package modeltest

import (
	"errors"
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/model"
)

// Check makes random sequences of calls, each on a new store from open, and fails t if a result
// differs from the model's. It closes each store if the store has Close.
func Check(t *testing.T, open func(t testing.TB) dcb.Store) {
	t.Helper()
	rapid.Check(t, func(r *rapid.T) {
		s := open(t)
		if closer, ok := s.(io.Closer); ok {
			defer func() { _ = closer.Close() }() // open may register a cleanup that closes it too
		}
		m := &machine{t: t, store: s}
		r.Repeat(map[string]func(*rapid.T){
			"":       m.checkHead,
			"append": m.append,
			"decide": m.decide,
			"retry":  m.retry,
			"read":   m.read,
			"stream": m.stream,
			"wait":   m.wait,
		})
	})
}

// machine is a store and the log that it must hold.
type machine struct {
	t     *testing.T
	store dcb.Store
	log   model.Log
}

// checkHead is called after every action.
func (m *machine) checkHead(r *rapid.T) {
	head, err := m.store.Head(m.t.Context())
	if err != nil || head != m.log.Head() {
		r.Fatalf("Head() = %d, %v, want %d", head, err, m.log.Head())
	}
}

// append appends new events, with or without a condition.
func (m *machine) append(r *rapid.T) {
	var condition *dcb.AppendCondition
	if rapid.Bool().Draw(r, "conditional") {
		condition = &dcb.AppendCondition{FailIfEventsMatch: queries.Draw(r, "query"), After: m.position(r, "after")}
	}
	m.compareAppend(r, rapid.SliceOfN(events, 0, 4).Draw(r, "events"), condition)
}

// decide reads and then appends with the same query as condition, like an application.
func (m *machine) decide(r *rapid.T) {
	q := queries.Draw(r, "query")
	seen := m.compareRead(r, q, dcb.ReadOptions{Limit: rapid.IntRange(0, 3).Draw(r, "limit")})
	condition := &dcb.AppendCondition{FailIfEventsMatch: q, After: seen.Head}
	m.compareAppend(r, rapid.SliceOfN(events, 1, 3).Draw(r, "events"), condition)
}

// retry appends consecutive recorded events again, sometimes with a new event before or after them.
func (m *machine) retry(r *rapid.T) {
	if len(m.log) == 0 {
		return
	}
	from := rapid.IntRange(0, len(m.log)-1).Draw(r, "from")
	to := rapid.IntRange(from+1, min(len(m.log), from+4)).Draw(r, "to")
	var again []dcb.Event
	for _, e := range m.log[from:to] {
		again = append(again, e.Clone().Event)
	}
	switch rapid.IntRange(0, 3).Draw(r, "with") {
	case 0:
		again = append(again, events.Draw(r, "new"))
	case 1:
		again = append([]dcb.Event{events.Draw(r, "new")}, again...)
	}
	var condition *dcb.AppendCondition
	if rapid.Bool().Draw(r, "conditional") {
		condition = &dcb.AppendCondition{FailIfEventsMatch: dcb.All(), After: m.log.Head()}
	}
	m.compareAppend(r, again, condition)
}

func (m *machine) read(r *rapid.T) {
	m.compareRead(r, queries.Draw(r, "query"), m.options(r))
}

func (m *machine) stream(r *rapid.T) {
	q, opts := queries.Draw(r, "query"), m.options(r)
	var got []dcb.SequencedEvent
	for e, err := range dcb.Stream(m.t.Context(), m.store, q, opts) {
		if err != nil {
			r.Fatalf("Stream(%+v, %+v): %v", q, opts, err)
		}
		got = append(got, e)
	}
	want, _ := m.log.Read(q, opts)
	compareEvents(r, got, want.Events)
}

// wait waits below the head, so that Wait returns at once.
func (m *machine) wait(r *rapid.T) {
	if len(m.log) == 0 {
		return
	}
	after := rapid.Uint64Range(0, uint64(m.log.Head()-1)).Draw(r, "after")
	head, err := m.store.Wait(m.t.Context(), dcb.Position(after))
	if err != nil || head != m.log.Head() {
		r.Fatalf("Wait(%d) = %d, %v, want %d", after, head, err, m.log.Head())
	}
}

// compareAppend appends to the store and to the log. The log takes over the store's RecordedAt.
func (m *machine) compareAppend(r *rapid.T, events []dcb.Event, condition *dcb.AppendCondition) {
	head, before := m.log.Head(), m.log
	got, err := m.store.Append(m.t.Context(), events, condition)
	want, wantErr := m.log.Append(events, condition, m.lastRecordedAt(r, head))
	if !errors.Is(err, sentinel(wantErr)) || err == nil && got != want {
		r.Fatalf("Append(%+v, %+v) = %d, %v, want %d, %v", events, condition, got, err, want, wantErr)
	}
	if conflict, ok := errors.AsType[*dcb.ConflictError](err); ok {
		at := conflict.Position
		if at <= condition.After || at > head || !condition.FailIfEventsMatch.Matches(before[at-1].Event) {
			r.Fatalf("Append: the conflict names position %d, which does not match %+v", at, condition)
		}
	}
}

// lastRecordedAt returns the time of the store's last event if it is after position after.
func (m *machine) lastRecordedAt(r *rapid.T, after dcb.Position) (at time.Time) {
	newest, err := m.store.Read(m.t.Context(), dcb.All(), dcb.ReadOptions{After: after, Limit: 1, Backwards: true})
	if err != nil {
		r.Fatalf("Read: %v", err)
	}
	for _, e := range newest.Events {
		at = e.RecordedAt
	}
	return at
}

// compareRead reads from the store and from the log, and returns the store's result.
func (m *machine) compareRead(r *rapid.T, q dcb.Query, opts dcb.ReadOptions) dcb.ReadResult {
	got, err := m.store.Read(m.t.Context(), q, opts)
	if err != nil {
		r.Fatalf("Read(%+v, %+v): %v", q, opts, err)
	}
	want, _ := m.log.Read(q, opts)
	if got.Head != want.Head || got.More != want.More {
		r.Fatalf("Read(%+v, %+v): Head %d and More %v, want %d and %v", q, opts, got.Head, got.More, want.Head, want.More)
	}
	compareEvents(r, got.Events, want.Events)
	return got
}

func compareEvents(r *rapid.T, got, want []dcb.SequencedEvent) {
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		r.Fatalf("the events differ (-want +got):\n%s", diff)
	}
}

// sentinel returns the error of the contract that the model's error err is.
func sentinel(err error) error {
	for _, target := range []error{
		dcb.ErrNoEvents, dcb.ErrInvalidQuery, dcb.ErrInvalid, dcb.ErrConflict, dcb.ErrDuplicateID,
	} {
		if errors.Is(err, target) {
			return target
		}
	}
	return err
}

// The generators draw from few values, so that queries match and IDs repeat.
var (
	types = rapid.SampledFrom([]string{"A", "B", "C"})
	tags  = rapid.SampledFrom([]string{"a", "b", "c", "d:1", "d:10"})
	ids   = rapid.SampledFrom([]uuid.UUID{uuid.Nil, uuid.Nil, uuid.Nil, {1}, {2}, {3}, {4}, {5}, {6}, {7}, {8}})

	events = rapid.Custom(func(r *rapid.T) dcb.Event {
		return dcb.Event{
			Type: types.Draw(r, "type"),
			Tags: rapid.SliceOfN(tags, 0, 4).Draw(r, "tags"),
			Data: rapid.SliceOfN(rapid.Byte(), 0, 3).Draw(r, "data"),
			ID:   ids.Draw(r, "ID"),
			Metadata: rapid.MapOfN(rapid.SampledFrom([]string{"k", "l"}), rapid.SampledFrom([]string{"", "v"}), 0, 2).
				Draw(r, "metadata"),
		}
	})
	items = rapid.Custom(func(r *rapid.T) dcb.QueryItem {
		return dcb.QueryItem{
			Types: rapid.SliceOfN(types, 0, 2).Draw(r, "types"),
			Tags:  rapid.SliceOfN(tags, 0, 3).Draw(r, "tags"),
		}
	})
	queries = rapid.Custom(func(r *rapid.T) dcb.Query { return rapid.SliceOfN(items, 1, 3).Draw(r, "items") })
)

// position draws a position from 0 to a little beyond the head.
func (m *machine) position(r *rapid.T, label string) dcb.Position {
	return dcb.Position(rapid.Uint64Range(0, uint64(m.log.Head())+2).Draw(r, label))
}

func (m *machine) options(r *rapid.T) dcb.ReadOptions {
	return dcb.ReadOptions{
		After:     m.position(r, "after"),
		Before:    m.position(r, "before"),
		Limit:     rapid.IntRange(0, 5).Draw(r, "limit"),
		Backwards: rapid.Bool().Draw(r, "backwards"),
	}
}
