package dcbtest

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/dcbstore/dcb"
)

// concurrencyCases check appends and reads that run at the same time on one handle.
func concurrencyCases() []Case {
	return []Case{
		{
			Name: "Append concurrently/one of many with the same condition succeeds",
			Rule: ruleOneStep,
			Run: func(t *T) {
				for round := range 20 {
					t.oneAppendSucceeds(tagged(fmt.Sprintf("round:%d", round)), 8, t.Store)
				}
			},
		},
		{
			Name: "Append concurrently/one of many with a condition on all events succeeds",
			Rule: ruleOneStep,
			Run:  func(t *T) { t.oneAppendSucceeds(dcb.All(), 16, t.Store) },
		},
		{
			Name: "Append concurrently/one of two that exclude each other succeeds",
			Rule: ruleOneStep,
			Run: func(t *T) {
				for round := range 30 {
					tags := [2]string{fmt.Sprintf("a:%d", round), fmt.Sprintf("b:%d", round)}
					var succeeded atomic.Int32
					t.concurrently(2, func(i int) { // each appends its own tag unless the other's is recorded
						if t.tryAppend(t.Store, tagged(tags[1-i]), 0, event("T", tags[i])) {
							succeeded.Add(1)
						}
					})
					if succeeded.Load() != 1 {
						t.Fatalf("%d of 2 appends that exclude each other succeeded, want 1", succeeded.Load())
					}
				}
			},
		},
		{
			Name: "Append concurrently/unrelated appends all succeed",
			Rule: ruleUnrelated,
			Run: func(t *T) {
				t.concurrently(16, func(caller int) {
					q := dcb.Query{{Types: []string{"T"}, Tags: []string{fmt.Sprintf("caller:%d", caller)}}}
					after := dcb.Position(0)
					for range 10 {
						after = t.appendIf(q, after, event("T", q[0].Tags...))
					}
				})
				t.wantDense()
			},
		},
		{
			Name: "Append concurrently/the events of a call stay together",
			Rule: ruleAppend + " " + ruleNotBetween,
			Run: func(t *T) {
				t.concurrently(8, func(caller int) {
					for i := range 10 {
						tag := fmt.Sprintf("call:%d:%d", caller, i)
						events := make([]dcb.Event, 7)
						for j := range events {
							events[j] = event("T", tag)
						}
						last := t.append(events...)
						if found := t.read(tagged(tag), dcb.ReadOptions{}).Events; len(found) != 7 || found[6].Position != last {
							t.Errorf("the 7 events of an Append = %d are at %v", last, positions(found))
						}
					}
				})
				t.wantDense()
				t.wantContiguous(7)
			},
		},
		{
			Name: "Read concurrently/sees whole appends, in order, and rising heads",
			Rule: rulePrefix + " " + ruleVisibleInOrder,
			Run:  readDuringAppends,
		},
		{
			Name: "Append concurrently/numbers invoices without gaps",
			Rule: ruleOneStep,
			Run: func(t *T) {
				t.concurrently(4, func(int) {
					for range 5 {
						t.createInvoice(t.Store)
					}
				})
				t.wantInvoices(20)
			},
		},
		{
			Name: "Append concurrently/keeps a rule over two boundaries",
			Rule: ruleOneStep,
			Run:  joinCourses,
		},
	}
}

// concurrently runs f(0) to f(n-1) in goroutines that start together. It returns when all have
// returned.
func (t *T) concurrently(n int, f func(i int)) {
	start := make(chan struct{})
	var running sync.WaitGroup
	for i := range n {
		running.Add(1)
		t.Go(func() {
			defer running.Done()
			<-start
			f(i)
		})
	}
	close(start)
	running.Wait()
}

// oneAppendSucceeds has many callers, spread over the stores, append an event on the condition that
// none matches q. q has one item with a tag or with nothing, so the events match it.
func (t *T) oneAppendSucceeds(q dcb.Query, callers int, stores ...dcb.Store) {
	var succeeded atomic.Int32
	t.concurrently(callers, func(i int) {
		if t.tryAppend(stores[i%len(stores)], q, 0, event("T", q[0].Tags...)) {
			succeeded.Add(1)
		}
	})
	recorded := len(t.read(q, dcb.ReadOptions{}).Events)
	if succeeded.Load() != 1 || recorded != 1 {
		t.Fatalf("%d of %d appends with the same condition succeeded and %d are recorded, want 1",
			succeeded.Load(), callers, recorded)
	}
}

// readDuringAppends has three readers while four callers append.
func readDuringAppends(t *T) {
	var appending sync.WaitGroup
	for caller := range 4 {
		appending.Add(1)
		t.Go(func() {
			defer appending.Done()
			for range 25 {
				t.append(event("T", "x"), event("T"), event("T", fmt.Sprintf("caller:%d", caller)))
			}
		})
	}
	done := make(chan struct{})
	t.Go(func() {
		appending.Wait()
		close(done)
	})
	for range 3 {
		t.Go(func() { t.readsPrefixes(done, 3) })
	}
}

// readsPrefixes reads until done is closed and once more. Each result must be a prefix of the
// sequence that ends with a whole append. Appends have n events; the first has the tag x.
func (t *T) readsPrefixes(done <-chan struct{}, n int) {
	last := dcb.Position(0)
	for finished := false; !finished; {
		select {
		case <-done:
			finished = true
		default:
		}
		head := t.head()
		result := t.read(dcb.All(), dcb.ReadOptions{})
		if head < last || result.Head < head {
			t.Fatalf("heads fell: a read returned %d, then Head %d, then a read %d", last, head, result.Head)
		}
		last = result.Head
		if len(result.Events) != int(last) || len(result.Events)%n != 0 {
			t.Fatalf("Read returned head %d and %d events after appends of %d", last, len(result.Events), n)
		}
		if last > 0 && (result.Events[0].Position != 1 || result.Events[last-1].Position != last) {
			t.Fatalf("Read returned head %d and positions %v", last, positions(result.Events))
		}
		newest := t.read(tagged("x"), dcb.ReadOptions{Backwards: true, Limit: 1})
		if newest.Head > 0 && (len(newest.Events) != 1 || newest.Events[0].Position != newest.Head-dcb.Position(n)+1) {
			t.Fatalf("a backward Read returned head %d and positions %v", newest.Head, positions(newest.Events))
		}
	}
}

// createInvoice appends the invoice with the next number. It retries after each conflict.
func (t *T) createInvoice(s dcb.Store) {
	for {
		newest := t.readFrom(s, typed("InvoiceCreated"), dcb.ReadOptions{Backwards: true, Limit: 1})
		number := 1
		if len(newest.Events) > 0 {
			if _, err := fmt.Sscan(string(newest.Events[0].Data), &number); err != nil {
				t.Fatalf("the data of an invoice is %q, want a number", newest.Events[0].Data)
			}
			number++
		}
		invoice := dcb.Event{Type: "InvoiceCreated", Data: fmt.Append(nil, number)}
		if t.tryAppend(s, typed("InvoiceCreated"), newest.Head, invoice) {
			return
		}
	}
}

// wantInvoices checks that the invoices have the numbers 1 to n, in order.
func (t *T) wantInvoices(n int) {
	events := t.read(typed("InvoiceCreated"), dcb.ReadOptions{}).Events
	for i, e := range events {
		if string(e.Data) != fmt.Sprint(i+1) {
			t.Errorf("invoice %d has number %s", i+1, e.Data)
		}
	}
	if len(events) != n {
		t.Errorf("the store has %d invoices, want %d", len(events), n)
	}
}

// joinCourses has every student try to join every course. A course has 3 seats, and a student may
// join 2 courses, so each decision depends on both.
func joinCourses(t *T) {
	const students, courses, seats, most = 6, 4, 3, 2
	t.concurrently(students*courses, func(i int) {
		student, course := fmt.Sprintf("student:%d", i%students), fmt.Sprintf("course:%d", i/students)
		boundary := dcb.Query{{Tags: []string{student}}, {Tags: []string{course}}}
		for {
			seen := t.read(boundary, dcb.ReadOptions{})
			taken, joined := 0, 0
			for _, e := range seen.Events {
				if slices.Contains(e.Tags, course) {
					taken++
				}
				if slices.Contains(e.Tags, student) {
					joined++
				}
			}
			if taken >= seats || joined >= most || t.tryAppend(t.Store, boundary, seen.Head, event("Joined", student, course)) {
				return
			}
		}
	})
	for _, tag := range append(numbered("student", students), numbered("course", courses)...) {
		allowed := seats
		if tag[0] == 's' {
			allowed = most
		}
		if n := len(t.read(tagged(tag), dcb.ReadOptions{}).Events); n > allowed {
			t.Errorf("%s has joined %d times, want at most %d", tag, n, allowed)
		}
	}
}
