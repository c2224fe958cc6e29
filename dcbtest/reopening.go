package dcbtest

import (
	"errors"
	"fmt"

	"github.com/dcbstore/dcb"
)

const durableRule = "An append that returned is durable: it is there when the store is opened again."

func reopeningCases() []Case {
	cases := []Case{
		{
			Name: "reopening/everything is still there",
			Rule: durableRule,
			Run: func(t *T) {
				want := append(eight(), full(), full(), dcb.Event{Type: "big", Data: patterned(1 << 20)}, event("T", awkward...))
				t.append(want...)
				before := t.all()
				for range 3 {
					t.Store = t.Reopen(t.Store)
					after := t.recorded(want...)
					for i := range after {
						if !after[i].RecordedAt.Equal(before[i].RecordedAt) {
							t.Errorf("RecordedAt of position %d was %v and is %v", i+1, before[i].RecordedAt, after[i].RecordedAt)
						}
					}
				}
			},
		},
		{
			Name: "reopening/an empty store is empty",
			Rule: "On an empty store Head is 0.",
			Run: func(t *T) {
				t.Store = t.Reopen(t.Store)
				t.recorded()
				t.appendIf(dcb.All(), 0, event("T"))
			},
		},
		{
			Name: "reopening/positions go on",
			Rule: "The first event has position 1 and there are no gaps.",
			Run: func(t *T) {
				for i := range dcb.Position(5) {
					t.conflictsUnlessEmpty()
					if position := t.append(event("T"), event("T")); position != 2*i+2 {
						t.Errorf("an append returned position %d, want %d", position, 2*i+2)
					}
					t.Store = t.Reopen(t.Store)
				}
				t.dense()
				t.recordedAtRises()
			},
		},
		{
			Name: "reopening/queries select the same",
			Rule: matchingItem,
			Run: func(t *T) {
				t.append(eight()...)
				log := t.all()
				t.Store = t.Reopen(t.Store)
				for _, q := range []dcb.Query{dcb.All(), tagged("x"), typed("A"), {{Types: []string{"A"}, Tags: []string{"x"}}, {Tags: []string{"z"}}}} {
					for _, opts := range []dcb.ReadOptions{{}, {Limit: 2}, {Backwards: true, After: 1}, {After: 3, Before: 6}} {
						t.readsAs(log, q, opts)
					}
				}
			},
		},
		{
			Name: "reopening/conditions see what was recorded before",
			Rule: conditionRule,
			Run: func(t *T) {
				t.append(event("A", "x"), event("B", "y"))
				t.Store = t.Reopen(t.Store)
				t.conflicts(tagged("x"), 0, event("T"))
				t.conflicts(typed("B"), 1, event("T"))
				t.appendIf(tagged("x"), 1, event("T"))
			},
		},
		{
			Name: "reopening/IDs are remembered",
			Rule: retryRule + " " + duplicateRule,
			Run: func(t *T) {
				batch := []dcb.Event{identified("A", "x"), identified("B")}
				t.append(batch...)
				t.Store = t.Reopen(t.Store)
				t.repeats(2, &dcb.AppendCondition{FailIfEventsMatch: tagged("x")}, batch...)
				t.refused(dcb.ErrDuplicateID, nil, batch[1], batch[0])
				t.refused(dcb.ErrDuplicateID, nil, batch[0], identified("C"))
				t.refused(dcb.ErrDuplicateID, nil, dcb.Event{Type: "other", ID: batch[0].ID})
				t.recorded(batch...)
			},
		},
		{
			Name: "reopening/a reader goes on where it was",
			Rule: "A consumer that keeps Head can go on from there later and never sees an event twice.",
			Run: func(t *T) {
				head := dcb.Position(0)
				for i := range 4 {
					t.append(event("T", fmt.Sprintf("n:%d", i)), event("T"))
					batch := t.firstBatch(dcb.All(), head)
					if fmt.Sprint(positions(batch.Events)) != fmt.Sprint([]dcb.Position{head + 1, head + 2}) {
						t.Errorf("a follower after %d got %v", head, positions(batch.Events))
					}
					head = batch.Head
					t.Store = t.Reopen(t.Store)
				}
			},
		},
		{
			Name: "reopening/the old handle is closed",
			Rule: closedRule,
			Run: func(t *T) {
				t.append(event("T"))
				old := t.Store
				t.Store = t.Reopen(old)
				if _, err := old.Append(t.ctx, []dcb.Event{event("T")}, nil); !errors.Is(err, dcb.ErrClosed) {
					t.Errorf("Append through the old handle returned error %v, want ErrClosed", err)
				}
				t.recorded(event("T"))
			},
		},
	}
	for i := range cases {
		cases[i].Needs = NeedReopen
	}
	return cases
}

// conflictsUnlessEmpty makes an append fail, which must leave no trace.
func (t *T) conflictsUnlessEmpty() {
	if t.head() > 0 {
		t.conflicts(dcb.All(), 0, event("T"))
	}
}
