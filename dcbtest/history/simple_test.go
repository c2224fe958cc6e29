package history

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sort"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
)

// simpleStore is a correct store made of a few separate steps, which the wrong stores combine in
// wrong ways.
type simpleStore struct {
	mu     sync.Mutex // guards the fields below
	events []dcb.SequencedEvent
	head   dcb.Position
	risen  chan struct{} // closed and replaced when the head rises
}

func newSimpleStore() *simpleStore { return &simpleStore{risen: make(chan struct{})} }

func TestWorkloadRunOnTheSimpleStore(t *testing.T) {
	t.Parallel()
	store := newSimpleStore()
	h := runWorkload(t, Workload{Handles: []dcb.Store{store, store}})
	if err := h.Verify(t.Context(), store); err != nil {
		t.Error(err)
	}
}

func (s *simpleStore) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	if err := s.validate(ctx, events, condition); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.appendLocked(events, condition)
}

func (s *simpleStore) validate(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) error {
	if err := dcb.ValidateAppend(events, condition); err != nil {
		return err
	}
	return ctx.Err()
}

func (s *simpleStore) appendLocked(events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	if position, err := s.findIDs(events); position != 0 || err != nil {
		return position, err
	}
	if err := s.checkCondition(condition); err != nil {
		return 0, err
	}
	return s.record(now(), events...), nil
}

func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// findIDs returns the last position of events if they are already recorded, or dcb.ErrDuplicateID
// if one of their IDs is recorded in another way. Otherwise it returns 0.
func (s *simpleStore) findIDs(events []dcb.Event) (dcb.Position, error) {
	for i := range s.events {
		if !slices.ContainsFunc(events, func(e dcb.Event) bool { return e.ID != uuid.Nil && e.ID == s.events[i].ID }) {
			continue
		}
		for j := range events {
			if i+j >= len(s.events) || events[j].ID == uuid.Nil || !s.events[i+j].Same(events[j]) {
				return 0, fmt.Errorf("%w: %s", dcb.ErrDuplicateID, s.events[i].ID)
			}
		}
		return s.events[i+len(events)-1].Position, nil
	}
	return 0, nil
}

func (s *simpleStore) checkCondition(condition *dcb.AppendCondition) error {
	if condition == nil {
		return nil
	}
	for i := range s.events {
		if s.events[i].Position > condition.After && condition.FailIfEventsMatch.Matches(s.events[i].Event) {
			return &dcb.ConflictError{Position: s.events[i].Position}
		}
	}
	return nil
}

func (s *simpleStore) record(at time.Time, events ...dcb.Event) dcb.Position {
	for i := range events {
		s.head++
		event := dcb.SequencedEvent{Event: events[i].Clone(), Position: s.head, RecordedAt: at}
		event.Tags = dcb.UniqueTags(event.Tags)
		s.events = append(s.events, event)
	}
	s.wake()
	return s.head
}

func (s *simpleStore) wake() {
	close(s.risen)
	s.risen = make(chan struct{})
}

func (s *simpleStore) Read(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
	if err := dcb.ValidateRead(q, opts); err != nil {
		return dcb.ReadResult{}, err
	}
	if err := ctx.Err(); err != nil {
		return dcb.ReadResult{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	result := dcb.ReadResult{Head: opts.Top(s.head)}
	from := sort.Search(len(s.events), func(i int) bool { return s.events[i].Position > opts.After })
	for i := range s.events[from:] {
		e := &s.events[from+i]
		if opts.Backwards {
			e = &s.events[len(s.events)-1-i]
		}
		if opts.Before > 0 && e.Position >= opts.Before || !q.Matches(e.Event) {
			continue
		}
		if opts.Limit > 0 && len(result.Events) == opts.Limit {
			result.More = true
			if !opts.Backwards {
				result.Head = result.Events[opts.Limit-1].Position
			}
			break
		}
		result.Events = append(result.Events, e.Clone())
	}
	return result, nil
}

func (s *simpleStore) Head(ctx context.Context) (dcb.Position, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.head, ctx.Err()
}

func (s *simpleStore) Wait(ctx context.Context, after dcb.Position) (dcb.Position, error) {
	for {
		s.mu.Lock()
		head, risen := s.head, s.risen
		s.mu.Unlock()
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if head > after {
			return head, nil
		}
		select {
		case <-risen:
		case <-ctx.Done():
		}
	}
}

// yield lets other goroutines run. The wrong stores call it where they are open to a race.
func yield() {
	for range 20 {
		runtime.Gosched()
	}
}
