package dcbtest

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/dcbtest/internal/describe"
)

// followCases check dcb.Follow, which uses the Follow of a store that is a dcb.Follower, and
// dcb.Subscribe, which is built on it.
func followCases() []Case {
	return []Case{
		{
			Name: "Follow/yields the first batch at once",
			Rule: ruleFollow,
			Run: func(t *T) {
				t.wantFirstBatch(dcb.All(), 0, 0, 0)
				t.append(event("A", "x"), event("B"))
				t.wantFirstBatch(tagged("x"), 0, 1, 2)
				t.wantFirstBatch(tagged("x"), 2, 0, 2)
			},
		},
		{Name: "Follow/yields recorded events, then live ones", Rule: ruleFollow, Run: followLive},
		{
			Name: "Subscribe/yields every event once, in order, during appends",
			Rule: ruleFollow + " " + ruleSubscribe,
			Run:  subscribeMany,
		},
		{
			Name: "Follow/yields Head if nothing matches",
			Rule: ruleFollow,
			Run: func(t *T) {
				t.append(event("A"), event("B"))
				head := dcb.Position(0)
				for batch := range t.batches(dcb.Follow(t.ctx, t.Store, tagged("absent"), 0)) {
					if len(batch.Events) > 0 || batch.Head < head {
						t.Fatalf("a batch has %d events and head %d after head %d", len(batch.Events), batch.Head, head)
					}
					if head = batch.Head; head >= 10 {
						break
					}
					t.append(event("A"), event("B"))
				}
			},
		},
		{
			Name: "Follow/continued at Head yields every event once",
			Rule: ruleContinue + " " + ruleFollow,
			Run: func(t *T) {
				log := t.appendRandom(rand.New(rand.NewPCG(11, 12)), 700)
				q := dcb.Query{{Types: []string{"T1"}}, {Tags: []string{"tag2"}}}
				var seen []dcb.SequencedEvent
				for last := dcb.Position(0); last < log.Head(); {
					batch := t.firstBatch(q, last)
					seen, last = append(seen, batch.Events...), batch.Head
				}
				want, _ := log.Read(q, dcb.ReadOptions{})
				t.wantResult(dcb.ReadResult{Events: seen, Head: log.Head()}, want, "following by first batches")
			},
		},
		{
			Name: "Follow/after a position beyond the head yields no earlier event",
			Rule: ruleFollow,
			Run: func(t *T) {
				t.append(event("A"))
				first := true
				for batch := range t.batches(dcb.Follow(t.ctx, t.Store, dcb.All(), 3)) {
					if batch.Head < 3 || len(batch.Events) > 0 && batch.Events[0].Position != 4 {
						t.Fatalf("Follow after 3 yielded positions %v and head %d", positions(batch.Events), batch.Head)
					}
					if len(batch.Events) > 0 {
						break
					}
					if first {
						t.append(event("A"), event("A"))
						t.append(event("A"))
						first = false
					}
				}
			},
		},
		{
			Name: "Follow/ends with the error of an invalid query",
			Rule: ruleLastError,
			Run: func(t *T) {
				t.wantFinalError(dcb.ErrInvalidQuery, batchesAsEvents(dcb.Follow(t.ctx, t.Store, nil, 0)))
				t.wantFinalError(dcb.ErrInvalidQuery, dcb.Subscribe(t.ctx, t.Store, dcb.Query{}, 0))
			},
		},
		{
			Name: "Follow/ends with the error of a context cancelled on the way",
			Rule: ruleIterContext + " " + ruleLastError,
			Run: func(t *T) {
				t.append(event("A"))
				for _, subscribe := range []bool{false, true} {
					ctx, cancel := context.WithCancel(t.ctx)
					followed := dcb.Subscribe(ctx, t.Store, dcb.All(), 0)
					if !subscribe {
						followed = batchesAsEvents(dcb.Follow(ctx, t.Store, dcb.All(), 0))
					}
					t.wantFinalError(context.Canceled, afterFirst(cancel, followed))
					t.wantFinalError(context.Canceled, dcb.Subscribe(ctx, t.Store, dcb.All(), 0))
				}
			},
		},
		{
			Name: "Subscribe/yields recorded events, then live ones",
			Rule: ruleSubscribe,
			Run: func(t *T) {
				t.append(event("A", "x"), event("A"), event("A", "x"))
				want := []dcb.Position{3, 5, 7}
				var got []dcb.Position
				for e := range t.events(dcb.Subscribe(t.ctx, t.Store, tagged("x"), 1)) {
					if got = append(got, e.Position); len(got) == len(want) {
						break
					}
					t.append(event("A"), event("A", "x"))
				}
				if fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("Subscribe yielded positions %v, want %v", got, want)
				}
			},
		},
		{
			Name: "Subscribe/may be stopped within a batch",
			Rule: ruleStopEarly,
			Run: func(t *T) {
				t.append(plainEvents(600)...)
				n := 0
				for range t.events(dcb.Subscribe(t.ctx, t.Store, dcb.All(), 0)) {
					if n++; n == 3 {
						break
					}
				}
				t.append(event("A"))
				t.wantDense()
			},
		},
	}
}

// followLive appends only after the follower has reached the head, so that all batches after the
// recorded ones are live.
func followLive(t *T) {
	log := t.appendRandom(rand.New(rand.NewPCG(17, 18)), 600)
	q := dcb.Query{{Types: []string{"T1"}}, {Tags: []string{"tag2"}}, {Tags: []string{"live"}}}
	want, _ := log.Read(q, dcb.ReadOptions{})
	var seen []dcb.SequencedEvent
	live := 0
	for batch := range t.batches(dcb.Follow(t.ctx, t.Store, q, 0)) {
		seen = append(seen, batch.Events...)
		if batch.Head == dcb.Position(len(log)+3*live) {
			if live++; live > 10 {
				break
			}
			t.append(event("T0"), event("T0", "live"), event("T0"))
		}
	}
	for i := range 10 {
		e := dcb.SequencedEvent{Event: event("T0", "live"), Position: dcb.Position(len(log) + 2 + 3*i)}
		want.Events = append(want.Events, e)
	}
	t.wantResult(dcb.ReadResult{Events: seen}, dcb.ReadResult{Events: want.Events}, "Follow")
}

// subscribeMany has three subscribers while four callers append. Of the three events of each
// append, the first and the last match.
func subscribeMany(t *T) {
	const callers, appends = 4, 25
	for caller := range callers {
		t.Go(func() {
			for range appends {
				t.append(event("T", "x"), event("T"), event("T", "x", fmt.Sprintf("caller:%d", caller)))
			}
		})
	}
	for range 3 {
		t.Go(func() {
			next := dcb.Position(1)
			for e := range t.events(dcb.Subscribe(t.ctx, t.Store, tagged("x"), 0)) {
				if e.Position != next {
					t.Fatalf("Subscribe yielded position %d, want %d", e.Position, next)
				}
				if next += 2; next%3 == 2 {
					next-- // positions 1 and 3, 4 and 6, …
				}
				if e.Position == 3*callers*appends {
					return
				}
			}
		})
	}
}

func (t *T) firstBatch(q dcb.Query, after dcb.Position) dcb.ReadResult {
	for batch := range t.batches(dcb.Follow(t.ctx, t.Store, q, after)) {
		return batch
	}
	t.Fatalf("Follow(%s) after %d ended without a batch", describe.Query(q), after)
	return dcb.ReadResult{}
}

func (t *T) wantFirstBatch(q dcb.Query, after dcb.Position, events int, head dcb.Position) {
	if first := t.firstBatch(q, after); len(first.Events) != events || first.Head != head {
		t.Errorf("the first batch of Follow(%s) after %d has %d events and head %d, want %d and %d",
			describe.Query(q), after, len(first.Events), first.Head, events, head)
	}
}

// batches yields the batches of a follower that must not fail.
func (t *T) batches(follow iter.Seq2[dcb.ReadResult, error]) iter.Seq[dcb.ReadResult] {
	return withoutError(t, follow)
}

// batchesAsEvents turns each batch into an event at its head, for checks that take events.
func batchesAsEvents(follow iter.Seq2[dcb.ReadResult, error]) iter.Seq2[dcb.SequencedEvent, error] {
	return func(yield func(dcb.SequencedEvent, error) bool) {
		for batch, err := range follow {
			if !yield(dcb.SequencedEvent{Position: batch.Head}, err) {
				return
			}
		}
	}
}
