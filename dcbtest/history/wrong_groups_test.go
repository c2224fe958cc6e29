package history

import (
	"context"
	"sync"

	"github.com/dcbstore/dcb"
)

// groups commits the appends that arrive together in one step, as durable stores do; commit does it, wrongly.
type groups struct {
	*plain
	commit commit

	gathering sync.Mutex // guards what follows
	leading   bool
	waiting   []*groupAppend
}

type commit func(ctx context.Context, s *plain, group []*groupAppend)

type groupAppend struct {
	events    []dcb.Event
	condition *dcb.AppendCondition
	position  dcb.Position
	err       error
	done      chan struct{}
}

func (s *groups) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	if err := s.valid(ctx, events, condition); err != nil {
		return 0, err
	}
	mine := &groupAppend{events: events, condition: condition, done: make(chan struct{})}
	s.gathering.Lock()
	s.waiting = append(s.waiting, mine)
	lead := !s.leading
	s.leading = true
	s.gathering.Unlock()
	if lead {
		go s.lead(ctx)
	}
	<-mine.done
	return mine.position, mine.err
}

// lead commits groups until nobody waits.
func (s *groups) lead(ctx context.Context) {
	for {
		yield()
		s.gathering.Lock()
		group := s.waiting
		s.waiting, s.leading = nil, len(group) > 0
		s.gathering.Unlock()
		if len(group) == 0 {
			return
		}
		s.mu.Lock()
		s.commit(ctx, s.plain, group)
		s.mu.Unlock()
		for _, one := range group {
			close(one.done)
		}
	}
}

// oneFailsAll gives the conflict of one append to all that were committed with it.
func oneFailsAll(_ context.Context, s *plain, group []*groupAppend) {
	for _, one := range group {
		if err := s.conflict(one.condition); err != nil {
			for _, other := range group {
				other.err = err
			}
			return
		}
	}
	for _, one := range group {
		one.position, one.err = s.appendLocked(one.events, one.condition)
	}
}

// leaderCancelsAll commits under the context of the append that came first.
func leaderCancelsAll(ctx context.Context, s *plain, group []*groupAppend) {
	for _, one := range group {
		if one.err = ctx.Err(); one.err == nil {
			one.position, one.err = s.appendLocked(one.events, one.condition)
		}
	}
}

// decidesTogether decides every condition of a group by what was recorded before the group.
func decidesTogether(_ context.Context, s *plain, group []*groupAppend) {
	for _, one := range group {
		if one.position, one.err = s.repeated(one.events); one.position == 0 && one.err == nil {
			one.err = s.conflict(one.condition)
		}
	}
	for _, one := range group {
		if one.position == 0 && one.err == nil {
			one.position, one.err = s.appendLocked(one.events, nil)
		}
	}
}
