package dcbtest

import (
	"context"
	"fmt"
	"slices"

	"github.com/dcbstore/dcb"
)

func appendingCases() []Case {
	return []Case{
		{
			Name: "appending/positions are dense from 1",
			Rule: "The first event has position 1 and there are no gaps.",
			Run: func(t *T) {
				for want := range dcb.Position(30) {
					if got := t.append(event("T")); got != want+1 {
						t.Fatalf("append %d returned position %d", want+1, got)
					}
				}
				t.dense()
			},
		},
		{
			Name: "appending/the events of a call have consecutive positions",
			Rule: "All events of a call get consecutive positions. The position returned is that of the last one.",
			Run: func(t *T) {
				want := []dcb.Event{event("A"), event("B"), event("C"), event("D"), event("E"), event("F")}
				for _, x := range []struct{ from, to int }{{0, 3}, {3, 4}, {4, 6}} {
					if got := t.append(want[x.from:x.to]...); got != dcb.Position(x.to) {
						t.Errorf("an append of %d events at head %d returned position %d", x.to-x.from, x.from, got)
					}
				}
				t.recorded(want...)
				t.dense()
			},
		},
		{
			Name: "appending/the events of a call keep their order",
			Rule: "All events of a call get consecutive positions, in their order.",
			Run: func(t *T) {
				var want []dcb.Event
				for i := range 1000 {
					want = append(want, dcb.Event{Type: fmt.Sprintf("T%d", 999-i), Tags: []string{"x", fmt.Sprintf("n:%d", i)}, Data: fmt.Append(nil, i)})
				}
				t.append(want...)
				t.recorded(want...)
				t.sameEvents(t.read(tagged("x"), dcb.ReadOptions{}).Events, want...)
				t.selects(tagged("n:500"), 501)
			},
		},
		{
			Name: "appending/repeated tags are recorded once",
			Rule: "Tags given twice are recorded once, in the order of their first mention.",
			Run: func(t *T) {
				t.append(event("T", "b", "a", "b", "c", "a"), event("T", "z", "z"), event("T", "c", "b", "a"))
				t.recorded(event("T", "b", "a", "c"), event("T", "z"), event("T", "c", "b", "a"))
			},
		},
		{
			Name: "appending/equal events are different events",
			Rule: "An ID is optional; events without one are never taken for a repetition.",
			Run: func(t *T) {
				e := dcb.Event{Type: "T", Tags: []string{"x"}, Data: []byte("d"), Metadata: map[string]string{"k": "v"}}
				t.append(e, e)
				t.append(e)
				t.append(e, e)
				t.recorded(e, e, e, e, e)
			},
		},
		{
			Name: "appending/events are of any size beside one another",
			Rule: "Data is at most 16 MiB.",
			Run: func(t *T) {
				data := patterned(1 << 20)
				var want []dcb.Event
				for _, size := range []int{0, 1, 100, 1 << 10, 4095, 4096, 4097, 1 << 16, 1<<16 + 1, 1 << 20, 0, 3} {
					want = append(want, dcb.Event{Type: "T", Tags: []string{fmt.Sprintf("size:%d", size)}, Data: data[:size]})
				}
				t.append(want...)
				t.recorded(want...)
				t.sameEvents(t.read(tagged("size:4097"), dcb.ReadOptions{}).Events, want[6])
			},
		},
		{
			Name: "appending/many different types and tags",
			Rule: "An event has any type and any tags.",
			Run: func(t *T) {
				var events []dcb.Event
				for i := range 2000 {
					events = append(events, event(fmt.Sprintf("T%d", i), fmt.Sprintf("a:%d", i), fmt.Sprintf("b:%d", i/2)))
				}
				t.append(events...)
				t.selects(typed("T1234"), 1235)
				t.selects(tagged("a:1999"), 2000)
				t.selects(tagged("b:7"), 15, 16)
				t.selects(tagged("b:7", "a:15"), 16)
			},
		},
		{
			Name: "appending/a refused append leaves no gap",
			Rule: "An append that failed left nothing: positions have no gaps.",
			Run: func(t *T) {
				first := identified("T", "x")
				t.append(first)
				cancelled, cancel := context.WithCancel(t.ctx)
				cancel()
				for range 10 {
					t.refused(dcb.ErrInvalid, nil, event("T"), event(""))
					t.conflicts(tagged("x"), 0, event("T"), event("T"))
					t.refused(dcb.ErrDuplicateID, nil, event("T"), dcb.Event{Type: "other", ID: first.ID})
					if _, err := t.Store.Append(cancelled, []dcb.Event{event("T")}, nil); err == nil {
						t.Fatalf("an append with a cancelled context succeeded")
					}
				}
				if position := t.append(event("T")); position != 2 {
					t.Errorf("after refused appends at head 1 the next position is %d, want 2", position)
				}
				t.dense()
			},
		},
		{
			Name: "appending/a refused append leaves nothing to find",
			Rule: "An append that failed left nothing.",
			Run: func(t *T) {
				t.append(event("T", "x"))
				t.conflicts(tagged("x"), 0, event("New", "new"), identified("New", "new"))
				t.refused(dcb.ErrInvalid, nil, event("New", "new"), event("New", ""))
				t.selects(typed("New"))
				t.selects(tagged("new"))
				t.appendIf(dcb.Query{{Types: []string{"New"}}, {Tags: []string{"new"}}}, 0, event("T"))
				t.recorded(event("T", "x"), event("T"))
			},
		},
		{
			Name: "appending/stores do not share anything",
			Rule: "A new store is empty, and has a sequence and IDs of its own.",
			Run: func(t *T) {
				other := t.keep(t.suite.Open(t.tb))
				e := identified("T", "x")
				t.append(e, event("T"))
				if head := t.headOf(other); head != 0 {
					t.Errorf("another store has head %d", head)
				}
				if position := t.appendTo(other, &dcb.AppendCondition{FailIfEventsMatch: dcb.All()}, e); position != 1 {
					t.Errorf("an append of another store returned position %d", position)
				}
				t.recorded(e, event("T"))
			},
		},
	}
}

// dense expects all events to be there, at every position up to the head.
func (t *T) dense() {
	result := t.read(dcb.All(), dcb.ReadOptions{})
	got := positions(result.Events)
	if !slices.IsSorted(got) || len(got) > 0 && (got[0] != 1 || got[len(got)-1] != dcb.Position(len(got))) {
		t.Errorf("the positions are not dense: %v", got)
	}
	if result.Head != dcb.Position(len(got)) {
		t.Errorf("there are %d events, and the head is %d", len(got), result.Head)
	}
}
