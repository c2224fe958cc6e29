package dcbtest

import (
	"errors"
	"slices"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/dcbtest/internal/describe"
)

const (
	retryRule = "If exactly these events, in this order, are recorded at consecutive positions already, their position is returned " +
		"and nothing is recorded, whatever the condition says."
	duplicateRule = "If some of the IDs are recorded in any other way, the append fails with ErrDuplicateID."
)

func retryCases() []Case {
	return []Case{
		{
			Name: "retry/an append that is sent again is recorded once",
			Rule: retryRule,
			Run: func(t *T) {
				batch := []dcb.Event{identified("A", "x"), identified("B", "y"), identified("C")}
				t.append(event("T"))
				t.append(batch...)
				t.repeats(4, nil, batch...)
				t.repeats(4, nil, batch...)
				t.recorded(append([]dcb.Event{event("T")}, batch...)...)
			},
		},
		{
			Name: "retry/a single event that is sent again is recorded once",
			Rule: retryRule,
			Run: func(t *T) {
				e := identified("A", "x")
				t.append(e)
				t.repeats(1, nil, e)
				t.append(event("T"))
				t.repeats(1, nil, e)
			},
		},
		{
			Name: "retry/a repetition is not judged by its own condition",
			Rule: retryRule,
			Run: func(t *T) {
				condition := &dcb.AppendCondition{FailIfEventsMatch: tagged("x")}
				batch := []dcb.Event{identified("A", "x"), identified("B", "x")}
				t.appendTo(t.Store, condition, batch...)
				t.repeats(2, condition, batch...) // its own events match by now
				t.recorded(batch...)
			},
		},
		{
			Name: "retry/a repetition may come late",
			Rule: retryRule,
			Run: func(t *T) {
				condition := &dcb.AppendCondition{FailIfEventsMatch: tagged("x")}
				batch := []dcb.Event{identified("A", "x"), identified("B", "x")}
				t.appendTo(t.Store, condition, batch...)
				for range 10 {
					t.append(event("A", "x"), identified("B", "x"))
				}
				t.repeats(2, condition, batch...)
				t.dense()
			},
		},
		{
			Name: "retry/a repetition may have another condition",
			Rule: retryRule,
			Run: func(t *T) {
				e := identified("A", "x")
				t.append(e)
				t.repeats(1, &dcb.AppendCondition{FailIfEventsMatch: dcb.All()}, e)
				t.repeats(1, &dcb.AppendCondition{FailIfEventsMatch: tagged("y"), After: 100}, e)
				conditional := identified("B", "y")
				t.appendIf(tagged("y"), 0, conditional)
				t.repeats(2, nil, conditional)
			},
		},
		{
			Name: "retry/a repetition is told by what the events say",
			Rule: "Two events are the same if type, tags (as a set), data, ID and metadata are equal. Nil and empty are the same.",
			Run: func(t *T) {
				e := dcb.Event{Type: "A", Tags: []string{"x", "y"}, ID: uuid.New()}
				bare := dcb.Event{Type: "B", ID: uuid.New()}
				t.append(e, bare)
				e.Tags, e.Data, e.Metadata = []string{"y", "x", "y"}, []byte{}, map[string]string{}
				bare.Tags = []string{}
				t.repeats(2, nil, e, bare)
			},
		},
		{
			Name: "retry/the first events of an append are a repetition",
			Rule: retryRule,
			Run: func(t *T) {
				batch := []dcb.Event{identified("A"), identified("B"), identified("C"), identified("D")}
				t.append(batch...)
				t.repeats(2, nil, batch[:2]...)
				t.repeats(1, nil, batch[0])
			},
		},
		{
			Name: "retry/any consecutive events of an append are a repetition",
			Rule: retryRule,
			Run: func(t *T) {
				batch := []dcb.Event{identified("A"), identified("B"), identified("C"), identified("D")}
				t.append(batch...)
				t.repeats(3, nil, batch[1:3]...)
				t.repeats(4, nil, batch[2:]...)
				t.repeats(4, nil, batch[3])
			},
		},
		{
			Name: "retry/neighbouring appends sent as one are a repetition",
			Rule: retryRule,
			Run: func(t *T) {
				batch := []dcb.Event{identified("A"), identified("B"), identified("C"), identified("D")}
				t.append(batch[:1]...)
				t.append(batch[1:3]...)
				t.append(batch[3])
				t.repeats(4, nil, batch...)
				t.repeats(3, nil, batch[:3]...)
				t.repeats(4, nil, batch[2:]...)
			},
		},
		{
			Name: "retry/a large append that is sent again is recorded once",
			Rule: retryRule,
			Run: func(t *T) {
				batch := make([]dcb.Event, 1000)
				for i := range batch {
					batch[i] = identified("T", "x")
				}
				t.append(batch...)
				t.repeats(1000, nil, batch...)
				other := slices.Clone(batch)
				other[999].Type = "other"
				t.refused(dcb.ErrDuplicateID, nil, other...)
			},
		},
		{
			Name: "retry/reordered events are no repetition",
			Rule: duplicateRule,
			Run: func(t *T) {
				a, b, c := identified("A"), identified("B"), identified("C")
				t.append(a, b, c)
				t.refused(dcb.ErrDuplicateID, nil, b, a)
				t.refused(dcb.ErrDuplicateID, nil, a, c, b)
				t.refused(dcb.ErrDuplicateID, nil, c, b, a)
			},
		},
		{
			Name: "retry/events that are not neighbours are no repetition",
			Rule: duplicateRule,
			Run: func(t *T) {
				a, b, c, d := identified("A"), identified("B"), identified("C"), identified("D")
				t.append(a, b, c)
				t.append(event("T"))
				t.append(d)
				t.refused(dcb.ErrDuplicateID, nil, a, c)
				t.refused(dcb.ErrDuplicateID, nil, c, d)
				t.refused(dcb.ErrDuplicateID, nil, a, b, c, d)
			},
		},
		differing("type", func(e *dcb.Event) { e.Type = "a" }),
		differing("tags", func(e *dcb.Event) { e.Tags = []string{"x", "Y"} }),
		differing("number of tags", func(e *dcb.Event) { e.Tags = e.Tags[:1] }),
		differing("data", func(e *dcb.Event) { e.Data = []byte("Data") }),
		differing("lack of data", func(e *dcb.Event) { e.Data = nil }),
		differing("metadata", func(e *dcb.Event) { e.Metadata = map[string]string{"k": "V"} }),
		differing("lack of metadata", func(e *dcb.Event) { e.Metadata = nil }),
		{
			Name: "retry/known and new IDs together are refused",
			Rule: duplicateRule,
			Run: func(t *T) {
				a, b, c := identified("A"), identified("B"), identified("C")
				t.append(a, b)
				t.refused(dcb.ErrDuplicateID, nil, a, b, c)
				t.refused(dcb.ErrDuplicateID, nil, c, a, b)
				t.refused(dcb.ErrDuplicateID, nil, b, c)
				t.refused(dcb.ErrDuplicateID, nil, a, c, b)
				t.append(c) // none of them recorded it
				t.recorded(a, b, c)
			},
		},
		{
			Name: "retry/a new ID before the first event recorded is refused",
			Rule: duplicateRule,
			Run: func(t *T) {
				first := identified("A")
				t.append(first)
				t.refused(dcb.ErrDuplicateID, nil, identified("B"), first)
				t.refused(dcb.ErrDuplicateID, nil, event("B"), first)
				t.refused(dcb.ErrDuplicateID, nil, identified("B"), identified("C"), first)
			},
		},
		{
			Name: "retry/events without an ID among known ones are refused",
			Rule: "If every event of an append has an ID …: one that lacks it is never a repetition. " + duplicateRule,
			Run: func(t *T) {
				mixed := []dcb.Event{identified("A"), event("B"), identified("C")}
				t.append(mixed...)
				t.refused(dcb.ErrDuplicateID, nil, mixed...)
				t.refused(dcb.ErrDuplicateID, nil, mixed[:2]...)
				t.refused(dcb.ErrDuplicateID, nil, mixed[1:]...)
				t.repeats(1, nil, mixed[0])
				t.repeats(3, nil, mixed[2])
				t.append(mixed[1]) // nothing tells it from another event
				t.recorded(append(mixed, mixed[1])...)
			},
		},
		{
			Name: "retry/an ID twice in one append is refused",
			Rule: "An ID, where given, is unique in the store.",
			Run: func(t *T) {
				a := identified("A")
				t.refused(dcb.ErrDuplicateID, nil, a, a)
				t.refused(dcb.ErrDuplicateID, nil, event("T"), a, event("T"), dcb.Event{Type: "B", ID: a.ID})
				t.recorded()
				t.append(a)
				t.refused(dcb.ErrDuplicateID, nil, a, a)
				t.recorded(a)
			},
		},
		{
			Name: "retry/a duplicate ID is not worth repeating",
			Rule: "Give the events IDs of their own.",
			Run: func(t *T) {
				a := identified("A")
				t.append(a)
				err := t.refused(dcb.ErrDuplicateID, nil, dcb.Event{Type: "B", ID: a.ID})
				if dcb.Retryable(err) || errors.Is(err, dcb.ErrInvalid) || errors.Is(err, dcb.ErrConflict) {
					t.Errorf("a duplicate ID is also said to be something else: %w", err)
				}
			},
		},
		{
			Name: "retry/an ID that is recorded otherwise is refused whatever the condition says",
			Rule: duplicateRule,
			Run: func(t *T) {
				a := identified("A", "x")
				t.append(a)
				other := dcb.Event{Type: "B", ID: a.ID}
				t.refused(dcb.ErrDuplicateID, &dcb.AppendCondition{FailIfEventsMatch: tagged("y")}, other)
				t.refused(dcb.ErrDuplicateID, &dcb.AppendCondition{FailIfEventsMatch: tagged("x"), After: 1}, other, event("T"))
			},
		},
		{
			Name: "retry/new IDs are no repetition",
			Rule: "An ID, where given, is unique in the store: two events with the same content and different IDs are two events.",
			Run: func(t *T) {
				first, second := identified("A", "x"), identified("A", "x")
				t.append(first)
				t.append(second)
				t.conflicts(tagged("x"), 0, identified("A", "x"))
				t.recorded(first, second)
			},
		},
		{
			Name: "retry/the same append from many callers is recorded once",
			Rule: retryRule,
			Run: func(t *T) {
				batch := []dcb.Event{identified("A", "x"), identified("B", "x")}
				condition := &dcb.AppendCondition{FailIfEventsMatch: tagged("x")}
				t.atOnce(16, func(int) {
					if position := t.appendTo(t.Store, condition, batch...); position != 2 {
						t.Errorf("one of several callers got position %d, want 2", position)
					}
				})
				t.recorded(batch...)
			},
		},
		{
			Name: "retry/overlapping appends from many callers leave each ID once",
			Rule: "An ID, where given, is unique in the store. " + duplicateRule,
			Run: func(t *T) {
				events := []dcb.Event{identified("A"), identified("B"), identified("C"), identified("D")}
				t.atOnce(12, func(i int) {
					_, err := t.Store.Append(t.ctx, []dcb.Event{events[i%4], events[(i+1)%4]}, nil)
					if err != nil && !errors.Is(err, dcb.ErrDuplicateID) {
						t.Errorf("got error %w, want none or ErrDuplicateID", err)
					}
				})
				seen := make(map[uuid.UUID]bool)
				for _, e := range t.all() {
					if seen[e.ID] {
						t.Errorf("the ID of position %d is there twice", e.Position)
					}
					seen[e.ID] = true
				}
				t.dense()
			},
		},
	}
}

// repeats expects an append to be taken for a repetition that ends at position want, and to record nothing.
func (t *T) repeats(want dcb.Position, condition *dcb.AppendCondition, events ...dcb.Event) {
	before := t.head()
	if got := t.appendTo(t.Store, condition, events...); got != want {
		t.Errorf("the repetition of %s returned position %d, want %d", describe.Events(events), got, want)
	}
	if after := t.head(); after != before {
		t.Errorf("the repetition of %s moved the head from %d to %d", describe.Events(events), before, after)
	}
}

// differing returns the case that an event with a recorded ID and a different field is refused.
func differing(field string, change func(e *dcb.Event)) Case {
	return Case{Name: "retry/a different " + field + " under the same ID is refused", Rule: duplicateRule, Run: func(t *T) {
		recorded := dcb.Event{Type: "A", Tags: []string{"x", "y"}, Data: []byte("data"), ID: uuid.New(), Metadata: map[string]string{"k": "v"}}
		neighbour := identified("B")
		t.append(recorded, neighbour)
		changed := recorded.Clone()
		change(&changed)
		t.refused(dcb.ErrDuplicateID, nil, changed)
		t.refused(dcb.ErrDuplicateID, nil, changed, neighbour)
		t.recorded(recorded, neighbour)
	}}
}
