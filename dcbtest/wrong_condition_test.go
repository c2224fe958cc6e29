package dcbtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/dcbstore/dcb"
)

// wrongConditions check append conditions wrongly, or report conflicts wrongly.
func wrongConditions() []faultyStore {
	return []faultyStore{
		{
			name:     "a conflicting append records half of its events",
			caughtBy: "Append condition/records all events of a call or none",
			build: replacingAppend(func(s *simpleStore, a appendArgs) (dcb.Position, error) {
				position, err := s.record(a)
				if errors.Is(err, dcb.ErrConflict) {
					_, _ = s.record(appendArgs{events: a.events[:len(a.events)/2]})
				}
				return position, err
			}),
		},
		{
			name:     "every condition fails unless the store is empty",
			caughtBy: "Append condition/succeeds if nothing matches",
			build:    changingCondition(func(c *dcb.AppendCondition, _ *simpleStore) { c.FailIfEventsMatch = dcb.All() }),
		},
		{
			name: "After is inclusive in conditions", caughtBy: "Append condition/ignores an event at After",
			build: changingCondition(func(c *dcb.AppendCondition, _ *simpleStore) { c.After = max(c.After, 1) - 1 }),
		},
		{
			name:     "the event after After is ignored",
			caughtBy: "Append condition/conflicts if an event after After matches",
			build:    changingCondition(func(c *dcb.AppendCondition, _ *simpleStore) { c.After++ }),
		},
		{
			name: "After is ignored in conditions", caughtBy: "Append condition/ignores an event before After",
			build: changingCondition(func(c *dcb.AppendCondition, _ *simpleStore) { c.After = 0 }),
		},
		{
			name: "After 0 means no condition", caughtBy: "Append condition/After 0 ignores no event",
			build: changingAppend(func(a *appendArgs, _ *simpleStore) {
				if a.condition != nil && a.condition.After == 0 {
					a.condition = nil
				}
			}),
		},
		{
			name:     "After beyond the head is cut to before the head",
			caughtBy: "Append condition/accepts After beyond the head",
			build: changingCondition(func(c *dcb.AppendCondition, s *simpleStore) {
				if head := s.snapshot().Head(); c.After > head {
					c.After = head - 1
				}
			}),
		},
		{
			name:     "After overflows for events with IDs",
			caughtBy: "Append condition/accepts After beyond the head for events with IDs",
			build: changingCondition(func(c *dcb.AppendCondition, _ *simpleStore) {
				if c.After+1 == 0 {
					c.After = 0
				}
			}),
		},
		{
			name:     "the events of the call are checked",
			caughtBy: "Append condition/does not check the events of the call",
			build: replacingAppend(func(s *simpleStore, a appendArgs) (dcb.Position, error) {
				for _, e := range a.events[1:] {
					if a.condition != nil && a.condition.FailIfEventsMatch.Matches(e) {
						return 0, &dcb.ConflictError{Position: 1}
					}
				}
				return s.record(a)
			}),
		},
		{
			name:     "unrelated appends conflict",
			caughtBy: "Append condition/succeeds after events that do not match",
			build:    changingCondition(func(c *dcb.AppendCondition, _ *simpleStore) { c.FailIfEventsMatch = dcb.All() }),
		},
		{
			name: "only the first item of a condition counts", caughtBy: "Append condition/on several items",
			build: changingCondition(func(c *dcb.AppendCondition, _ *simpleStore) {
				c.FailIfEventsMatch = c.FailIfEventsMatch[:1]
			}),
		},
		{
			name: "a condition ignores its only type", caughtBy: "Append condition/on types",
			build: changingCondition(func(c *dcb.AppendCondition, _ *simpleStore) { c.FailIfEventsMatch[0].Types = nil }),
		},
		{
			name: "a condition ignores its only tag", caughtBy: "Append condition/on tags",
			build: changingCondition(func(c *dcb.AppendCondition, _ *simpleStore) { c.FailIfEventsMatch[0].Tags = nil }),
		},
		{
			name:     "the tags of two events combine",
			caughtBy: "Append condition/does not combine the tags of two events",
			build: replacingAppend(func(s *simpleStore, a appendArgs) (dcb.Position, error) {
				var tags []string
				for _, e := range s.log {
					tags = append(tags, e.Tags...)
				}
				if a.condition != nil && containsAll(tags, a.condition.FailIfEventsMatch[0].Tags) {
					return 0, &dcb.ConflictError{Position: s.log.Head()}
				}
				return s.record(a)
			}),
		},
		{
			name:     "tags of a condition beyond 128 are ignored",
			caughtBy: "Append condition/with an item of too many tags never conflicts",
			build: changingCondition(func(c *dcb.AppendCondition, _ *simpleStore) {
				c.FailIfEventsMatch[0].Tags = c.FailIfEventsMatch[0].Tags[:min(len(c.FailIfEventsMatch[0].Tags), 128)]
			}),
		},
		{
			name:     "repeated types and tags of a condition cancel out",
			caughtBy: "Append condition/repeated types, tags and items change nothing",
			build: changingCondition(func(c *dcb.AppendCondition, _ *simpleStore) {
				for i, item := range c.FailIfEventsMatch {
					c.FailIfEventsMatch[i] = dcb.QueryItem{Types: unrepeated(item.Types), Tags: unrepeated(item.Tags)}
				}
			}),
		},
		{
			name:     "the head of a read is too great by one",
			caughtBy: "Append condition/accepts the Head of a read as After",
			build:    changingResult(func(r *dcb.ReadResult, _ readArgs) { r.Head++ }),
		},
		{
			name:     "the head of a limited read hides the events left out",
			caughtBy: "Append condition/with the Head of a limited read conflicts with the events left out",
			build:    changingResult(func(r *dcb.ReadResult, a readArgs) { r.Head = a.log.Head() }),
		},
		{
			name:     "a read returns the head of the first read",
			caughtBy: "Append condition/succeeds after a conflict and a new read",
			build: func(s *simpleStore) dcb.Store {
				first := sync.OnceValue(func() dcb.Position { return s.snapshot().Head() })
				return changingResult(func(r *dcb.ReadResult, _ readArgs) { r.Head = first() })(s)
			},
		},
		{
			name: "a condition ignores its types", caughtBy: "Append condition/on types and tags",
			build: changingCondition(func(c *dcb.AppendCondition, _ *simpleStore) { c.FailIfEventsMatch[0].Types = nil }),
		},
		{
			name: "a condition on all events never fails", caughtBy: "Append condition/on all events",
			build: changingCondition(func(c *dcb.AppendCondition, s *simpleStore) {
				if len(c.FailIfEventsMatch[0].Types)+len(c.FailIfEventsMatch[0].Tags) == 0 {
					c.After = s.snapshot().Head()
				}
			}),
		},
		{
			name:     "a conflict names the head",
			caughtBy: "Append condition/ConflictError names a matching event after After",
			build:    changingConflict(func(s *simpleStore, _ error) error { return &dcb.ConflictError{Position: s.log.Head()} }),
		},
		{
			name:     "a conflict is no ConflictError",
			caughtBy: "Append condition/conflicts with an event in the middle of a call",
			build:    changingConflict(func(*simpleStore, error) error { return fmt.Errorf("simple: append: %w", dcb.ErrConflict) }),
		},
		{
			name: "a conflict is Retryable", caughtBy: "Append condition/a conflict is not Retryable",
			build: changingConflict(func(_ *simpleStore, err error) error { return &dcb.UnavailableError{Cause: err} }),
		},
		{
			name:     "random conditions ignore their second item",
			caughtBy: "Append condition/conflicts like Query.Matches for random conditions",
			build: changingCondition(func(c *dcb.AppendCondition, _ *simpleStore) {
				if len(c.FailIfEventsMatch) == 2 {
					c.FailIfEventsMatch = c.FailIfEventsMatch[:1]
				}
			}),
		},
	}
}

// unrepeated returns the texts that occur once.
func unrepeated(texts []string) []string {
	count := make(map[string]int)
	for _, text := range texts {
		count[text]++
	}
	return slices.DeleteFunc(slices.Clone(texts), func(text string) bool { return count[text] > 1 })
}

// changingConflict builds a store that replaces the error of every conflict. change is called with
// the mutex held.
func changingConflict(change func(s *simpleStore, err error) error) builder {
	return replacingAppend(func(s *simpleStore, a appendArgs) (dcb.Position, error) {
		position, err := s.record(a)
		if errors.Is(err, dcb.ErrConflict) {
			err = change(s, err)
		}
		return position, err
	})
}

// wrongRaces fail only when calls run at the same time.
func wrongRaces() []faultyStore {
	return []faultyStore{
		{
			name:     "the check of the condition races with the recording",
			caughtBy: "Append concurrently/one of many with the same condition succeeds", build: racing,
		},
		{
			name:     "a condition on all events races",
			caughtBy: "Append concurrently/one of many with a condition on all events succeeds", build: racing,
		},
		{
			name:     "two appends that exclude each other succeed",
			caughtBy: "Append concurrently/one of two that exclude each other succeeds", build: racing,
		},
		{
			name:     "two invoices get the same number",
			caughtBy: "Append concurrently/numbers invoices without gaps", build: racing,
		},
		{
			name:     "a rule over two boundaries races",
			caughtBy: "Append concurrently/keeps a rule over two boundaries", build: racing,
		},
		{
			name:     "unrelated appends conflict when they race",
			caughtBy: "Append concurrently/unrelated appends all succeed",
			build:    changingCondition(func(c *dcb.AppendCondition, _ *simpleStore) { c.FailIfEventsMatch = dcb.All() }),
		},
		{
			name:     "events of several calls are interleaved",
			caughtBy: "Append concurrently/the events of a call stay together", build: interleaving,
		},
		{
			name:     "half an append is visible",
			caughtBy: "Read concurrently/sees whole appends, in order, and rising heads", build: interleaving,
		},
	}
}

// racing builds a store that checks the condition and records the events in two steps.
func racing(s *simpleStore) dcb.Store {
	return &patchedStore{simpleStore: s, append: func(ctx context.Context, a appendArgs) (dcb.Position, error) {
		if a.condition == nil {
			return s.Append(ctx, a.events, nil)
		}
		if position, conflict := a.conflicting(s.snapshot(), dcb.Query.Matches); conflict {
			return 0, &dcb.ConflictError{Position: position}
		}
		letOthersRun()
		return s.Append(ctx, a.events, nil)
	}}
}

// interleaving builds a store that records the events of a call one by one. Its reads wait until
// they fall between two events.
func interleaving(s *simpleStore) dcb.Store {
	const between = 2 * time.Millisecond
	return &patchedStore{
		simpleStore: s,
		append: func(ctx context.Context, a appendArgs) (position dcb.Position, err error) {
			for i := range a.events {
				if position, err = s.Append(ctx, a.events[i:i+1], a.condition); err != nil {
					return position, err
				}
				time.Sleep(between)
			}
			return position, nil
		},
		read: func(ctx context.Context, a readArgs) (dcb.ReadResult, error) {
			time.Sleep(between / 2)
			return s.Read(ctx, a.query, a.opts)
		},
	}
}
