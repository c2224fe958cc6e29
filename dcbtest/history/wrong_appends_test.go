package history

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
)

// The stores below are wrong when appends overlap. Each is correct while calls are made one after
// another.

// checksThenInserts checks the condition in one step and records the events in another.
type checksThenInserts struct{ *simpleStore }

func (s checksThenInserts) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	if err := s.validate(ctx, events, condition); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if position, err := s.findIDs(events); position != 0 || err != nil {
		return position, err
	}
	if err := s.checkCondition(condition); err != nil {
		return 0, err
	}
	s.mu.Unlock()
	yield()
	s.mu.Lock()
	return s.appendLocked(events, nil)
}

// recordsThenChecks checks the condition again after it has recorded the events. If that fails, it
// returns the conflict and leaves the events in the sequence.
type recordsThenChecks struct{ *simpleStore }

func (s recordsThenChecks) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	position, err := checksThenInserts(s).Append(ctx, events, condition)
	if err != nil || condition == nil {
		return position, err
	}
	first := position - dcb.Position(len(events)-1)
	s.mu.Lock()
	defer s.mu.Unlock()
	var conflict *dcb.ConflictError
	if err := s.checkCondition(condition); errors.As(err, &conflict) && conflict.Position < first {
		return 0, err
	}
	return position, nil
}

// skipsPositions uses up a position for an append that fails.
type skipsPositions struct{ *simpleStore }

func (s skipsPositions) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	position, err := s.simpleStore.Append(ctx, events, condition)
	if errors.Is(err, dcb.ErrConflict) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.head++
	}
	return position, err
}

// fillsGaps skips a position for each conflict and gives it to a later append of one event.
type fillsGaps struct {
	*simpleStore
	free *[]dcb.Position
}

func (s fillsGaps) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	if err := s.validate(ctx, events, condition); err != nil {
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

// showsHalf makes each event of an append visible at once, instead of all together.
type showsHalf struct {
	*simpleStore
	appending *sync.Mutex
}

func (s showsHalf) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	s.appending.Lock()
	defer s.appending.Unlock()
	return appendEventByEvent(ctx, s.simpleStore, events, condition, func() error { return nil })
}

// stopsHalfway checks the context between the events of an append.
type stopsHalfway struct {
	*simpleStore
	appending *sync.Mutex
}

func (s stopsHalfway) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	s.appending.Lock()
	defer s.appending.Unlock()
	return appendEventByEvent(ctx, s.simpleStore, events, condition, func() error {
		if _, ends := ctx.Deadline(); ends {
			<-ctx.Done()
		}
		return ctx.Err()
	})
}

// interleaves admits other appends between the events of an append.
type interleaves struct{ *simpleStore }

func (s interleaves) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	return appendEventByEvent(ctx, s.simpleStore, events, condition, func() error { return nil })
}

// appendEventByEvent records the events of an append in separate steps. It calls between before
// each event but the first, and stops at its error.
func appendEventByEvent(
	ctx context.Context, s *simpleStore, events []dcb.Event, condition *dcb.AppendCondition, between func() error,
) (dcb.Position, error) {
	if err := s.validate(ctx, events, condition); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	position, err := s.findIDs(events)
	if err == nil && position == 0 {
		err = s.checkCondition(condition)
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

// losesUpdates appends to a copy of the sequence and then replaces the sequence by the copy,
// without the events that were recorded meanwhile.
type losesUpdates struct{ *simpleStore }

func (s losesUpdates) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	s.mu.Lock()
	changed := newSimpleStore()
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

// checksIDsEarly looks for IDs in one step and records the events in another.
type checksIDsEarly struct{ *simpleStore }

func (s checksIDsEarly) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	if position, err := s.findIDsEarly(ctx, events, condition); position != 0 || err != nil {
		return position, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.checkCondition(condition); err != nil {
		return 0, err
	}
	return s.record(now(), events...), nil
}

// findIDsEarly is findIDs in a step of its own.
func (s *simpleStore) findIDsEarly(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	if err := s.validate(ctx, events, condition); err != nil {
		return 0, err
	}
	s.mu.Lock()
	position, err := s.findIDs(events)
	s.mu.Unlock()
	yield()
	return position, err
}

// checksRetries checks the condition of a retry that overlaps with the first attempt before it
// looks for the IDs again.
type checksRetries struct{ *simpleStore }

func (s checksRetries) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	if position, err := s.findIDsEarly(ctx, events, condition); position != 0 || err != nil {
		return position, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.checkCondition(condition); err != nil {
		return 0, err
	}
	return s.appendLocked(events, nil)
}

// refusesRetries returns dcb.ErrDuplicateID for a retry that overlaps with the first attempt, as a
// store does that reports every violation of a unique index.
type refusesRetries struct{ *simpleStore }

func (s refusesRetries) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	if position, err := s.findIDsEarly(ctx, events, condition); position != 0 || err != nil {
		return position, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if position, _ := s.findIDs(events); position != 0 {
		return 0, dcb.ErrDuplicateID
	}
	return s.appendLocked(events, condition)
}

// abortsUnrelated rejects an append with a condition if any event was recorded while it was under
// way, as transactions with SERIALIZABLE isolation do.
type abortsUnrelated struct{ *simpleStore }

func (s abortsUnrelated) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	before, err := s.Head(ctx)
	if err != nil {
		return 0, err
	}
	yield()
	s.mu.Lock()
	defer s.mu.Unlock()
	if condition != nil && s.head != before {
		return 0, &dcb.ConflictError{Position: s.head}
	}
	return s.appendLocked(events, condition)
}

// readsUncommitted rejects an append that conflicts with another one under way, which may be
// rejected itself.
type readsUncommitted struct {
	*simpleStore
	underWay map[*dcb.Event]dcb.Event // first events of appends; guarded by simpleStore.mu
}

func (s readsUncommitted) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	if err := s.validate(ctx, events, condition); err != nil {
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

// conflictsWithHead returns the current head as the position of a conflict.
type conflictsWithHead struct{ *simpleStore }

func (s conflictsWithHead) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	position, err := s.simpleStore.Append(ctx, events, condition)
	if conflict, ok := errors.AsType[*dcb.ConflictError](err); ok {
		yield()
		conflict.Position, _ = s.Head(context.WithoutCancel(ctx))
	}
	return position, err
}

// returnsHead returns the current head as the position of the append.
type returnsHead struct{ *simpleStore }

func (s returnsHead) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	position, err := s.simpleStore.Append(ctx, events, condition)
	if err == nil {
		yield()
		position, err = s.Head(context.WithoutCancel(ctx))
	}
	return position, err
}

// readsClockEarly reads the clock before the events get their positions.
type readsClockEarly struct{ *simpleStore }

func (s readsClockEarly) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	at := now()
	if position, err := s.findIDsEarly(ctx, events, condition); position != 0 || err != nil {
		return position, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if position, err := s.findIDs(events); position != 0 || err != nil {
		return position, err
	}
	if err := s.checkCondition(condition); err != nil {
		return 0, err
	}
	return s.record(at, events...), nil
}

// showsUncommitted records the events before it checks the condition, and removes them after a
// conflict.
type showsUncommitted struct {
	*simpleStore
	appending *sync.Mutex
}

func (s showsUncommitted) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	if err := s.validate(ctx, events, condition); err != nil {
		return 0, err
	}
	s.appending.Lock()
	defer s.appending.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if position, err := s.findIDs(events); position != 0 || err != nil {
		return position, err
	}
	conflict, before := s.checkCondition(condition), s.head
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
