package history

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
)

// Stores whose appends go wrong when they meet. Each is right as long as one call is made at a time, but for what its name says.

// checksThenInserts looks for conflicts in one step and records in another.
type checksThenInserts struct{ *plain }

func (s checksThenInserts) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	if err := s.valid(ctx, events, condition); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if position, err := s.repeated(events); position != 0 || err != nil {
		return position, err
	}
	if err := s.conflict(condition); err != nil {
		return 0, err
	}
	s.mu.Unlock()
	yield()
	s.mu.Lock()
	return s.appendLocked(events, nil)
}

// recordsThenChecks finds a conflict only when the events are recorded, and leaves them there.
type recordsThenChecks struct{ *plain }

func (s recordsThenChecks) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	position, err := checksThenInserts(s).Append(ctx, events, condition)
	if err != nil || condition == nil {
		return position, err
	}
	first := position - dcb.Position(len(events)-1)
	s.mu.Lock()
	defer s.mu.Unlock()
	var conflict *dcb.ConflictError
	if err := s.conflict(condition); errors.As(err, &conflict) && conflict.Position < first {
		return 0, err
	}
	return position, nil
}

// burnsPositions takes positions before it knows whether the append will do.
type burnsPositions struct{ *plain }

func (s burnsPositions) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	position, err := s.plain.Append(ctx, events, condition)
	if errors.Is(err, dcb.ErrConflict) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.head++
	}
	return position, err
}

// fillsGaps gives positions that an append lost by a conflict to the next append of one event.
type fillsGaps struct {
	*plain
	free *[]dcb.Position
}

func (s fillsGaps) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	if err := s.valid(ctx, events, condition); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(*s.free) == 0 || len(events) > 1 || condition != nil || events[0].ID != uuid.Nil {
		position, err := s.appendLocked(events, condition)
		if errors.Is(err, dcb.ErrConflict) {
			s.head++
			*s.free = append(*s.free, s.head)
		}
		return position, err
	}
	filled := (*s.free)[0]
	*s.free = (*s.free)[1:]
	i, _ := slices.BinarySearchFunc(s.events, filled, func(e dcb.SequencedEvent, p dcb.Position) int { return int(e.Position) - int(p) })
	event := dcb.SequencedEvent{Event: events[0].Clone(), Position: filled, RecordedAt: now()}
	event.Tags = dcb.UniqueTags(event.Tags)
	if i > 0 {
		event.RecordedAt = s.events[i-1].RecordedAt
	}
	s.events = slices.Insert(s.events, i, event)
	return filled, nil
}

// showsHalf publishes each event of an append as it comes.
type showsHalf struct {
	*plain
	appending *sync.Mutex
}

func (s showsHalf) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	s.appending.Lock()
	defer s.appending.Unlock()
	return eventByEvent(ctx, s.plain, events, condition, func() error { return nil })
}

// stopsHalfway looks at the context between the events of an append.
type stopsHalfway struct {
	*plain
	appending *sync.Mutex
}

func (s stopsHalfway) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	s.appending.Lock()
	defer s.appending.Unlock()
	return eventByEvent(ctx, s.plain, events, condition, func() error {
		if _, ends := ctx.Deadline(); ends {
			<-ctx.Done()
		}
		return ctx.Err()
	})
}

// interleaves lets other appends in between the events of an append.
type interleaves struct{ *plain }

func (s interleaves) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	return eventByEvent(ctx, s.plain, events, condition, func() error { return nil })
}

func eventByEvent(
	ctx context.Context, s *plain, events []dcb.Event, condition *dcb.AppendCondition, between func() error,
) (dcb.Position, error) {
	if err := s.valid(ctx, events, condition); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	position, err := s.repeated(events)
	if err == nil && position == 0 {
		err = s.conflict(condition)
	}
	if position != 0 || err != nil {
		return position, err
	}
	for i := range events {
		if i > 0 {
			s.mu.Unlock()
			yield()
			err := between()
			s.mu.Lock()
			if err != nil {
				return 0, err
			}
		}
		position = s.record(now(), events[i])
	}
	return position, nil
}

// losesUpdates changes a copy of the sequence and puts it back, over what was recorded meanwhile.
type losesUpdates struct{ *plain }

func (s losesUpdates) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	s.mu.Lock()
	changed := newPlain()
	changed.events, changed.head = slices.Clone(s.events), s.head
	s.mu.Unlock()
	position, err := changed.Append(ctx, events, condition)
	if err != nil {
		return 0, err
	}
	yield()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events, s.head = changed.events, changed.head
	s.wake()
	return position, nil
}

// forgetsIDs looks for a repetition in one step and records in another.
type forgetsIDs struct{ *plain }

func (s forgetsIDs) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	if position, err := s.repeatedAlone(ctx, events, condition); position != 0 || err != nil {
		return position, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.conflict(condition); err != nil {
		return 0, err
	}
	return s.record(now(), events...), nil
}

// repeatedAlone is repeated in a step of its own.
func (s *plain) repeatedAlone(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	if err := s.valid(ctx, events, condition); err != nil {
		return 0, err
	}
	s.mu.Lock()
	position, err := s.repeated(events)
	s.mu.Unlock()
	yield()
	return position, err
}

// judgesRetries looks at the condition first when a repetition arrives together with the append that it repeats.
type judgesRetries struct{ *plain }

func (s judgesRetries) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	if position, err := s.repeatedAlone(ctx, events, condition); position != 0 || err != nil {
		return position, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.conflict(condition); err != nil {
		return 0, err
	}
	return s.appendLocked(events, nil)
}

// refusesTwins takes the violated uniqueness of an ID for a duplicate, also when it was the very same append that came first.
type refusesTwins struct{ *plain }

func (s refusesTwins) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	if position, err := s.repeatedAlone(ctx, events, condition); position != 0 || err != nil {
		return position, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if position, _ := s.repeated(events); position != 0 {
		return 0, dcb.ErrDuplicateID
	}
	return s.appendLocked(events, condition)
}

// abortsNeighbours refuses a conditional append if anything at all was recorded while it was under way, as SERIALIZABLE does.
type abortsNeighbours struct{ *plain }

func (s abortsNeighbours) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	began, err := s.Head(ctx)
	if err != nil {
		return 0, err
	}
	yield()
	s.mu.Lock()
	defer s.mu.Unlock()
	if condition != nil && s.head != began {
		return 0, &dcb.ConflictError{Position: s.head}
	}
	return s.appendLocked(events, condition)
}

// readsDirty refuses an append because of another that is then refused itself.
type readsDirty struct {
	*plain
	underWay map[*dcb.Event]dcb.Event // guarded by plain.mu
}

func (s readsDirty) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	if err := s.valid(ctx, events, condition); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if condition != nil && condition.After <= s.head {
		for _, event := range s.underWay {
			if condition.FailIfEventsMatch.Matches(event) {
				return 0, &dcb.ConflictError{Position: s.head + 1}
			}
		}
	}
	s.underWay[&events[0]] = events[0]
	s.mu.Unlock()
	yield()
	s.mu.Lock()
	delete(s.underWay, &events[0])
	return s.appendLocked(events, condition)
}

// namesTheHead takes the head at the time of answering for the position of the conflict.
type namesTheHead struct{ *plain }

func (s namesTheHead) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	position, err := s.plain.Append(ctx, events, condition)
	if conflict, ok := errors.AsType[*dcb.ConflictError](err); ok {
		yield()
		conflict.Position, _ = s.Head(context.WithoutCancel(ctx))
	}
	return position, err
}

// returnsTheHead takes the head at the time of answering for the position of the append.
type returnsTheHead struct{ *plain }

func (s returnsTheHead) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	position, err := s.plain.Append(ctx, events, condition)
	if err == nil {
		yield()
		position, err = s.Head(context.WithoutCancel(ctx))
	}
	return position, err
}

// asksTheClockEarly stamps events before it is their turn.
type asksTheClockEarly struct{ *plain }

func (s asksTheClockEarly) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	at := now()
	if position, err := s.repeatedAlone(ctx, events, condition); position != 0 || err != nil {
		return position, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if position, err := s.repeated(events); position != 0 || err != nil {
		return position, err
	}
	if err := s.conflict(condition); err != nil {
		return 0, err
	}
	return s.record(at, events...), nil
}

// rollsBackInPublic shows events that it then takes back because of a conflict.
type rollsBackInPublic struct {
	*plain
	appending *sync.Mutex
}

func (s rollsBackInPublic) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	if err := s.valid(ctx, events, condition); err != nil {
		return 0, err
	}
	s.appending.Lock()
	defer s.appending.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if position, err := s.repeated(events); position != 0 || err != nil {
		return position, err
	}
	conflict, before := s.conflict(condition), s.head
	position := s.record(now(), events...)
	if conflict == nil {
		return position, nil
	}
	s.mu.Unlock()
	yield()
	s.mu.Lock()
	s.events, s.head = s.events[:before], before
	return 0, conflict
}
