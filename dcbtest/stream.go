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

// streamCases check dcb.Stream, which uses the Stream of a store that is a dcb.Streamer.
func streamCases() []Case {
	return []Case{
		{Name: "Stream/yields all events in order", Rule: ruleStream + " " + ruleReadOrder, Run: streamAll},
		{Name: "Stream/accepts any options", Rule: ruleStream, Run: streamOptions},
		{
			Name: "Stream/yields nothing from an empty store",
			Rule: ruleStream,
			Run: func(t *T) {
				t.wantEvents(t.collect(dcb.Stream(t.ctx, t.Store, dcb.All(), dcb.ReadOptions{})))
			},
		},
		{
			Name: "Stream/yields events appended before the first pull",
			Rule: ruleFirstPull + " " + ruleStream,
			Run: func(t *T) {
				stream := dcb.Stream(t.ctx, t.Store, dcb.All(), dcb.ReadOptions{})
				t.append(event("A"), event("B"))
				t.wantEvents(t.collect(stream), event("A"), event("B"))
			},
		},
		{
			Name: "Stream/does not yield events appended after the first pull",
			Rule: ruleStream,
			Run: func(t *T) {
				t.append(event("A", "x"), event("A", "x"), event("A", "x"))
				for _, backwards := range []bool{false, true} {
					head, n := t.head(), dcb.Position(0)
					for range t.events(dcb.Stream(t.ctx, t.Store, tagged("x"), dcb.ReadOptions{Backwards: backwards})) {
						t.append(event("A", "x"))
						n++
					}
					if n != head {
						t.Errorf("Stream started at head %d and yielded %d events", head, n)
					}
				}
			},
		},
		{
			Name: "Stream/may be stopped after any event",
			Rule: ruleStopEarly,
			Run: func(t *T) {
				log := t.appendRandom(rand.New(rand.NewPCG(9, 10)), 600)
				for _, n := range []int{1, 2, 255, 256, 257, 599} {
					var seen []dcb.SequencedEvent
					for e := range t.events(dcb.Stream(t.ctx, t.Store, dcb.All(), dcb.ReadOptions{})) {
						if seen = append(seen, e); len(seen) == n {
							break
						}
					}
					t.wantResult(dcb.ReadResult{Events: seen}, dcb.ReadResult{Events: log[:n]},
						fmt.Sprintf("Stream stopped after %d events", n))
				}
				t.append(event("T"))
			},
		},
		{
			Name: "Stream/the caller may change the events",
			Rule: ruleReturned,
			Run: func(t *T) {
				want := fullEvent()
				t.append(want)
				for e := range t.events(dcb.Stream(t.ctx, t.Store, dcb.All(), dcb.ReadOptions{})) {
					e.Tags[0], e.Data[0], e.Metadata["k"] = "changed", 'X', "changed"
				}
				t.holds(want)
			},
		},
		{
			Name: "Stream/ends with the error of an invalid query or limit",
			Rule: ruleLastError,
			Run: func(t *T) {
				t.append(event("T"))
				t.wantFinalError(dcb.ErrInvalidQuery, dcb.Stream(t.ctx, t.Store, nil, dcb.ReadOptions{}))
				t.wantFinalError(dcb.ErrInvalidQuery, dcb.Stream(t.ctx, t.Store, tagged(""), dcb.ReadOptions{}))
				t.wantFinalError(dcb.ErrInvalid, dcb.Stream(t.ctx, t.Store, dcb.All(), dcb.ReadOptions{Limit: -1}))
			},
		},
		{
			Name: "Stream/ends with the error of a context cancelled on the way",
			Rule: ruleIterContext + " " + ruleLastError,
			Run: func(t *T) {
				t.append(plainEvents(600)...)
				t.append(plainEvents(600)...)
				ctx, cancel := context.WithCancel(t.ctx)
				t.wantFinalError(context.Canceled, afterFirst(cancel, dcb.Stream(ctx, t.Store, dcb.All(), dcb.ReadOptions{})))
				t.wantFinalError(context.Canceled, dcb.Stream(ctx, t.Store, dcb.All(), dcb.ReadOptions{}))
			},
		},
		{Name: "Stream/yields large events", Rule: ruleStream, Large: true, Run: streamLarge},
	}
}

func streamAll(t *T) {
	log := t.appendRandom(rand.New(rand.NewPCG(13, 14)), 2000) // several pages
	got := t.collect(dcb.Stream(t.ctx, t.Store, dcb.All(), dcb.ReadOptions{}))
	t.wantResult(dcb.ReadResult{Events: got}, dcb.ReadResult{Events: log}, "Stream")
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
		t.wantResult(dcb.ReadResult{Events: got}, dcb.ReadResult{Events: want.Events},
			fmt.Sprintf("Stream(%s, %+v)", describe.Query(q), opts))
	}
}

func streamLarge(t *T) {
	data := patternedBytes(1 << 20)
	want := make([]dcb.Event, 40)
	for i := range want {
		want[i] = dcb.Event{Type: "T", Data: data[i:]}
	}
	t.append(want...)
	t.wantEvents(t.collect(dcb.Stream(t.ctx, t.Store, dcb.All(), dcb.ReadOptions{})), want...)
}

// events yields the events of a stream that must not fail.
func (t *T) events(stream iter.Seq2[dcb.SequencedEvent, error]) iter.Seq[dcb.SequencedEvent] {
	return withoutError(t, stream)
}

func withoutError[V any](t *T, seq iter.Seq2[V, error]) iter.Seq[V] {
	return func(yield func(V) bool) {
		for value, err := range seq {
			if err != nil {
				t.Fatalf("the iterator ended with error %w", err)
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

// wantFinalError checks that an iterator ends with target, yielded once, last, with a zero event.
func (t *T) wantFinalError(target error, seq iter.Seq2[dcb.SequencedEvent, error]) {
	var last error
	for e, err := range seq {
		if last != nil {
			t.Fatalf("the iterator went on after the error %v", last)
		}
		if last = err; err != nil && (e.Position != 0 || e.Type != "" || e.Data != nil) {
			t.Errorf("the error %v came with the event at position %d, want a zero event", err, e.Position)
		}
	}
	if !errors.Is(last, target) {
		t.Errorf("the iterator ended with error %v, want %v", last, target)
	}
}

// afterFirst returns seq with a call of f before its first value is yielded.
func afterFirst(f func(), seq iter.Seq2[dcb.SequencedEvent, error]) iter.Seq2[dcb.SequencedEvent, error] {
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
