package dcbtest

import (
	"context"
	"iter"
	"time"

	"github.com/dcbstore/dcb"
)

type (
	events  = iter.Seq2[dcb.SequencedEvent, error]
	batches = iter.Seq2[dcb.ReadResult, error]
)

// iteratorStore is a correct store with its own Stream and Follow.
type iteratorStore struct {
	*patchedStore
	stream func(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) events
	follow func(ctx context.Context, q dcb.Query, after dcb.Position) batches
}

var (
	_ dcb.Streamer = (*iteratorStore)(nil)
	_ dcb.Follower = (*iteratorStore)(nil)
)

func newIteratorStore(s *simpleStore) *iteratorStore {
	return &iteratorStore{
		patchedStore: &patchedStore{simpleStore: s},
		stream: func(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) events {
			return dcb.Stream(ctx, s, q, opts)
		},
		follow: func(ctx context.Context, q dcb.Query, after dcb.Position) batches {
			return dcb.Follow(ctx, s, q, after)
		},
	}
}

func (i *iteratorStore) Stream(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) events {
	return i.stream(ctx, q, opts)
}

func (i *iteratorStore) Follow(ctx context.Context, q dcb.Query, after dcb.Position) batches {
	return i.follow(ctx, q, after)
}

// replacingStream builds a store with another Stream.
func replacingStream(stream func(ctx context.Context, s *simpleStore, a readArgs) events) builder {
	return func(s *simpleStore) dcb.Store {
		i := newIteratorStore(s)
		i.stream = func(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) events {
			return stream(ctx, s, readArgs{query: q, opts: opts})
		}
		return i
	}
}

// changingStream builds a store whose Stream changes what a correct one yields.
func changingStream(change func(stream events, yield func(dcb.SequencedEvent, error) bool)) builder {
	return replacingStream(func(ctx context.Context, s *simpleStore, a readArgs) events {
		return func(yield func(dcb.SequencedEvent, error) bool) { change(dcb.Stream(ctx, s, a.query, a.opts), yield) }
	})
}

// replacingFollow builds a store with another Follow.
func replacingFollow(follow func(ctx context.Context, s *simpleStore, q dcb.Query, after dcb.Position) batches) builder {
	return func(s *simpleStore) dcb.Store {
		i := newIteratorStore(s)
		i.follow = func(ctx context.Context, q dcb.Query, after dcb.Position) batches {
			return follow(ctx, s, q, after)
		}
		return i
	}
}

// changingFollow builds a store whose Follow changes the batches of a correct one. It drops a batch
// if change returns false.
func changingFollow(change func(batch *dcb.ReadResult) bool) builder {
	return replacingFollow(func(ctx context.Context, s *simpleStore, q dcb.Query, after dcb.Position) batches {
		return func(yield func(dcb.ReadResult, error) bool) {
			for batch, err := range dcb.Follow(ctx, s, q, after) {
				if keep := err != nil || change(&batch); keep && !yield(batch, err) {
					return
				}
			}
		}
	})
}

// iteratingWithoutContext builds a store whose Wait, Stream and Follow ignore their contexts.
func iteratingWithoutContext(s *simpleStore) dcb.Store {
	i := newIteratorStore(s)
	i.wait = func(_ context.Context, after dcb.Position) (dcb.Position, error) {
		return s.Wait(context.Background(), after)
	}
	i.stream = func(_ context.Context, q dcb.Query, opts dcb.ReadOptions) events {
		return dcb.Stream(context.Background(), s, q, opts)
	}
	i.follow = func(_ context.Context, q dcb.Query, after dcb.Position) batches {
		return dcb.Follow(context.Background(), s, q, after)
	}
	return i
}

// lockedByFollow builds a store in which a stopped Follow never releases the lock of Append.
func lockedByFollow(s *simpleStore) dcb.Store {
	lock := make(chan struct{}, 1) // a mutex would stop the clock of the bubble
	i := newIteratorStore(s)
	i.append = func(ctx context.Context, a appendArgs) (dcb.Position, error) {
		select {
		case lock <- struct{}{}:
			defer func() { <-lock }()
			return s.Append(ctx, a.events, a.condition)
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	i.follow = func(ctx context.Context, q dcb.Query, after dcb.Position) batches {
		return func(yield func(dcb.ReadResult, error) bool) {
			lock <- struct{}{}
			dcb.Follow(ctx, s, q, after)(yield)
		}
	}
	return i
}

func yielding(list []dcb.SequencedEvent, err error) events {
	return func(yield func(dcb.SequencedEvent, error) bool) {
		for _, e := range list {
			if !yield(e, nil) {
				return
			}
		}
		if err != nil {
			yield(dcb.SequencedEvent{}, err)
		}
	}
}

// wrongStreams have a wrong Stream.
func wrongStreams() []faultyStore {
	return []faultyStore{
		{
			name:     "Stream reads before the first pull",
			caughtBy: "Stream/yields events appended before the first pull",
			build: replacingStream(func(ctx context.Context, s *simpleStore, a readArgs) events {
				result, err := s.Read(ctx, a.query, a.opts)
				return yielding(result.Events, err)
			}),
		},
		{
			name:     "Stream yields live events",
			caughtBy: "Stream/does not yield events appended after the first pull", hangs: true,
			build: replacingStream(func(ctx context.Context, s *simpleStore, a readArgs) events {
				return func(yield func(dcb.SequencedEvent, error) bool) {
					for e, err := range dcb.Subscribe(ctx, s, a.query, a.opts.After) {
						time.Sleep(time.Second) // advances the clock of the bubble to the timeout
						if !yield(e, err) {
							return
						}
					}
				}
			}),
		},
		{
			name:     "Stream goes on after an error",
			caughtBy: "Stream/ends with the error of an invalid query or limit",
			build: changingStream(func(stream events, yield func(dcb.SequencedEvent, error) bool) {
				stream(yield)
				yield(dcb.SequencedEvent{}, nil)
			}),
		},
		{
			name: "Stream hides its error", caughtBy: "Stream/fails if its context is cancelled",
			build: changingStream(func(stream events, yield func(dcb.SequencedEvent, error) bool) {
				for e, err := range stream {
					if err != nil || !yield(e, nil) {
						return
					}
				}
			}),
		},
		{
			name: "Stream yields the first event twice", caughtBy: "Stream/yields all events in order",
			build: changingStream(func(stream events, yield func(dcb.SequencedEvent, error) bool) {
				for e, err := range stream {
					if !yield(e, err) || e.Position == 1 && !yield(e, err) {
						return
					}
				}
			}),
		},
		{
			name:     "Stream yields a zero event from an empty store",
			caughtBy: "Stream/yields nothing from an empty store",
			build: changingStream(func(stream events, yield func(dcb.SequencedEvent, error) bool) {
				stream(yield)
				yield(dcb.SequencedEvent{}, nil)
			}),
		},
		{
			name:     "Stream ignores its context",
			caughtBy: "Stream/ends with the error of a context cancelled on the way",
			build:    iteratingWithoutContext,
		},
		{
			name: "Stream ignores its limit", caughtBy: "Stream/accepts any options",
			build: replacingStream(func(ctx context.Context, s *simpleStore, a readArgs) events {
				a.opts.Limit = 0
				return dcb.Stream(ctx, s, a.query, a.opts)
			}),
		},
		{
			name: "Stream cuts large events", caughtBy: "Stream/yields large events",
			build: changingStream(func(stream events, yield func(dcb.SequencedEvent, error) bool) {
				for e, err := range stream {
					if e.Data = e.Data[:min(len(e.Data), 1<<19)]; !yield(e, err) {
						return
					}
				}
			}),
		},
		{
			name: "Stream yields recorded memory", caughtBy: "Stream/the caller may change the events",
			build: replacingStream(func(_ context.Context, s *simpleStore, _ readArgs) events {
				return yielding(s.snapshot(), nil)
			}),
		},
		{
			name: "Stream ends after its first page", caughtBy: "Stream/may be stopped after any event",
			build: replacingStream(func(ctx context.Context, s *simpleStore, a readArgs) events {
				a.opts.Limit = 256
				return dcb.Stream(ctx, s, a.query, a.opts)
			}),
		},
	}
}

// wrongFollows have a wrong Follow.
func wrongFollows() []faultyStore {
	return []faultyStore{
		{
			name:     "Follow waits for the first event",
			caughtBy: "Follow/yields the first batch at once", hangs: true,
			build: changingFollow(func(batch *dcb.ReadResult) bool { return len(batch.Events) > 0 }),
		},
		{
			name:     "Follow yields nothing if nothing matches",
			caughtBy: "Follow/yields Head if nothing matches", hangs: true,
			build: changingFollow(func(batch *dcb.ReadResult) bool { return batch.Head == 2 || len(batch.Events) > 0 }),
		},
		{
			name:     "the head of a batch is an earlier event",
			caughtBy: "Follow/continued at Head yields every event once",
			build: changingFollow(func(batch *dcb.ReadResult) bool {
				if n := len(batch.Events); n > 1 {
					batch.Head = batch.Events[n-2].Position
				}
				return true
			}),
		},
		{
			name:     "Follow starts at the head",
			caughtBy: "Follow/yields recorded events, then live ones", hangs: true,
			build: replacingFollow(func(ctx context.Context, s *simpleStore, q dcb.Query, _ dcb.Position) batches {
				return func(yield func(dcb.ReadResult, error) bool) {
					head, _ := s.Wait(ctx, 700)
					dcb.Follow(ctx, s, q, head)(yield)
				}
			}),
		},
		{
			name:     "Follow goes back to a lower head",
			caughtBy: "Follow/after a position beyond the head yields no earlier event",
			build: changingFollow(func(batch *dcb.ReadResult) bool {
				batch.Head = min(batch.Head, 1)
				return true
			}),
		},
		{
			name: "a batch with an error is not zero", caughtBy: "Follow/ends with the error of an invalid query",
			build: replacingFollow(func(ctx context.Context, s *simpleStore, q dcb.Query, after dcb.Position) batches {
				return func(yield func(dcb.ReadResult, error) bool) {
					for batch, err := range dcb.Follow(ctx, s, q, after) {
						if batch.Head++; !yield(batch, err) {
							return
						}
					}
				}
			}),
		},
		{
			name:     "Follow ignores its context",
			caughtBy: "Follow/ends with the error of a context cancelled on the way", hangs: true,
			build: iteratingWithoutContext,
		},
		{
			name:     "a stopped Follow blocks Append",
			caughtBy: "Subscribe/may be stopped within a batch", hangs: true,
			build: lockedByFollow,
		},
		{
			name:     "a live batch repeats its first event",
			caughtBy: "Subscribe/yields recorded events, then live ones",
			build: changingFollow(func(batch *dcb.ReadResult) bool {
				if batch.Head > 3 && len(batch.Events) > 0 {
					batch.Events = append(batch.Events[:1:1], batch.Events...)
				}
				return true
			}),
		},
		{
			name:     "a live batch loses its first event",
			caughtBy: "Subscribe/yields every event once, in order, during appends",
			build: changingFollow(func(batch *dcb.ReadResult) bool {
				if len(batch.Events) > 1 {
					batch.Events = batch.Events[1:]
				}
				return true
			}),
		},
	}
}
