package dcbtest

import (
	"context"
	"fmt"
	"io"

	"github.com/dcbstore/dcb"
)

// handleCases check two handles on the same events, such as two processes have.
func handleCases() []Case {
	cases := []Case{
		{
			Name: "Two handles/Read sees the appends of the other handle",
			Rule: ruleHandles + " " + rulePrefix,
			Run: func(t *T) {
				handles := [2]dcb.Store{t.Store, t.Second(t.Store)}
				want := []dcb.Event{}
				for i := range 20 {
					e := fullEvent()
					want = append(want, e)
					position := t.appendTo(handles[i%2], nil, e)
					if position != dcb.Position(i+1) {
						t.Errorf("Append number %d = %d", i+1, position)
					}
					other := handles[1-i%2]
					if head := t.headOf(other); head != position {
						t.Errorf("Head of the other handle = %d, want %d", head, position)
					}
					result := t.readFrom(other, tagged("x"), dcb.ReadOptions{})
					t.wantEvents(result.Events, want...)
				}
			},
		},
		{
			Name: "Two handles/Read sees events from before the handle was opened",
			Rule: ruleHandles,
			Run: func(t *T) {
				t.append(eightEvents()...)
				second := t.Second(t.Store)
				t.wantEvents(t.readFrom(second, dcb.All(), dcb.ReadOptions{}).Events, eightEvents()...)
				if position := t.appendTo(second, nil, event("T")); position != 9 {
					t.Errorf("Append through the second handle = %d, want 9", position)
				}
			},
		},
		{
			Name: "Two handles/Wait returns after an append through the other handle",
			Rule: ruleWait + " " + ruleHandles,
			Run: func(t *T) {
				second := t.Second(t.Store)
				for range 10 {
					head := t.head()
					t.background(func() { t.waitPast(second, head) })
					t.append(event("T"))
					t.goroutines.Wait()
				}
			},
		},
		{
			Name: "Two handles/Subscribe yields the appends of the other handle",
			Rule: ruleFollow + " " + ruleHandles,
			Run: func(t *T) {
				second := t.Second(t.Store)
				t.append(event("T"))
				n := dcb.Position(0)
				for e := range t.events(dcb.Subscribe(t.ctx, second, dcb.All(), 0)) {
					if n++; e.Position != n {
						t.Fatalf("Subscribe yielded position %d, want %d", e.Position, n)
					}
					if n == 20 {
						break
					}
					t.append(event("T"))
				}
			},
		},
		{
			Name: "Two handles/Append checks its condition against the events of the other handle",
			Rule: ruleOneStep,
			Run: func(t *T) {
				second := t.Second(t.Store)
				seen := t.readFrom(second, tagged("x"), dcb.ReadOptions{})
				t.append(event("T", "x"))
				if t.tryAppend(second, tagged("x"), seen.Head, event("T", "x")) {
					t.Errorf("Append succeeded although the other handle has appended a matching event")
				}
				t.append(event("T", "y"))
				if !t.tryAppend(second, tagged("x"), 1, event("T")) {
					t.Errorf("Append conflicted with an event of the other handle that does not match")
				}
			},
		},
		{
			Name: "Two handles/one Append of many with the same condition succeeds",
			Rule: ruleOneStep,
			Run: func(t *T) {
				second := t.Second(t.Store)
				for round := range 20 {
					t.oneAppendSucceeds(tagged(fmt.Sprintf("round:%d", round)), 8, t.Store, second)
				}
				t.wantDense()
			},
		},
		{
			Name: "Two handles/Append numbers invoices without gaps",
			Rule: ruleOneStep,
			Run: func(t *T) {
				handles := [2]dcb.Store{t.Store, t.Second(t.Store)}
				t.concurrently(4, func(i int) {
					for range 5 {
						t.createInvoice(handles[i%2])
					}
				})
				t.wantInvoices(20)
			},
		},
		{
			Name: "Two handles/Append keeps the events of a call together",
			Rule: ruleAppend + " " + ruleNotBetween + " " + ruleRecordedAt,
			Run: func(t *T) {
				handles := [2]dcb.Store{t.Store, t.Second(t.Store)}
				t.concurrently(6, func(caller int) {
					for i := range 10 {
						tag := fmt.Sprintf("call:%d:%d", caller, i)
						t.appendTo(handles[caller%2], nil, event("T", tag), event("T", tag), event("T", tag))
					}
				})
				t.wantDense()
				t.wantContiguous(3)
				t.wantRisingTimes()
			},
		},
		{
			Name: "Two handles/Append recognizes a retry through the other handle",
			Rule: ruleRetry,
			Run: func(t *T) {
				second := t.Second(t.Store)
				batch := []dcb.Event{withID("A", "x"), withID("B", "x")}
				condition := &dcb.AppendCondition{FailIfEventsMatch: tagged("x")}
				t.appendTo(t.Store, condition, batch...)
				if position := t.appendTo(second, condition, batch...); position != 2 {
					t.Errorf("the retry of Append = %d, want 2", position)
				}
				t.concurrently(8, func(i int) {
					handles := [2]dcb.Store{t.Store, second}
					t.appendTo(handles[i%2], nil, batch...)
				})
				t.holds(batch...)
			},
		},
		{
			Name: "Two handles/Close leaves the other handle open",
			Rule: ruleClose + " " + ruleHandles,
			Run: func(t *T) {
				second := t.Second(t.Store)
				closer, ok := second.(io.Closer)
				if !ok {
					return
				}
				t.appendTo(second, nil, event("T"))
				if err := closer.Close(); err != nil {
					t.Errorf("Close: %w", err)
				}
				t.append(event("T"))
				t.holds(event("T"), event("T"))
			},
		},
		{
			Name: "Two handles/a cancelled Append does not affect the other handle",
			Rule: ruleUnknownOutcome,
			Run: func(t *T) {
				second := t.Second(t.Store)
				ctx, cancel := context.WithCancel(t.ctx)
				cancel()
				if _, err := second.Append(ctx, []dcb.Event{event("T")}, nil); err == nil {
					t.Errorf("Append with a cancelled context returned no error")
				}
				t.append(event("T"))
				t.holds(event("T"))
			},
		},
	}
	for i := range cases {
		cases[i].Needs = NeedSecond
	}
	return cases
}
