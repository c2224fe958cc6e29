package dcbtest

import (
	"context"
	"slices"

	"github.com/dcbstore/dcb"
)

func wrongMemory() []fault {
	return []fault{
		{name: "tags that were given are kept", caughtBy: "ownership/tags that were given may be changed", wrong: keeping(func(kept, given *dcb.Event) { kept.Tags = given.Tags })},
		{name: "data that was given is kept", caughtBy: "ownership/data that was given may be changed", wrong: keeping(func(kept, given *dcb.Event) { kept.Data = given.Data })},
		{name: "metadata that was given is kept", caughtBy: "ownership/metadata that was given may be changed", wrong: keeping(func(kept, given *dcb.Event) { kept.Metadata = given.Metadata })},
		{name: "the list of events that was given is kept", caughtBy: "ownership/the list of events that was given may be changed", wrong: func(p *simple) dcb.Store {
			var last []dcb.Event
			return &faulty{
				simple: p,
				append: func(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
					last = events
					return p.Append(ctx, events, condition)
				},
				read: func(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
					result, err := p.Read(ctx, q, opts)
					for i := range result.Events {
						result.Events[i].Type = last[result.Events[i].Position-1].Type
					}
					return result, err
				},
			}
		}},
		{name: "tags are returned as they are kept", caughtBy: "ownership/tags that were returned may be changed", wrong: lending(func(lent, kept *dcb.SequencedEvent) { lent.Tags = kept.Tags })},
		{name: "data is returned as it is kept", caughtBy: "ownership/data that was returned may be changed", wrong: lending(func(lent, kept *dcb.SequencedEvent) { lent.Data = kept.Data })},
		{name: "metadata is returned as it is kept", caughtBy: "ownership/metadata that was returned may be changed", wrong: lending(func(lent, kept *dcb.SequencedEvent) { lent.Metadata = kept.Metadata })},
		{name: "the tags of a result run into each other", caughtBy: "ownership/what was returned may be extended", wrong: asking(nil, func(_ dcb.Query, _ dcb.ReadOptions, r *dcb.ReadResult, _ *simple) {
			var arena []string
			for _, e := range r.Events {
				arena = append(arena, e.Tags...)
			}
			for i, from := 0, 0; i < len(r.Events); i++ {
				to := from + len(r.Events[i].Tags)
				r.Events[i].Tags, from = arena[from:to], to
			}
		})},
		{name: "the caller's tags are sorted", caughtBy: "ownership/what was given is left as it is", wrong: func(p *simple) dcb.Store {
			return &faulty{simple: p, append: func(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
				position, err := p.Append(ctx, events, condition)
				for i := range events {
					slices.Sort(events[i].Tags)
				}
				return position, err
			}}
		}},
		{name: "the caller's query is sorted", caughtBy: "ownership/what was given is left as it is", wrong: asking(func(q *dcb.Query, _ *dcb.ReadOptions) {
			for _, item := range *q {
				slices.Sort(item.Types)
			}
		}, nil)},
		{name: "events share metadata when they were given with the same", caughtBy: "ownership/events that shared memory when they were given do not when they are returned", wrong: asking(nil, func(_ dcb.Query, _ dcb.ReadOptions, r *dcb.ReadResult, _ *simple) {
			for i := range r.Events {
				r.Events[i].Metadata = r.Events[0].Metadata
			}
		})},
	}
}

// keeping is a store that keeps memory of the caller.
func keeping(keep func(kept, given *dcb.Event)) func(p *simple) dcb.Store {
	return instead(func(p *simple, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
		before := p.log.Head()
		position, err := p.record(events, condition)
		for i := before; i < p.log.Head(); i++ {
			keep(&p.log[i].Event, &events[i-before])
		}
		return position, err
	})
}

// lending is a store that returns memory of its own.
func lending(lend func(lent, kept *dcb.SequencedEvent)) func(p *simple) dcb.Store {
	return asking(nil, func(_ dcb.Query, _ dcb.ReadOptions, r *dcb.ReadResult, p *simple) {
		kept := p.seen()
		for i := range r.Events {
			lend(&r.Events[i], &kept[r.Events[i].Position-1])
		}
	})
}
