package dcbtest

import (
	"errors"
	"fmt"

	"github.com/dcbstore/dcb"
)

// reopenCases check what a store has after it was closed and opened again.
func reopenCases() []Case {
	cases := []Case{
		{
			Name: "Reopen/Read returns the events as before",
			Rule: ruleDurable,
			Run: func(t *T) {
				want := append(eightEvents(), fullEvent(), fullEvent(),
					dcb.Event{Type: "big", Data: patternedBytes(1 << 20)}, event("T", awkwardTexts...))
				t.append(want...)
				before := t.readAll()
				for range 3 {
					t.Store = t.Reopen(t.Store)
					after := t.holds(want...)
					for i := range after {
						if !after[i].RecordedAt.Equal(before[i].RecordedAt) {
							t.Errorf("RecordedAt of position %d was %v and is %v", i+1, before[i].RecordedAt, after[i].RecordedAt)
						}
					}
				}
			},
		},
		{
			Name: "Reopen/an empty store is still empty",
			Rule: rulePosition,
			Run: func(t *T) {
				t.Store = t.Reopen(t.Store)
				t.holds()
				t.appendIf(dcb.All(), 0, event("T"))
			},
		},
		{
			Name: "Reopen/Append continues the positions without a gap",
			Rule: rulePosition,
			Run: func(t *T) {
				for i := range dcb.Position(5) {
					if i > 0 {
						t.appendConflicts(dcb.All(), 0, event("T")) // which must leave no gap
					}
					if position := t.append(event("T"), event("T")); position != 2*i+2 {
						t.Errorf("Append = %d, want %d", position, 2*i+2)
					}
					t.Store = t.Reopen(t.Store)
				}
				t.wantDense()
				t.wantRisingTimes()
			},
		},
		{
			Name: "Reopen/Read selects the same events",
			Rule: ruleDurable + " " + ruleMatchItem,
			Run: func(t *T) {
				t.append(eightEvents()...)
				log := t.readAll()
				t.Store = t.Reopen(t.Store)
				items := dcb.Query{{Types: []string{"A"}, Tags: []string{"x"}}, {Tags: []string{"z"}}}
				for _, q := range []dcb.Query{dcb.All(), tagged("x"), typed("A"), items} {
					for _, opts := range []dcb.ReadOptions{{}, {Limit: 2}, {Backwards: true, After: 1}, {After: 3, Before: 6}} {
						t.readsLikeModel(log, q, opts)
					}
				}
			},
		},
		{
			Name: "Reopen/Append checks its condition against earlier events",
			Rule: ruleDurable + " " + ruleConflict,
			Run: func(t *T) {
				t.append(event("A", "x"), event("B", "y"))
				t.Store = t.Reopen(t.Store)
				t.appendConflicts(tagged("x"), 0, event("T"))
				t.appendConflicts(typed("B"), 1, event("T"))
				t.appendIf(tagged("x"), 1, event("T"))
			},
		},
		{
			Name: "Reopen/Append recognizes earlier IDs",
			Rule: ruleRetry + " " + ruleDuplicateID,
			Run: func(t *T) {
				batch := []dcb.Event{withID("A", "x"), withID("B")}
				t.append(batch...)
				t.Store = t.Reopen(t.Store)
				t.appendRepeats(2, &dcb.AppendCondition{FailIfEventsMatch: tagged("x")}, batch...)
				t.appendFails(dcb.ErrDuplicateID, nil, batch[1], batch[0])
				t.appendFails(dcb.ErrDuplicateID, nil, batch[0], withID("C"))
				t.appendFails(dcb.ErrDuplicateID, nil, dcb.Event{Type: "other", ID: batch[0].ID})
				t.holds(batch...)
			},
		},
		{
			Name: "Reopen/Follow continues at an earlier Head",
			Rule: ruleContinue,
			Run: func(t *T) {
				head := dcb.Position(0)
				for i := range 4 {
					t.append(event("T", fmt.Sprintf("n:%d", i)), event("T"))
					batch := t.firstBatch(dcb.All(), head)
					if fmt.Sprint(positions(batch.Events)) != fmt.Sprint([]dcb.Position{head + 1, head + 2}) {
						t.Errorf("Follow after %d yielded positions %v, want the next two", head, positions(batch.Events))
					}
					head = batch.Head
					t.Store = t.Reopen(t.Store)
				}
			},
		},
		{
			Name: "Reopen/Append through the old handle fails with ErrClosed",
			Rule: ruleClose,
			Run: func(t *T) {
				t.append(event("T"))
				old := t.Store
				t.Store = t.Reopen(old)
				if _, err := old.Append(t.ctx, []dcb.Event{event("T")}, nil); !errors.Is(err, dcb.ErrClosed) {
					t.Errorf("Append through the old handle returned error %v, want ErrClosed", err)
				}
				t.holds(event("T"))
			},
		},
	}
	for i := range cases {
		cases[i].Needs = NeedReopen
	}
	return cases
}
