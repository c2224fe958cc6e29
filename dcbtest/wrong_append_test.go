package dcbtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
)

// wrongEvents return other events than were appended.
func wrongEvents() []faultyStore {
	return []faultyStore{
		{
			name: "data ends at a NUL", caughtBy: "Read/returns data byte for byte",
			build: changingEvents(func(e *dcb.Event) { e.Data, _, _ = bytes.Cut(e.Data, []byte{0}) }),
		},
		{
			name: "no data becomes null", caughtBy: "Append/accepts an event with only a type",
			build: changingEvents(func(e *dcb.Event) {
				if e.Data == nil {
					e.Data = []byte("null")
				}
			}),
		},
		{
			name: "large data is cut", caughtBy: "Append/accepts events of very different sizes in one call",
			build: changingEvents(func(e *dcb.Event) { e.Data = e.Data[:min(len(e.Data), 1<<16)] }),
		},
		{
			name: "metadata is dropped", caughtBy: "Read/returns every field as it was appended",
			build: changingEvents(func(e *dcb.Event) { e.Metadata = nil }),
		},
		{
			name: "backward reads drop the ID", caughtBy: "Read/returns every field backwards and for any query",
			build: changingResult(func(r *dcb.ReadResult, a readArgs) {
				for i := range r.Events {
					if a.opts.Backwards {
						r.Events[i].ID = uuid.Nil
					}
				}
			}),
		},
		{
			name: "empty metadata values are dropped", caughtBy: "Read/returns metadata byte for byte",
			build: changingEvents(func(e *dcb.Event) { delete(e.Metadata, "empty") }),
		},
		{
			name:     "an event without an ID gets one",
			caughtBy: "Read/returns any ID, and no ID, as it was appended",
			build: changingEvents(func(e *dcb.Event) {
				if e.ID == uuid.Nil {
					e.ID = uuid.New()
				}
			}),
		},
		{
			name: "byte order marks are removed from tags", caughtBy: "Append/accepts any valid text as a tag",
			build: changingEvents(func(e *dcb.Event) {
				for i := range e.Tags {
					e.Tags[i] = string(bytes.ReplaceAll([]byte(e.Tags[i]), []byte("\ufeff"), nil))
				}
			}),
		},
		{
			name:     "control characters are removed from types",
			caughtBy: "Append/accepts any valid text as a type",
			build: changingEvents(func(e *dcb.Event) {
				if stripped := bytes.ReplaceAll([]byte(e.Type), []byte("\x01"), nil); len(stripped) > 0 {
					e.Type = string(stripped)
				} else {
					e.Type = "?"
				}
			}),
		},
		{
			name: "repeated tags stay", caughtBy: "Append/records a repeated tag once",
			build: changingResult(func(r *dcb.ReadResult, _ readArgs) {
				for i := range r.Events {
					r.Events[i].Tags = append(r.Events[i].Tags, r.Events[i].Tags...)
				}
			}),
		},
		{
			name: "tags are sorted", caughtBy: "Append/records a repeated tag once",
			build: changingEvents(func(e *dcb.Event) { slices.Sort(e.Tags) }),
		},
		{
			name:     "a repeated tag is recorded where it was last mentioned",
			caughtBy: "Append/records a repeated tag once",
			build: changingEvents(func(e *dcb.Event) {
				slices.Reverse(e.Tags)
				e.Tags = slices.Clone(dcb.UniqueTags(e.Tags))
				slices.Reverse(e.Tags)
			}),
		},
	}
}

// wrongAppends give wrong positions, or record the wrong events of a call.
func wrongAppends() []faultyStore {
	return []faultyStore{
		{
			name: "a failed append leaves a gap", caughtBy: "Append/leaves no gap when it fails",
			build: func(s *simpleStore) dcb.Store {
				lost := dcb.Position(0)
				return &patchedStore{simpleStore: s, append: func(ctx context.Context, a appendArgs) (dcb.Position, error) {
					position, err := s.Append(ctx, a.events, a.condition)
					if errors.Is(err, dcb.ErrConflict) {
						lost++ // like the value of a database sequence
					}
					if err == nil {
						position += lost
					}
					return position, err
				}}
			},
		},
		{
			name: "an append starts at position 0", caughtBy: "Append/gives positions from 1 without gaps",
			build: func(s *simpleStore) dcb.Store {
				return &patchedStore{simpleStore: s, append: func(ctx context.Context, a appendArgs) (dcb.Position, error) {
					position, err := s.Append(ctx, a.events, a.condition)
					return max(position, 1) - 1, err
				}}
			},
		},
		{
			name:     "an append returns the position of its first event",
			caughtBy: "Append/gives the events of a call consecutive positions",
			build: replacingAppend(func(s *simpleStore, a appendArgs) (dcb.Position, error) {
				position, err := s.record(a)
				return position - min(position, dcb.Position(len(a.events))-1), err
			}),
		},
		{
			name:     "the events of a call are recorded in reverse",
			caughtBy: "Append/keeps the order of the events of a call",
			build:    changingAppend(func(a *appendArgs, _ *simpleStore) { slices.Reverse(a.events) }),
		},
		{
			name:     "an event equal to the last one is dropped",
			caughtBy: "Append/records equal events without IDs each time",
			build: replacingAppend(func(s *simpleStore, a appendArgs) (dcb.Position, error) {
				if head := s.log.Head(); head > 0 && a.events[0].Same(s.log[head-1].Event) {
					return head, nil
				}
				return s.record(a)
			}),
		},
		{
			name:     "an invalid append records its valid events",
			caughtBy: "Append limits/one invalid event fails the whole append",
			build: func(s *simpleStore) dcb.Store {
				return &patchedStore{simpleStore: s, append: func(ctx context.Context, a appendArgs) (dcb.Position, error) {
					position, err := s.Append(ctx, a.events, a.condition)
					if errors.Is(err, dcb.ErrInvalid) && len(a.events) > 1 {
						_, _ = s.Append(ctx, a.events[:1], nil)
					}
					return position, err
				}}
			},
		},
		{
			name:     "a conflicting append stays in the index",
			caughtBy: "Append/leaves nothing to find when it fails",
			build: func(s *simpleStore) dcb.Store {
				var failed []dcb.Event
				return &patchedStore{simpleStore: s, append: func(ctx context.Context, a appendArgs) (dcb.Position, error) {
					if a.condition != nil && slices.ContainsFunc(failed, a.condition.FailIfEventsMatch.Matches) {
						return 0, &dcb.ConflictError{Position: 1}
					}
					position, err := s.Append(ctx, a.events, a.condition)
					if errors.Is(err, dcb.ErrConflict) {
						failed = append(failed, a.events...)
					}
					return position, err
				}}
			},
		},
		{
			name: "stores share their events", caughtBy: "Append/changes no other store",
			build: func() builder {
				var first *simpleStore
				return func(s *simpleStore) dcb.Store {
					if first == nil {
						first = s
					}
					return first
				}
			}(),
		},
	}
}

// wrongLimits accept invalid appends, or return the wrong error.
func wrongLimits() []faultyStore {
	return []faultyStore{
		acceptingInvalid("a type may have a byte more", "Append limits/type bytes", func(events []dcb.Event) {
			events[len(events)-1].Type = "T"
		}),
		acceptingInvalid("a tag may be empty", "Append limits/tag bytes", func(events []dcb.Event) {
			events[len(events)-1].Tags = nil
		}),
		acceptingInvalid("an event may have a tag more", "Append limits/tags of an event", func(events []dcb.Event) {
			events[len(events)-1].Tags = nil
		}),
		acceptingInvalid("data may have a byte more", "Append limits/data bytes", func(events []dcb.Event) {
			events[0].Data = nil
		}),
		acceptingInvalid("metadata may have any number of entries",
			"Append limits/metadata entries", func(events []dcb.Event) {
				events[0].Metadata = nil
			}),
		acceptingInvalid("text may have a NUL", "Append limits/text has no NUL", func(events []dcb.Event) {
			events[len(events)-1] = event("T")
		}),
		acceptingInvalid("text may be invalid UTF-8", "Append limits/text is valid UTF-8", func(events []dcb.Event) {
			events[len(events)-1] = event("T")
		}),
		{
			name:     "the last event of the largest append is lost",
			caughtBy: "Append limits/the greatest number of events",
			build: changingAppend(func(a *appendArgs, _ *simpleStore) {
				a.events = a.events[:min(len(a.events), dcb.MaxEvents-1)]
			}),
		},
		{
			name:     "the last byte of the largest append is lost",
			caughtBy: "Append limits/the greatest number of bytes",
			build:    changingEvents(func(e *dcb.Event) { e.Data = e.Data[:len(e.Data)-1] }),
		},
		{
			name: "an append may have an event more", caughtBy: "Append limits/one event too many",
			build: func(s *simpleStore) dcb.Store {
				return &patchedStore{simpleStore: s, append: func(ctx context.Context, a appendArgs) (dcb.Position, error) {
					return s.Append(ctx, a.events[:min(len(a.events), dcb.MaxEvents)], a.condition)
				}}
			},
		},
		{
			name: "an append may have a byte more", caughtBy: "Append limits/one byte too many",
			build: func(s *simpleStore) dcb.Store {
				return &patchedStore{simpleStore: s, append: func(ctx context.Context, a appendArgs) (dcb.Position, error) {
					return s.Append(ctx, a.events[:1], a.condition)
				}}
			},
		},
		{
			name: "repeated tags count towards the limit", caughtBy: "Append limits/repeated tags count once",
			build: replacingAppend(func(s *simpleStore, a appendArgs) (dcb.Position, error) {
				if len(a.events[0].Tags) > dcb.MaxTags {
					return 0, dcb.ErrInvalid
				}
				return s.record(a)
			}),
		},
		{
			name: "the error of an invalid argument names no field", caughtBy: "Append limits/metadata bytes",
			build: func(s *simpleStore) dcb.Store {
				return &patchedStore{simpleStore: s, append: func(ctx context.Context, a appendArgs) (dcb.Position, error) {
					position, err := s.Append(ctx, a.events, a.condition)
					if errors.Is(err, dcb.ErrInvalid) {
						err = fmt.Errorf("invalid: %w", dcb.ErrInvalid)
					}
					return position, err
				}}
			},
		},
		{
			name: "an append without events succeeds", caughtBy: "Append limits/at least one event",
			build: func(s *simpleStore) dcb.Store {
				return &patchedStore{simpleStore: s, append: func(ctx context.Context, a appendArgs) (dcb.Position, error) {
					if len(a.events) == 0 {
						return s.Head(ctx)
					}
					return s.Append(ctx, a.events, a.condition)
				}}
			},
		},
		{
			name: "an empty query selects everything", caughtBy: "Query limits/at least one item",
			build: changingRead(func(q *dcb.Query, _ *dcb.ReadOptions) {
				if len(*q) == 0 {
					*q = dcb.All()
				}
			}),
		},
		{
			name: "an empty text of a query is ignored", caughtBy: "Query limits/text is valid and not empty",
			build: changingRead(func(q *dcb.Query, _ *dcb.ReadOptions) {
				*q = cloneQuery(*q)
				for i, item := range *q {
					(*q)[i].Types = slices.DeleteFunc(item.Types, func(text string) bool { return text == "" })
					(*q)[i].Tags = slices.DeleteFunc(item.Tags, func(text string) bool { return text == "" })
				}
			}),
		},
		{
			name: "a long text of a query is cut", caughtBy: "Query limits/type and tag bytes",
			build: changingRead(func(q *dcb.Query, _ *dcb.ReadOptions) {
				*q = cloneQuery(*q)
				for _, item := range *q {
					changeEach(item.Types, func(text string) string { return text[:min(len(text), dcb.MaxTypeBytes)] })
					changeEach(item.Tags, func(text string) string { return text[:min(len(text), dcb.MaxTagBytes)] })
				}
			}),
		},
		{
			name: "the items of a large query are cut", caughtBy: "Query limits/the greatest number of items",
			build: changingRead(func(q *dcb.Query, _ *dcb.ReadOptions) { *q = (*q)[:min(len(*q), 1000)] }),
		},
		{
			name: "a query may have an item more", caughtBy: "Query limits/one item too many",
			build: changingRead(func(q *dcb.Query, _ *dcb.ReadOptions) { *q = (*q)[:min(len(*q), dcb.MaxQueryItems)] }),
		},
		{
			name: "the bytes of a large query are cut", caughtBy: "Query limits/the greatest number of bytes",
			build: changingRead(func(q *dcb.Query, _ *dcb.ReadOptions) { *q = (*q)[:min(len(*q), 5)] }),
		},
		{
			name: "a query may have a byte more", caughtBy: "Query limits/one byte too many",
			build: changingRead(func(q *dcb.Query, _ *dcb.ReadOptions) { *q = (*q)[:1] }),
		},
		{
			name: "a negative Limit is no limit", caughtBy: "Read/fails for a negative Limit",
			build: changingRead(func(_ *dcb.Query, opts *dcb.ReadOptions) { opts.Limit = max(opts.Limit, 0) }),
		},
	}
}

// acceptingInvalid returns a store that makes an invalid append valid and so accepts it.
func acceptingInvalid(name, caughtBy string, makeValid func(events []dcb.Event)) faultyStore {
	return faultyStore{name: name, caughtBy: caughtBy, build: func(s *simpleStore) dcb.Store {
		return &patchedStore{simpleStore: s, append: func(ctx context.Context, a appendArgs) (dcb.Position, error) {
			if err := dcb.ValidateAppend(a.events, a.condition); errors.Is(err, dcb.ErrInvalid) {
				a.events = cloneEvents(a.events)
				makeValid(a.events)
			}
			return s.Append(ctx, a.events, a.condition)
		}}
	}}
}
