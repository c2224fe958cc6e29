package dcbtest

import (
	"maps"
	"slices"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
)

// ownershipCases check which memory a store shares with its callers: none.
func ownershipCases() []Case {
	return []Case{
		{
			Name: "Append ownership/the caller may change tags afterwards", Rule: ruleArguments,
			Run: changeArguments(func(e *dcb.Event) { e.Tags[0] = "changed" }),
		},
		{
			Name: "Append ownership/the caller may change data afterwards", Rule: ruleArguments,
			Run: changeArguments(func(e *dcb.Event) { e.Data[0] = 'X' }),
		},
		{
			Name: "Append ownership/the caller may change metadata afterwards", Rule: ruleArguments,
			Run: changeArguments(func(e *dcb.Event) { e.Metadata["k"], e.Metadata["new"] = "changed", "changed" }),
		},
		{
			Name: "Append ownership/the caller may change the slice of events afterwards", Rule: ruleArguments,
			Run: changeArguments(func(e *dcb.Event) { *e = event("Changed") }),
		},
		{
			Name: "Append ownership/does not change its arguments", Rule: ruleArguments,
			Run: argumentsUnchanged,
		},
		{
			Name: "Read ownership/the caller may change tags", Rule: ruleReturned,
			Run: changeResults(func(e *dcb.SequencedEvent) { e.Tags[0] = "changed" }),
		},
		{
			Name: "Read ownership/the caller may change data", Rule: ruleReturned,
			Run: changeResults(func(e *dcb.SequencedEvent) { e.Data[0] = 'X' }),
		},
		{
			Name: "Read ownership/the caller may change metadata", Rule: ruleReturned,
			Run: changeResults(func(e *dcb.SequencedEvent) { e.Metadata["k"], e.Metadata["new"] = "changed", "changed" }),
		},
		{
			Name: "Read ownership/the caller may append to tags and data", Rule: ruleReturned,
			Run: changeResults(func(e *dcb.SequencedEvent) {
				_ = append(e.Tags, "changed")
				_ = append(e.Data, "changed"...)
			}),
		},
		{
			Name: "Read ownership/events appended with shared memory come back without it", Rule: ruleReturned,
			Run: sharedArguments,
		},
	}
}

// changeArguments returns a case function that changes events after Append returned. The store must
// not change with them.
func changeArguments(change func(e *dcb.Event)) func(t *T) {
	return func(t *T) {
		given := []dcb.Event{fullEvent(), fullEvent(), fullEvent()}
		want := cloneEvents(given)
		t.append(given...)
		for i := range given {
			change(&given[i])
		}
		t.holds(want...)
		t.wantEvents(t.read(tagged("x", "y"), dcb.ReadOptions{}).Events, want...)
		t.selects(tagged("changed"))
		t.appendRepeats(3, nil, want...)
	}
}

// changeResults returns a case function that changes events that Read returned. Neither the store
// nor any other result may change with them.
func changeResults(change func(e *dcb.SequencedEvent)) func(t *T) {
	return func(t *T) {
		want := []dcb.Event{fullEvent(), fullEvent(), fullEvent()}
		t.append(want...)
		before, changed := t.readAll(), t.readAll()
		backwards := t.read(tagged("x"), dcb.ReadOptions{Backwards: true}).Events
		for i := range changed {
			change(&changed[i])
			t.wantEvents(changed[i+1:], want[i+1:]...)
		}
		t.wantEvents(before, want...)
		change(&backwards[0])
		t.holds(want...)
		t.selects(tagged("changed"))
		t.selects(tagged("x"), 1, 2, 3)
		t.appendRepeats(3, nil, want...)
	}
}

func argumentsUnchanged(t *T) {
	given := []dcb.Event{
		{Type: "T", Tags: []string{"z", "a", "z", "b"}, Data: []byte("data"), Metadata: map[string]string{"k": "v"}},
		{Type: "T"},
	}
	q := dcb.Query{
		{Types: []string{"Z", "A", "Z"}, Tags: []string{"z", "b", "z"}},
		{Types: []string{"T"}},
		{Tags: []string{"a"}},
	}
	want, wantQuery := cloneEvents(given), cloneQuery(q)
	t.appendIf(q, 0, given...)
	t.read(q, dcb.ReadOptions{})
	t.appendConflicts(q, 0, given...)
	for i := range given {
		if !slices.Equal(given[i].Tags, want[i].Tags) || string(given[i].Data) != string(want[i].Data) ||
			!maps.Equal(given[i].Metadata, want[i].Metadata) || given[i].ID != uuid.Nil || given[i].Type != want[i].Type {
			t.Errorf("Append changed event %d of its argument to %+v", i, given[i])
		}
	}
	for i := range q {
		if !slices.Equal(q[i].Types, wantQuery[i].Types) || !slices.Equal(q[i].Tags, wantQuery[i].Tags) {
			t.Errorf("Append or Read changed item %d of its query to %+v", i, q[i])
		}
	}
}

func sharedArguments(t *T) {
	e := fullEvent()
	e.ID = uuid.Nil
	t.append(e, e, e)
	changed := t.readAll()
	changed[0].Tags[0], changed[0].Data[0], changed[0].Metadata["k"] = "changed", 'X', "changed"
	t.wantEvents(changed[1:], e, e)
	t.holds(e, e, e)
}
