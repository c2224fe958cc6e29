package dcbtest

import (
	"maps"
	"slices"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
)

const (
	givenRule    = "A store keeps no reference to what it is given once a call returned."
	returnedRule = "Events returned are the caller's own: changing them changes nothing in the store."
)

func ownershipCases() []Case {
	return []Case{
		{Name: "ownership/tags that were given may be changed", Rule: givenRule, Run: changeGiven(func(e *dcb.Event) { e.Tags[0] = "changed" })},
		{Name: "ownership/data that was given may be changed", Rule: givenRule, Run: changeGiven(func(e *dcb.Event) { e.Data[0] = 'X' })},
		{Name: "ownership/metadata that was given may be changed", Rule: givenRule, Run: changeGiven(func(e *dcb.Event) {
			e.Metadata["k"] = "changed"
			e.Metadata["new"] = "changed"
		})},
		{Name: "ownership/the list of events that was given may be changed", Rule: givenRule, Run: changeGiven(func(e *dcb.Event) { *e = event("Changed") })},
		{Name: "ownership/tags that were returned may be changed", Rule: returnedRule, Run: changeReturned(func(e *dcb.SequencedEvent) { e.Tags[0] = "changed" })},
		{Name: "ownership/data that was returned may be changed", Rule: returnedRule, Run: changeReturned(func(e *dcb.SequencedEvent) { e.Data[0] = 'X' })},
		{Name: "ownership/metadata that was returned may be changed", Rule: returnedRule, Run: changeReturned(func(e *dcb.SequencedEvent) {
			e.Metadata["k"] = "changed"
			e.Metadata["new"] = "changed"
		})},
		{Name: "ownership/what was returned may be extended", Rule: returnedRule, Run: changeReturned(func(e *dcb.SequencedEvent) {
			_ = append(e.Tags, "changed")
			_ = append(e.Data, "changed"...)
		})},
		{Name: "ownership/what was given is left as it is", Rule: "A store only reads what it is given.", Run: givenIsLeft},
		{Name: "ownership/events that shared memory when they were given do not when they are returned", Rule: returnedRule, Run: sharedWhenGiven},
	}
}

func full() dcb.Event {
	return dcb.Event{Type: "T", Tags: []string{"x", "y"}, Data: []byte("data"), ID: uuid.New(), Metadata: map[string]string{"k": "v"}}
}

// changeGiven returns a case function that changes events after they were appended, and expects the store to be as it was.
func changeGiven(change func(e *dcb.Event)) func(t *T) {
	return func(t *T) {
		given := []dcb.Event{full(), full(), full()}
		want := clones(given)
		t.append(given...)
		for i := range given {
			change(&given[i])
		}
		t.recorded(want...)
		t.sameEvents(t.read(tagged("x", "y"), dcb.ReadOptions{}).Events, want...)
		t.selects(tagged("changed"))
		t.repeats(3, nil, want...)
	}
}

// changeReturned returns a case function that changes events that were read, and expects the store, and what was read otherwise, to be as
// it was.
func changeReturned(change func(e *dcb.SequencedEvent)) func(t *T) {
	return func(t *T) {
		want := []dcb.Event{full(), full(), full()}
		t.append(want...)
		before, changed, backwards := t.all(), t.all(), t.read(tagged("x"), dcb.ReadOptions{Backwards: true}).Events
		for i := range changed {
			change(&changed[i])
			t.sameEvents(changed[i+1:], want[i+1:]...) // those that are not changed yet
		}
		t.sameEvents(before, want...)
		change(&backwards[0])
		t.recorded(want...)
		t.selects(tagged("changed"))
		t.selects(tagged("x"), 1, 2, 3)
		t.repeats(3, nil, want...)
	}
}

func givenIsLeft(t *T) {
	given := []dcb.Event{
		{Type: "T", Tags: []string{"z", "a", "z", "b"}, Data: []byte("data"), Metadata: map[string]string{"k": "v"}},
		{Type: "T"},
	}
	q := dcb.Query{{Types: []string{"Z", "A", "Z"}, Tags: []string{"z", "b", "z"}}, {Types: []string{"T"}}, {Tags: []string{"a"}}}
	want, wantQuery := clones(given), cloneQuery(q)
	t.appendIf(q, 0, given...)
	t.read(q, dcb.ReadOptions{})
	t.conflicts(q, 0, given...)
	for i := range given {
		if !slices.Equal(given[i].Tags, want[i].Tags) || string(given[i].Data) != string(want[i].Data) ||
			!maps.Equal(given[i].Metadata, want[i].Metadata) || given[i].ID != uuid.Nil || given[i].Type != want[i].Type {
			t.Errorf("the store changed event %d that it was given to %+v", i, given[i])
		}
	}
	for i := range q {
		if !slices.Equal(q[i].Types, wantQuery[i].Types) || !slices.Equal(q[i].Tags, wantQuery[i].Tags) {
			t.Errorf("the store changed item %d of the query that it was given to %+v", i, q[i])
		}
	}
}

func sharedWhenGiven(t *T) {
	e := full()
	e.ID = uuid.Nil
	t.append(e, e, e)
	changed := t.all()
	changed[0].Tags[0], changed[0].Data[0], changed[0].Metadata["k"] = "changed", 'X', "changed"
	t.sameEvents(changed[1:], e, e)
	t.recorded(e, e, e)
}

func clones(events []dcb.Event) []dcb.Event {
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
