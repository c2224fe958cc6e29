package dcbtest

import (
	"math"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/dcbtest/internal/describe"
)

const (
	conditionRule = "If an event after condition.After matches it, nothing is recorded and the error is a ConflictError."
	afterRule     = "Events at or before After are ignored; 0 ignores none."
)

func conditionCases() []Case {
	return []Case{
		{
			Name: "conditions/nothing matches, so the append succeeds",
			Rule: conditionRule,
			Run: func(t *T) {
				t.appendIf(tagged("x"), 0, event("T", "x"))
				t.appendIf(tagged("y"), 0, event("T", "y"))
				t.recorded(event("T", "x"), event("T", "y"))
			},
		},
		{
			Name: "conditions/an event after After matches, so the append conflicts",
			Rule: conditionRule,
			Run: func(t *T) {
				t.append(event("T", "x"), event("T", "y"), event("T", "x"))
				t.conflicts(tagged("x"), 2, event("T"))
				t.conflicts(tagged("x"), 1, event("T"))
				t.conflicts(tagged("y"), 1, event("T"))
				t.dense()
			},
		},
		{
			Name: "conditions/an event at After is ignored",
			Rule: afterRule,
			Run: func(t *T) {
				t.append(event("T"), event("T", "x"))
				t.appendIf(tagged("x"), 2, event("T"))
			},
		},
		{
			Name: "conditions/an event before After is ignored",
			Rule: afterRule,
			Run: func(t *T) {
				t.append(event("T", "x"), event("T"), event("T"))
				t.appendIf(tagged("x"), 2, event("T"))
				t.appendIf(tagged("x"), 3, event("T"))
			},
		},
		{
			Name: "conditions/After 0 ignores nothing",
			Rule: afterRule,
			Run: func(t *T) {
				t.append(event("T", "x"), event("T"))
				if conflict := t.conflicts(tagged("x"), 0, event("T")); conflict.Position != 1 {
					t.Errorf("the conflict is said to be with position %d, want 1", conflict.Position)
				}
			},
		},
		{
			Name: "conditions/After may be beyond the head",
			Rule: "After beyond the head is allowed: it ignores everything recorded.",
			Run: func(t *T) {
				t.append(event("T", "x"))
				for i, after := range []dcb.Position{2, 3, 1000, math.MaxInt64, 1 << 63, math.MaxUint64} {
					if position := t.appendIf(dcb.All(), max(after, dcb.Position(i+1)), event("T", "x")); position != dcb.Position(i+2) {
						t.Errorf("an append after %d returned position %d, want %d", after, position, i+2)
					}
				}
			},
		},
		{
			Name: "conditions/After may be beyond the head also of events with IDs",
			Rule: "After beyond the head is allowed: it ignores everything recorded.",
			Run: func(t *T) {
				t.append(identified("T", "x"))
				for i, after := range []dcb.Position{1, 3, 1 << 63, math.MaxUint64 - 1, math.MaxUint64} {
					if position := t.appendIf(dcb.All(), max(after, dcb.Position(i+1)), identified("T", "x")); position != dcb.Position(i+2) {
						t.Errorf("an append after %d returned position %d, want %d", after, position, i+2)
					}
				}
			},
		},
		{
			Name: "conditions/the events of the call are not considered",
			Rule: "Condition over the events being appended: not considered, only recorded ones are.",
			Run: func(t *T) {
				t.appendIf(tagged("x"), 0, event("T", "x"), event("T", "x"), event("T", "x"))
				t.appendIf(dcb.All(), 3, event("T", "x"), event("T", "x"))
				t.dense()
			},
		},
		{
			Name: "conditions/by types alone",
			Rule: matchingItem,
			Run: func(t *T) {
				t.append(event("A", "x"), event("B", "x"), event("C"))
				t.conflicts(typed("A"), 0, event("T"))
				t.conflicts(typed("D", "C"), 2, event("T"))
				t.appendIf(typed("A"), 1, event("T"))
				t.appendIf(typed("A", "B"), 2, event("T"))
				t.appendIf(typed("x"), 0, event("T"))
			},
		},
		{
			Name: "conditions/by tags alone",
			Rule: matchingItem,
			Run: func(t *T) {
				t.append(event("A", "x", "y"), event("B", "x"), event("C", "y"))
				t.conflicts(tagged("x"), 1, event("T"))
				t.conflicts(tagged("x", "y"), 0, event("T"))
				t.appendIf(tagged("x", "y"), 1, event("T"))
				t.appendIf(tagged("A"), 0, event("T"))
			},
		},
		{
			Name: "conditions/by types and tags",
			Rule: matchingItem,
			Run: func(t *T) {
				t.append(event("A", "x"), event("B", "y"))
				q := func(eventType, tag string) dcb.Query {
					return dcb.Query{{Types: []string{eventType}, Tags: []string{tag}}}
				}
				t.conflicts(q("A", "x"), 0, event("T"))
				t.conflicts(q("B", "y"), 1, event("T"))
				t.appendIf(q("A", "y"), 0, event("T"))
				t.appendIf(q("B", "x"), 0, event("T"))
			},
		},
		{
			Name: "conditions/by several items",
			Rule: matchingQuery,
			Run: func(t *T) {
				q := dcb.Query{{Types: []string{"A"}, Tags: []string{"x"}}, {Types: []string{"B"}, Tags: []string{"y"}}}
				t.append(event("A", "y"), event("B", "x"))
				t.appendIf(q, 0, event("A", "x"))
				t.conflicts(q, 2, event("T"))
				t.appendIf(q, 3, event("B", "y"))
				t.conflicts(q, 3, event("T"))
				t.appendIf(q, 4, event("T"))
			},
		},
		{
			Name: "conditions/by everything",
			Rule: "All() matches everything.",
			Run: func(t *T) {
				t.appendIf(dcb.All(), 0, event("A"))
				t.conflicts(dcb.All(), 0, event("B"))
				t.appendIf(dcb.All(), 1, event("B", "x"))
				t.conflicts(dcb.All(), 1, event("C"))
				t.conflicts(dcb.Query{{Tags: []string{"absent"}}, {}}, 1, event("C"))
				t.recorded(event("A"), event("B", "x"))
			},
		},
		{
			Name: "conditions/tags of different events are not put together",
			Rule: "The event's tags contain all of the item's tags.",
			Run: func(t *T) {
				t.append(event("T", "x"), event("T", "y"))
				t.appendIf(tagged("x", "y"), 0, event("T"))
			},
		},
		{
			Name: "conditions/what does not match does not conflict",
			Rule: "Whatever else was recorded meanwhile does not matter: the boundary is exactly what the decision looked at.",
			Run: func(t *T) {
				seen := t.read(tagged("x"), dcb.ReadOptions{})
				for range 20 {
					t.append(event("T", "y"), event("U"))
				}
				t.appendIf(tagged("x"), seen.Head, event("T", "x"))
			},
		},
		{
			Name: "conditions/the position of a conflict is that of a matching event",
			Rule: "ConflictError.Position is that of an event that matches the condition, after its After.",
			Run: func(t *T) {
				events := eight()
				t.append(events...)
				for _, q := range []dcb.Query{dcb.All(), tagged("x"), typed("A", "B"), {{Types: []string{"first"}}, {Tags: []string{"y"}}}} {
					for after := range dcb.Position(4) {
						p := t.conflicts(q, after, event("T")).Position
						if p <= after || p > dcb.Position(len(events)) || !q.Matches(events[p-1]) {
							t.Errorf("%s after %d: the conflict is said to be with position %d", describe.Query(q), after, p)
						}
					}
				}
			},
		},
		{
			Name: "conditions/a conflict is not worth repeating",
			Rule: "A conflict is not retryable: the caller must read and decide again.",
			Run: func(t *T) {
				t.append(event("T"))
				if err := t.refused(dcb.ErrConflict, &dcb.AppendCondition{FailIfEventsMatch: dcb.All()}, event("T")); dcb.Retryable(err) {
					t.Errorf("a conflict is said to be retryable")
				}
			},
		},
		{
			Name: "conditions/a batch is recorded whole or not at all",
			Rule: "All events of a call get consecutive positions, or none is recorded.",
			Run: func(t *T) {
				batch := []dcb.Event{event("A", "x"), event("B", "y"), event("C", "x")}
				t.appendIf(tagged("x"), 0, batch...)
				t.conflicts(tagged("x"), 0, batch...)
				t.conflicts(tagged("y"), 1, batch...)
				t.recorded(batch...)
				t.appendIf(tagged("x"), 3, batch...)
				t.recorded(append(batch, batch...)...)
			},
		},
		{
			Name: "conditions/an event within a batch conflicts",
			Rule: conditionRule,
			Run: func(t *T) {
				t.append(event("T"), event("T", "x"), event("T"))
				t.conflicts(tagged("x"), 1, event("T"))
				t.appendIf(tagged("x"), 2, event("T"))
			},
		},
		{
			Name: "conditions/the head of a read is the After of the append that follows",
			Rule: "Head is the position that the caller may use as AppendCondition.After.",
			Run: func(t *T) {
				for range 10 {
					seen := t.read(tagged("x"), dcb.ReadOptions{})
					t.appendIf(tagged("x"), seen.Head, event("T", "x"))
					t.conflicts(tagged("x"), seen.Head, event("T", "x"))
					t.append(event("T", "y"))
				}
			},
		},
		{
			Name: "conditions/the head of a read that was cut short guards what was not read",
			Rule: headRule,
			Run: func(t *T) {
				t.append(eight()...)
				cut := t.read(tagged("x"), dcb.ReadOptions{Limit: 2})
				t.conflicts(tagged("x"), cut.Head, event("T"))
				newest := t.read(tagged("x"), dcb.ReadOptions{Limit: 1, Backwards: true})
				t.appendIf(tagged("x"), newest.Head, event("T"))
			},
		},
		{
			Name: "conditions/after a conflict one reads and decides again",
			Rule: "Read again and decide again.",
			Run: func(t *T) {
				seen := t.read(tagged("x"), dcb.ReadOptions{})
				t.append(event("T", "x"))
				t.conflicts(tagged("x"), seen.Head, event("T", "x"))
				seen = t.read(tagged("x"), dcb.ReadOptions{})
				t.appendIf(tagged("x"), seen.Head, event("T", "x"))
				t.recorded(event("T", "x"), event("T", "x"))
			},
		},
		{
			Name: "conditions/a conflict leaves the IDs free",
			Rule: "An append that failed left nothing.",
			Run: func(t *T) {
				t.append(event("T", "x"))
				batch := []dcb.Event{identified("T", "x"), identified("T", "x")}
				t.conflicts(tagged("x"), 0, batch...)
				if position := t.appendIf(tagged("x"), 1, batch...); position != 3 {
					t.Errorf("the append after the conflict returned position %d, want 3", position)
				}
			},
		},
		{
			Name: "conditions/an item that no event can match never conflicts",
			Rule: "The event's tags contain all of the item's tags, at most 128 tags an event.",
			Run: func(t *T) {
				tags := numbered("t", dcb.MaxTags+1)
				t.append(event("T", tags[:dcb.MaxTags]...))
				t.appendIf(tagged(tags...), 0, event("T"))
				t.conflicts(tagged(tags[:dcb.MaxTags]...), 0, event("T"))
			},
		},
		{
			Name: "conditions/repetitions in a condition change nothing",
			Rule: "Tags are a set, items are alternatives.",
			Run: func(t *T) {
				q := dcb.Query{{Types: []string{"A", "A"}, Tags: []string{"x", "x"}}, {Types: []string{"A"}, Tags: []string{"x"}}}
				t.appendIf(q, 0, event("A"), event("B", "x"))
				t.appendIf(q, 0, event("A", "x"))
				t.conflicts(q, 2, event("T"))
				t.appendIf(q, 3, event("T"))
			},
		},
	}
}
