package dcbtest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/dcbtest/internal/describe"
)

const (
	streamRule = "Stream yields what one Read would return, up to the head at the first pull."
	followRule = "Follow yields the selected events after a position, for ever: first what is recorded, then what is being recorded."
	endRule    = "An error comes at most once, last, with a zero event."
)

func followingCases() []Case {
	return []Case{
		{Name: "streaming/everything in order", Rule: streamRule, Run: streamAll},
		{Name: "streaming/with every kind of options", Rule: streamRule, Run: streamOptions},
		{
			Name: "streaming/an empty store",
			Rule: streamRule,
			Run: func(t *T) {
				t.sameEvents(t.collect(dcb.Stream(t.ctx, t.Store, dcb.All(), dcb.ReadOptions{})))
			},
		},
		{
			Name: "streaming/what is recorded before the first pull is included",
			Rule: "Nothing happens before the first pull. " + streamRule,
			Run: func(t *T) {
				stream := dcb.Stream(t.ctx, t.Store, dcb.All(), dcb.ReadOptions{})
				t.append(event("A"), event("B"))
				t.sameEvents(t.collect(stream), event("A"), event("B"))
			},
		},
		{
			Name: "streaming/what is recorded after the first pull is not included",
			Rule: streamRule,
			Run: func(t *T) {
				t.append(event("A", "x"), event("A", "x"), event("A", "x"))
				for _, backwards := range []bool{false, true} {
					head, n := t.head(), dcb.Position(0)
					for range t.events(dcb.Stream(t.ctx, t.Store, tagged("x"), dcb.ReadOptions{Backwards: backwards})) {
						t.append(event("A", "x"))
						n++
					}
					if n != head {
						t.Errorf("a stream that began at head %d yielded %d events", head, n)
					}
				}
			},
		},
		{
			Name: "streaming/breaking off",
			Rule: "Stopping early frees everything.",
			Run: func(t *T) {
				log := t.appendRandom(rand.New(rand.NewPCG(9, 10)), 600)
				for _, n := range []int{1, 2, 255, 256, 257, 599} {
					var seen []dcb.SequencedEvent
					for e := range t.events(dcb.Stream(t.ctx, t.Store, dcb.All(), dcb.ReadOptions{})) {
						if seen = append(seen, e); len(seen) == n {
							break
						}
					}
					t.sameResult(dcb.ReadResult{Events: seen}, dcb.ReadResult{Events: log[:n]}, fmt.Sprintf("breaking off after %d events", n))
				}
				t.append(event("T"))
			},
		},
		{
			Name: "streaming/events are the caller's own",
			Rule: returnedRule,
			Run: func(t *T) {
				want := full()
				t.append(want)
				for e := range t.events(dcb.Stream(t.ctx, t.Store, dcb.All(), dcb.ReadOptions{})) {
					e.Tags[0], e.Data[0], e.Metadata["k"] = "changed", 'X', "changed"
				}
				t.recorded(want)
			},
		},
		{
			Name: "streaming/an invalid query or limit is refused",
			Rule: endRule,
			Run: func(t *T) {
				t.append(event("T"))
				t.endsWith(dcb.ErrInvalidQuery, dcb.Stream(t.ctx, t.Store, nil, dcb.ReadOptions{}))
				t.endsWith(dcb.ErrInvalidQuery, dcb.Stream(t.ctx, t.Store, tagged(""), dcb.ReadOptions{}))
				t.endsWith(dcb.ErrInvalid, dcb.Stream(t.ctx, t.Store, dcb.All(), dcb.ReadOptions{Limit: -1}))
			},
		},
		{
			Name: "streaming/a cancelled context ends it",
			Rule: "A cancelled context ends with its error. " + endRule,
			Run: func(t *T) {
				t.append(make600()...)
				t.append(make600()...)
				ctx, cancel := context.WithCancel(t.ctx)
				t.endsWith(context.Canceled, doing(cancel, dcb.Stream(ctx, t.Store, dcb.All(), dcb.ReadOptions{})))
				t.endsWith(context.Canceled, dcb.Stream(ctx, t.Store, dcb.All(), dcb.ReadOptions{}))
			},
		},
		{Name: "streaming/large events", Rule: streamRule, Large: true, Run: streamLarge},
		{
			Name: "following/the first batch comes at once",
			Rule: "The first batch comes at once, even if it is empty.",
			Run: func(t *T) {
				if first := t.firstBatch(dcb.All(), 0); len(first.Events) != 0 || first.Head != 0 {
					t.Errorf("the first batch of an empty store has %d events and head %d", len(first.Events), first.Head)
				}
				t.append(event("A", "x"), event("B"))
				if first := t.firstBatch(tagged("x"), 0); len(first.Events) != 1 || first.Head != 2 {
					t.Errorf("the first batch has %d events and head %d, want 1 and 2", len(first.Events), first.Head)
				}
				if first := t.firstBatch(tagged("x"), 2); len(first.Events) != 0 || first.Head != 2 {
					t.Errorf("the first batch has %d events and head %d, want 0 and 2", len(first.Events), first.Head)
				}
			},
		},
		{Name: "following/what is recorded, then what is being recorded", Rule: followRule, Run: followLive},
		{Name: "following/every event once, in order, while many append", Rule: followRule, Run: followMany},
		{
			Name: "following/the head comes along when nothing matches",
			Rule: "Every batch carries Head, also when nothing matched, so a filtered follower shows progress and never rescans.",
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
			Name: "following/going on at the head that was reached",
			Rule: "A consumer that keeps Head can go on from there later and never sees an event twice.",
			Run: func(t *T) {
				log := t.appendRandom(rand.New(rand.NewPCG(11, 12)), 700)
				q := dcb.Query{{Types: []string{"T1"}}, {Tags: []string{"tag2"}}}
				var seen []dcb.SequencedEvent
				for last := dcb.Position(0); last < log.Head(); {
					batch := t.firstBatch(q, last)
					seen, last = append(seen, batch.Events...), batch.Head
				}
				want, _ := log.Read(q, dcb.ReadOptions{})
				t.sameResult(dcb.ReadResult{Events: seen, Head: log.Head()}, want, "following by the first batch only")
			},
		},
		{
			Name: "following/after a position beyond the head",
			Rule: "Follow yields the selected events after a position, and is never sent back.",
			Run: func(t *T) {
				t.append(event("A"))
				first := true
				for batch := range t.batches(dcb.Follow(t.ctx, t.Store, dcb.All(), 3)) {
					if batch.Head < 3 || len(batch.Events) > 0 && batch.Events[0].Position != 4 {
						t.Fatalf("a follower after 3 got %v with head %d", positions(batch.Events), batch.Head)
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
			Name: "following/an invalid query is refused",
			Rule: endRule,
			Run: func(t *T) {
				t.endsWith(dcb.ErrInvalidQuery, flat(dcb.Follow(t.ctx, t.Store, nil, 0)))
				t.endsWith(dcb.ErrInvalidQuery, dcb.Subscribe(t.ctx, t.Store, dcb.Query{}, 0))
			},
		},
		{
			Name: "following/a cancelled context ends it",
			Rule: "A cancelled context ends with its error. " + endRule,
			Run: func(t *T) {
				t.append(event("A"))
				for _, subscribe := range []bool{false, true} {
					ctx, cancel := context.WithCancel(t.ctx)
					followed := dcb.Subscribe(ctx, t.Store, dcb.All(), 0)
					if !subscribe {
						followed = flat(dcb.Follow(ctx, t.Store, dcb.All(), 0))
					}
					t.endsWith(context.Canceled, doing(cancel, followed))
					t.endsWith(context.Canceled, dcb.Subscribe(ctx, t.Store, dcb.All(), 0))
				}
			},
		},
		{
			Name: "subscribing/event by event, recorded and live",
			Rule: "Subscribe is Follow, flattened to events.",
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
					t.Errorf("a subscriber got %v, want %v", got, want)
				}
			},
		},
		{
			Name: "subscribing/breaking off within a batch",
			Rule: "Stopping early frees everything.",
			Run: func(t *T) {
				t.append(make600()...)
				n := 0
				for range t.events(dcb.Subscribe(t.ctx, t.Store, dcb.All(), 0)) {
					if n++; n == 3 {
						break
					}
				}
				t.append(event("A"))
				t.dense()
			},
		},
	}
}

func streamAll(t *T) {
	log := t.appendRandom(rand.New(rand.NewPCG(13, 14)), 2000) // several pages
	got := t.collect(dcb.Stream(t.ctx, t.Store, dcb.All(), dcb.ReadOptions{}))
	t.sameResult(dcb.ReadResult{Events: got}, dcb.ReadResult{Events: log}, "Stream")
}

func streamOptions(t *T) {
	random := rand.New(rand.NewPCG(15, 16))
	log := t.appendRandom(random, 800)
	limits := []int{0, 1, 255, 256, 257, 511, 512, 513, 10_000}
	for range 60 {
		q, opts := randomQuery(random), randomOptions(random, len(log))
		opts.Limit = limits[random.IntN(len(limits))]
		want, _ := log.Read(q, opts)
		got := t.collect(dcb.Stream(t.ctx, t.Store, q, opts))
		t.sameResult(dcb.ReadResult{Events: got}, dcb.ReadResult{Events: want.Events}, fmt.Sprintf("Stream(%s, %+v)", describe.Query(q), opts))
	}
}

func streamLarge(t *T) {
	data := patterned(1 << 20)
	want := make([]dcb.Event, 40)
	for i := range want {
		want[i] = dcb.Event{Type: "T", Data: data[i:]}
	}
	t.append(want...)
	t.sameEvents(t.collect(dcb.Stream(t.ctx, t.Store, dcb.All(), dcb.ReadOptions{})), want...)
}

// followLive appends only what the follower has asked for by coming back, so that it is live from the second batch on.
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
	t.sameResult(dcb.ReadResult{Events: seen}, dcb.ReadResult{Events: want.Events}, "Follow")
}

func followMany(t *T) {
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
					t.Fatalf("a subscriber got position %d, want %d", e.Position, next)
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

// make600 returns more events than a first page has.
func make600() []dcb.Event {
	events := make([]dcb.Event, 600)
	for i := range events {
		events[i].Type = "T"
	}
	return events
}

func (t *T) firstBatch(q dcb.Query, after dcb.Position) dcb.ReadResult {
	for batch := range t.batches(dcb.Follow(t.ctx, t.Store, q, after)) {
		return batch
	}
	t.Fatalf("Follow(%s) after %d ended without a batch", describe.Query(q), after)
	return dcb.ReadResult{}
}

// events yields what must come without an error.
func (t *T) events(stream iter.Seq2[dcb.SequencedEvent, error]) iter.Seq[dcb.SequencedEvent] {
	return withoutError(t, stream)
}

func (t *T) batches(follow iter.Seq2[dcb.ReadResult, error]) iter.Seq[dcb.ReadResult] {
	return withoutError(t, follow)
}

func withoutError[V any](t *T, seq iter.Seq2[V, error]) iter.Seq[V] {
	return func(yield func(V) bool) {
		for value, err := range seq {
			if err != nil {
				t.Fatalf("an iterator ended with error %w", err)
			}
			if !yield(value) {
				return
			}
		}
	}
}

func (t *T) collect(stream iter.Seq2[dcb.SequencedEvent, error]) []dcb.SequencedEvent {
	var events []dcb.SequencedEvent
	for e := range t.events(stream) {
		events = append(events, e)
	}
	return events
}

// endsWith expects an iterator to end with target, once, last, with a zero event.
func (t *T) endsWith(target error, seq iter.Seq2[dcb.SequencedEvent, error]) {
	var last error
	for e, err := range seq {
		if last != nil {
			t.Fatalf("an iterator went on after the error %v", last)
		}
		if last = err; err != nil && (e.Position != 0 || e.Type != "" || e.Data != nil) {
			t.Errorf("the error %v came with the event at position %d", err, e.Position)
		}
	}
	if !errors.Is(last, target) {
		t.Errorf("an iterator ended with error %v, want %v", last, target)
	}
}

// doing is seq, with f called when its first event came.
func doing(f func(), seq iter.Seq2[dcb.SequencedEvent, error]) iter.Seq2[dcb.SequencedEvent, error] {
	return func(yield func(dcb.SequencedEvent, error) bool) {
		first := true
		for e, err := range seq {
			if first {
				f()
				first = false
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

// flat makes a batch's head the position of an event, so that batches can be looked at as events.
func flat(follow iter.Seq2[dcb.ReadResult, error]) iter.Seq2[dcb.SequencedEvent, error] {
	return func(yield func(dcb.SequencedEvent, error) bool) {
		for batch, err := range follow {
			if !yield(dcb.SequencedEvent{Position: batch.Head}, err) {
				return
			}
		}
	}
}
