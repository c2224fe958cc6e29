package history

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
)

// yield lets others run at the point where a wrong store is open to a race.
func yield() {
	for range 20 {
		runtime.Gosched()
	}
}

// plain is a correct store in few lines and separate steps, which the wrong stores put together wrongly.
type plain struct {
	mu     sync.Mutex // guards all else
	events []dcb.SequencedEvent
	head   dcb.Position
	risen  chan struct{} // closed and replaced when the head rises
}

func newPlain() *plain { return &plain{risen: make(chan struct{})} }

func (s *plain) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	if err := s.valid(ctx, events, condition); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.appendLocked(events, condition)
}

func (s *plain) valid(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) error {
	if err := dcb.ValidateAppend(events, condition); err != nil {
		return err
	}
	return ctx.Err()
}

func (s *plain) appendLocked(events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	if position, err := s.repeated(events); position != 0 || err != nil {
		return position, err
	}
	if err := s.conflict(condition); err != nil {
		return 0, err
	}
	return s.record(now(), events...), nil
}

func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// repeated returns where events are recorded already, or dcb.ErrDuplicateID.
func (s *plain) repeated(events []dcb.Event) (dcb.Position, error) {
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

func (s *plain) conflict(condition *dcb.AppendCondition) error {
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

func (s *plain) record(at time.Time, events ...dcb.Event) dcb.Position {
	for i := range events {
		s.head++
		event := dcb.SequencedEvent{Event: events[i].Clone(), Position: s.head, RecordedAt: at}
		event.Tags = dcb.UniqueTags(event.Tags)
		s.events = append(s.events, event)
	}
	s.wake()
	return s.head
}

func (s *plain) wake() {
	close(s.risen)
	s.risen = make(chan struct{})
}

func (s *plain) Read(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
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

func (s *plain) Head(ctx context.Context) (dcb.Position, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.head, ctx.Err()
}

func (s *plain) Wait(ctx context.Context, after dcb.Position) (dcb.Position, error) {
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
