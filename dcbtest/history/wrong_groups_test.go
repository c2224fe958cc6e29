package history

import (
	"context"
	"sync"

	"github.com/dcbstore/dcb"
)

// groupCommit returns a function that opens stores which commit groups with c.
func groupCommit(c commit) func(s *simpleStore) dcb.Store {
	return func(s *simpleStore) dcb.Store { return &groups{simpleStore: s, commit: c} }
}

// groups commits the appends that arrive together in one step, as durable stores do. Its commit
// function is wrong.
type groups struct {
	*simpleStore
	commit commit

	queue     sync.Mutex // guards the fields below
	hasLeader bool
	waiting   []*groupAppend
}

// commit commits a group with the context of its leader. It runs with s locked.
type commit func(ctx context.Context, s *simpleStore, group []*groupAppend)

type groupAppend struct {
	events    []dcb.Event
	condition *dcb.AppendCondition
	position  dcb.Position
	err       error
	done      chan struct{} // closed when position and err are set
}

func (s *groups) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	if err := s.validate(ctx, events, condition); err != nil {
		return 0, err
	}
	own := &groupAppend{events: events, condition: condition, done: make(chan struct{})}
	s.queue.Lock()
	s.waiting = append(s.waiting, own)
	isLeader := !s.hasLeader
	s.hasLeader = true
	s.queue.Unlock()
	if isLeader {
		go s.commitGroups(ctx)
	}
	<-own.done
	return own.position, own.err
}

// commitGroups commits the waiting appends, group by group, until none waits.
func (s *groups) commitGroups(ctx context.Context) {
	for {
		yield()
		s.queue.Lock()
		group := s.waiting
		s.waiting, s.hasLeader = nil, len(group) > 0
		s.queue.Unlock()
		if len(group) == 0 {
			return
		}
		s.mu.Lock()
		s.commit(ctx, s.simpleStore, group)
		s.mu.Unlock()
		for _, a := range group {
			close(a.done)
		}
	}
}

// failTogether fails the whole group if the condition of one append fails.
func failTogether(_ context.Context, s *simpleStore, group []*groupAppend) {
	for _, a := range group {
		if err := s.checkCondition(a.condition); err != nil {
			for _, other := range group {
				other.err = err
			}
			return
		}
	}
	for _, a := range group {
		a.position, a.err = s.appendLocked(a.events, a.condition)
	}
}

// cancelTogether fails the whole group if the context of the leader has ended.
func cancelTogether(ctx context.Context, s *simpleStore, group []*groupAppend) {
	for _, a := range group {
		if a.err = ctx.Err(); a.err == nil {
			a.position, a.err = s.appendLocked(a.events, a.condition)
		}
	}
}

// checkTogether checks every condition against the events that were recorded before the group.
func checkTogether(_ context.Context, s *simpleStore, group []*groupAppend) {
	for _, a := range group {
		if a.position, a.err = s.findIDs(a.events); a.position == 0 && a.err == nil {
			a.err = s.checkCondition(a.condition)
		}
	}
	for _, a := range group {
		if a.position == 0 && a.err == nil {
			a.position, a.err = s.appendLocked(a.events, nil)
		}
	}
}
