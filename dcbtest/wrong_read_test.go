package dcbtest

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/dcbstore/dcb"
)

// wrongReads apply the options of a read wrongly, or return a wrong head.
func wrongReads() []faultyStore {
	return slices.Concat(optionsAppliedWrongly(), headsComputedWrongly(), []faultyStore{
		{
			name:     "a read returns at most a thousand events",
			caughtBy: "Read/returns thousands of events in order",
			build:    changingResult(func(r *dcb.ReadResult, _ readArgs) { r.Events = r.Events[:min(len(r.Events), 1000)] }),
		},
		{
			name: "a read misses the newest event", caughtBy: "Read/sees an append as soon as it returned",
			build: changingResult(func(r *dcb.ReadResult, _ readArgs) { r.Events = nil }),
		},
		{
			name: "Head lags by one", caughtBy: "Read/sees an append as soon as it returned",
			build: func(s *simpleStore) dcb.Store {
				return &patchedStore{simpleStore: s, head: func(ctx context.Context) (dcb.Position, error) {
					head, err := s.Head(ctx)
					return head - min(head, 1), err
				}}
			},
		},
		{
			name: "a repeated read drops an event", caughtBy: "Read/repeated below Head returns the same events",
			build: changingResult(func(r *dcb.ReadResult, a readArgs) {
				if a.opts.Before > 0 && len(r.Events) > 0 {
					r.Events = r.Events[1:]
				}
			}),
		},
	})
}

func optionsAppliedWrongly() []faultyStore {
	return []faultyStore{
		{
			name: "After is inclusive in reads", caughtBy: "Read/After excludes the event at After",
			build: changingRead(func(_ *dcb.Query, opts *dcb.ReadOptions) { opts.After = max(opts.After, 1) - 1 }),
		},
		{
			name: "Before is inclusive", caughtBy: "Read/Before excludes the event at Before",
			build: changingRead(func(_ *dcb.Query, opts *dcb.ReadOptions) {
				if opts.Before > 0 {
					opts.Before++
				}
			}),
		},
		{
			name: "Before is ignored beside After", caughtBy: "Read/After and Before bound a range",
			build: changingRead(func(_ *dcb.Query, opts *dcb.ReadOptions) {
				if opts.After > 0 {
					opts.Before = 0
				}
			}),
		},
		{
			name: "Backwards is ignored", caughtBy: "Read/Backwards returns the newest event first",
			build: changingRead(func(_ *dcb.Query, opts *dcb.ReadOptions) { opts.Backwards = false }),
		},
		{
			name:     "Backwards with Limit returns the oldest events, reversed",
			caughtBy: "Read/Backwards with Limit returns the newest events",
			build: func(s *simpleStore) dcb.Store {
				return &patchedStore{simpleStore: s, read: func(ctx context.Context, a readArgs) (dcb.ReadResult, error) {
					backwards := a.opts.Backwards
					a.opts.Backwards = false
					r, err := s.Read(ctx, a.query, a.opts)
					if err == nil && backwards {
						slices.Reverse(r.Events)
						r.Head = s.snapshot().Head()
					}
					return r, err
				}}
			},
		},
		{
			name:     "Before is ignored when reading on backwards",
			caughtBy: "Read/continued backwards before the last event sees every event once",
			build: changingRead(func(_ *dcb.Query, opts *dcb.ReadOptions) {
				if opts.Before > 0 && opts.Limit == 3 {
					opts.Before--
				}
			}),
		},
		{
			name: "Limit is too great by one", caughtBy: "Read/Limit returns the oldest events",
			build: changingRead(func(_ *dcb.Query, opts *dcb.ReadOptions) {
				if opts.Limit > 0 {
					opts.Limit++
				}
			}),
		},
		{
			name: "Limit is a position", caughtBy: "Read/every combination of options, all events",
			build: changingResult(func(r *dcb.ReadResult, a readArgs) {
				r.Events = slices.DeleteFunc(r.Events, func(e dcb.SequencedEvent) bool {
					return a.opts.Limit > 0 && e.Position > dcb.Position(a.opts.Limit)
				})
			}),
		},
		{
			name: "Limit counts events that do not match", caughtBy: "Read/every combination of options, a type",
			build: limitingFirst(func(dcb.Query) dcb.Query { return dcb.All() }),
		},
		{
			name:     "Limit counts events without the tags",
			caughtBy: "Read/every combination of options, a type and a tag",
			build: limitingFirst(func(q dcb.Query) dcb.Query {
				types := cloneQuery(q)
				for i := range types {
					types[i].Tags = nil
				}
				return types
			}),
		},
		{
			name:     "Limit applies to each item",
			caughtBy: "Read/every combination of options, several items", build: onePerItem,
		},
		{
			name: "Limit overflows", caughtBy: "Read/Limit may have any value from 0",
			build: changingResult(func(r *dcb.ReadResult, a readArgs) {
				if a.opts.Limit == math.MaxInt {
					r.Events = nil
				}
			}),
		},
		{
			name: "positions are signed", caughtBy: "Read/After and Before may have any value",
			build: changingRead(func(_ *dcb.Query, opts *dcb.ReadOptions) {
				opts.After = dcb.Position(max(int64(opts.After), 0))
				opts.Before = dcb.Position(max(int64(opts.Before), 0))
			}),
		},
		{
			name:     "After is ignored beside Limit and Backwards",
			caughtBy: "Read/every combination of options, a tag",
			build: changingRead(func(_ *dcb.Query, opts *dcb.ReadOptions) {
				if opts.Limit > 0 && opts.Backwards {
					opts.After = 0
				}
			}),
		},
	}
}

// limitingFirst builds a store that applies Limit to a wider query and then selects the events that
// match.
func limitingFirst(wider func(q dcb.Query) dcb.Query) builder {
	return func(s *simpleStore) dcb.Store {
		return &patchedStore{simpleStore: s, read: func(ctx context.Context, a readArgs) (dcb.ReadResult, error) {
			r, err := s.Read(ctx, wider(a.query), a.opts)
			r.Events = slices.DeleteFunc(r.Events, func(e dcb.SequencedEvent) bool { return !a.query.Matches(e.Event) })
			return r, err
		}}
	}
}

func headsComputedWrongly() []faultyStore {
	return []faultyStore{
		{
			name: "the head of a read is its last event", caughtBy: "Read/Head is the store's if later events do not match",
			build: changingResult(func(r *dcb.ReadResult, _ readArgs) {
				r.Head = 0
				for _, e := range r.Events {
					r.Head = max(r.Head, e.Position)
				}
			}),
		},
		{
			name:     "the head of a limited read is the store's",
			caughtBy: "Read/Head is the last event if Limit left events out",
			build:    changingResult(func(r *dcb.ReadResult, a readArgs) { r.Head = a.log.Head() }),
		},
		{
			name:     "the head of every limited read is its last event",
			caughtBy: "Read/Head is the store's if exactly Limit events match",
			build: changingResult(func(r *dcb.ReadResult, a readArgs) {
				if n := len(r.Events); n > 0 && n == a.opts.Limit && !a.opts.Backwards {
					r.Head = r.Events[n-1].Position
				}
			}),
		},
		{
			name:     "events beyond Before count as left out",
			caughtBy: "Read/Head is Before - 1 if only Before left events out",
			build: changingResult(func(r *dcb.ReadResult, a readArgs) {
				a.opts.Before = 0
				if beyond, _ := a.log.Read(a.query, a.opts); a.opts.Limit == len(r.Events) {
					r.Head = beyond.Head
				}
			}),
		},
		{
			name:     "the head of a limited backward read is its last event",
			caughtBy: "Read/Head of a backward read is Before - 1, or the store's",
			build: changingResult(func(r *dcb.ReadResult, a readArgs) {
				if n := len(r.Events); a.opts.Backwards && n > 0 && n == a.opts.Limit {
					r.Head = r.Events[n-1].Position
				}
			}),
		},
		{
			name: "the head of a read ignores Before", caughtBy: "Read/Before excludes the event at Before",
			build: changingResult(func(r *dcb.ReadResult, a readArgs) {
				if a.opts.Before > 0 && (!r.More || a.opts.Backwards) {
					r.Head = a.log.Head()
				}
			}),
		},
		{
			name:     "the head of a limited read is too great by one",
			caughtBy: "Read/continued at Head sees every event once",
			build: changingResult(func(r *dcb.ReadResult, a readArgs) {
				if a.opts.Limit > 0 && len(r.Events) == a.opts.Limit {
					r.Head++
				}
			}),
		},
		{
			name:     "the head of a read without events is 0",
			caughtBy: "Read/every combination of options, no match",
			build: changingResult(func(r *dcb.ReadResult, _ readArgs) {
				if len(r.Events) == 0 {
					r.Head = 0
				}
			}),
		},
		{
			name: "an empty store has head 1", caughtBy: "Read/every combination of options, an empty store",
			build: changingResult(func(r *dcb.ReadResult, _ readArgs) { r.Head = max(r.Head, 1) }),
		},
		{
			name: "a new store has head 1", caughtBy: "Head/is 0 on a new store",
			build: func(s *simpleStore) dcb.Store {
				return &patchedStore{simpleStore: s, head: func(ctx context.Context) (dcb.Position, error) {
					head, err := s.Head(ctx)
					return max(head, 1), err
				}}
			},
		},
	}
}

// wrongTimes return a wrong RecordedAt.
func wrongTimes() []faultyStore {
	return []faultyStore{
		changingTime("RecordedAt is local", "Read/RecordedAt is UTC in whole microseconds",
			func(at time.Time, _ dcb.Position) time.Time { return at.In(time.FixedZone("", 3600)) }),
		changingTime("RecordedAt has nanoseconds", "Read/RecordedAt is UTC in whole microseconds",
			func(at time.Time, p dcb.Position) time.Time { return at.Add(time.Duration(p)) }),
		changingTime("RecordedAt falls", "Append/RecordedAt never falls",
			func(at time.Time, p dcb.Position) time.Time { return at.Add(-time.Hour * time.Duration(p%2)) }),
		changingTime("RecordedAt is not set", "Append/sets RecordedAt to the present time",
			func(time.Time, dcb.Position) time.Time { return time.Time{} }),
		{
			name: "RecordedAt is the time of the read", caughtBy: "Read/RecordedAt of an event never changes",
			build: func(s *simpleStore) dcb.Store {
				reads := 0
				later := func(at time.Time, _ dcb.Position) time.Time {
					reads++
					return at.Add(time.Duration(reads) * time.Millisecond)
				}
				return changingTime("", "", later).build(s)
			},
		},
	}
}

func changingTime(name, caughtBy string, change func(at time.Time, p dcb.Position) time.Time) faultyStore {
	return faultyStore{
		name: name, caughtBy: caughtBy,
		build: changingResult(func(r *dcb.ReadResult, _ readArgs) {
			for i := range r.Events {
				r.Events[i].RecordedAt = change(r.Events[i].RecordedAt, r.Events[i].Position)
			}
		}),
	}
}
