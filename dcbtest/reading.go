package dcbtest

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/dcbtest/internal/describe"
	"github.com/dcbstore/dcb/internal/model"
)

const (
	headRule = "Head is the store's last position at the moment of the read or, where Limit cut a forward read short, the position of the last event returned."
	everyOpt = "A read returns the selected events within After, Before and Limit, in order. " + headRule
)

func readingCases() []Case {
	return []Case{
		{Name: "reading/every combination of options, of all events", Rule: everyOpt, Run: everyOption(dcb.All())},
		{Name: "reading/every combination of options, of a type", Rule: everyOpt, Run: everyOption(typed("A"))},
		{Name: "reading/every combination of options, of a tag", Rule: everyOpt, Run: everyOption(tagged("x"))},
		{Name: "reading/every combination of options, of a type and a tag", Rule: everyOpt, Run: everyOption(dcb.Query{{Types: []string{"A"}, Tags: []string{"x"}}})},
		{Name: "reading/every combination of options, of several items", Rule: everyOpt, Run: everyOption(dcb.Query{{Types: []string{"B"}}, {Tags: []string{"x", "y"}}, {Tags: []string{"z"}}})},
		{Name: "reading/every combination of options, of what is not there", Rule: everyOpt, Run: everyOption(tagged("absent"))},
		{Name: "reading/every combination of options, of an empty store", Rule: "On an empty store Head is 0.", Run: emptyStore},
		reading("After leaves out what is at it and before", "After: only events after this position; 0 = from the first.",
			asked(dcb.All(), dcb.ReadOptions{}, 8, 1, 2, 3, 4, 5, 6, 7, 8),
			asked(dcb.All(), dcb.ReadOptions{After: 5}, 8, 6, 7, 8),
			asked(tagged("x"), dcb.ReadOptions{After: 3}, 8, 5, 7),
			asked(dcb.All(), dcb.ReadOptions{After: 8}, 8),
			asked(dcb.All(), dcb.ReadOptions{After: 9}, 8)),
		reading("Before leaves out what is at it and after", "Before: only events before this position; 0 = no bound.",
			asked(dcb.All(), dcb.ReadOptions{Before: 3}, 8, 1, 2),
			asked(tagged("x"), dcb.ReadOptions{Before: 7}, 8, 1, 3, 5),
			asked(dcb.All(), dcb.ReadOptions{Before: 1}, 8),
			asked(dcb.All(), dcb.ReadOptions{Before: 9}, 8, 1, 2, 3, 4, 5, 6, 7, 8)),
		reading("After and Before together are a window", "After: only events after this position. Before: only events before this position.",
			asked(dcb.All(), dcb.ReadOptions{After: 2, Before: 5}, 8, 3, 4),
			asked(dcb.All(), dcb.ReadOptions{After: 2, Before: 3}, 8),
			asked(dcb.All(), dcb.ReadOptions{After: 2, Before: 2}, 8),
			asked(dcb.All(), dcb.ReadOptions{After: 5, Before: 2}, 8),
			asked(dcb.All(), dcb.ReadOptions{After: 5, Before: 2, Backwards: true}, 8)),
		reading("Backwards returns the newest first", "Events come in position order, descending when Backwards.",
			asked(dcb.All(), dcb.ReadOptions{Backwards: true}, 8, 8, 7, 6, 5, 4, 3, 2, 1),
			asked(tagged("x"), dcb.ReadOptions{Backwards: true, After: 1, Before: 7}, 8, 5, 3)),
		reading("Backwards with Limit returns the newest only", "Backwards returns the newest events first; with Limit, the newest only.",
			asked(dcb.All(), dcb.ReadOptions{Backwards: true, Limit: 1}, 8, 8),
			asked(tagged("x"), dcb.ReadOptions{Backwards: true, Limit: 2}, 8, 7, 5),
			asked(tagged("x"), dcb.ReadOptions{Backwards: true, Limit: 2, Before: 5}, 8, 3, 1)),
		reading("Limit returns the oldest only", "Limit is the greatest number of events to return; 0 = no limit.",
			asked(dcb.All(), dcb.ReadOptions{Limit: 2}, 2, 1, 2),
			asked(tagged("x"), dcb.ReadOptions{Limit: 2, After: 1}, 5, 3, 5)),
		reading("the head of a read that Limit cut short is its last event", "Where Limit cut a forward read short, Head is the position of the last event returned.",
			asked(dcb.All(), dcb.ReadOptions{Limit: 7}, 7, 1, 2, 3, 4, 5, 6, 7),
			asked(tagged("x"), dcb.ReadOptions{Limit: 1}, 1, 1),
			asked(tagged("x"), dcb.ReadOptions{Limit: 3}, 5, 1, 3, 5)),
		reading("a read of exactly Limit events is not cut short", "Only where a further event within the bounds was left out is Head the position of the last event returned.",
			asked(dcb.All(), dcb.ReadOptions{Limit: 8}, 8, 1, 2, 3, 4, 5, 6, 7, 8),
			asked(tagged("x"), dcb.ReadOptions{Limit: 4}, 8, 1, 3, 5, 7),
			asked(typed("first"), dcb.ReadOptions{Limit: 1}, 8, 1),
			asked(tagged("x"), dcb.ReadOptions{Limit: 1, After: 5}, 8, 7)),
		reading("what Before leaves out does not cut a read short", "Only where a further event within the bounds was left out is Head the position of the last event returned.",
			asked(tagged("x"), dcb.ReadOptions{Limit: 2, Before: 4}, 8, 1, 3),
			asked(tagged("x"), dcb.ReadOptions{Limit: 2, Before: 5}, 8, 1, 3),
			asked(tagged("x"), dcb.ReadOptions{Limit: 2, Before: 6}, 3, 1, 3)),
		reading("the head of a backward read is the store's", headRule,
			asked(typed("first"), dcb.ReadOptions{Backwards: true}, 8, 1),
			asked(tagged("x"), dcb.ReadOptions{Backwards: true, Limit: 1}, 8, 7),
			asked(tagged("x"), dcb.ReadOptions{Backwards: true, Limit: 1, Before: 3}, 8, 1)),
		reading("the head is the store's, whatever was selected", "Head may be higher than the last matching event.",
			asked(typed("first"), dcb.ReadOptions{}, 8, 1),
			asked(tagged("absent"), dcb.ReadOptions{}, 8),
			asked(tagged("absent"), dcb.ReadOptions{Limit: 1}, 8),
			asked(tagged("x"), dcb.ReadOptions{Before: 2}, 8, 1),
			asked(dcb.All(), dcb.ReadOptions{After: 100}, 8)),
		reading("After and Before may be anything", "Position is 64 bits without a sign.",
			asked(dcb.All(), dcb.ReadOptions{After: math.MaxUint64}, 8),
			asked(dcb.All(), dcb.ReadOptions{After: 1 << 63}, 8),
			asked(dcb.All(), dcb.ReadOptions{After: 1<<63 - 1}, 8),
			asked(dcb.All(), dcb.ReadOptions{After: math.MaxUint64, Backwards: true, Limit: 1}, 8),
			asked(tagged("x"), dcb.ReadOptions{Before: math.MaxUint64}, 8, 1, 3, 5, 7),
			asked(tagged("x"), dcb.ReadOptions{Before: 1 << 63}, 8, 1, 3, 5, 7),
			asked(tagged("x"), dcb.ReadOptions{Before: 1<<63 + 2, Limit: 1, Backwards: true}, 8, 7),
			asked(tagged("x"), dcb.ReadOptions{After: math.MaxUint64, Before: math.MaxUint64}, 8)),
		reading("Limit may be anything from zero", "Limit is the greatest number of events to return.",
			asked(tagged("x"), dcb.ReadOptions{Limit: math.MaxInt}, 8, 1, 3, 5, 7),
			asked(tagged("x"), dcb.ReadOptions{Limit: math.MaxInt, Backwards: true}, 8, 7, 5, 3, 1),
			asked(tagged("x"), dcb.ReadOptions{Limit: math.MaxInt32 + 1, After: 3}, 8, 5, 7)),
		{Name: "reading/a reader that goes on at the head sees everything once", Rule: "A forward reader that always continues with After: result.Head sees everything, once, and never rescans.", Run: goOnAtHead},
		{Name: "reading/a backward reader that goes on before its last event sees everything once", Rule: "Before: only events before this position.", Run: goOnBackwards},
		{Name: "reading/a read that is repeated returns the same", Rule: "Everything at and below the head is never written again.", Run: repeatRead},
		{Name: "reading/many events come in order", Rule: "Events come in position order, each exactly once.", Run: manyEvents},
		{Name: "reading/an append is read as soon as it returned", Rule: "An append that returned is recorded: every later read sees it.", Run: readYourWrites},
	}
}

// eight are the events that the cases about options read. The odd positions have the tag x.
func eight() []dcb.Event {
	return []dcb.Event{
		event("first", "x"), event("A"), event("A", "x", "y"), event("B", "y"), event("B", "x"), event("C", "z"), event("A", "x"), event("A", "w"),
	}
}

// question is a read of the eight events, and its answer.
type question struct {
	query dcb.Query
	opts  dcb.ReadOptions
	head  dcb.Position
	want  []dcb.Position
}

func asked(q dcb.Query, opts dcb.ReadOptions, head dcb.Position, want ...dcb.Position) question {
	return question{q, opts, head, want}
}

func reading(name, rule string, questions ...question) Case {
	return Case{Name: "reading/" + name, Rule: rule, Run: func(t *T) {
		t.append(eight()...)
		for _, x := range questions {
			result := t.read(x.query, x.opts)
			if got := positions(result.Events); fmt.Sprint(got) != fmt.Sprint(x.want) || result.Head != x.head {
				t.Errorf("Read(%s, %+v): got %v with head %d, want %v with head %d", describe.Query(x.query), x.opts, got, result.Head, x.want, x.head)
			}
		}
	}}
}

// everyOption returns a case function that compares a read with the model's for every combination of options that differ.
func everyOption(q dcb.Query) func(t *T) {
	return func(t *T) {
		t.append(eight()...)
		t.readsEveryOption(t.all(), q)
	}
}

func (t *T) readsEveryOption(log model.Log, q dcb.Query) {
	for after := range log.Head() + 2 {
		for before := range log.Head() + 3 {
			for limit := range 5 {
				for _, backwards := range []bool{false, true} {
					t.readsAs(log, q, dcb.ReadOptions{After: after, Before: before, Limit: limit, Backwards: backwards})
				}
			}
		}
	}
}

func emptyStore(t *T) {
	for _, q := range []dcb.Query{dcb.All(), typed("A"), tagged("x"), {{Types: []string{"A"}, Tags: []string{"x"}}, {}}} {
		t.readsEveryOption(nil, q)
	}
}

func goOnAtHead(t *T) {
	random := rand.New(rand.NewPCG(5, 6))
	log := t.appendRandom(random, 150)
	for _, q := range []dcb.Query{dcb.All(), tagged("tag1"), {{Types: []string{"T1"}}, {Tags: []string{"tag2", "tag3"}}}, tagged("absent")} {
		for _, limit := range []int{1, 2, 7, 1000} {
			var seen []dcb.SequencedEvent
			last := dcb.Position(0)
			for last < log.Head() {
				result := t.read(q, dcb.ReadOptions{After: last, Limit: limit})
				if result.Head <= last {
					t.Fatalf("Read(%s) after %d with limit %d does not go on: its head is %d", describe.Query(q), last, limit, result.Head)
				}
				seen, last = append(seen, result.Events...), result.Head
			}
			want, _ := log.Read(q, dcb.ReadOptions{})
			t.sameResult(dcb.ReadResult{Events: seen, Head: last}, want, fmt.Sprintf("reading %s by %d", describe.Query(q), limit))
		}
	}
}

func goOnBackwards(t *T) {
	random := rand.New(rand.NewPCG(7, 8))
	log := t.appendRandom(random, 100)
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
	t.sameResult(dcb.ReadResult{Events: seen, Head: log.Head()}, want, "reading backwards by 3")
}

func repeatRead(t *T) {
	t.append(eight()...)
	q := dcb.Query{{Types: []string{"A"}}, {Tags: []string{"x"}}}
	first := t.read(q, dcb.ReadOptions{})
	for i := range 20 {
		t.append(event("A", "x"))
		again := t.read(q, dcb.ReadOptions{Before: first.Head + 1})
		again.Head -= dcb.Position(i) + 1
		t.sameResult(again, first, "the same read again")
	}
}

func manyEvents(t *T) {
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
			t.Fatalf("read %d events, want %d", len(events), n)
		}
		for i, e := range events {
			want := dcb.Position(i + 1)
			if backwards {
				want = dcb.Position(n - i)
			}
			if e.Position != want || string(e.Data) != fmt.Sprint(want) {
				t.Fatalf("number %d has position %d and data %q, want %d", i, e.Position, e.Data, want)
			}
		}
	}
	if got := len(t.read(tagged("half:1"), dcb.ReadOptions{}).Events); got != n/2 {
		t.Errorf("a tag on every other event selects %d, want %d", got, n/2)
	}
}

func readYourWrites(t *T) {
	for i := range dcb.Position(50) {
		position := t.append(event("T", "x"))
		if head := t.head(); head != position {
			t.Fatalf("the head is %d after an append returned %d", head, position)
		}
		result := t.read(tagged("x"), dcb.ReadOptions{After: i})
		if result.Head != position || len(result.Events) != 1 {
			t.Fatalf("a read after %d returned %v with head %d after an append returned %d", i, positions(result.Events), result.Head, position)
		}
	}
}
