package dcbtest

import (
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/dcbtest/internal/describe"
	"github.com/dcbstore/dcb/internal/model"
)

// The random cases always draw the same: a failure can be repeated, and a store that passes once passes always.

func randomCases() []Case {
	return []Case{
		{
			Name: "matching/random queries select what Query.Matches says",
			Rule: "Query.Matches is the only definition of matching. Indexes are tested against it.",
			Run: func(t *T) {
				random := rand.New(rand.NewPCG(1, 2))
				log := t.appendRandom(random, 300)
				for range 300 {
					t.readsAs(log, randomQuery(random), randomOptions(random, len(log)))
				}
			},
		},
		{
			Name: "conditions/random conditions conflict as Query.Matches says",
			Rule: "The append fails if an event after After matches the condition's query.",
			Run: func(t *T) {
				random := rand.New(rand.NewPCG(3, 4))
				log := t.appendRandom(random, 100)
				for range 200 {
					q, after := randomQuery(random), dcb.Position(random.IntN(len(log)+2))
					t.decidesAs(&log, randomEvent(random), &dcb.AppendCondition{FailIfEventsMatch: q, After: after})
				}
				t.readsAs(log, dcb.All(), dcb.ReadOptions{})
			},
		},
	}
}

// appendRandom records n random events in appends of several, and returns what the store must hold.
func (t *T) appendRandom(random *rand.Rand, n int) model.Log {
	for recorded := 0; recorded < n; {
		events := make([]dcb.Event, min(1+random.IntN(20), n-recorded))
		for i := range events {
			events[i] = randomEvent(random)
		}
		t.append(events...)
		recorded += len(events)
	}
	return t.all()
}

// readsAs expects a read to return what the model does.
func (t *T) readsAs(log model.Log, q dcb.Query, opts dcb.ReadOptions) {
	want, err := log.Read(q, opts)
	if err != nil {
		panic(err)
	}
	got := t.read(q, opts)
	t.sameResult(got, want, fmt.Sprintf("Read(%s, %+v)", describe.Query(q), opts))
}

func (t *T) sameResult(got, want dcb.ReadResult, call string) {
	if fmt.Sprint(positions(got.Events)) != fmt.Sprint(positions(want.Events)) {
		t.Errorf("%s returned %v, want %v", call, positions(got.Events), positions(want.Events))
		return
	}
	if got.Head != want.Head {
		t.Errorf("%s has head %d, want %d; its events are %v", call, got.Head, want.Head, positions(got.Events))
	}
	for i := range want.Events {
		if problem := describe.Difference(got.Events[i].Event, want.Events[i].Event); problem != "" {
			t.Errorf("%s: the event at position %d %s", call, got.Events[i].Position, problem)
		}
	}
}

// decidesAs expects an append to succeed or to conflict as in the model.
func (t *T) decidesAs(log *model.Log, e dcb.Event, condition *dcb.AppendCondition) {
	before := log.Head()
	got, err := t.Store.Append(t.ctx, []dcb.Event{e}, condition)
	want, wantErr := log.Append([]dcb.Event{e}, condition, (*log)[before-1].RecordedAt)
	if wantErr != nil && !errors.Is(err, dcb.ErrConflict) || wantErr == nil && (err != nil || got != want) {
		t.Fatalf("Append(%s): got %d, %v, want %d, %v", describe.Condition(condition), got, err, want, wantErr)
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

// randomTexts returns fewer than n of the given number of texts, possibly with repetitions.
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
