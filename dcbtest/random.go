package dcbtest

import (
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/dcbtest/internal/describe"
	"github.com/dcbstore/dcb/internal/model"
)

// randomCases compare a store with the model (package internal/model) on random calls. Their seeds
// are fixed: a failure repeats, and a store that passes once passes always.
func randomCases() []Case {
	return []Case{
		{
			Name: "Read/selects the same events as Query.Matches for random queries",
			Rule: ruleMatches,
			Run: func(t *T) {
				random := rand.New(rand.NewPCG(1, 2))
				log := t.appendRandom(random, 300)
				for range 300 {
					t.readsLikeModel(log, randomQuery(random), randomOptions(random, len(log)))
				}
			},
		},
		{
			Name: "Append condition/conflicts like Query.Matches for random conditions",
			Rule: ruleMatches + " " + ruleConflict,
			Run: func(t *T) {
				random := rand.New(rand.NewPCG(3, 4))
				log := t.appendRandom(random, 100)
				for range 200 {
					q, after := randomQuery(random), dcb.Position(random.IntN(len(log)+2))
					condition := &dcb.AppendCondition{FailIfEventsMatch: q, After: after}
					t.appendsLikeModel(&log, randomEvent(random), condition)
				}
				t.readsLikeModel(log, dcb.All(), dcb.ReadOptions{})
			},
		},
	}
}

// appendRandom appends n random events in calls of 1 to 20. It returns the events as read.
func (t *T) appendRandom(random *rand.Rand, n int) model.Log {
	for appended := 0; appended < n; {
		events := make([]dcb.Event, min(1+random.IntN(20), n-appended))
		for i := range events {
			events[i] = randomEvent(random)
		}
		t.append(events...)
		appended += len(events)
	}
	return t.readAll()
}

// readsLikeModel checks that a read returns the same result as the model.
func (t *T) readsLikeModel(log model.Log, q dcb.Query, opts dcb.ReadOptions) {
	want, err := log.Read(q, opts)
	if err != nil {
		panic(err)
	}
	got := t.read(q, opts)
	t.wantResult(got, want, fmt.Sprintf("Read(%s, %+v)", describe.Query(q), opts))
	if got.More != want.More {
		t.Errorf("Read(%s, %+v).More = %v, want %v", describe.Query(q), opts, got.More, want.More)
	}
}

// wantResult checks the events and the head that a call returned.
func (t *T) wantResult(got, want dcb.ReadResult, call string) {
	if fmt.Sprint(positions(got.Events)) != fmt.Sprint(positions(want.Events)) {
		t.Errorf("%s returned positions %v, want %v", call, positions(got.Events), positions(want.Events))
		return
	}
	if got.Head != want.Head {
		t.Errorf("%s returned head %d, want %d, with positions %v", call, got.Head, want.Head, positions(got.Events))
	}
	for i := range want.Events {
		if difference := describe.Difference(got.Events[i].Event, want.Events[i].Event); difference != "" {
			t.Errorf("%s: the event at position %d: %s", call, got.Events[i].Position, difference)
		}
	}
}

// appendsLikeModel checks that an append succeeds or conflicts as it does in the model.
func (t *T) appendsLikeModel(log *model.Log, e dcb.Event, condition *dcb.AppendCondition) {
	before := log.Head()
	got, err := t.Store.Append(t.ctx, []dcb.Event{e}, condition)
	want, wantErr := log.Append([]dcb.Event{e}, condition, (*log)[before-1].RecordedAt)
	if wantErr != nil && !errors.Is(err, dcb.ErrConflict) || wantErr == nil && (err != nil || got != want) {
		t.Fatalf("Append(%s) = %d, error %v, want %d, error %v", describe.Condition(condition), got, err, want, wantErr)
	}
}

func randomEvent(random *rand.Rand) dcb.Event {
	return event(fmt.Sprintf("T%d", random.IntN(4)), randomTexts(random, "tag", 5, 4)...)
}

func randomQuery(random *rand.Rand) dcb.Query {
	q := make(dcb.Query, 1+random.IntN(4))
	for i := range q {
		q[i] = dcb.QueryItem{Types: randomTexts(random, "T", 4, 3), Tags: randomTexts(random, "tag", 5, 3)}
	}
	return q
}

// randomTexts draws fewer than n of the texts prefix0, prefix1, …, possibly the same one twice.
func randomTexts(random *rand.Rand, prefix string, texts, n int) []string {
	drawn := make([]string, random.IntN(n))
	for i := range drawn {
		drawn[i] = fmt.Sprintf("%s%d", prefix, random.IntN(texts))
	}
	return drawn
}

func randomOptions(random *rand.Rand, head int) dcb.ReadOptions {
	opts := dcb.ReadOptions{Backwards: random.IntN(2) == 0}
	if random.IntN(2) == 0 {
		opts.After = dcb.Position(random.IntN(head + 2))
	}
	if random.IntN(2) == 0 {
		opts.Before = dcb.Position(random.IntN(head + 3))
	}
	if random.IntN(2) == 0 {
		opts.Limit = random.IntN(10)
	}
	return opts
}
