package dcbtest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/dcbtest/internal/describe"
)

const raceRule = "The condition and the write are one indivisible step, whoever else appends."

func concurrencyCases() []Case {
	return []Case{
		{
			Name: "concurrency/of many with the same condition exactly one succeeds",
			Rule: raceRule,
			Run: func(t *T) {
				for round := range 20 {
					t.oneWins(tagged(fmt.Sprintf("round:%d", round)), 8, t.Store)
				}
			},
		},
		{
			Name: "concurrency/of many with a condition on everything exactly one succeeds",
			Rule: raceRule,
			Run:  func(t *T) { t.oneWins(dcb.All(), 16, t.Store) },
		},
		{
			Name: "concurrency/of two that exclude each other exactly one succeeds",
			Rule: raceRule,
			Run: func(t *T) {
				for round := range 30 {
					tags := [2]string{fmt.Sprintf("a:%d", round), fmt.Sprintf("b:%d", round)}
					var won atomic.Int32
					t.atOnce(2, func(i int) { // each records its own tag unless the other's is there
						if t.tries(t.Store, tagged(tags[1-i]), 0, event("T", tags[i])) {
							won.Add(1)
						}
					})
					if won.Load() != 1 {
						t.Fatalf("of two appends that exclude each other %d succeeded", won.Load())
					}
				}
			},
		},
		{
			Name: "concurrency/appends that do not concern each other all succeed",
			Rule: "Unrelated appends never conflict and are never aborted because of one another.",
			Run: func(t *T) {
				t.atOnce(16, func(caller int) {
					q := dcb.Query{{Types: []string{"T"}, Tags: []string{fmt.Sprintf("caller:%d", caller)}}}
					after := dcb.Position(0)
					for range 10 {
						after = t.appendIf(q, after, event("T", q[0].Tags...))
					}
				})
				t.dense()
			},
		},
		{
			Name: "concurrency/the events of a call stay together",
			Rule: "All events of a call get consecutive positions. No other call's events come between them.",
			Run: func(t *T) {
				t.atOnce(8, func(caller int) {
					for i := range 10 {
						tag := fmt.Sprintf("call:%d:%d", caller, i)
						events := make([]dcb.Event, 7)
						for j := range events {
							events[j] = event("T", tag)
						}
						last := t.append(events...)
						if found := t.read(tagged(tag), dcb.ReadOptions{}).Events; len(found) != 7 || found[6].Position != last {
							t.Errorf("an append that returned position %d is at %v", last, positions(found))
						}
					}
				})
				t.dense()
				t.together(7)
			},
		},
		{
			Name: "concurrency/readers see whole appends, in order, and heads that never fall",
			Rule: "One read sees one consistent prefix of the sequence: every matching event up to Head, none after it.",
			Run: func(t *T) {
				var writing sync.WaitGroup
				for caller := range 4 {
					writing.Add(1)
					t.Go(func() {
						defer writing.Done()
						for range 25 {
							t.append(event("T", "x"), event("T"), event("T", fmt.Sprintf("caller:%d", caller)))
						}
					})
				}
				done := make(chan struct{})
				t.Go(func() {
					writing.Wait()
					close(done)
				})
				for range 3 {
					t.Go(func() { t.readsPrefixes(done, 3) })
				}
			},
		},
		{
			Name: "concurrency/counting by decisions leaves no number out and none twice",
			Rule: raceRule + " The public example of invoice numbers, with many callers.",
			Run: func(t *T) {
				t.atOnce(4, func(int) {
					for range 5 {
						t.nextInvoice(t.Store)
					}
				})
				t.invoices(20)
			},
		},
		{
			Name: "concurrency/a rule over two boundaries holds",
			Rule: "The boundary is exactly what the decision looked at: a course has seats, a student has few courses.",
			Run:  joinCourses,
		},
	}
}

// atOnce runs f(0) to f(n-1) at once, and returns when all have.
func (t *T) atOnce(n int, f func(i int)) {
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

// tries appends under a condition, and reports whether it held.
func (t *T) tries(s dcb.Store, q dcb.Query, after dcb.Position, events ...dcb.Event) bool {
	_, err := s.Append(t.ctx, events, &dcb.AppendCondition{FailIfEventsMatch: q, After: after})
	if err != nil && !errors.Is(err, dcb.ErrConflict) {
		t.Fatalf("Append(%s): %w", describe.Events(events), err)
	}
	return err == nil
}

// oneWins lets many callers, each on one of the stores, record an event unless one that matches q is there. The events match q if it asks for
// a tag or for nothing.
func (t *T) oneWins(q dcb.Query, callers int, stores ...dcb.Store) {
	var won atomic.Int32
	t.atOnce(callers, func(i int) {
		if t.tries(stores[i%len(stores)], q, 0, event("T", q[0].Tags...)) {
			won.Add(1)
		}
	})
	recorded := len(t.read(q, dcb.ReadOptions{}).Events)
	if won.Load() != 1 || recorded != 1 {
		t.Fatalf("of %d appends with the same condition %d succeeded and %d were recorded, want 1", callers, won.Load(), recorded)
	}
}

// together expects appends of n events each, of which every event has a tag that tells the append, to lie beside one another.
func (t *T) together(n int) {
	events := t.all()
	if len(events)%n != 0 {
		t.Errorf("there are %d events of appends of %d", len(events), n)
	}
	for i := range events {
		if first := events[i/n*n]; !slices.Equal(events[i].Tags, first.Tags) {
			t.Errorf("position %d belongs to %v, between events of %v", events[i].Position, events[i].Tags, first.Tags)
			return
		}
	}
}

// readsPrefixes reads until done, and expects every read to be a prefix of the sequence that is made of appends of n events, and
// to begin each append with the tag x.
func (t *T) readsPrefixes(done <-chan struct{}, n int) {
	last := dcb.Position(0)
	for finished := false; !finished; {
		select {
		case <-done:
			finished = true // one more read
		default:
		}
		head := t.head()
		result := t.read(dcb.All(), dcb.ReadOptions{})
		if head < last || result.Head < head {
			t.Fatalf("heads fell: %d, then %d, then %d", last, head, result.Head)
		}
		last = result.Head
		if len(result.Events) != int(last) || len(result.Events)%n != 0 {
			t.Fatalf("a read has head %d and %d events of appends of %d", last, len(result.Events), n)
		}
		if last > 0 && (result.Events[0].Position != 1 || result.Events[last-1].Position != last) {
			t.Fatalf("a read has head %d and the positions %v", last, positions(result.Events))
		}
		newest := t.read(tagged("x"), dcb.ReadOptions{Backwards: true, Limit: 1})
		if newest.Head > 0 && (len(newest.Events) != 1 || newest.Events[0].Position != newest.Head-dcb.Position(n)+1) {
			t.Fatalf("a backward read with head %d returned %v", newest.Head, positions(newest.Events))
		}
	}
}

// nextInvoice records the invoice with the next number, as often as it takes.
func (t *T) nextInvoice(s dcb.Store) {
	for {
		newest := t.readFrom(s, typed("InvoiceCreated"), dcb.ReadOptions{Backwards: true, Limit: 1})
		number := 1
		if len(newest.Events) > 0 {
			if _, err := fmt.Sscan(string(newest.Events[0].Data), &number); err != nil {
				t.Fatalf("the data of an invoice is %q", newest.Events[0].Data)
			}
			number++
		}
		invoice := dcb.Event{Type: "InvoiceCreated", Data: fmt.Append(nil, number)}
		if t.tries(s, typed("InvoiceCreated"), newest.Head, invoice) {
			return
		}
	}
}

// invoices expects the numbers from 1 to n, in order.
func (t *T) invoices(n int) {
	events := t.read(typed("InvoiceCreated"), dcb.ReadOptions{}).Events
	for i, e := range events {
		if string(e.Data) != fmt.Sprint(i+1) {
			t.Errorf("invoice number %s comes where %d should", e.Data, i+1)
		}
	}
	if len(events) != n {
		t.Errorf("there are %d invoices, want %d", len(events), n)
	}
}

func joinCourses(t *T) {
	const students, courses, seats, most = 6, 4, 3, 2
	t.atOnce(students*courses, func(i int) {
		student, course := fmt.Sprintf("student:%d", i%students), fmt.Sprintf("course:%d", i/students)
		for {
			seen := t.read(dcb.Query{{Tags: []string{student}}, {Tags: []string{course}}}, dcb.ReadOptions{})
			taken, joined := 0, 0
			for _, e := range seen.Events {
				if slices.Contains(e.Tags, course) {
					taken++
				}
				if slices.Contains(e.Tags, student) {
					joined++
				}
			}
			if taken >= seats || joined >= most {
				return
			}
			if t.tries(t.Store, dcb.Query{{Tags: []string{student}}, {Tags: []string{course}}}, seen.Head, event("Joined", student, course)) {
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
			t.Errorf("%s has %d places, %d are allowed", tag, n, allowed)
		}
	}
}
