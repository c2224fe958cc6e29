package dcbtest

import (
	"context"
	"fmt"

	"github.com/dcbstore/dcb"
)

func appendCases() []Case {
	return []Case{
		{
			Name: "Append/gives positions from 1 without gaps",
			Rule: rulePosition,
			Run: func(t *T) {
				for want := range dcb.Position(30) {
					if got := t.append(event("T")); got != want+1 {
						t.Fatalf("Append number %d = %d", want+1, got)
					}
				}
				t.wantDense()
			},
		},
		{
			Name: "Append/gives the events of a call consecutive positions",
			Rule: ruleAppend + " " + ruleAppendReturns,
			Run: func(t *T) {
				want := []dcb.Event{event("A"), event("B"), event("C"), event("D"), event("E"), event("F")}
				for _, x := range []struct{ from, to int }{{0, 3}, {3, 4}, {4, 6}} {
					if got := t.append(want[x.from:x.to]...); got != dcb.Position(x.to) {
						t.Errorf("Append of %d events at head %d = %d, want %d", x.to-x.from, x.from, got, x.to)
					}
				}
				t.holds(want...)
				t.wantDense()
			},
		},
		{
			Name: "Append/keeps the order of the events of a call",
			Rule: ruleAppend,
			Run: func(t *T) {
				var want []dcb.Event
				for i := range 1000 {
					want = append(want, dcb.Event{
						Type: fmt.Sprintf("T%d", 999-i), Tags: []string{"x", fmt.Sprintf("n:%d", i)}, Data: fmt.Append(nil, i),
					})
				}
				t.append(want...)
				t.holds(want...)
				t.wantEvents(t.read(tagged("x"), dcb.ReadOptions{}).Events, want...)
				t.selects(tagged("n:500"), 501)
			},
		},
		{
			Name: "Append/records a repeated tag once",
			Rule: ruleTagOnce,
			Run: func(t *T) {
				t.append(event("T", "b", "a", "b", "c", "a"), event("T", "z", "z"), event("T", "c", "b", "a"))
				t.holds(event("T", "b", "a", "c"), event("T", "z"), event("T", "c", "b", "a"))
			},
		},
		{
			Name: "Append/records equal events without IDs each time",
			Rule: ruleID,
			Run: func(t *T) {
				e := dcb.Event{Type: "T", Tags: []string{"x"}, Data: []byte("d"), Metadata: map[string]string{"k": "v"}}
				t.append(e, e)
				t.append(e)
				t.append(e, e)
				t.holds(e, e, e, e, e)
			},
		},
		{
			Name: "Append/accepts events of very different sizes in one call",
			Rule: ruleDataLimit,
			Run: func(t *T) {
				data := patternedBytes(1 << 20)
				var want []dcb.Event
				for _, size := range []int{0, 1, 100, 1 << 10, 4095, 4096, 4097, 1 << 16, 1<<16 + 1, 1 << 20, 0, 3} {
					want = append(want, dcb.Event{Type: "T", Tags: []string{fmt.Sprintf("size:%d", size)}, Data: data[:size]})
				}
				t.append(want...)
				t.holds(want...)
				t.wantEvents(t.read(tagged("size:4097"), dcb.ReadOptions{}).Events, want[6])
			},
		},
		{
			Name: "Append/accepts many different types and tags",
			Rule: ruleMatchItem,
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
			Name: "Append/leaves no gap when it fails",
			Rule: ruleFailedAppend + " " + rulePosition,
			Run: func(t *T) {
				first := withID("T", "x")
				t.append(first)
				cancelled, cancel := context.WithCancel(t.ctx)
				cancel()
				for range 10 {
					t.appendFails(dcb.ErrInvalid, nil, event("T"), event(""))
					t.appendConflicts(tagged("x"), 0, event("T"), event("T"))
					t.appendFails(dcb.ErrDuplicateID, nil, event("T"), dcb.Event{Type: "other", ID: first.ID})
					if _, err := t.Store.Append(cancelled, []dcb.Event{event("T")}, nil); err == nil {
						t.Fatalf("Append with a cancelled context returned no error")
					}
				}
				if position := t.append(event("T")); position != 2 {
					t.Errorf("Append after failed appends at head 1 = %d, want 2", position)
				}
				t.wantDense()
			},
		},
		{
			Name: "Append/leaves nothing to find when it fails",
			Rule: ruleFailedAppend,
			Run: func(t *T) {
				t.append(event("T", "x"))
				t.appendConflicts(tagged("x"), 0, event("New", "new"), withID("New", "new"))
				t.appendFails(dcb.ErrInvalid, nil, event("New", "new"), event("New", ""))
				t.selects(typed("New"))
				t.selects(tagged("new"))
				t.appendIf(dcb.Query{{Types: []string{"New"}}, {Tags: []string{"new"}}}, 0, event("T"))
				t.holds(event("T", "x"), event("T"))
			},
		},
		{
			Name: "Append/changes no other store",
			Rule: rulePosition + " " + ruleID,
			Run: func(t *T) {
				other := t.track(t.suite.Open(t.tb))
				e := withID("T", "x")
				t.append(e, event("T"))
				if head := t.headOf(other); head != 0 {
					t.Errorf("Head of another store = %d, want 0", head)
				}
				if position := t.appendTo(other, &dcb.AppendCondition{FailIfEventsMatch: dcb.All()}, e); position != 1 {
					t.Errorf("Append to another store = %d, want 1", position)
				}
				t.holds(e, event("T"))
			},
		},
	}
}
