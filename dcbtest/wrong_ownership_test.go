package dcbtest

import (
	"context"
	"slices"

	"github.com/dcbstore/dcb"
)

// wrongOwners share memory with their callers, or change it.
func wrongOwners() []faultyStore {
	return []faultyStore{
		{
			name:     "the tags of an argument are kept",
			caughtBy: "Append ownership/the caller may change tags afterwards",
			build:    keepingArguments(func(recorded, given *dcb.Event) { recorded.Tags = given.Tags }),
		},
		{
			name:     "the data of an argument is kept",
			caughtBy: "Append ownership/the caller may change data afterwards",
			build:    keepingArguments(func(recorded, given *dcb.Event) { recorded.Data = given.Data }),
		},
		{
			name:     "the metadata of an argument is kept",
			caughtBy: "Append ownership/the caller may change metadata afterwards",
			build:    keepingArguments(func(recorded, given *dcb.Event) { recorded.Metadata = given.Metadata }),
		},
		{
			name:     "the slice of events of an argument is kept",
			caughtBy: "Append ownership/the caller may change the slice of events afterwards",
			build: func(s *simpleStore) dcb.Store {
				var last []dcb.Event
				return &patchedStore{
					simpleStore: s,
					append: func(ctx context.Context, a appendArgs) (dcb.Position, error) {
						last = a.events
						return s.Append(ctx, a.events, a.condition)
					},
					read: func(ctx context.Context, a readArgs) (dcb.ReadResult, error) {
						result, err := s.Read(ctx, a.query, a.opts)
						for i := range result.Events {
							result.Events[i].Type = last[result.Events[i].Position-1].Type
						}
						return result, err
					},
				}
			},
		},
		{
			name:     "the tags of an argument are sorted",
			caughtBy: "Append ownership/does not change its arguments",
			build: func(s *simpleStore) dcb.Store {
				return &patchedStore{simpleStore: s, append: func(ctx context.Context, a appendArgs) (dcb.Position, error) {
					position, err := s.Append(ctx, a.events, a.condition)
					for i := range a.events {
						slices.Sort(a.events[i].Tags)
					}
					return position, err
				}}
			},
		},
		{
			name: "the types of a query are sorted", caughtBy: "Append ownership/does not change its arguments",
			build: changingRead(func(q *dcb.Query, _ *dcb.ReadOptions) {
				for _, item := range *q {
					slices.Sort(item.Types)
				}
			}),
		},
		{
			name: "a read returns the recorded tags", caughtBy: "Read ownership/the caller may change tags",
			build: returningRecorded(func(returned, recorded *dcb.SequencedEvent) { returned.Tags = recorded.Tags }),
		},
		{
			name: "a read returns the recorded data", caughtBy: "Read ownership/the caller may change data",
			build: returningRecorded(func(returned, recorded *dcb.SequencedEvent) { returned.Data = recorded.Data }),
		},
		{
			name:     "a read returns the recorded metadata",
			caughtBy: "Read ownership/the caller may change metadata",
			build:    returningRecorded(func(returned, recorded *dcb.SequencedEvent) { returned.Metadata = recorded.Metadata }),
		},
		{
			name:     "the tags of a result are adjacent in one slice",
			caughtBy: "Read ownership/the caller may append to tags and data",
			build: changingResult(func(r *dcb.ReadResult, _ readArgs) {
				var tags []string
				for _, e := range r.Events {
					tags = append(tags, e.Tags...)
				}
				for i, from := 0, 0; i < len(r.Events); i++ {
					to := from + len(r.Events[i].Tags)
					r.Events[i].Tags, from = tags[from:to], to
				}
			}),
		},
		{
			name:     "the events of a result share their metadata",
			caughtBy: "Read ownership/events appended with shared memory come back without it",
			build: changingResult(func(r *dcb.ReadResult, _ readArgs) {
				for i := range r.Events {
					r.Events[i].Metadata = r.Events[0].Metadata
				}
			}),
		},
	}
}

// keepingArguments builds a store that keeps memory of its caller.
func keepingArguments(keep func(recorded, given *dcb.Event)) builder {
	return replacingAppend(func(s *simpleStore, a appendArgs) (dcb.Position, error) {
		before := s.log.Head()
		position, err := s.record(a)
		for i := before; i < s.log.Head(); i++ {
			keep(&s.log[i].Event, &a.events[i-before])
		}
		return position, err
	})
}

// returningRecorded builds a store that returns memory of its own.
func returningRecorded(share func(returned, recorded *dcb.SequencedEvent)) builder {
	return changingResult(func(r *dcb.ReadResult, a readArgs) {
		for i := range r.Events {
			share(&r.Events[i], &a.log[r.Events[i].Position-1])
		}
	})
}
