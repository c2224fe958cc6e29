package dcbtest

import (
	"context"
	"errors"
	"slices"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
)

func wrongRetries() []fault {
	return []fault{
		{name: "a repetition is judged by its condition", caughtBy: "retry/a repetition is not judged by its own condition", wrong: instead(func(p *simple, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
			if condition != nil {
				unidentified := clones(events)
				for i := range unidentified {
					unidentified[i].ID = uuid.Nil
				}
				trial := slices.Clone(p.log)
				if _, err := trial.Append(unidentified, condition, p.last); err != nil {
					return 0, err
				}
			}
			return p.record(events, condition)
		})},
		repeating("a repetition is told by its IDs alone", "retry/a different data under the same ID is refused", func(p *simple, events []dcb.Event) bool {
			return followsIDs(p, events)
		}),
		repeating("a repetition is told without its metadata", "retry/a different metadata under the same ID is refused", func(p *simple, events []dcb.Event) bool {
			at := position(p, events[0].ID)
			return at > 0 && len(events) == 1 && string(events[0].Data) == string(p.log[at-1].Data) && slices.Equal(events[0].Tags, p.log[at-1].Tags)
		}),
		repeating("a repetition may be in any order", "retry/reordered events are no repetition", func(p *simple, events []dcb.Event) bool {
			return !slices.ContainsFunc(events, func(e dcb.Event) bool { return position(p, e.ID) == 0 })
		}),
		repeating("a repetition need not be of neighbours", "retry/events that are not neighbours are no repetition", func(p *simple, events []dcb.Event) bool {
			return slices.IsSortedFunc(events, func(a, b dcb.Event) int { return int(position(p, a.ID)) - int(position(p, b.ID)) }) && position(p, events[0].ID) > 0
		}),
		repeating("the first event alone tells a repetition", "retry/known and new IDs together are refused", func(p *simple, events []dcb.Event) bool {
			return position(p, events[0].ID) > 0
		}),
		repeating("an event without an ID is like any other", "retry/events without an ID among known ones are refused", func(p *simple, events []dcb.Event) bool {
			return followsIDs(p, slices.DeleteFunc(slices.Clone(events), func(e dcb.Event) bool { return e.ID == uuid.Nil }))
		}),
		{name: "a repetition is recorded again", caughtBy: "retry/an append that is sent again is recorded once", wrong: instead(func(p *simple, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
			before := p.log.Head()
			position, err := p.record(events, condition)
			if err == nil && p.log.Head() == before {
				return recordAnew(p, events)
			}
			return position, err
		})},
		{name: "a single repetition is a duplicate", caughtBy: "retry/a single event that is sent again is recorded once", wrong: instead(func(p *simple, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
			if len(events) == 1 && position(p, events[0].ID) > 0 {
				return 0, dcb.ErrDuplicateID
			}
			return p.record(events, condition)
		})},
		refusing("a repetition must be the last append", "retry/a repetition may come late", func(p *simple, events []dcb.Event) bool {
			return position(p, events[len(events)-1].ID) != p.log.Head()
		}),
		refusing("the beginning of an append is no repetition", "retry/the first events of an append are a repetition", func(p *simple, events []dcb.Event) bool {
			return len(events) < 3
		}),
		refusing("the middle of an append is no repetition", "retry/any consecutive events of an append are a repetition", func(p *simple, events []dcb.Event) bool {
			return position(p, events[0].ID) > 1
		}),
		refusing("several appends sent as one are no repetition", "retry/neighbouring appends sent as one are a repetition", func(p *simple, events []dcb.Event) bool {
			return len(events) > 3
		}),
		refusing("tags are compared in their order", "retry/a repetition is told by what the events say", func(p *simple, events []dcb.Event) bool {
			return !slices.Equal(events[0].Tags, p.log[position(p, events[0].ID)-1].Tags)
		}),
		{name: "the new events among known ones are recorded", caughtBy: "retry/known and new IDs together are refused", wrong: instead(func(p *simple, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
			events = slices.DeleteFunc(slices.Clone(events), func(e dcb.Event) bool { return position(p, e.ID) > 0 })
			if len(events) == 0 {
				return p.log.Head(), nil
			}
			return p.record(events, condition)
		})},
		{name: "a new event before the first one recorded is overlooked", caughtBy: "retry/a new ID before the first event recorded is refused", wrong: instead(func(p *simple, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
			if last := position(p, events[len(events)-1].ID); last > 0 {
				return last, nil
			}
			return p.record(events, condition)
		})},
		{name: "an ID twice in one append is recorded twice", caughtBy: "retry/an ID twice in one append is refused", wrong: func(p *simple) dcb.Store {
			return &faulty{simple: p, append: func(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
				if errors.Is(dcb.ValidateAppend(events, condition), dcb.ErrDuplicateID) {
					p.mu.Lock()
					defer p.mu.Unlock()
					return recordAnew(p, events)
				}
				return p.Append(ctx, events, condition)
			}}
		}},
		{name: "a duplicate ID is said to be a conflict", caughtBy: "retry/a duplicate ID is not worth repeating", wrong: instead(func(p *simple, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
			position, err := p.record(events, condition)
			if errors.Is(err, dcb.ErrDuplicateID) {
				err = errors.Join(err, dcb.ErrConflict)
			}
			return position, err
		})},
		{name: "IDs of a refused append stay taken", caughtBy: "conditions/a conflict leaves the IDs free", wrong: func(p *simple) dcb.Store {
			taken := make(map[uuid.UUID]bool)
			return instead(func(p *simple, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
				for _, e := range events {
					if e.ID != uuid.Nil && taken[e.ID] {
						return 0, dcb.ErrDuplicateID
					}
					taken[e.ID] = true
				}
				return p.record(events, condition)
			})(p)
		}},
	}
}

// position returns where id is recorded, 0 if it is not. The caller holds the mutex.
func position(p *simple, id uuid.UUID) dcb.Position {
	for _, e := range p.log {
		if id != uuid.Nil && e.ID == id {
			return e.Position
		}
	}
	return 0
}

// followsIDs reports whether the IDs of events are recorded one after the other.
func followsIDs(p *simple, events []dcb.Event) bool {
	for i := range events {
		if at := position(p, events[i].ID); at == 0 || at != position(p, events[0].ID)+dcb.Position(i) {
			return false
		}
	}
	return len(events) > 0
}

// repeating is a store that also takes for a repetition what repeats says.
func repeating(name, caughtBy string, repeats func(p *simple, events []dcb.Event) bool) fault {
	return fault{name: name, caughtBy: caughtBy, wrong: instead(func(p *simple, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
		if repeats(p, events) {
			return position(p, events[len(events)-1].ID), nil
		}
		return p.record(events, condition)
	})}
}

// refusing is a store that refuses those repetitions that refuses says.
func refusing(name, caughtBy string, refuses func(p *simple, events []dcb.Event) bool) fault {
	return fault{name: name, caughtBy: caughtBy, wrong: instead(func(p *simple, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
		if position(p, events[0].ID) > 0 && refuses(p, events) {
			return 0, dcb.ErrDuplicateID
		}
		return p.record(events, condition)
	})}
}

// recordAnew records events whose IDs are recorded already.
func recordAnew(p *simple, events []dcb.Event) (dcb.Position, error) {
	for _, e := range events {
		p.log = append(p.log, dcb.SequencedEvent{Event: e.Clone(), Position: p.log.Head() + 1, RecordedAt: p.last})
	}
	p.wake()
	return p.log.Head(), nil
}
