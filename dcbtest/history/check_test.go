package history

import (
	"context"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
)

// The operations of the sound history, by name, so that a test can break one.
const (
	appendTwo = iota
	appendThird
	conflictWithThird
	readX
	readFirst
	headThree
	waitForThree
	repeatTwo
	stealID
	followTwo
	followThree
	cancelledRecorded
	cancelledLost
	headFive
)

// soundHistory is made by hand: five events, and at least one call of each kind and outcome.
func soundHistory() *History {
	x := dcb.Query{{Tags: []string{"x"}}}
	two := []dcb.Event{sent("a0", "x"), sent("a1", "y")}
	two[0].ID, two[1].ID = uuid.UUID{1}, uuid.UUID{2}
	third := []dcb.Event{sent("b", "x")}
	duplicate := []dcb.Event{sent("d")}
	duplicate[0].ID = two[0].ID
	cancelled := []dcb.Event{sent("u0", "y"), sent("u1", "y")}
	h := &History{Final: recorded(two[0], two[1], third[0], cancelled[0], cancelled[1])}
	h.Operations = []Operation{
		appendTwo:         {Method: Append, Start: 0, End: 10, Events: two, Position: 2},
		appendThird:       {Method: Append, Start: 20, End: 30, Events: third, Condition: unless(x, 2), Position: 3},
		conflictWithThird: {Method: Append, Start: 40, End: 50, Events: []dcb.Event{sent("c")}, Condition: unless(x, 2), Err: &dcb.ConflictError{Position: 3}},
		readX:             {Method: Read, Start: 60, End: 70, Query: x, Result: dcb.ReadResult{Events: h.eventsAt(1, 3), Head: 3}},
		readFirst: {
			Method: Read, Start: 60, End: 70, Query: dcb.All(), Options: dcb.ReadOptions{Limit: 1},
			Result: dcb.ReadResult{Events: h.eventsAt(1), Head: 1},
		},
		headThree:         {Method: Head, Start: 60, End: 70, Position: 3},
		waitForThree:      {Method: Wait, Start: 15, End: 35, After: 2, Position: 3},
		repeatTwo:         {Method: Append, Start: 80, End: 90, Events: two, Condition: unless(x, 0), Position: 2},
		stealID:           {Method: Append, Start: 100, End: 110, Events: duplicate, Err: dcb.ErrDuplicateID},
		followTwo:         {Method: Follow, Start: 0, End: 12, Query: dcb.All(), Result: dcb.ReadResult{Events: h.eventsAt(1, 2), Head: 2}},
		followThree:       {Method: Follow, Start: 12, End: 32, Query: dcb.All(), After: 2, Result: dcb.ReadResult{Events: h.eventsAt(3), Head: 3}},
		cancelledRecorded: {Method: Append, Start: 120, End: 125, Events: cancelled, Err: context.Canceled, Cancelled: true},
		cancelledLost:     {Method: Append, Start: 121, End: 125, Events: []dcb.Event{sent("v")}, Err: context.Canceled, Cancelled: true},
		headFive:          {Method: Head, Start: 130, End: 140, Position: 5},
	}
	return h
}

func sent(data string, tags ...string) dcb.Event {
	return dcb.Event{Type: "T", Tags: tags, Data: []byte(data)}
}

func unless(q dcb.Query, after dcb.Position) *dcb.AppendCondition {
	return &dcb.AppendCondition{FailIfEventsMatch: q, After: after}
}

// recorded returns events as a final sequence.
func recorded(events ...dcb.Event) []dcb.SequencedEvent {
	final := make([]dcb.SequencedEvent, len(events))
	for i := range events {
		final[i] = dcb.SequencedEvent{Event: events[i], Position: dcb.Position(i + 1), RecordedAt: time.UnixMicro(int64(1 + i)).UTC()}
	}
	return final
}

func (h *History) eventsAt(positions ...int) []dcb.SequencedEvent {
	events := make([]dcb.SequencedEvent, len(positions))
	for i, position := range positions {
		events[i] = h.Final[position-1].Clone()
	}
	return events
}

// also adds an operation, and in the end of the sequence what it recorded.
func (h *History) also(o Operation, recordedEvents ...dcb.Event) {
	h.Operations = append(h.Operations, o)
	h.Final = recorded(append(eventsOf(h.Final), recordedEvents...)...)
}

func eventsOf(sequenced []dcb.SequencedEvent) []dcb.Event {
	events := make([]dcb.Event, len(sequenced))
	for i := range sequenced {
		events[i] = sequenced[i].Event
	}
	return events
}

func TestEachBrokenRuleIsFoundAlone(t *testing.T) {
	t.Parallel()
	w := []dcb.Event{sent("w", "z")}
	missing := maps.Clone(sentences)
	for _, broken := range []struct {
		rule Rule
		how  string
		do   func(h *History, o []Operation)
	}{
		{RuleDense, "a gap", func(h *History, o []Operation) {
			h.Final[3].Position, h.Final[4].Position, o[headFive].Position = 5, 6, 6
		}},
		{RuleClock, "falls", func(h *History, _ []Operation) { h.Final[3].RecordedAt = time.UnixMicro(1).UTC() }},
		{RuleClock, "is local", func(h *History, _ []Operation) {
			h.Final[4].RecordedAt = h.Final[4].RecordedAt.In(time.FixedZone("elsewhere", 3600))
		}},
		{RuleClock, "has nanoseconds", func(h *History, _ []Operation) { h.Final[4].RecordedAt = h.Final[4].RecordedAt.Add(1) }},
		{RuleClock, "differs in a read", func(_ *History, o []Operation) {
			o[readX].Result.Events[0].RecordedAt = time.UnixMicro(2).UTC()
		}},
		{RuleInvented, "at the end", func(h *History, _ []Operation) { h.Final = recorded(append(eventsOf(h.Final), w...)...) }},
		{RuleAltered, "other tags", func(h *History, _ []Operation) { h.Final[3].Tags = []string{"Y"} }},
		{RuleAltered, "in a read", func(_ *History, o []Operation) { o[readX].Result.Events[0].Tags = []string{"x", "y"} }},
		{RuleTwice, "without an ID", func(h *History, _ []Operation) {
			h.Final = recorded(append(eventsOf(h.Final), h.Final[4].Event)...)
		}},
		{RuleTwice, "with an ID", func(h *History, _ []Operation) {
			twin := []dcb.Event{sent("twin")}
			twin[0].ID = uuid.UUID{2}
			h.also(Operation{Method: Append, Start: 150, End: 160, Events: twin, Position: 6}, twin...)
		}},
		{RuleTorn, "the second event missing", func(h *History, o []Operation) { h.Final, o[headFive].Position = h.Final[:4], 3 }},
		{RuleInterleaved, "by an append whose outcome is unknown", func(h *History, o []Operation) {
			events := eventsOf(h.Final)
			h.Final, o[headFive].Position = recorded(slices.Insert(events, 4, o[cancelledLost].Events...)...), 6
		}},
		{RulePosition, "that of another", func(_ *History, o []Operation) { o[appendThird].Position = 2 }},
		{RulePosition, "another one for the retry", func(_ *History, o []Operation) { o[repeatTwo].Position = 3 }},
		{RuleLost, "the last", func(h *History, _ []Operation) {
			h.also(Operation{Method: Append, Start: 150, End: 160, Events: w, Position: 6})
		}},
		{RuleGhost, "refused by a conflict", func(h *History, o []Operation) { h.also(o[readX], o[conflictWithThird].Events...) }},
		{RuleGhost, "unavailable, with a known outcome", func(h *History, _ []Operation) {
			h.MayFail = true
			h.also(Operation{Method: Append, Start: 150, End: 160, Events: w, Err: &dcb.UnavailableError{Cause: context.Canceled}}, w...)
		}},
		{RuleCondition, "an event after After", func(_ *History, o []Operation) { o[appendThird].Condition.After = 0 }},
		{RuleCondition, "of an append that was cancelled", func(_ *History, o []Operation) {
			o[cancelledRecorded].Condition = unless(dcb.All(), 2)
		}},
		{RuleSpuriousConflict, "After is the last match", func(_ *History, o []Operation) { o[conflictWithThird].Condition.After = 3 }},
		{RuleSpuriousConflict, "no condition", func(_ *History, o []Operation) { o[conflictWithThird].Condition = nil }},
		{RuleSpuriousConflict, "the match came later", func(_ *History, o []Operation) {
			o[conflictWithThird].Condition = unless(dcb.All(), 3)
		}},
		{RuleConflictPosition, "no match", func(_ *History, o []Operation) {
			o[conflictWithThird].Err = &dcb.ConflictError{Position: 2}
		}},
		{RuleConflictPosition, "none", func(_ *History, o []Operation) { o[conflictWithThird].Err = dcb.ErrConflict }},
		{RuleConflictPosition, "at After", func(_ *History, o []Operation) {
			o[conflictWithThird].Condition = unless(dcb.All(), 2)
			o[conflictWithThird].Err = &dcb.ConflictError{Position: 2}
		}},
		{RuleConflictPosition, "of an event that came later", func(_ *History, o []Operation) {
			o[conflictWithThird].Condition = unless(dcb.All(), 2)
			o[conflictWithThird].Err = &dcb.ConflictError{Position: 4}
		}},
		{RuleRetry, "judged by its condition", func(_ *History, o []Operation) { o[repeatTwo].Err = &dcb.ConflictError{Position: 1} }},
		{RuleRetry, "refused because of itself", func(_ *History, o []Operation) {
			o[repeatTwo].Start, o[repeatTwo].End, o[repeatTwo].Err = 5, 15, &dcb.ConflictError{Position: 1}
		}},
		{RuleDuplicateID, "nobody has it", func(_ *History, o []Operation) { o[stealID].Events[0].ID = uuid.UUID{9} }},
		{RuleDuplicateID, "only the append itself has it", func(_ *History, o []Operation) { o[repeatTwo].Err = dcb.ErrDuplicateID }},
		{RuleDuplicateID, "a conflict instead", func(_ *History, o []Operation) {
			o[stealID].Condition, o[stealID].Err = unless(dcb.All(), 0), &dcb.ConflictError{Position: 1}
		}},
		{RuleError, "cancelled by nobody", func(_ *History, o []Operation) { o[headThree].Err = context.Canceled }},
		{RuleError, "unavailable, although it may not fail", func(_ *History, o []Operation) {
			o[headThree].Err = &dcb.UnavailableError{OutcomeUnknown: true}
		}},
		{RuleError, "closed", func(h *History, o []Operation) { h.MayFail, o[headThree].Err = true, dcb.ErrClosed }},
		{RuleError, "a conflict of a read", func(_ *History, o []Operation) { o[readX].Err = &dcb.ConflictError{Position: 3} }},
		{RuleOrder, "recorded below a head shown before", func(_ *History, o []Operation) {
			o[cancelledRecorded].Start, o[cancelledRecorded].End = 150, 155
		}},
		{RuleVanished, "a head", func(_ *History, o []Operation) { o[headFive].Position = 6 }},
		{RuleVanished, "an event, replaced by another", func(_ *History, o []Operation) {
			o[readX].Result.Events[1].Data = []byte("v")
		}},
		{RuleLaggingHead, "of Head", func(h *History, _ []Operation) {
			h.also(Operation{Method: Append, Start: 150, End: 160, Events: w, Position: 6}, w...)
			h.also(Operation{Method: Head, Start: 170, End: 180, Position: 5})
		}},
		{RuleLaggingHead, "of a read with a limit that cut nothing off", func(h *History, _ []Operation) {
			h.also(Operation{Method: Append, Start: 150, End: 160, Events: w, Position: 6}, w...)
			h.also(Operation{
				Method: Read, Start: 170, End: 180, Query: dcb.Query{{Tags: []string{"y"}}}, Options: dcb.ReadOptions{Limit: 3},
				Result: dcb.ReadResult{Events: h.eventsAt(2, 4, 5), Head: 5},
			})
		}},
		{RuleFallingHead, "of Head", func(h *History, _ []Operation) {
			h.also(Operation{Method: Append, Start: 150, End: 160, Events: w, Err: context.Canceled, Cancelled: true}, w...)
			h.also(Operation{Method: Head, Start: 170, End: 180, Position: 6})
			h.also(Operation{Method: Head, Start: 190, End: 200, Position: 5})
		}},
		{RuleHalfVisible, "a head in the middle", func(_ *History, o []Operation) { o[headFive].Position = 4 }},
		{RuleReadMissing, "the last", func(_ *History, o []Operation) { o[readX].Result.Events = o[readX].Result.Events[:1] }},
		{RuleReadMissing, "the order", func(_ *History, o []Operation) { slices.Reverse(o[readX].Result.Events) }},
		{RuleReadExtra, "no match", func(h *History, o []Operation) { o[readX].Result.Events = h.eventsAt(1, 2, 3) }},
		{RuleReadExtra, "twice", func(h *History, o []Operation) { o[readX].Result.Events = h.eventsAt(1, 3, 3) }},
		{RuleReadExtra, "before After", func(_ *History, o []Operation) { o[readX].Options.After = 1 }},
		{RuleReadExtra, "at Before", func(_ *History, o []Operation) { o[readX].Options.Before = 3; o[readX].Result.Head = 2 }},
		{RuleReadExtra, "beyond the limit", func(_ *History, o []Operation) { o[readX].Options.Limit = 1 }},
		{RuleFollowTwice, "beyond the head", func(h *History, o []Operation) { o[followThree].Result.Events = h.eventsAt(3, 4) }},
		{RuleReadExtra, "beyond the head of a read", func(_ *History, o []Operation) { o[readX].Result.Head = 2 }},
		{RuleReadHead, "above what the limit left out", func(_ *History, o []Operation) { o[readFirst].Result.Head = 3 }},
		{RuleWait, "not above after", func(_ *History, o []Operation) { o[waitForThree].After = 3 }},
		{RuleHang, "a Wait", func(_ *History, o []Operation) { o[waitForThree].Hung = true }},
		{RuleFollowMissing, "the first", func(h *History, o []Operation) { o[followTwo].Result.Events = h.eventsAt(2) }},
		{RuleFollowTwice, "that of the batch before", func(h *History, o []Operation) { o[followThree].Result.Events = h.eventsAt(2, 3) }},
		{RuleFollowHead, "below the batch before", func(_ *History, o []Operation) { o[followThree].Result = dcb.ReadResult{Head: 1} }},
	} {
		delete(missing, broken.rule)
		h := soundHistory()
		broken.do(h, h.Operations)
		violations := h.Check()
		if len(violations) == 0 {
			t.Errorf("%s: %s: not found", broken.rule, broken.how)
		}
		for _, v := range violations {
			if v.Rule != broken.rule {
				t.Errorf("%s: %s: also found %v", broken.rule, broken.how, v)
			}
			if v.Rule.Sentence() == "" || v.Problem == "" {
				t.Errorf("%s: %s: told as %v", broken.rule, broken.how, v)
			}
		}
	}
	if len(missing) > 0 {
		t.Errorf("nothing here breaks the rules %v", missing)
	}
}

func TestWhatTheContractAllowsIsNoViolation(t *testing.T) {
	t.Parallel()
	w := []dcb.Event{sent("w", "z")}
	y := dcb.Query{{Tags: []string{"y"}}}
	for _, allowed := range []struct {
		what string
		do   func(h *History, o []Operation)
	}{
		{"everything", func(*History, []Operation) {}},
		{"a cancelled append is not recorded", func(h *History, o []Operation) { h.Final, o[headFive].Position = h.Final[:3], 3 }},
		{"a cancelled append is recorded after it returned", func(_ *History, o []Operation) { o[headFive].Position = 3 }},
		{"a conflict with an append that has not returned", func(_ *History, o []Operation) {
			o[conflictWithThird].Start, o[conflictWithThird].End = 15, 25
		}},
		{"a head of an append that has not returned", func(_ *History, o []Operation) { o[headThree].Start, o[headThree].End = 22, 23 }},
		{"a head without an append that has not returned", func(_ *History, o []Operation) {
			o[headThree].Start, o[headThree].End, o[headThree].Position = 28, 40, 2
		}},
		{"touching moments are in no order", func(h *History, _ []Operation) {
			h.also(Operation{Method: Append, Start: 150, End: 160, Events: w, Position: 6}, w...)
			h.also(Operation{Method: Head, Start: 160, End: 170, Position: 5})
		}},
		{"a read cut at an event while the next is being recorded", func(h *History, _ []Operation) {
			h.also(Operation{
				Method: Read, Start: 119, End: 122, Query: y, Options: dcb.ReadOptions{Limit: 1},
				Result: dcb.ReadResult{Events: h.eventsAt(2), Head: 2},
			})
		}},
		{"a limit that was just enough", func(h *History, _ []Operation) {
			h.also(Operation{
				Method: Read, Start: 60, End: 70, Query: y, Options: dcb.ReadOptions{Limit: 1},
				Result: dcb.ReadResult{Events: h.eventsAt(2), Head: 3},
			})
		}},
		{"a limited read backwards within bounds", func(h *History, _ []Operation) {
			h.also(Operation{
				Method: Read, Start: 150, End: 160, Query: dcb.All(), Options: dcb.ReadOptions{After: 1, Before: 5, Limit: 2, Backwards: true},
				Result: dcb.ReadResult{Events: h.eventsAt(4, 3), Head: 4, More: true},
			})
		}},
		{"a read after the head", func(h *History, _ []Operation) {
			h.also(Operation{Method: Read, Start: 150, End: 160, Query: dcb.All(), Options: dcb.ReadOptions{After: 99}, Result: dcb.ReadResult{Head: 5}})
		}},
		{"several items that match one event", func(_ *History, o []Operation) {
			o[readX].Query = dcb.Query{{Tags: []string{"x"}}, {Types: []string{"T", "U"}, Tags: []string{"x"}}}
		}},
		{"a retry that was refused before the append was recorded", func(_ *History, o []Operation) {
			o[conflictWithThird].Events = o[cancelledRecorded].Events
		}},
		{"retries at once, one of which only repeats", func(_ *History, o []Operation) {
			o[repeatTwo].Start, o[repeatTwo].End, o[repeatTwo].Condition = 5, 8, unless(dcb.All(), 0)
		}},
		{"a follower beyond the head", func(h *History, _ []Operation) {
			h.also(Operation{Method: Follow, Start: 0, End: 5, Query: dcb.All(), After: 99, Result: dcb.ReadResult{Head: 99}})
		}},
		{"a batch that was read long ago", func(_ *History, o []Operation) { o[followThree].Start, o[followThree].End = 150, 160 }},
		{"a store that may fail does", func(h *History, o []Operation) {
			h.MayFail = true
			o[headThree].Err = &dcb.UnavailableError{Cause: context.DeadlineExceeded}
			o[cancelledRecorded].Err = &dcb.UnavailableError{OutcomeUnknown: true}
		}},
		{"events from before", func(h *History, o []Operation) {
			h.Before = 3
			h.Operations = slices.DeleteFunc(o, func(o Operation) bool { return o.Method == Append && o.Err == nil })
		}},
	} {
		h := soundHistory()
		allowed.do(h, h.Operations)
		for _, v := range h.Check() {
			t.Errorf("%s: found %v", allowed.what, v)
		}
	}
}

func TestViolationsOfOneRuleAreToldFiveTimesAtMost(t *testing.T) {
	t.Parallel()
	h := soundHistory()
	for i := range 20 {
		h.also(Operation{Method: Wait, Caller: i, Start: 150, End: 160, After: 9, Position: 5})
	}
	if got := len(h.Check()); got != maxPerRule {
		t.Errorf("got %d violations, want %d", got, maxPerRule)
	}
}
