package dcbtest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/dcbtest/internal/describe"
	"github.com/dcbstore/dcb/internal/model"
)

// readCases check the options and the head of reads.
func readCases() []Case {
	typeAndTag := dcb.Query{{Types: []string{"A"}, Tags: []string{"x"}}}
	items := dcb.Query{{Types: []string{"B"}}, {Tags: []string{"x", "y"}}, {Tags: []string{"z"}}}
	const ruleOptions = rulePrefix + " " + ruleReadOrder + " " + ruleHead
	cases := []Case{
		{Name: "Read/every combination of options, all events", Rule: ruleOptions, Run: everyOption(dcb.All())},
		{Name: "Read/every combination of options, a type", Rule: ruleOptions, Run: everyOption(typed("A"))},
		{Name: "Read/every combination of options, a tag", Rule: ruleOptions, Run: everyOption(tagged("x"))},
		{Name: "Read/every combination of options, a type and a tag", Rule: ruleOptions, Run: everyOption(typeAndTag)},
		{Name: "Read/every combination of options, several items", Rule: ruleOptions, Run: everyOption(items)},
		{Name: "Read/every combination of options, no match", Rule: ruleOptions, Run: everyOption(tagged("absent"))},
		{Name: "Read/every combination of options, an empty store", Rule: ruleOptions, Run: emptyStore},
		{Name: "Read/continued at Head sees every event once", Rule: ruleContinue, Run: continueAtHead},
		{
			Name: "Read/continued backwards before the last event sees every event once",
			Rule: ruleBefore + " " + ruleBackwards,
			Run:  continueBackwards,
		},
		{Name: "Read/repeated below Head returns the same events", Rule: ruleVisibleInOrder, Run: repeatRead},
		{Name: "Read/returns thousands of events in order", Rule: ruleReadOrder, Run: readMany},
		{Name: "Read/sees an append as soon as it returned", Rule: rulePrefix + " " + ruleHeadMethod, Run: readOwnAppends},
	}
	return slices.Concat(cases, optionCases(), moreCases())
}

// optionCases check each option on eightEvents.
func optionCases() []Case {
	return []Case{
		readCase("After excludes the event at After", ruleAfter,
			wantRead(dcb.All(), dcb.ReadOptions{}, 8, 1, 2, 3, 4, 5, 6, 7, 8),
			wantRead(dcb.All(), dcb.ReadOptions{After: 5}, 8, 6, 7, 8),
			wantRead(tagged("x"), dcb.ReadOptions{After: 3}, 8, 5, 7),
			wantRead(dcb.All(), dcb.ReadOptions{After: 8}, 8),
			wantRead(dcb.All(), dcb.ReadOptions{After: 9}, 8)),
		readCase("Before excludes the event at Before", ruleBefore,
			wantRead(dcb.All(), dcb.ReadOptions{Before: 3}, 2, 1, 2),
			wantRead(tagged("x"), dcb.ReadOptions{Before: 7}, 6, 1, 3, 5),
			wantRead(dcb.All(), dcb.ReadOptions{Before: 1}, 0),
			wantRead(dcb.All(), dcb.ReadOptions{Before: 9}, 8, 1, 2, 3, 4, 5, 6, 7, 8)),
		readCase("After and Before bound a range", ruleAfter+" "+ruleBefore,
			wantRead(dcb.All(), dcb.ReadOptions{After: 2, Before: 5}, 4, 3, 4),
			wantRead(dcb.All(), dcb.ReadOptions{After: 2, Before: 3}, 2),
			wantRead(dcb.All(), dcb.ReadOptions{After: 2, Before: 2}, 1),
			wantRead(dcb.All(), dcb.ReadOptions{After: 5, Before: 2}, 1),
			wantRead(dcb.All(), dcb.ReadOptions{After: 5, Before: 2, Backwards: true}, 1)),
		readCase("Backwards returns the newest event first", ruleBackwards,
			wantRead(dcb.All(), dcb.ReadOptions{Backwards: true}, 8, 8, 7, 6, 5, 4, 3, 2, 1),
			wantRead(tagged("x"), dcb.ReadOptions{Backwards: true, After: 1, Before: 7}, 6, 5, 3)),
		readCase("Backwards with Limit returns the newest events", ruleBackwards+" "+ruleLimit,
			wantMore(dcb.All(), dcb.ReadOptions{Backwards: true, Limit: 1}, 8, 8),
			wantMore(tagged("x"), dcb.ReadOptions{Backwards: true, Limit: 2}, 8, 7, 5),
			wantRead(tagged("x"), dcb.ReadOptions{Backwards: true, Limit: 2, Before: 5}, 4, 3, 1)),
		readCase("Limit returns the oldest events", ruleReadOrder+" "+ruleLimit,
			wantMore(dcb.All(), dcb.ReadOptions{Limit: 2}, 2, 1, 2),
			wantMore(tagged("x"), dcb.ReadOptions{Limit: 2, After: 1}, 5, 3, 5)),
		readCase("After and Before may have any value", ruleAfter+" "+ruleBefore,
			wantRead(dcb.All(), dcb.ReadOptions{After: math.MaxUint64}, 8),
			wantRead(dcb.All(), dcb.ReadOptions{After: 1 << 63}, 8),
			wantRead(dcb.All(), dcb.ReadOptions{After: 1<<63 - 1}, 8),
			wantRead(dcb.All(), dcb.ReadOptions{After: math.MaxUint64, Backwards: true, Limit: 1}, 8),
			wantRead(tagged("x"), dcb.ReadOptions{Before: math.MaxUint64}, 8, 1, 3, 5, 7),
			wantRead(tagged("x"), dcb.ReadOptions{Before: 1 << 63}, 8, 1, 3, 5, 7),
			wantMore(tagged("x"), dcb.ReadOptions{Before: 1<<63 + 2, Limit: 1, Backwards: true}, 8, 7),
			wantRead(tagged("x"), dcb.ReadOptions{After: math.MaxUint64, Before: math.MaxUint64}, 8)),
		readCase("Limit may have any value from 0", ruleLimit,
			wantRead(tagged("x"), dcb.ReadOptions{Limit: math.MaxInt}, 8, 1, 3, 5, 7),
			wantRead(tagged("x"), dcb.ReadOptions{Limit: math.MaxInt, Backwards: true}, 8, 7, 5, 3, 1),
			wantRead(tagged("x"), dcb.ReadOptions{Limit: math.MaxInt32 + 1, After: 3}, 8, 5, 7)),
	}
}

// eightEvents are the events of the cases about options. Those at odd positions have the tag x.
func eightEvents() []dcb.Event {
	return []dcb.Event{
		event("first", "x"), event("A"), event("A", "x", "y"), event("B", "y"),
		event("B", "x"), event("C", "z"), event("A", "x"), event("A", "w"),
	}
}

// readExpectation is a read of eightEvents and its expected result.
type readExpectation struct {
	query dcb.Query
	opts  dcb.ReadOptions
	head  dcb.Position
	want  []dcb.Position
	more  bool
}

// wantRead expects a read to return the events at the given positions and to leave none out.
func wantRead(q dcb.Query, opts dcb.ReadOptions, head dcb.Position, want ...dcb.Position) readExpectation {
	return readExpectation{q, opts, head, want, false}
}

// wantMore expects a read to return the events at the given positions and to leave others out.
func wantMore(q dcb.Query, opts dcb.ReadOptions, head dcb.Position, want ...dcb.Position) readExpectation {
	return readExpectation{q, opts, head, want, true}
}

// readCase returns a case that appends eightEvents and checks reads of them.
func readCase(name, rule string, reads ...readExpectation) Case {
	return Case{Name: "Read/" + name, Rule: rule, Run: func(t *T) {
		t.append(eightEvents()...)
		for _, x := range reads {
			t.wantPositions(t.read(x.query, x.opts), x, fmt.Sprintf("Read(%s, %+v)", describe.Query(x.query), x.opts))
		}
	}}
}

// wantPositions checks the positions, the head and the More of the result of a call.
func (t *T) wantPositions(result dcb.ReadResult, x readExpectation, call string) {
	got := positions(result.Events)
	if fmt.Sprint(got) != fmt.Sprint(x.want) || result.Head != x.head || result.More != x.more {
		t.Errorf("%s returned positions %v, Head %d and More %v, want %v, %d and %v",
			call, got, result.Head, result.More, x.want, x.head, x.more)
	}
}

// everyOption returns a case function that compares reads of eightEvents with the model, for every
// combination of options that can make a difference.
func everyOption(q dcb.Query) func(t *T) {
	return func(t *T) {
		t.append(eightEvents()...)
		t.readsEveryOption(t.readAll(), q)
	}
}

func (t *T) readsEveryOption(log model.Log, q dcb.Query) {
	for after := range log.Head() + 2 {
		for before := range log.Head() + 3 {
			for limit := range 5 {
				for _, backwards := range []bool{false, true} {
					t.readsLikeModel(log, q, dcb.ReadOptions{After: after, Before: before, Limit: limit, Backwards: backwards})
				}
			}
		}
	}
}

func emptyStore(t *T) {
	items := dcb.Query{{Types: []string{"A"}, Tags: []string{"x"}}, {}}
	for _, q := range []dcb.Query{dcb.All(), typed("A"), tagged("x"), items} {
		t.readsEveryOption(nil, q)
	}
}

func continueAtHead(t *T) {
	log := t.appendRandom(rand.New(rand.NewPCG(5, 6)), 150)
	items := dcb.Query{{Types: []string{"T1"}}, {Tags: []string{"tag2", "tag3"}}}
	for _, q := range []dcb.Query{dcb.All(), tagged("tag1"), items, tagged("absent")} {
		for _, limit := range []int{1, 2, 7, 1000} {
			var seen []dcb.SequencedEvent
			last := dcb.Position(0)
			for last < log.Head() {
				result := t.read(q, dcb.ReadOptions{After: last, Limit: limit})
				if result.Head <= last {
					t.Fatalf("Read(%s) with After %d and Limit %d returned head %d, want a greater one",
						describe.Query(q), last, limit, result.Head)
				}
				seen, last = append(seen, result.Events...), result.Head
			}
			want, _ := log.Read(q, dcb.ReadOptions{})
			t.wantResult(dcb.ReadResult{Events: seen, Head: last}, want,
				fmt.Sprintf("reading %s with Limit %d", describe.Query(q), limit))
		}
	}
}

func continueBackwards(t *T) {
	log := t.appendRandom(rand.New(rand.NewPCG(7, 8)), 100)
	q := dcb.Query{{Types: []string{"T1"}}, {Tags: []string{"tag2"}}}
	var seen []dcb.SequencedEvent
	opts := dcb.ReadOptions{Backwards: true, Limit: 3}
	for {
		result := t.read(q, opts)
		if len(result.Events) == 0 {
			break
		}
		seen = append(seen, result.Events...)
		opts.Before = seen[len(seen)-1].Position
	}
	want, _ := log.Read(q, dcb.ReadOptions{Backwards: true})
	t.wantResult(dcb.ReadResult{Events: seen, Head: log.Head()}, want, "reading backwards with Limit 3")
}

func repeatRead(t *T) {
	t.append(eightEvents()...)
	q := dcb.Query{{Types: []string{"A"}}, {Tags: []string{"x"}}}
	first := t.read(q, dcb.ReadOptions{})
	for range 20 {
		t.append(event("A", "x"))
		again := t.read(q, dcb.ReadOptions{Before: first.Head + 1})
		t.wantResult(again, first, "the same read again")
	}
}

func readMany(t *T) {
	const n, batch = 20_000, 2_000
	for first := 0; first < n; first += batch {
		events := make([]dcb.Event, batch)
		for i := range events {
			events[i] = dcb.Event{Type: "T", Tags: []string{fmt.Sprintf("half:%d", i%2)}, Data: fmt.Append(nil, first+i+1)}
		}
		t.append(events...)
	}
	for _, backwards := range []bool{false, true} {
		events := t.read(dcb.All(), dcb.ReadOptions{Backwards: backwards}).Events
		if len(events) != n {
			t.Fatalf("Read returned %d events, want %d", len(events), n)
		}
		for i, e := range events {
			want := dcb.Position(i + 1)
			if backwards {
				want = dcb.Position(n - i)
			}
			if e.Position != want || string(e.Data) != fmt.Sprint(want) {
				t.Fatalf("event %d of the result has position %d and data %q, want %d", i, e.Position, e.Data, want)
			}
		}
	}
	if got := len(t.read(tagged("half:1"), dcb.ReadOptions{}).Events); got != n/2 {
		t.Errorf("the tag of every other event selects %d events, want %d", got, n/2)
	}
}

func readOwnAppends(t *T) {
	for i := range dcb.Position(50) {
		position := t.append(event("T", "x"))
		if head := t.head(); head != position {
			t.Fatalf("Head = %d after Append = %d", head, position)
		}
		result := t.read(tagged("x"), dcb.ReadOptions{After: i})
		if result.Head != position || len(result.Events) != 1 {
			t.Fatalf("Read with After %d returned positions %v and head %d after Append = %d",
				i, positions(result.Events), result.Head, position)
		}
	}
}
