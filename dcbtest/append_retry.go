package dcbtest

import (
	"errors"
	"slices"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
)

// retryCases check appends whose IDs, or some of them, are recorded already.
func retryCases() []Case {
	return slices.Concat(recognizedRetryCases(), rejectedRetryCases(), concurrentRetryCases())
}

// recognizedRetryCases are appends that must return the position of the events recorded before.
func recognizedRetryCases() []Case {
	return []Case{
		{
			Name: "Append retry/records the events once",
			Rule: ruleRetry,
			Run: func(t *T) {
				batch := []dcb.Event{withID("A", "x"), withID("B", "y"), withID("C")}
				t.append(event("T"))
				t.append(batch...)
				t.appendRepeats(4, nil, batch...)
				t.appendRepeats(4, nil, batch...)
				t.holds(append([]dcb.Event{event("T")}, batch...)...)
			},
		},
		{
			Name: "Append retry/records a single event once",
			Rule: ruleRetry,
			Run: func(t *T) {
				e := withID("A", "x")
				t.append(e)
				t.appendRepeats(1, nil, e)
				t.append(event("T"))
				t.appendRepeats(1, nil, e)
			},
		},
		{
			Name: "Append retry/does not check its condition",
			Rule: ruleRetryCondition,
			Run: func(t *T) {
				condition := &dcb.AppendCondition{FailIfEventsMatch: tagged("x")}
				batch := []dcb.Event{withID("A", "x"), withID("B", "x")}
				t.appendTo(t.Store, condition, batch...)
				t.appendRepeats(2, condition, batch...) // the condition matches its own events by now
				t.holds(batch...)
			},
		},
		{
			Name: "Append retry/is recognized after many other appends",
			Rule: ruleRetry + " " + ruleRetryCondition,
			Run: func(t *T) {
				condition := &dcb.AppendCondition{FailIfEventsMatch: tagged("x")}
				batch := []dcb.Event{withID("A", "x"), withID("B", "x")}
				t.appendTo(t.Store, condition, batch...)
				for range 10 {
					t.append(event("A", "x"), withID("B", "x"))
				}
				t.appendRepeats(2, condition, batch...)
				t.wantDense()
			},
		},
		{
			Name: "Append retry/accepts another condition",
			Rule: ruleRetryCondition,
			Run: func(t *T) {
				e := withID("A", "x")
				t.append(e)
				t.appendRepeats(1, &dcb.AppendCondition{FailIfEventsMatch: dcb.All()}, e)
				t.appendRepeats(1, &dcb.AppendCondition{FailIfEventsMatch: tagged("y"), After: 100}, e)
				conditional := withID("B", "y")
				t.appendIf(tagged("y"), 0, conditional)
				t.appendRepeats(2, nil, conditional)
			},
		},
		{
			Name: "Append retry/compares tags as a set, and nil as empty",
			Rule: ruleRetryExactly,
			Run: func(t *T) {
				e := dcb.Event{Type: "A", Tags: []string{"x", "y"}, ID: uuid.New()}
				untagged := dcb.Event{Type: "B", ID: uuid.New()}
				t.append(e, untagged)
				e.Tags, e.Data, e.Metadata = []string{"y", "x", "y"}, []byte{}, map[string]string{}
				untagged.Tags = []string{}
				t.appendRepeats(2, nil, e, untagged)
			},
		},
		{
			Name: "Append retry/recognizes the first events of a call",
			Rule: ruleRetry,
			Run: func(t *T) {
				batch := []dcb.Event{withID("A"), withID("B"), withID("C"), withID("D")}
				t.append(batch...)
				t.appendRepeats(2, nil, batch[:2]...)
				t.appendRepeats(1, nil, batch[0])
			},
		},
		{
			Name: "Append retry/recognizes any consecutive events of a call",
			Rule: ruleRetry,
			Run: func(t *T) {
				batch := []dcb.Event{withID("A"), withID("B"), withID("C"), withID("D")}
				t.append(batch...)
				t.appendRepeats(3, nil, batch[1:3]...)
				t.appendRepeats(4, nil, batch[2:]...)
				t.appendRepeats(4, nil, batch[3])
			},
		},
		{
			Name: "Append retry/recognizes the events of adjacent calls",
			Rule: ruleRetry,
			Run: func(t *T) {
				batch := []dcb.Event{withID("A"), withID("B"), withID("C"), withID("D")}
				t.append(batch[:1]...)
				t.append(batch[1:3]...)
				t.append(batch[3])
				t.appendRepeats(4, nil, batch...)
				t.appendRepeats(3, nil, batch[:3]...)
				t.appendRepeats(4, nil, batch[2:]...)
			},
		},
		{
			Name: "Append retry/records a thousand events once",
			Rule: ruleRetry,
			Run: func(t *T) {
				batch := make([]dcb.Event, 1000)
				for i := range batch {
					batch[i] = withID("T", "x")
				}
				t.append(batch...)
				t.appendRepeats(1000, nil, batch...)
				other := slices.Clone(batch)
				other[999].Type = "other"
				t.appendFails(dcb.ErrDuplicateID, nil, other...)
			},
		},
		{
			Name: "Append retry/equal events with new IDs are new events",
			Rule: ruleRetryExactly,
			Run: func(t *T) {
				first, second := withID("A", "x"), withID("A", "x")
				t.append(first)
				t.append(second)
				t.appendConflicts(tagged("x"), 0, withID("A", "x"))
				t.holds(first, second)
			},
		},
	}
}

// rejectedRetryCases are appends that must fail with ErrDuplicateID.
func rejectedRetryCases() []Case {
	return []Case{
		{
			Name: "Append retry/fails for reordered events",
			Rule: ruleDuplicateID,
			Run: func(t *T) {
				a, b, c := withID("A"), withID("B"), withID("C")
				t.append(a, b, c)
				t.appendFails(dcb.ErrDuplicateID, nil, b, a)
				t.appendFails(dcb.ErrDuplicateID, nil, a, c, b)
				t.appendFails(dcb.ErrDuplicateID, nil, c, b, a)
			},
		},
		{
			Name: "Append retry/fails for events that are not consecutive",
			Rule: ruleDuplicateID,
			Run: func(t *T) {
				a, b, c, d := withID("A"), withID("B"), withID("C"), withID("D")
				t.append(a, b, c)
				t.append(event("T"))
				t.append(d)
				t.appendFails(dcb.ErrDuplicateID, nil, a, c)
				t.appendFails(dcb.ErrDuplicateID, nil, c, d)
				t.appendFails(dcb.ErrDuplicateID, nil, a, b, c, d)
			},
		},
		changedField("a different type", func(e *dcb.Event) { e.Type = "a" }),
		changedField("different tags", func(e *dcb.Event) { e.Tags = []string{"x", "Y"} }),
		changedField("fewer tags", func(e *dcb.Event) { e.Tags = e.Tags[:1] }),
		changedField("different data", func(e *dcb.Event) { e.Data = []byte("Data") }),
		changedField("no data", func(e *dcb.Event) { e.Data = nil }),
		changedField("different metadata", func(e *dcb.Event) { e.Metadata = map[string]string{"k": "V"} }),
		changedField("no metadata", func(e *dcb.Event) { e.Metadata = nil }),
		{
			Name: "Append retry/fails for recorded and new IDs in one call",
			Rule: ruleDuplicateID,
			Run: func(t *T) {
				a, b, c := withID("A"), withID("B"), withID("C")
				t.append(a, b)
				t.appendFails(dcb.ErrDuplicateID, nil, a, b, c)
				t.appendFails(dcb.ErrDuplicateID, nil, c, a, b)
				t.appendFails(dcb.ErrDuplicateID, nil, b, c)
				t.appendFails(dcb.ErrDuplicateID, nil, a, c, b)
				t.append(c) // none of the failed appends has recorded it
				t.holds(a, b, c)
			},
		},
		{
			Name: "Append retry/fails for a new event before the first event recorded",
			Rule: ruleDuplicateID,
			Run: func(t *T) {
				first := withID("A")
				t.append(first)
				t.appendFails(dcb.ErrDuplicateID, nil, withID("B"), first)
				t.appendFails(dcb.ErrDuplicateID, nil, event("B"), first)
				t.appendFails(dcb.ErrDuplicateID, nil, withID("B"), withID("C"), first)
			},
		},
		{
			Name: "Append retry/fails if an event has no ID",
			Rule: ruleRetry + " " + ruleDuplicateID,
			Run: func(t *T) {
				mixed := []dcb.Event{withID("A"), event("B"), withID("C")}
				t.append(mixed...)
				t.appendFails(dcb.ErrDuplicateID, nil, mixed...)
				t.appendFails(dcb.ErrDuplicateID, nil, mixed[:2]...)
				t.appendFails(dcb.ErrDuplicateID, nil, mixed[1:]...)
				t.appendRepeats(1, nil, mixed[0])
				t.appendRepeats(3, nil, mixed[2])
				t.append(mixed[1]) // without an ID it is a new event
				t.holds(append(mixed, mixed[1])...)
			},
		},
		{
			Name: "Append retry/fails for an ID twice in one call",
			Rule: ruleDuplicateID,
			Run: func(t *T) {
				a := withID("A")
				t.appendFails(dcb.ErrDuplicateID, nil, a, a)
				t.appendFails(dcb.ErrDuplicateID, nil, event("T"), a, event("T"), dcb.Event{Type: "B", ID: a.ID})
				t.holds()
				t.append(a)
				t.appendFails(dcb.ErrDuplicateID, nil, a, a)
				t.holds(a)
			},
		},
		{
			Name: "Append retry/ErrDuplicateID is no other error and not Retryable",
			Rule: ruleRetryable + " " + ruleDuplicateID,
			Run: func(t *T) {
				a := withID("A")
				t.append(a)
				err := t.appendFails(dcb.ErrDuplicateID, nil, dcb.Event{Type: "B", ID: a.ID})
				if dcb.Retryable(err) || errors.Is(err, dcb.ErrInvalid) || errors.Is(err, dcb.ErrConflict) {
					t.Errorf("the error is ErrDuplicateID and also Retryable, ErrInvalid or ErrConflict: %w", err)
				}
			},
		},
		{
			Name: "Append retry/fails for a recorded ID under any condition",
			Rule: ruleDuplicateID,
			Run: func(t *T) {
				a := withID("A", "x")
				t.append(a)
				other := dcb.Event{Type: "B", ID: a.ID}
				t.appendFails(dcb.ErrDuplicateID, &dcb.AppendCondition{FailIfEventsMatch: tagged("y")}, other)
				t.appendFails(dcb.ErrDuplicateID, &dcb.AppendCondition{FailIfEventsMatch: tagged("x"), After: 1}, other, event("T"))
			},
		},
	}
}

// changedField returns the case that an append fails if its event has a recorded ID and one other
// field that differs.
func changedField(difference string, change func(e *dcb.Event)) Case {
	return Case{
		Name: "Append retry/fails for " + difference + " under a recorded ID",
		Rule: ruleRetryExactly + " " + ruleDuplicateID,
		Run: func(t *T) {
			first, second := fullEvent(), withID("B")
			t.append(first, second)
			changed := first.Clone()
			change(&changed)
			t.appendFails(dcb.ErrDuplicateID, nil, changed)
			t.appendFails(dcb.ErrDuplicateID, nil, changed, second)
			t.holds(first, second)
		},
	}
}

func concurrentRetryCases() []Case {
	return []Case{
		{
			Name: "Append retry/records the same call of many callers once",
			Rule: ruleRetry,
			Run: func(t *T) {
				batch := []dcb.Event{withID("A", "x"), withID("B", "x")}
				condition := &dcb.AppendCondition{FailIfEventsMatch: tagged("x")}
				t.concurrently(16, func(int) {
					if position := t.appendTo(t.Store, condition, batch...); position != 2 {
						t.Errorf("the append of one of 16 callers = %d, want 2", position)
					}
				})
				t.holds(batch...)
			},
		},
		{
			Name: "Append retry/records each ID of overlapping calls once",
			Rule: ruleID + " " + ruleDuplicateID,
			Run: func(t *T) {
				events := []dcb.Event{withID("A"), withID("B"), withID("C"), withID("D")}
				t.concurrently(12, func(i int) {
					_, err := t.Store.Append(t.ctx, []dcb.Event{events[i%4], events[(i+1)%4]}, nil)
					if err != nil && !errors.Is(err, dcb.ErrDuplicateID) {
						t.Errorf("Append failed with %w, want no error or ErrDuplicateID", err)
					}
				})
				seen := make(map[uuid.UUID]bool)
				for _, e := range t.readAll() {
					if seen[e.ID] {
						t.Errorf("the ID of position %d is recorded twice", e.Position)
					}
					seen[e.ID] = true
				}
				t.wantDense()
			},
		},
	}
}
