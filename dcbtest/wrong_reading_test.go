package dcbtest

import (
	"math"
	"slices"
	"time"

	"github.com/dcbstore/dcb"
)

func wrongReading() []fault {
	return []fault{
		{name: "After inclusive in reads", caughtBy: "reading/After leaves out what is at it and before", wrong: asking(func(_ *dcb.Query, opts *dcb.ReadOptions) {
			opts.After = max(opts.After, 1) - 1
		}, nil)},
		{name: "Before inclusive in reads", caughtBy: "reading/Before leaves out what is at it and after", wrong: asking(func(_ *dcb.Query, opts *dcb.ReadOptions) {
			if opts.Before > 0 {
				opts.Before++
			}
		}, nil)},
		{name: "Before ignored with After", caughtBy: "reading/After and Before together are a window", wrong: asking(func(_ *dcb.Query, opts *dcb.ReadOptions) {
			if opts.After > 0 {
				opts.Before = 0
			}
		}, nil)},
		{name: "Backwards ignored", caughtBy: "reading/Backwards returns the newest first", wrong: asking(func(_ *dcb.Query, opts *dcb.ReadOptions) {
			opts.Backwards = false
		}, nil)},
		{name: "Backwards with Limit returns the oldest, reversed", caughtBy: "reading/Backwards with Limit returns the newest only", wrong: asking(func(_ *dcb.Query, opts *dcb.ReadOptions) {
			opts.Backwards = false
		}, func(_ dcb.Query, opts dcb.ReadOptions, r *dcb.ReadResult, p *simple) {
			if opts.Backwards {
				slices.Reverse(r.Events)
				r.Head = p.seen().Head()
			}
		})},
		{name: "Limit off by one", caughtBy: "reading/Limit returns the oldest only", wrong: asking(func(_ *dcb.Query, opts *dcb.ReadOptions) {
			if opts.Limit > 0 {
				opts.Limit++
			}
		}, nil)},
		{name: "Limit overflows", caughtBy: "reading/Limit may be anything from zero", wrong: asking(nil, func(_ dcb.Query, opts dcb.ReadOptions, r *dcb.ReadResult, _ *simple) {
			r.Events = r.Events[:min(len(r.Events), max(opts.Limit, opts.Limit+1, 0))]
			if opts.Limit == math.MaxInt {
				r.Events = nil
			}
		})},
		{name: "positions are signed", caughtBy: "reading/After and Before may be anything", wrong: asking(func(_ *dcb.Query, opts *dcb.ReadOptions) {
			opts.After = dcb.Position(max(int64(opts.After), 0))
			opts.Before = dcb.Position(max(int64(opts.Before), 0))
		}, nil)},
		{name: "the head of a read is the last matching event", caughtBy: "reading/the head is the store's, whatever was selected", wrong: asking(nil, func(_ dcb.Query, _ dcb.ReadOptions, r *dcb.ReadResult, _ *simple) {
			r.Head = 0
			for _, e := range r.Events {
				r.Head = max(r.Head, e.Position)
			}
		})},
		{name: "the head of a read that was cut short is the store's", caughtBy: "reading/the head of a read that Limit cut short is its last event", wrong: asking(nil, func(_ dcb.Query, _ dcb.ReadOptions, r *dcb.ReadResult, p *simple) {
			r.Head = p.seen().Head()
		})},
		{name: "the head of every limited read is its last event", caughtBy: "reading/a read of exactly Limit events is not cut short", wrong: asking(nil, func(_ dcb.Query, opts dcb.ReadOptions, r *dcb.ReadResult, _ *simple) {
			if n := len(r.Events); n > 0 && n == opts.Limit && !opts.Backwards {
				r.Head = r.Events[n-1].Position
			}
		})},
		{name: "what lies beyond Before cuts a read short", caughtBy: "reading/what Before leaves out does not cut a read short", wrong: asking(nil, func(q dcb.Query, opts dcb.ReadOptions, r *dcb.ReadResult, p *simple) {
			opts.Before = 0
			if beyond, _ := p.seen().Read(q, opts); opts.Limit == len(r.Events) {
				r.Head = beyond.Head
			}
		})},
		{name: "a backward read that was cut short has the head of its last event", caughtBy: "reading/the head of a backward read is the store's", wrong: asking(nil, func(_ dcb.Query, opts dcb.ReadOptions, r *dcb.ReadResult, _ *simple) {
			if n := len(r.Events); opts.Backwards && n > 0 && n == opts.Limit {
				r.Head = r.Events[n-1].Position
			}
		})},
		{name: "the head of a read ends at Before", caughtBy: "reading/the head is the store's, whatever was selected", wrong: asking(nil, func(_ dcb.Query, opts dcb.ReadOptions, r *dcb.ReadResult, _ *simple) {
			if opts.Before > 0 {
				r.Head = min(r.Head, opts.Before-1)
			}
		})},
		{name: "a read returns no more than a thousand events", caughtBy: "reading/many events come in order", wrong: asking(nil, func(_ dcb.Query, _ dcb.ReadOptions, r *dcb.ReadResult, _ *simple) {
			r.Events = r.Events[:min(len(r.Events), 1000)]
		})},
		{name: "a read misses the newest event", caughtBy: "reading/an append is read as soon as it returned", wrong: asking(func(_ *dcb.Query, opts *dcb.ReadOptions) {
			opts.Limit = 1
		}, func(_ dcb.Query, _ dcb.ReadOptions, r *dcb.ReadResult, _ *simple) { r.Events = nil })},
		{name: "the head of a limited read skips what matches no more", caughtBy: "reading/a reader that goes on at the head sees everything once", wrong: asking(nil, func(_ dcb.Query, opts dcb.ReadOptions, r *dcb.ReadResult, _ *simple) {
			if opts.Limit > 0 && len(r.Events) == opts.Limit {
				r.Head++
			}
		})},
		{name: "an empty store has head 1", caughtBy: "reading/every combination of options, of an empty store", wrong: asking(nil, func(_ dcb.Query, _ dcb.ReadOptions, r *dcb.ReadResult, _ *simple) {
			r.Head = max(r.Head, 1)
		})},
		{name: "After with Limit and Backwards is ignored", caughtBy: "reading/every combination of options, of a tag", wrong: asking(func(_ *dcb.Query, opts *dcb.ReadOptions) {
			if opts.Limit > 0 && opts.Backwards {
				opts.After = 0
			}
		}, nil)},
		{name: "RecordedAt is local", caughtBy: "nouns/RecordedAt is UTC in whole microseconds", wrong: recordedAt(func(at time.Time, _ dcb.Position) time.Time {
			return at.In(time.FixedZone("", 3600))
		})},
		{name: "RecordedAt has nanoseconds", caughtBy: "nouns/RecordedAt is UTC in whole microseconds", wrong: recordedAt(func(at time.Time, p dcb.Position) time.Time {
			return at.Add(time.Duration(p))
		})},
		{name: "RecordedAt falls", caughtBy: "nouns/RecordedAt never falls", wrong: recordedAt(func(at time.Time, p dcb.Position) time.Time {
			return at.Add(-time.Hour * time.Duration(p%2))
		})},
		{name: "RecordedAt is not set", caughtBy: "nouns/RecordedAt is about now", wrong: recordedAt(func(time.Time, dcb.Position) time.Time {
			return time.Time{}
		})},
		{name: "RecordedAt is when the event was read", caughtBy: "nouns/RecordedAt stays what it is", wrong: func(p *simple) dcb.Store {
			reads := 0
			return recordedAt(func(at time.Time, _ dcb.Position) time.Time {
				reads++
				return at.Add(time.Duration(reads) * time.Millisecond)
			})(p)
		}},
	}
}

func recordedAt(change func(at time.Time, p dcb.Position) time.Time) func(p *simple) dcb.Store {
	return asking(nil, func(_ dcb.Query, _ dcb.ReadOptions, r *dcb.ReadResult, _ *simple) {
		for i := range r.Events {
			r.Events[i].RecordedAt = change(r.Events[i].RecordedAt, r.Events[i].Position)
		}
	})
}
