// Package modeltest compares a store with the model by random sequences of calls. A sequence on which they differ is made as short as
// it can be and printed with its seed; go test -rapid.seed repeats it, -rapid.checks says how many sequences are tried.
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

// Check tries random sequences of calls, each on a new store.
func Check(t *testing.T, open func(t testing.TB) dcb.Store) {
	t.Helper()
	rapid.Check(t, func(r *rapid.T) {
		s := open(t)
		if closer, ok := s.(io.Closer); ok {
			defer func() { _ = closer.Close() }() // open may have a cleanup that closes it too
		}
		m := &machine{t: t, store: s}
		r.Repeat(map[string]func(*rapid.T){
			"":            m.sameHead,
			"append":      m.append,
			"decide":      m.decide,
			"append anew": m.appendAnew,
			"read":        m.read,
			"stream":      m.stream,
			"wait":        m.wait,
		})
	})
}

// machine is a store and what it must hold.
type machine struct {
	t     *testing.T
	store dcb.Store
	log   model.Log
}

// sameHead is checked after every call.
func (m *machine) sameHead(r *rapid.T) {
	head, err := m.store.Head(m.t.Context())
	if err != nil || head != m.log.Head() {
		r.Fatalf("Head returned %d, %v, want %d", head, err, m.log.Head())
	}
}

func (m *machine) append(r *rapid.T) {
	var condition *dcb.AppendCondition
	if rapid.Bool().Draw(r, "conditional") {
		condition = &dcb.AppendCondition{FailIfEventsMatch: queries.Draw(r, "query"), After: m.position(r, "after")}
	}
	m.sameAppend(r, rapid.SliceOfN(events, 0, 4).Draw(r, "events"), condition)
}

// decide reads and appends as an application does.
func (m *machine) decide(r *rapid.T) {
	q := queries.Draw(r, "query")
	seen := m.sameRead(r, q, dcb.ReadOptions{Limit: rapid.IntRange(0, 3).Draw(r, "limit")})
	m.sameAppend(r, rapid.SliceOfN(events, 1, 3).Draw(r, "events"), &dcb.AppendCondition{FailIfEventsMatch: q, After: seen.Head})
}

// appendAnew sends events again that are recorded: some neighbours, and perhaps others beside them.
func (m *machine) appendAnew(r *rapid.T) {
	if len(m.log) == 0 {
		return // there is nothing to do it with
	}
	from := rapid.IntRange(0, len(m.log)-1).Draw(r, "from")
	to := rapid.IntRange(from+1, min(len(m.log), from+4)).Draw(r, "to")
	var again []dcb.Event
	for _, e := range m.log[from:to] {
		again = append(again, e.Clone().Event)
	}
	switch rapid.IntRange(0, 3).Draw(r, "with") {
	case 0:
		again = append(again, events.Draw(r, "more"))
	case 1:
		again = append([]dcb.Event{events.Draw(r, "more")}, again...)
	}
	var condition *dcb.AppendCondition
	if rapid.Bool().Draw(r, "conditional") {
		condition = &dcb.AppendCondition{FailIfEventsMatch: dcb.All(), After: m.log.Head()}
	}
	m.sameAppend(r, again, condition)
}

func (m *machine) read(r *rapid.T) {
	m.sameRead(r, queries.Draw(r, "query"), m.options(r))
}

func (m *machine) stream(r *rapid.T) {
	q, opts := queries.Draw(r, "query"), m.options(r)
	var got []dcb.SequencedEvent
	for e, err := range dcb.Stream(m.t.Context(), m.store, q, opts) {
		if err != nil {
			r.Fatalf("Stream: %v", err)
		}
		got = append(got, e)
	}
	want, _ := m.log.Read(q, opts)
	m.same(r, got, want.Events)
}

func (m *machine) wait(r *rapid.T) {
	if len(m.log) == 0 {
		return // there is nothing to do it with
	}
	after := rapid.Uint64Range(0, uint64(m.log.Head()-1)).Draw(r, "after")
	head, err := m.store.Wait(m.t.Context(), dcb.Position(after))
	if err != nil || head != m.log.Head() {
		r.Fatalf("Wait(%d) returned %d, %v, want %d", after, head, err, m.log.Head())
	}
}

// sameAppend appends to the store and to the model, and takes over what only the store can know: RecordedAt.
func (m *machine) sameAppend(r *rapid.T, events []dcb.Event, condition *dcb.AppendCondition) {
	before := m.log.Head()
	got, err := m.store.Append(m.t.Context(), events, condition)
	matching := m.log
	want, wantErr := m.log.Append(events, condition, m.lastRecordedAt(r, before))
	if !errors.Is(err, kind(wantErr)) || err == nil && got != want {
		r.Fatalf("Append(%+v, %+v) returned %d, %v, want %d, %v", events, condition, got, err, want, wantErr)
	}
	if conflict, ok := errors.AsType[*dcb.ConflictError](err); ok {
		at := conflict.Position
		if at <= condition.After || at > before || !condition.FailIfEventsMatch.Matches(matching[at-1].Event) {
			r.Fatalf("the conflict is said to be with position %d, which does not match %+v", at, condition)
		}
	}
}

// lastRecordedAt reads what the store recorded last if it recorded anything after before.
func (m *machine) lastRecordedAt(r *rapid.T, before dcb.Position) (at time.Time) {
	newest, err := m.store.Read(m.t.Context(), dcb.All(), dcb.ReadOptions{After: before, Limit: 1, Backwards: true})
	if err != nil {
		r.Fatalf("Read: %v", err)
	}
	for _, e := range newest.Events {
		at = e.RecordedAt
	}
	return at
}

func (m *machine) sameRead(r *rapid.T, q dcb.Query, opts dcb.ReadOptions) dcb.ReadResult {
	got, err := m.store.Read(m.t.Context(), q, opts)
	if err != nil {
		r.Fatalf("Read(%+v, %+v): %v", q, opts, err)
	}
	want, _ := m.log.Read(q, opts)
	if got.Head != want.Head {
		r.Fatalf("Read(%+v, %+v) has head %d, want %d", q, opts, got.Head, want.Head)
	}
	if got.More != want.More {
		r.Fatalf("Read(%+v, %+v).More = %v, want %v", q, opts, got.More, want.More)
	}
	m.same(r, got.Events, want.Events)
	return got
}

func (m *machine) same(r *rapid.T, got, want []dcb.SequencedEvent) {
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		r.Fatalf("the events differ (-want +got):\n%s", diff)
	}
}

// kind returns which of the contract's errors err, which is the model's, is.
func kind(err error) error {
	for _, target := range []error{dcb.ErrNoEvents, dcb.ErrInvalidQuery, dcb.ErrInvalid, dcb.ErrConflict, dcb.ErrDuplicateID} {
		if errors.Is(err, target) {
			return target
		}
	}
	return err
}

// What is drawn comes from few values, so that it meets.
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
	queries = rapid.Custom(func(r *rapid.T) dcb.Query {
		return rapid.SliceOfN(rapid.Custom(func(r *rapid.T) dcb.QueryItem {
			return dcb.QueryItem{Types: rapid.SliceOfN(types, 0, 2).Draw(r, "types"), Tags: rapid.SliceOfN(tags, 0, 3).Draw(r, "tags")}
		}), 1, 3).Draw(r, "items")
	})
)

// position draws one up to a little beyond the head.
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
