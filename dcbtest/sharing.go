package dcbtest

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/dcbstore/dcb"
)

const sharedRule = "Any number of stores (in other processes) may share the same events."

func sharingCases() []Case {
	cases := []Case{
		{
			Name: "sharing/what one handle recorded the other reads",
			Rule: sharedRule + " An append that returned is seen by every later read.",
			Run: func(t *T) {
				handles := [2]dcb.Store{t.Store, t.Second(t.Store)}
				want := []dcb.Event{}
				for i := range 20 {
					e := full()
					want = append(want, e)
					position := t.appendTo(handles[i%2], nil, e)
					if position != dcb.Position(i+1) {
						t.Errorf("append %d returned position %d", i+1, position)
					}
					other := handles[1-i%2]
					if head := t.headOf(other); head != position {
						t.Errorf("the other handle's head is %d, want %d", head, position)
					}
					result := t.readFrom(other, tagged("x"), dcb.ReadOptions{})
					t.sameEvents(result.Events, want...)
				}
			},
		},
		{
			Name: "sharing/a second handle sees what was recorded before it",
			Rule: sharedRule,
			Run: func(t *T) {
				t.append(eight()...)
				second := t.Second(t.Store)
				t.sameEvents(t.readFrom(second, dcb.All(), dcb.ReadOptions{}).Events, eight()...)
				if position := t.appendTo(second, nil, event("T")); position != 9 {
					t.Errorf("an append of the second handle returned position %d, want 9", position)
				}
			},
		},
		{
			Name: "sharing/one handle's append wakes the other's Wait",
			Rule: waitRule + " " + sharedRule,
			Run: func(t *T) {
				second := t.Second(t.Store)
				for range 10 {
					head := t.head()
					t.background(func() { t.waitPast(second, head) })
					t.append(event("T"))
					t.others.Wait()
				}
			},
		},
		{
			Name: "sharing/one handle's append reaches the other's follower",
			Rule: followRule + " " + sharedRule,
			Run: func(t *T) {
				second := t.Second(t.Store)
				t.append(event("T"))
				n := dcb.Position(0)
				for e := range t.events(dcb.Subscribe(t.ctx, second, dcb.All(), 0)) {
					if n++; e.Position != n {
						t.Fatalf("a subscriber got position %d, want %d", e.Position, n)
					}
					if n == 20 {
						break
					}
					t.append(event("T"))
				}
			},
		},
		{
			Name: "sharing/a condition sees the other handle's events",
			Rule: "The condition and the write are one indivisible step, whoever else appends, from whatever process.",
			Run: func(t *T) {
				second := t.Second(t.Store)
				seen := t.readFrom(second, tagged("x"), dcb.ReadOptions{})
				t.append(event("T", "x"))
				if t.tries(second, tagged("x"), seen.Head, event("T", "x")) {
					t.Errorf("an append succeeded although the other handle recorded a matching event")
				}
				t.append(event("T", "y"))
				if !t.tries(second, tagged("x"), 1, event("T")) {
					t.Errorf("an append conflicted with the other handle's event that does not match")
				}
			},
		},
		{
			Name: "sharing/of many with the same condition on two handles exactly one succeeds",
			Rule: "The condition and the write are one indivisible step, whoever else appends, from whatever process.",
			Run: func(t *T) {
				second := t.Second(t.Store)
				for round := range 20 {
					t.oneWins(tagged(fmt.Sprintf("round:%d", round)), 8, t.Store, second)
				}
				t.dense()
			},
		},
		{
			Name: "sharing/counting by decisions on two handles leaves no number out and none twice",
			Rule: "The condition and the write are one indivisible step, whoever else appends, from whatever process.",
			Run: func(t *T) {
				handles := [2]dcb.Store{t.Store, t.Second(t.Store)}
				t.atOnce(4, func(i int) {
					for range 5 {
						t.nextInvoice(handles[i%2])
					}
				})
				t.invoices(20)
			},
		},
		{
			Name: "sharing/the events of a call stay together",
			Rule: "No other call's events come between them. RecordedAt never falls.",
			Run: func(t *T) {
				handles := [2]dcb.Store{t.Store, t.Second(t.Store)}
				t.atOnce(6, func(caller int) {
					for i := range 10 {
						tag := fmt.Sprintf("call:%d:%d", caller, i)
						t.appendTo(handles[caller%2], nil, event("T", tag), event("T", tag), event("T", tag))
					}
				})
				t.dense()
				t.together(3)
				t.recordedAtRises()
			},
		},
		{
			Name: "sharing/an append that is sent again through the other handle is recorded once",
			Rule: retryRule,
			Run: func(t *T) {
				second := t.Second(t.Store)
				batch := []dcb.Event{identified("A", "x"), identified("B", "x")}
				condition := &dcb.AppendCondition{FailIfEventsMatch: tagged("x")}
				t.appendTo(t.Store, condition, batch...)
				if position := t.appendTo(second, condition, batch...); position != 2 {
					t.Errorf("the repetition returned position %d, want 2", position)
				}
				t.atOnce(8, func(i int) {
					handles := [2]dcb.Store{t.Store, second}
					t.appendTo(handles[i%2], nil, batch...)
				})
				t.recorded(batch...)
			},
		},
		{
			Name: "sharing/closing one handle leaves the other open",
			Rule: closedRule + " Other stores on the same events are other stores.",
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
				t.recorded(event("T"), event("T"))
			},
		},
		{
			Name: "sharing/a cancelled call of one handle leaves the other alone",
			Rule: "Another caller's append is never affected.",
			Run: func(t *T) {
				second := t.Second(t.Store)
				ctx, cancel := context.WithCancel(t.ctx)
				cancel()
				if _, err := second.Append(ctx, []dcb.Event{event("T")}, nil); err == nil {
					t.Errorf("an append with a cancelled context succeeded")
				}
				t.append(event("T"))
				t.recorded(event("T"))
			},
		},
	}
	for i := range cases {
		cases[i].Needs = NeedSecond
	}
	return cases
}

// recordedAtRises expects RecordedAt never to fall.
func (t *T) recordedAtRises() {
	var last time.Time
	for _, e := range t.all() {
		if e.RecordedAt.Before(last) {
			t.Errorf("RecordedAt fell at position %d, from %v to %v", e.Position, last, e.RecordedAt)
		}
		last = e.RecordedAt
	}
}
