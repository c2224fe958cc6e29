package dcbtest

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
)

// wrongHandles work alone and fail beside another handle on the same events.
func wrongHandles() []faultyStore {
	return []faultyStore{
		{
			name: "a handle caches the head", caughtBy: "Two handles/Read sees the appends of the other handle",
			build: func(s *simpleStore) dcb.Store {
				head := s.snapshot().Head()
				return &patchedStore{
					simpleStore: s,
					append: func(ctx context.Context, a appendArgs) (dcb.Position, error) {
						position, err := s.Append(ctx, a.events, a.condition)
						head = max(head, position)
						return position, err
					},
					head: func(context.Context) (dcb.Position, error) { return head, nil },
				}
			},
		},
		{
			name:     "a handle reads only events from after it was opened",
			caughtBy: "Two handles/Read sees events from before the handle was opened",
			build: func(s *simpleStore) dcb.Store {
				opened := s.snapshot().Head()
				return changingRead(func(_ *dcb.Query, opts *dcb.ReadOptions) { opts.After = max(opts.After, opened) })(s)
			},
		},
		{
			name:     "an append wakes only its own handle",
			caughtBy: "Two handles/Wait returns after an append through the other handle",
			hangs:    true, build: wakingOwnHandle,
		},
		{
			name:     "an append reaches only followers of its own handle",
			caughtBy: "Two handles/Subscribe yields the appends of the other handle",
			hangs:    true, build: wakingOwnHandle,
		},
		{
			name:     "a handle checks conditions against its own events",
			caughtBy: "Two handles/Append checks its condition against the events of the other handle",
			build: func(s *simpleStore) dcb.Store {
				own := make(map[dcb.Position]bool)
				return replacingAppend(func(s *simpleStore, a appendArgs) (dcb.Position, error) {
					if position, conflict := a.conflicting(s.log, dcb.Query.Matches); conflict && own[position] {
						return 0, &dcb.ConflictError{Position: position}
					}
					position, err := s.record(appendArgs{events: a.events})
					own[position] = true
					return position, err
				})(s)
			},
		},
		{
			name:     "each handle has its own lock",
			caughtBy: "Two handles/one Append of many with the same condition succeeds", build: lockPerHandle,
		},
		{
			name:     "each handle has its own lock for invoices",
			caughtBy: "Two handles/Append numbers invoices without gaps", build: lockPerHandle,
		},
		{
			name:     "events of two handles are interleaved",
			caughtBy: "Two handles/Append keeps the events of a call together", build: interleaving,
		},
		{
			name:     "each handle knows its own IDs",
			caughtBy: "Two handles/Append recognizes a retry through the other handle", build: idsPerHandle,
		},
		{
			name: "closing one handle closes all", caughtBy: "Two handles/Close leaves the other handle open",
			build: func() builder {
				var mu sync.Mutex
				first := make(map[*sharedLog]*simpleStore)
				return func(s *simpleStore) dcb.Store {
					mu.Lock()
					defer mu.Unlock()
					if first[s.sharedLog] == nil {
						first[s.sharedLog] = s
					}
					return first[s.sharedLog]
				}
			}(),
		},
		{
			name:     "a cancelled append is recorded through the other handle",
			caughtBy: "Two handles/a cancelled Append does not affect the other handle",
			build: func(s *simpleStore) dcb.Store {
				return &patchedStore{simpleStore: s, append: func(ctx context.Context, a appendArgs) (dcb.Position, error) {
					position, err := s.Append(context.WithoutCancel(ctx), a.events, a.condition)
					if ctx.Err() != nil {
						err = ctx.Err()
					}
					return position, err
				}}
			},
		},
	}
}

// wrongReopens lose or change something when they are reopened.
func wrongReopens() []faultyStore {
	return []faultyStore{
		{
			name:     "reopening loses the last event",
			caughtBy: "Reopen/Read returns the events as before", build: correct,
			reopened: func(s *simpleStore) { s.log = s.log[:max(len(s.log), 1)-1] },
		},
		{
			name:     "reopening records the events again",
			caughtBy: "Reopen/Read returns the events as before", build: correct,
			reopened: func(s *simpleStore) {
				letOthersRun()
				for i := range s.log {
					s.log[i].RecordedAt = time.Now()
				}
			},
		},
		{
			name:     "reopening an empty store records an event",
			caughtBy: "Reopen/an empty store is still empty", build: correct,
			reopened: func(s *simpleStore) { _, _ = s.record(appendArgs{events: []dcb.Event{event("Opened")}}) },
		},
		{
			name:     "reopening skips positions",
			caughtBy: "Reopen/Append continues the positions without a gap", build: correct,
			reopened: func(s *simpleStore) {
				for i := range s.log {
					s.log[i].Position += 10
				}
			},
		},
		{
			name:     "reopening sets the clock back",
			caughtBy: "Reopen/Append continues the positions without a gap", build: correct,
			reopened: func(s *simpleStore) {
				for i := range s.log {
					s.log[i].RecordedAt = s.log[i].RecordedAt.Add(time.Hour)
				}
			},
		},
		{
			name:     "reopening does not index tags",
			caughtBy: "Reopen/Read selects the same events", build: correct,
			reopened: func(s *simpleStore) {
				for i := range s.log {
					s.log[i].Tags = nil
				}
			},
		},
		{
			name:     "conditions ignore events from before reopening",
			caughtBy: "Reopen/Append checks its condition against earlier events",
			build: func(s *simpleStore) dcb.Store {
				opened := s.snapshot().Head()
				return changingCondition(func(c *dcb.AppendCondition, _ *simpleStore) { c.After = max(c.After, opened) })(s)
			},
		},
		{
			name:     "reopening forgets the IDs",
			caughtBy: "Reopen/Append recognizes earlier IDs", build: idsPerHandle,
		},
		{
			name:     "reopening moves the positions of a reader",
			caughtBy: "Reopen/Follow continues at an earlier Head", build: correct,
			reopened: func(s *simpleStore) { s.log = s.log[:max(len(s.log), 1)-1] },
		},
		{
			name:     "the old handle still appends",
			caughtBy: "Reopen/Append through the old handle fails with ErrClosed",
			build: func(s *simpleStore) dcb.Store {
				return &patchedStore{simpleStore: s, append: func(ctx context.Context, a appendArgs) (dcb.Position, error) {
					return s.open().Append(ctx, a.events, a.condition)
				}}
			},
		},
	}
}

// wakingOwnHandle builds a store whose waiting calls wake only after appends through their handle.
func wakingOwnHandle(s *simpleStore) dcb.Store {
	own := make(chan struct{}, 1000)
	return &patchedStore{
		simpleStore: s,
		append: func(ctx context.Context, a appendArgs) (dcb.Position, error) {
			position, err := s.Append(ctx, a.events, a.condition)
			own <- struct{}{}
			return position, err
		},
		wait: func(ctx context.Context, after dcb.Position) (dcb.Position, error) {
			select {
			case <-own:
				return s.Wait(ctx, after)
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		},
	}
}

// lockPerHandle builds a store whose check and recording are one step only within a handle.
func lockPerHandle(s *simpleStore) dcb.Store {
	lock := make(chan struct{}, 1) // a mutex would stop the clock of the bubble
	store := racing(s)
	return &patchedStore{simpleStore: s, append: func(ctx context.Context, a appendArgs) (dcb.Position, error) {
		lock <- struct{}{}
		defer func() { <-lock }()
		return store.Append(ctx, a.events, a.condition)
	}}
}

// idsPerHandle builds a store that recognizes only the IDs that were appended through its handle.
func idsPerHandle(s *simpleStore) dcb.Store {
	known := make(map[uuid.UUID]bool)
	return replacingAppend(func(s *simpleStore, a appendArgs) (dcb.Position, error) {
		own := true
		for i := range a.events {
			own = own && known[a.events[i].ID]
			known[a.events[i].ID] = true
		}
		if own || positionOf(s, a.events[0].ID) == 0 {
			return s.record(a)
		}
		return recordAgain(s, a.events)
	})(s)
}
