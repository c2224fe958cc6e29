package dcbtest

import (
	"math"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/dcbtest/internal/describe"
)

// conditionCases check one append after the other. concurrencyCases check conditions that race.
func conditionCases() []Case {
	return []Case{
		{
			Name: "Append condition/succeeds if nothing matches",
			Rule: ruleConflict,
			Run: func(t *T) {
				t.appendIf(tagged("x"), 0, event("T", "x"))
				t.appendIf(tagged("y"), 0, event("T", "y"))
				t.holds(event("T", "x"), event("T", "y"))
			},
		},
		{
			Name: "Append condition/conflicts if an event after After matches",
			Rule: ruleConflict,
			Run: func(t *T) {
				t.append(event("T", "x"), event("T", "y"), event("T", "x"))
				t.appendConflicts(tagged("x"), 2, event("T"))
				t.appendConflicts(tagged("x"), 1, event("T"))
				t.appendConflicts(tagged("y"), 1, event("T"))
				t.wantDense()
			},
		},
		{
			Name: "Append condition/ignores an event at After",
			Rule: ruleIgnoreAfter,
			Run: func(t *T) {
				t.append(event("T"), event("T", "x"))
				t.appendIf(tagged("x"), 2, event("T"))
			},
		},
		{
			Name: "Append condition/ignores an event before After",
			Rule: ruleIgnoreAfter,
			Run: func(t *T) {
				t.append(event("T", "x"), event("T"), event("T"))
				t.appendIf(tagged("x"), 2, event("T"))
				t.appendIf(tagged("x"), 3, event("T"))
			},
		},
		{
			Name: "Append condition/After 0 ignores no event",
			Rule: ruleIgnoreAfter,
			Run: func(t *T) {
				t.append(event("T", "x"), event("T"))
				if conflict := t.appendConflicts(tagged("x"), 0, event("T")); conflict.Position != 1 {
					t.Errorf("ConflictError.Position = %d, want 1", conflict.Position)
				}
			},
		},
		{
			Name: "Append condition/accepts After beyond the head",
			Rule: ruleAfterBeyond,
			Run: func(t *T) {
				t.append(event("T", "x"))
				for i, after := range []dcb.Position{2, 3, 1000, math.MaxInt64, 1 << 63, math.MaxUint64} {
					t.appendBeyond(max(after, dcb.Position(i+1)), dcb.Position(i+2), event("T", "x"))
				}
			},
		},
		{
			Name: "Append condition/accepts After beyond the head for events with IDs",
			Rule: ruleAfterBeyond,
			Run: func(t *T) {
				t.append(withID("T", "x"))
				for i, after := range []dcb.Position{1, 3, 1 << 63, math.MaxUint64 - 1, math.MaxUint64} {
					t.appendBeyond(max(after, dcb.Position(i+1)), dcb.Position(i+2), withID("T", "x"))
				}
			},
		},
		{
			Name: "Append condition/does not check the events of the call",
			Rule: ruleOwnEvents,
			Run: func(t *T) {
				t.appendIf(tagged("x"), 0, event("T", "x"), event("T", "x"), event("T", "x"))
				t.appendIf(dcb.All(), 3, event("T", "x"), event("T", "x"))
				t.wantDense()
			},
		},
		{
			Name: "Append condition/on types",
			Rule: ruleMatchItem,
			Run: func(t *T) {
				t.append(event("A", "x"), event("B", "x"), event("C"))
				t.appendConflicts(typed("A"), 0, event("T"))
				t.appendConflicts(typed("D", "C"), 2, event("T"))
				t.appendIf(typed("A"), 1, event("T"))
				t.appendIf(typed("A", "B"), 2, event("T"))
				t.appendIf(typed("x"), 0, event("T"))
			},
		},
		{
			Name: "Append condition/on tags",
			Rule: ruleMatchItem,
			Run: func(t *T) {
				t.append(event("A", "x", "y"), event("B", "x"), event("C", "y"))
				t.appendConflicts(tagged("x"), 1, event("T"))
				t.appendConflicts(tagged("x", "y"), 0, event("T"))
				t.appendIf(tagged("x", "y"), 1, event("T"))
				t.appendIf(tagged("A"), 0, event("T"))
			},
		},
		{
			Name: "Append condition/on types and tags",
			Rule: ruleMatchItem,
			Run: func(t *T) {
				t.append(event("A", "x"), event("B", "y"))
				q := func(eventType, tag string) dcb.Query {
					return dcb.Query{{Types: []string{eventType}, Tags: []string{tag}}}
				}
				t.appendConflicts(q("A", "x"), 0, event("T"))
				t.appendConflicts(q("B", "y"), 1, event("T"))
				t.appendIf(q("A", "y"), 0, event("T"))
				t.appendIf(q("B", "x"), 0, event("T"))
			},
		},
		{
			Name: "Append condition/on several items",
			Rule: ruleMatchQuery,
			Run: func(t *T) {
				q := dcb.Query{{Types: []string{"A"}, Tags: []string{"x"}}, {Types: []string{"B"}, Tags: []string{"y"}}}
				t.append(event("A", "y"), event("B", "x"))
				t.appendIf(q, 0, event("A", "x"))
				t.appendConflicts(q, 2, event("T"))
				t.appendIf(q, 3, event("B", "y"))
				t.appendConflicts(q, 3, event("T"))
				t.appendIf(q, 4, event("T"))
			},
		},
		{
			Name: "Append condition/on all events",
			Rule: ruleMatchAll,
			Run: func(t *T) {
				t.appendIf(dcb.All(), 0, event("A"))
				t.appendConflicts(dcb.All(), 0, event("B"))
				t.appendIf(dcb.All(), 1, event("B", "x"))
				t.appendConflicts(dcb.All(), 1, event("C"))
				t.appendConflicts(dcb.Query{{Tags: []string{"absent"}}, {}}, 1, event("C"))
				t.holds(event("A"), event("B", "x"))
			},
		},
		{
			Name: "Append condition/does not combine the tags of two events",
			Rule: ruleMatchItem,
			Run: func(t *T) {
				t.append(event("T", "x"), event("T", "y"))
				t.appendIf(tagged("x", "y"), 0, event("T"))
			},
		},
		{
			Name: "Append condition/succeeds after events that do not match",
			Rule: ruleUnrelated,
			Run: func(t *T) {
				seen := t.read(tagged("x"), dcb.ReadOptions{})
				for range 20 {
					t.append(event("T", "y"), event("U"))
				}
				t.appendIf(tagged("x"), seen.Head, event("T", "x"))
			},
		},
		{
			Name: "Append condition/ConflictError names a matching event after After",
			Rule: ruleConflict,
			Run: func(t *T) {
				events := eightEvents()
				t.append(events...)
				queries := []dcb.Query{dcb.All(), tagged("x"), typed("A", "B"), {{Types: []string{"first"}}, {Tags: []string{"y"}}}}
				for _, q := range queries {
					for after := range dcb.Position(4) {
						p := t.appendConflicts(q, after, event("T")).Position
						if p <= after || p > dcb.Position(len(events)) || !q.Matches(events[p-1]) {
							t.Errorf("ConflictError.Position = %d for %s after %d", p, describe.Query(q), after)
						}
					}
				}
			},
		},
		{
			Name: "Append condition/a conflict is not Retryable",
			Rule: ruleRetryable,
			Run: func(t *T) {
				t.append(event("T"))
				err := t.appendFails(dcb.ErrConflict, &dcb.AppendCondition{FailIfEventsMatch: dcb.All()}, event("T"))
				if dcb.Retryable(err) {
					t.Errorf("Retryable(%w) = true, want false", err)
				}
			},
		},
		{
			Name: "Append condition/records all events of a call or none",
			Rule: ruleAppend,
			Run: func(t *T) {
				batch := []dcb.Event{event("A", "x"), event("B", "y"), event("C", "x")}
				t.appendIf(tagged("x"), 0, batch...)
				t.appendConflicts(tagged("x"), 0, batch...)
				t.appendConflicts(tagged("y"), 1, batch...)
				t.holds(batch...)
				t.appendIf(tagged("x"), 3, batch...)
				t.holds(append(batch, batch...)...)
			},
		},
		{
			Name: "Append condition/conflicts with an event in the middle of a call",
			Rule: ruleConflict,
			Run: func(t *T) {
				t.append(event("T"), event("T", "x"), event("T"))
				t.appendConflicts(tagged("x"), 1, event("T"))
				t.appendIf(tagged("x"), 2, event("T"))
			},
		},
		{
			Name: "Append condition/accepts the Head of a read as After",
			Rule: ruleHead,
			Run: func(t *T) {
				for range 10 {
					seen := t.read(tagged("x"), dcb.ReadOptions{})
					t.appendIf(tagged("x"), seen.Head, event("T", "x"))
					t.appendConflicts(tagged("x"), seen.Head, event("T", "x"))
					t.append(event("T", "y"))
				}
			},
		},
		{
			Name: "Append condition/with the Head of a limited read conflicts with the events left out",
			Rule: ruleHead,
			Run: func(t *T) {
				t.append(eightEvents()...)
				cut := t.read(tagged("x"), dcb.ReadOptions{Limit: 2})
				t.appendConflicts(tagged("x"), cut.Head, event("T"))
				newest := t.read(tagged("x"), dcb.ReadOptions{Limit: 1, Backwards: true})
				t.appendIf(tagged("x"), newest.Head, event("T"))
			},
		},
		{
			Name: "Append condition/succeeds after a conflict and a new read",
			Rule: ruleHead,
			Run: func(t *T) {
				seen := t.read(tagged("x"), dcb.ReadOptions{})
				t.append(event("T", "x"))
				t.appendConflicts(tagged("x"), seen.Head, event("T", "x"))
				seen = t.read(tagged("x"), dcb.ReadOptions{})
				t.appendIf(tagged("x"), seen.Head, event("T", "x"))
				t.holds(event("T", "x"), event("T", "x"))
			},
		},
		{
			Name: "Append condition/a conflict does not take the IDs",
			Rule: ruleFailedAppend,
			Run: func(t *T) {
				t.append(event("T", "x"))
				batch := []dcb.Event{withID("T", "x"), withID("T", "x")}
				t.appendConflicts(tagged("x"), 0, batch...)
				if position := t.appendIf(tagged("x"), 1, batch...); position != 3 {
					t.Errorf("Append after the conflict = %d, want 3", position)
				}
			},
		},
		{
			Name: "Append condition/with an item of too many tags never conflicts",
			Rule: ruleManyTags,
			Run: func(t *T) {
				tags := numbered("t", dcb.MaxTags+1)
				t.append(event("T", tags[:dcb.MaxTags]...))
				t.appendIf(tagged(tags...), 0, event("T"))
				t.appendConflicts(tagged(tags[:dcb.MaxTags]...), 0, event("T"))
			},
		},
		{
			Name: "Append condition/repeated types, tags and items change nothing",
			Rule: ruleMatchItem,
			Run: func(t *T) {
				q := dcb.Query{{Types: []string{"A", "A"}, Tags: []string{"x", "x"}}, {Types: []string{"A"}, Tags: []string{"x"}}}
				t.appendIf(q, 0, event("A"), event("B", "x"))
				t.appendIf(q, 0, event("A", "x"))
				t.appendConflicts(q, 2, event("T"))
				t.appendIf(q, 3, event("T"))
			},
		},
	}
}

// appendBeyond checks that an append under a condition on all events succeeds, although the store
// holds events, because after is at or beyond the head.
func (t *T) appendBeyond(after, want dcb.Position, e dcb.Event) {
	if position := t.appendIf(dcb.All(), after, e); position != want {
		t.Errorf("Append with After %d = %d, want %d", after, position, want)
	}
}
