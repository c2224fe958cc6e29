package dcbtest

import (
	"context"
	"slices"

	"github.com/dcbstore/dcb"
)

// wrongMores return a wrong More.
func wrongMores() []faultyStore {
	isFull := func(r *dcb.ReadResult, a readArgs) bool { return a.opts.Limit > 0 && len(r.Events) == a.opts.Limit }
	return []faultyStore{
		changingMore("More is always false", "Read/More is true if Limit left out an event",
			func(*dcb.ReadResult, readArgs) bool { return false }),
		changingMore("More is always true", "Read/More is false if nothing was left out",
			func(*dcb.ReadResult, readArgs) bool { return true }),
		changingMore("More is true for every limited read", "Read/More is false if nothing was left out",
			func(_ *dcb.ReadResult, a readArgs) bool { return a.opts.Limit > 0 }),
		changingMore("More is true if Limit is reached", "Read/More is false if exactly Limit events match", isFull),
		changingMore("More is true if Limit is reached backwards",
			"Read/More is false if exactly Limit events match backwards",
			func(r *dcb.ReadResult, a readArgs) bool { return r.More || a.opts.Backwards && isFull(r, a) }),
		changingMore("More is false backwards", "Read/More is true if Limit left out an older event backwards",
			func(r *dcb.ReadResult, a readArgs) bool { return r.More && !a.opts.Backwards }),
		changingMore("More is true backwards if newer events exist", "Read/More ignores events outside After and Before",
			func(r *dcb.ReadResult, a readArgs) bool {
				return r.More || a.opts.Backwards && a.opts.Before > 0 && a.opts.Before <= a.log.Head()
			}),
		changingMore("More is true if Before left events out", "Read/More ignores events outside After and Before",
			func(r *dcb.ReadResult, a readArgs) bool {
				a.opts.Before = 0
				beyond, _ := a.log.Read(a.query, a.opts)
				return beyond.More
			}),
		changingMore("More is true if After left events out", "Read/More ignores events outside After and Before",
			func(r *dcb.ReadResult, a readArgs) bool {
				a.opts.After = 0
				beyond, _ := a.log.Read(a.query, a.opts)
				return r.More || a.opts.Backwards && beyond.More
			}),
		changingMore("More counts events that do not match", "Read/More ignores events that do not match",
			func(r *dcb.ReadResult, a readArgs) bool {
				return isFull(r, a) && r.Events[len(r.Events)-1].Position < a.log.Head()
			}),
		changingMore("More is true on an empty store", "Read/More is false and Head is 0 on an empty store",
			func(r *dcb.ReadResult, a readArgs) bool { return r.More || len(a.log) == 0 }),
		changingMore("More is true if the last read is full",
			"Read/continued while More is true needs no extra read", isFull),
	}
}

func changingMore(name, caughtBy string, more func(r *dcb.ReadResult, a readArgs) bool) faultyStore {
	return faultyStore{
		name: name, caughtBy: caughtBy,
		build: changingResult(func(r *dcb.ReadResult, a readArgs) { r.More = more(r, a) }),
	}
}

// wrongPages are Pagers with a wrong ReadPage.
func wrongPages() []faultyStore {
	lastOf := func(r *dcb.ReadResult) dcb.Position { return r.Events[len(r.Events)-1].Position }
	return []faultyStore{
		{
			name: "a page ignores its bytes", caughtBy: "ReadPage/ends with the event that reaches the bytes",
			build: changingPage(func(a *readArgs) { a.bytes = 1 << 30 }, nil),
		},
		{
			name:     "a page has one event too many",
			caughtBy: "ReadPage/ends with the event that reaches the bytes",
			build:    changingPage(func(a *readArgs) { a.bytes++ }, nil),
		},
		{
			name:     "a page ends before the event that reaches the bytes",
			caughtBy: "ReadPage/has at least one event",
			build: changingPage(nil, func(r *dcb.ReadResult, _ readArgs) {
				if r.More && len(r.Events) > 0 {
					r.Events = r.Events[:len(r.Events)-1]
				}
			}),
		},
		{
			name: "a page of 0 bytes is not bounded", caughtBy: "ReadPage/has at least one event",
			build: changingPage(func(a *readArgs) {
				if a.bytes <= 0 {
					a.bytes = 1 << 30
				}
			}, nil),
		},
		{
			name:     "More is true if the bytes are reached",
			caughtBy: "ReadPage/has More false if it ends with the last event",
			build: changingPage(nil, func(r *dcb.ReadResult, a readArgs) {
				size := 0
				for i := range r.Events {
					size += r.Events[i].Size()
				}
				r.More = r.More || size >= a.bytes
			}),
		},
		{
			name:     "Head of a page is the store's",
			caughtBy: "ReadPage/has its last event as Head if bytes left events out",
			build:    changingPage(nil, func(r *dcb.ReadResult, a readArgs) { r.Head = a.opts.Top(a.log.Head()) }),
		},
		{
			name:     "Head of a backward page is its last event",
			caughtBy: "ReadPage/has the Head of a whole read backwards",
			build: changingPage(nil, func(r *dcb.ReadResult, a readArgs) {
				if a.opts.Backwards && r.More {
					r.Head = lastOf(r)
				}
			}),
		},
		{
			name: "a page ignores Limit", caughtBy: "ReadPage/ends at Limit if that comes first",
			build: changingPage(func(a *readArgs) { a.opts.Limit = 0 }, nil),
		},
		{
			name: "a page ignores Before", caughtBy: "ReadPage/keeps to After and Before",
			build: changingPage(func(a *readArgs) { a.opts.Before = 0 }, nil),
		},
		{
			name: "a page of an empty range has More", caughtBy: "ReadPage/of an empty range has no events",
			build: changingPage(nil, func(r *dcb.ReadResult, _ readArgs) { r.More = r.More || len(r.Events) == 0 }),
		},
		countingBytes("a page does not count types", func(e *dcb.Event) int { return e.Size() - len(e.Type) }),
		countingBytes("a page does not count tags", func(e *dcb.Event) int {
			return (&dcb.Event{Type: e.Type, Data: e.Data, Metadata: e.Metadata}).Size()
		}),
		countingBytes("a page does not count data", func(e *dcb.Event) int { return e.Size() - len(e.Data) }),
		countingBytes("a page does not count metadata", func(e *dcb.Event) int {
			return (&dcb.Event{Type: e.Type, Tags: e.Tags, Data: e.Data}).Size()
		}),
		{
			name:     "a page ignores all items but the first",
			caughtBy: "ReadPage/selects the same events as Query.Matches for random queries",
			build:    changingPage(func(a *readArgs) { a.query = a.query[:1] }, nil),
		},
		{
			name:     "a page of a negative Limit is not bounded",
			caughtBy: "ReadPage/fails for an invalid query or Limit",
			build:    changingPage(func(a *readArgs) { a.opts.Limit = max(a.opts.Limit, 0) }, nil),
		},
		{
			name:     "a page after another loses its first event",
			caughtBy: "Pages/are together the result of one Read",
			build: changingPage(nil, func(r *dcb.ReadResult, a readArgs) {
				if a.opts.After > 0 && len(r.Events) > 1 {
					r.Events = r.Events[1:]
				}
			}),
		},
		{
			name:     "Head of every page is the store's",
			caughtBy: "Pages/have their last event as Head until the last page",
			build:    changingPage(nil, func(r *dcb.ReadResult, a readArgs) { r.Head = a.log.Head() }),
		},
		{
			name: "pages ignore Before", caughtBy: "Pages/do not contain events appended after the first pull",
			build: changingPage(func(a *readArgs) {
				if !a.opts.Backwards {
					a.opts.Before = 0
				}
			}, nil),
		},
		{
			name: "the events of a page are reversed", caughtBy: "Pages/read no range twice",
			build: changingPage(nil, func(r *dcb.ReadResult, _ readArgs) { slices.Reverse(r.Events) }),
		},
		{
			name: "the events of a page are reversed, for Stream", caughtBy: "Stream/reads no range twice",
			build: changingPage(nil, func(r *dcb.ReadResult, _ readArgs) { slices.Reverse(r.Events) }),
		},
		{
			name: "Head of a page without events is After", caughtBy: "Follow/reads no range twice",
			build: changingPage(nil, func(r *dcb.ReadResult, a readArgs) {
				if len(r.Events) == 0 {
					r.Head = a.opts.After
				}
			}),
		},
	}
}

// changingPage builds a store that changes the arguments and the result of every ReadPage. Each
// function may be nil.
func changingPage(arguments func(a *readArgs), result func(r *dcb.ReadResult, a readArgs)) builder {
	return func(s *simpleStore) dcb.Store {
		return &patchedStore{simpleStore: s, page: func(ctx context.Context, a readArgs) (dcb.ReadResult, error) {
			if arguments != nil {
				arguments(&a)
			}
			r, err := s.ReadPage(ctx, a.query, a.opts, a.bytes)
			if err == nil && result != nil {
				a.log = s.snapshot()
				result(&r, a)
			}
			return r, err
		}}
	}
}

// countingBytes returns a store that computes the size of an event wrongly.
func countingBytes(name string, size func(e *dcb.Event) int) faultyStore {
	return faultyStore{
		name: name, caughtBy: "ReadPage/counts type, tags, data and metadata",
		build: func(s *simpleStore) dcb.Store {
			return &patchedStore{simpleStore: s, page: func(ctx context.Context, a readArgs) (dcb.ReadResult, error) {
				r, err := s.Read(ctx, a.query, a.opts)
				total := 0
				for i := range r.Events {
					if total += size(&r.Events[i].Event); total >= a.bytes && i+1 < len(r.Events) {
						r.Events, r.More, r.Head = r.Events[:i+1], true, r.Events[i].Position
						break
					}
				}
				return r, err
			}}
		},
	}
}
