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

// change changes a correct history. o are its operations.
type change func(h *History, o []Operation)

func TestCheckReportsEachRule(t *testing.T) {
	t.Parallel()
	w := []dcb.Event{newEvent("w", "z")}
	y := dcb.Query{{Tags: []string{"y"}}}
	untested := maps.Clone(sentences)
	for _, test := range []struct {
		rule Rule
		name string
		do   change
	}{
		{RuleDense, "gap", func(h *History, o []Operation) {
			h.Final[3].Position, h.Final[4].Position, o[headFive].Position = 5, 6, 6
		}},
		{RuleTime, "falls", func(h *History, _ []Operation) { h.Final[3].RecordedAt = time.UnixMicro(1).UTC() }},
		{RuleTime, "not UTC", func(h *History, _ []Operation) {
			h.Final[4].RecordedAt = h.Final[4].RecordedAt.In(time.FixedZone("elsewhere", 3600))
		}},
		{RuleTime, "nanoseconds", func(h *History, _ []Operation) { h.Final[4].RecordedAt = h.Final[4].RecordedAt.Add(1) }},
		{RuleTime, "different in a read", func(_ *History, o []Operation) {
			o[readX].Result.Events[0].RecordedAt = time.UnixMicro(2).UTC()
		}},
		{RuleUnknownEvent, "at the end", func(h *History, _ []Operation) { h.Final = sequence(append(eventsOf(h.Final), w...)...) }},
		{RuleAltered, "tags recorded differently", func(h *History, _ []Operation) { h.Final[3].Tags = []string{"Y"} }},
		{RuleAltered, "tags read differently", func(_ *History, o []Operation) {
			o[readX].Result.Events[0].Tags = []string{"x", "y"}
		}},
		{RuleDuplicate, "event without an ID", func(h *History, _ []Operation) {
			h.Final = sequence(append(eventsOf(h.Final), h.Final[4].Event)...)
		}},
		{RuleDuplicate, "ID of another event", func(h *History, _ []Operation) {
			twin := []dcb.Event{newEvent("twin")}
			twin[0].ID = uuid.UUID{2}
			h.add(Operation{Method: Append, Start: 150, End: 160, Events: twin, Position: 6}, twin...)
		}},
		{RulePartial, "second event missing", func(h *History, o []Operation) { h.Final, o[headFive].Position = h.Final[:4], 3 }},
		{RuleConsecutive, "another append in between", func(h *History, o []Operation) {
			events := eventsOf(h.Final)
			h.Final, o[headFive].Position = sequence(slices.Insert(events, 4, o[cancelledNotRecorded].Events...)...), 6
		}},
		{RulePosition, "of another append", func(_ *History, o []Operation) { o[appendThird].Position = 2 }},
		{RulePosition, "different for the retry", func(_ *History, o []Operation) { o[retryTwo].Position = 3 }},
		{RuleLost, "last append", func(h *History, _ []Operation) {
			h.add(Operation{Method: Append, Start: 150, End: 160, Events: w, Position: 6})
		}},
		{RuleRejected, "by a conflict", func(h *History, o []Operation) { h.add(o[readX], o[conflictWithThird].Events...) }},
		{RuleRejected, "unavailable with a known outcome", func(h *History, _ []Operation) {
			h.MayFail = true
			h.add(Operation{Method: Append, Start: 150, End: 160, Events: w, Err: &dcb.UnavailableError{Cause: context.Canceled}}, w...)
		}},
		{RuleCondition, "match after After", func(_ *History, o []Operation) { o[appendThird].Condition.After = 0 }},
		{RuleCondition, "cancelled append", func(_ *History, o []Operation) {
			o[cancelledRecorded].Condition = unless(dcb.All(), 2)
		}},
		{RuleSpuriousConflict, "After is the last match", func(_ *History, o []Operation) { o[conflictWithThird].Condition.After = 3 }},
		{RuleSpuriousConflict, "no condition", func(_ *History, o []Operation) { o[conflictWithThird].Condition = nil }},
		{RuleSpuriousConflict, "match recorded later", func(_ *History, o []Operation) {
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
		{RuleConflictPosition, "recorded later", func(_ *History, o []Operation) {
			o[conflictWithThird].Condition = unless(dcb.All(), 2)
			o[conflictWithThird].Err = &dcb.ConflictError{Position: 4}
		}},
		{RuleRetry, "condition fails", func(_ *History, o []Operation) { o[retryTwo].Err = &dcb.ConflictError{Position: 1} }},
		{RuleRetry, "conflict with itself", func(_ *History, o []Operation) {
			o[retryTwo].Start, o[retryTwo].End, o[retryTwo].Err = 5, 15, &dcb.ConflictError{Position: 1}
		}},
		{RuleDuplicateID, "ID not recorded", func(_ *History, o []Operation) { o[stealID].Events[0].ID = uuid.UUID{9} }},
		{RuleDuplicateID, "ID recorded by the append itself", func(_ *History, o []Operation) { o[retryTwo].Err = dcb.ErrDuplicateID }},
		{RuleDuplicateID, "conflict instead", func(_ *History, o []Operation) {
			o[stealID].Condition, o[stealID].Err = unless(dcb.All(), 0), &dcb.ConflictError{Position: 1}
		}},
		{RuleError, "context's error before its end", func(_ *History, o []Operation) { o[headThree].Err = context.Canceled }},
		{RuleError, "unavailable without MayFail", func(_ *History, o []Operation) {
			o[headThree].Err = &dcb.UnavailableError{OutcomeUnknown: true}
		}},
		{RuleError, "closed", func(h *History, o []Operation) { h.MayFail, o[headThree].Err = true, dcb.ErrClosed }},
		{RuleError, "conflict of a read", func(_ *History, o []Operation) { o[readX].Err = &dcb.ConflictError{Position: 3} }},
		{RuleHang, "Wait", func(_ *History, o []Operation) { o[waitForThree].Hung = true }},
		{RuleOrder, "below a head", func(_ *History, o []Operation) {
			o[cancelledRecorded].Start, o[cancelledRecorded].End = 150, 155
		}},
		{RuleVanished, "head", func(_ *History, o []Operation) { o[headFive].Position = 6 }},
		{RuleVanished, "event replaced by another", func(_ *History, o []Operation) {
			o[readX].Result.Events[1].Data = []byte("v")
		}},
		{RuleStaleHead, "Head", func(h *History, _ []Operation) {
			h.add(Operation{Method: Append, Start: 150, End: 160, Events: w, Position: 6}, w...)
			h.add(Operation{Method: Head, Start: 170, End: 180, Position: 5})
		}},
		{RuleStaleHead, "read below its limit", func(h *History, _ []Operation) {
			h.add(Operation{Method: Append, Start: 150, End: 160, Events: w, Position: 6}, w...)
			h.add(Operation{
				Method: Read, Start: 170, End: 180, Query: y, Options: dcb.ReadOptions{Limit: 4},
				Result: dcb.ReadResult{Events: h.eventsAt(2, 4, 5), Head: 5},
			})
		}},
		{RuleStaleHead, "read whose limit left nothing out", func(h *History, _ []Operation) {
			h.add(Operation{Method: Append, Start: 150, End: 160, Events: w, Position: 6}, w...)
			h.add(Operation{
				Method: Read, Start: 170, End: 180, Query: y, Options: dcb.ReadOptions{Limit: 3},
				Result: dcb.ReadResult{Events: h.eventsAt(2, 4, 5), Head: 5},
			})
		}},
		{RuleStaleHead, "backward read", func(h *History, _ []Operation) {
			h.add(Operation{Method: Append, Start: 150, End: 160, Events: w, Position: 6}, w...)
			h.add(Operation{
				Method: Read, Start: 170, End: 180, Query: y, Options: dcb.ReadOptions{Limit: 1, Backwards: true},
				Result: dcb.ReadResult{Events: h.eventsAt(5), Head: 5, More: true},
			})
		}},
		{RuleFallingHead, "Head", func(h *History, _ []Operation) {
			h.add(Operation{Method: Append, Start: 150, End: 160, Events: w, Err: context.Canceled, Cancelled: true}, w...)
			h.add(Operation{Method: Head, Start: 170, End: 180, Position: 6})
			h.add(Operation{Method: Head, Start: 190, End: 200, Position: 5})
		}},
		{RuleFallingHead, "below an event that More shows", func(h *History, _ []Operation) {
			h.add(Operation{Method: Append, Start: 150, End: 160, Events: w, Err: context.Canceled, Cancelled: true}, w...)
			h.add(Operation{
				Method: Read, Start: 170, End: 180, Query: dcb.All(), Options: dcb.ReadOptions{After: 4, Limit: 1},
				Result: dcb.ReadResult{Events: h.eventsAt(5), Head: 5, More: true},
			})
			h.add(Operation{Method: Head, Start: 190, End: 200, Position: 5})
		}},
		{RulePartlyVisible, "head within an append", func(_ *History, o []Operation) { o[headFive].Position = 4 }},
		{RuleReadMissing, "last", func(_ *History, o []Operation) { o[readX].Result.Events = o[readX].Result.Events[:1] }},
		{RuleReadMissing, "wrong order", func(_ *History, o []Operation) { slices.Reverse(o[readX].Result.Events) }},
		{RuleReadExtra, "no match", func(h *History, o []Operation) { o[readX].Result.Events = h.eventsAt(1, 2, 3) }},
		{RuleReadExtra, "twice", func(h *History, o []Operation) { o[readX].Result.Events = h.eventsAt(1, 3, 3) }},
		{RuleReadExtra, "at After", func(_ *History, o []Operation) { o[readX].Options.After = 1 }},
		{RuleReadExtra, "at Before", func(_ *History, o []Operation) { o[readX].Options.Before, o[readX].Result.Head = 3, 2 }},
		{RuleReadExtra, "above the limit", func(_ *History, o []Operation) { o[readX].Options.Limit = 1 }},
		{RuleReadExtra, "above Head", func(_ *History, o []Operation) { o[readX].Result.Head = 2 }},
		{RuleReadHead, "above the last event although More", func(_ *History, o []Operation) { o[readFirst].Result.Head = 3 }},
		{RuleReadHead, "at Before", func(h *History, o []Operation) {
			o[readX].Options.Before, o[readX].Result.Events = 3, h.eventsAt(1)
		}},
		{RuleReadMore, "true below the limit", func(_ *History, o []Operation) { o[readX].Result.More = true }},
		{RuleReadMore, "true without a further match", func(h *History, _ []Operation) {
			h.add(Operation{
				Method: Read, Start: 150, End: 160, Query: y, Options: dcb.ReadOptions{Limit: 3},
				Result: dcb.ReadResult{Events: h.eventsAt(2, 4, 5), Head: 5, More: true},
			})
		}},
		{RuleReadMore, "true although the further match is at Before", func(h *History, _ []Operation) {
			h.add(Operation{
				Method: Read, Start: 150, End: 160, Query: y, Options: dcb.ReadOptions{Limit: 1, Before: 4},
				Result: dcb.ReadResult{Events: h.eventsAt(2), Head: 2, More: true},
			})
		}},
		{RuleReadMore, "true although the further match was recorded later", func(h *History, _ []Operation) {
			h.add(Operation{
				Method: Read, Start: 60, End: 70, Query: y, Options: dcb.ReadOptions{Limit: 1},
				Result: dcb.ReadResult{Events: h.eventsAt(2), Head: 2, More: true},
			})
		}},
		{RuleReadMore, "false although a match up to Head was left out", func(_ *History, o []Operation) {
			o[readFirst].Result.Head, o[readFirst].Result.More = 3, false
		}},
		{RuleReadMore, "false although a visible match was left out", func(_ *History, o []Operation) { o[readFirst].Result.More = false }},
		{RuleReadMore, "backwards, true without an older match", func(_ *History, o []Operation) { o[readLast].Options.After = 2 }},
		{RuleReadMore, "backwards, false although an older match was left out", func(_ *History, o []Operation) {
			o[readLast].Result.More = false
		}},
		{RuleWait, "not above after", func(_ *History, o []Operation) { o[waitForThree].After = 3 }},
		{RuleFollowMissing, "first", func(h *History, o []Operation) { o[followTwo].Result.Events = h.eventsAt(2) }},
		{RuleFollowExtra, "above Head", func(h *History, o []Operation) { o[followThree].Result.Events = h.eventsAt(3, 4) }},
		{RuleFollowExtra, "from the previous batch", func(h *History, o []Operation) { o[followThree].Result.Events = h.eventsAt(2, 3) }},
		{RuleFollowHead, "below the previous batch", func(_ *History, o []Operation) { o[followThree].Result = dcb.ReadResult{Head: 1} }},
		{RuleFollowMore, "nothing recorded by then", func(_ *History, o []Operation) { o[followThree].Result.More = true }},
	} {
		delete(untested, test.rule)
		t.Run(string(test.rule)+"/"+test.name, func(t *testing.T) {
			t.Parallel()
			h := correctHistory()
			test.do(h, h.Operations)
			violations := h.Check()
			if len(violations) == 0 {
				t.Error("Check() = nil, want a violation")
			}
			for _, v := range violations {
				if v.Rule != test.rule {
					t.Errorf("Check() also returned %v", v)
				}
			}
		})
	}
	if len(untested) > 0 {
		t.Errorf("no case breaks the rules %v", slices.Collect(maps.Keys(untested)))
	}
}

func TestCheckAcceptsWhatACorrectStoreCanDo(t *testing.T) {
	t.Parallel()
	w := []dcb.Event{newEvent("w", "z")}
	y := dcb.Query{{Tags: []string{"y"}}}
	for _, test := range []struct {
		name string
		do   change
	}{
		{"the correct history", func(*History, []Operation) {}},
		{"a cancelled append is not recorded", func(h *History, o []Operation) { h.Final, o[headFive].Position = h.Final[:3], 3 }},
		{"a cancelled append is recorded after it returned", func(_ *History, o []Operation) { o[headFive].Position = 3 }},
		{"a conflict with an append that has not returned", func(_ *History, o []Operation) {
			o[conflictWithThird].Start, o[conflictWithThird].End = 15, 25
		}},
		{"a head includes an append that has not returned", func(_ *History, o []Operation) { o[headThree].Start, o[headThree].End = 22, 23 }},
		{"a head misses an append that has not returned", func(_ *History, o []Operation) {
			o[headThree].Start, o[headThree].End, o[headThree].Position = 28, 40, 2
		}},
		{"touching moments are in no order", func(h *History, _ []Operation) {
			h.add(Operation{Method: Append, Start: 150, End: 160, Events: w, Position: 6}, w...)
			h.add(Operation{Method: Head, Start: 160, End: 170, Position: 5})
		}},
		{"a read has More while the next event is being recorded", func(h *History, _ []Operation) {
			h.add(Operation{
				Method: Read, Start: 119, End: 122, Query: y, Options: dcb.ReadOptions{Limit: 1},
				Result: dcb.ReadResult{Events: h.eventsAt(2), Head: 2, More: true},
			})
		}},
		{"a read has no More while the next event is being recorded", func(h *History, _ []Operation) {
			h.add(Operation{
				Method: Read, Start: 119, End: 122, Query: y, Options: dcb.ReadOptions{Limit: 1},
				Result: dcb.ReadResult{Events: h.eventsAt(2), Head: 3},
			})
		}},
		{"a limit leaves nothing out", func(h *History, _ []Operation) {
			h.add(Operation{
				Method: Read, Start: 60, End: 70, Query: y, Options: dcb.ReadOptions{Limit: 1},
				Result: dcb.ReadResult{Events: h.eventsAt(2), Head: 3},
			})
		}},
		{"Before hides the match that the limit would leave out", func(h *History, _ []Operation) {
			h.add(Operation{
				Method: Read, Start: 150, End: 160, Query: y, Options: dcb.ReadOptions{Limit: 1, Before: 4},
				Result: dcb.ReadResult{Events: h.eventsAt(2), Head: 3},
			})
		}},
		{"a backward read with a limit and bounds", func(h *History, _ []Operation) {
			h.add(Operation{
				Method: Read, Start: 150, End: 160, Query: dcb.All(),
				Options: dcb.ReadOptions{After: 1, Before: 5, Limit: 2, Backwards: true},
				Result:  dcb.ReadResult{Events: h.eventsAt(4, 3), Head: 4, More: true},
			})
		}},
		{"a backward read whose limit leaves nothing out", func(h *History, _ []Operation) {
			h.add(Operation{
				Method: Read, Start: 150, End: 160, Query: dcb.All(),
				Options: dcb.ReadOptions{After: 3, Limit: 2, Backwards: true},
				Result:  dcb.ReadResult{Events: h.eventsAt(5, 4), Head: 5},
			})
		}},
		{"a read after the head", func(h *History, _ []Operation) {
			h.add(Operation{
				Method: Read, Start: 150, End: 160, Query: dcb.All(), Options: dcb.ReadOptions{After: 99},
				Result: dcb.ReadResult{Head: 5},
			})
		}},
		{"several items match one event", func(_ *History, o []Operation) {
			o[readX].Query = dcb.Query{{Tags: []string{"x"}}, {Types: []string{"T", "U"}, Tags: []string{"x"}}}
		}},
		{"a retry was rejected before the append was recorded", func(_ *History, o []Operation) {
			o[conflictWithThird].Events = o[cancelledRecorded].Events
		}},
		{"one of two overlapping attempts has a condition that fails", func(_ *History, o []Operation) {
			o[retryTwo].Start, o[retryTwo].End, o[retryTwo].Condition = 5, 8, unless(dcb.All(), 0)
		}},
		{"a follower starts beyond the head", func(h *History, _ []Operation) {
			h.add(Operation{Method: Follow, Start: 0, End: 5, Query: dcb.All(), After: 99, Result: dcb.ReadResult{Head: 99}})
		}},
		{"a batch is old", func(_ *History, o []Operation) { o[followThree].Start, o[followThree].End = 150, 160 }},
		{"a batch has More", func(_ *History, o []Operation) {
			o[followThree].Start, o[followThree].End, o[followThree].Result.More = 150, 160, true
		}},
		{"a store that may fail is unavailable", func(h *History, o []Operation) {
			h.MayFail = true
			o[headThree].Err = &dcb.UnavailableError{Cause: context.DeadlineExceeded}
			o[cancelledRecorded].Err = &dcb.UnavailableError{OutcomeUnknown: true}
		}},
		{"events from before the history", func(h *History, _ []Operation) {
			h.Before = 3
			h.remove(func(o *Operation) bool { return o.Method == Append && o.Err == nil })
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := correctHistory()
			test.do(h, h.Operations)
			for _, v := range h.Check() {
				t.Errorf("Check() returned %v", v)
			}
		})
	}
}

func TestCheckReturnsAtMostFiveViolationsOfARule(t *testing.T) {
	t.Parallel()
	h := correctHistory()
	for i := range 20 {
		h.add(Operation{Method: Wait, Caller: i, Start: 150, End: 160, After: 9, Position: 5})
	}
	if got := len(h.Check()); got != maxPerRule {
		t.Errorf("len(Check()) = %d, want %d", got, maxPerRule)
	}
}
