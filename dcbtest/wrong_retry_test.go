package dcbtest

import (
	"context"
	"errors"
	"slices"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
)

// wrongRetries recognize too many or too few appends as retries.
func wrongRetries() []faultyStore {
	return slices.Concat(retriesRecognizedWrongly(), retriesRejectedWrongly(), []faultyStore{
		{
			name: "a retry is recorded again", caughtBy: "Append retry/records the events once",
			build: replacingAppend(func(s *simpleStore, a appendArgs) (dcb.Position, error) {
				before := s.log.Head()
				position, err := s.record(a)
				if err == nil && s.log.Head() == before {
					return recordAgain(s, a.events)
				}
				return position, err
			}),
		},
		{
			name: "the condition of a retry is checked", caughtBy: "Append retry/does not check its condition",
			build: replacingAppend(func(s *simpleStore, a appendArgs) (dcb.Position, error) {
				if position, conflict := a.conflicting(s.log, dcb.Query.Matches); conflict {
					return 0, &dcb.ConflictError{Position: position}
				}
				return s.record(a)
			}),
		},
		{
			name: "the other condition of a retry is checked", caughtBy: "Append retry/accepts another condition",
			build: replacingAppend(func(s *simpleStore, a appendArgs) (dcb.Position, error) {
				if position, conflict := a.conflicting(s.log, dcb.Query.Matches); conflict {
					return 0, &dcb.ConflictError{Position: position}
				}
				return s.record(a)
			}),
		},
		{
			name:     "new events beside recorded ones are recorded",
			caughtBy: "Append retry/fails for recorded and new IDs in one call",
			build: replacingAppend(func(s *simpleStore, a appendArgs) (dcb.Position, error) {
				a.events = slices.DeleteFunc(slices.Clone(a.events), func(e dcb.Event) bool { return positionOf(s, e.ID) > 0 })
				if len(a.events) == 0 {
					return s.log.Head(), nil
				}
				return s.record(a)
			}),
		},
		{
			name:     "a new event before the first recorded one is ignored",
			caughtBy: "Append retry/fails for a new event before the first event recorded",
			build: replacingAppend(func(s *simpleStore, a appendArgs) (dcb.Position, error) {
				if last := positionOf(s, a.events[len(a.events)-1].ID); last > 0 {
					return last, nil
				}
				return s.record(a)
			}),
		},
		{
			name:     "an ID twice in one call is recorded twice",
			caughtBy: "Append retry/fails for an ID twice in one call",
			build: func(s *simpleStore) dcb.Store {
				return &patchedStore{simpleStore: s, append: func(ctx context.Context, a appendArgs) (dcb.Position, error) {
					if errors.Is(dcb.ValidateAppend(a.events, a.condition), dcb.ErrDuplicateID) {
						s.mu.Lock()
						defer s.mu.Unlock()
						return recordAgain(s, a.events)
					}
					return s.Append(ctx, a.events, a.condition)
				}}
			},
		},
		{
			name:     "a duplicate ID is also a conflict",
			caughtBy: "Append retry/ErrDuplicateID is no other error and not Retryable",
			build: replacingAppend(func(s *simpleStore, a appendArgs) (dcb.Position, error) {
				position, err := s.record(a)
				if errors.Is(err, dcb.ErrDuplicateID) {
					err = errors.Join(err, dcb.ErrConflict)
				}
				return position, err
			}),
		},
		{
			name:     "the condition is checked before the IDs",
			caughtBy: "Append retry/fails for a recorded ID under any condition",
			build: replacingAppend(func(s *simpleStore, a appendArgs) (dcb.Position, error) {
				if a.condition != nil {
					a.events = slices.Clone(a.events)
					a.events[0].ID = uuid.New()
				}
				return s.record(a)
			}),
		},
		{
			name: "a conflict takes the IDs", caughtBy: "Append condition/a conflict does not take the IDs",
			build: func(s *simpleStore) dcb.Store {
				taken := make(map[uuid.UUID]bool)
				return replacingAppend(func(s *simpleStore, a appendArgs) (dcb.Position, error) {
					for _, e := range a.events {
						if e.ID != uuid.Nil && taken[e.ID] {
							return 0, dcb.ErrDuplicateID
						}
						taken[e.ID] = true
					}
					return s.record(a)
				})(s)
			},
		},
		{
			name:     "equal events with new IDs are a retry",
			caughtBy: "Append retry/equal events with new IDs are new events",
			build: replacingAppend(func(s *simpleStore, a appendArgs) (dcb.Position, error) {
				e := a.events[0].Clone()
				for _, recorded := range s.log {
					if e.ID = recorded.ID; recorded.Same(e) {
						return recorded.Position, nil
					}
				}
				return s.record(a)
			}),
		},
		{
			name:     "the same call of many callers races",
			caughtBy: "Append retry/records the same call of many callers once",
			build:    racingIDs,
		},
		{
			name: "overlapping calls race", caughtBy: "Append retry/records each ID of overlapping calls once",
			build: racingIDs,
		},
	})
}

// racingIDs builds a store that checks the IDs and records the events in two steps.
func racingIDs(s *simpleStore) dcb.Store {
	return &patchedStore{simpleStore: s, append: func(ctx context.Context, a appendArgs) (dcb.Position, error) {
		known := slices.ContainsFunc(s.snapshot(), func(e dcb.SequencedEvent) bool { return e.ID == a.events[0].ID })
		letOthersRun()
		if known {
			return s.Append(ctx, a.events, a.condition)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		return recordAgain(s, a.events)
	}}
}

// retriesRecognizedWrongly return a position for appends that are no retries.
func retriesRecognizedWrongly() []faultyStore {
	return []faultyStore{
		recognizing("a retry is recognized by its IDs alone", "Append retry/fails for different data under a recorded ID",
			consecutiveIDs),
		recognizing("the type of a retry is ignored", "Append retry/fails for a different type under a recorded ID",
			sameAfter(func(_, recorded *dcb.Event) { recorded.Type = "a" })),
		recognizing("the tags of a retry are ignored", "Append retry/fails for different tags under a recorded ID",
			sameAfter(func(sent, recorded *dcb.Event) { recorded.Tags = sent.Tags })),
		recognizing("the metadata of a retry is ignored", "Append retry/fails for different metadata under a recorded ID",
			sameAfter(func(sent, recorded *dcb.Event) { recorded.Metadata = sent.Metadata })),
		recognizing("a retry may have fewer tags", "Append retry/fails for fewer tags under a recorded ID",
			sameAfter(func(sent, recorded *dcb.Event) {
				if containsAll(recorded.Tags, sent.Tags) {
					recorded.Tags = sent.Tags
				}
			})),
		recognizing("a retry may have no data", "Append retry/fails for no data under a recorded ID",
			sameAfter(func(sent, recorded *dcb.Event) {
				if len(sent.Data) == 0 {
					recorded.Data = nil
				}
			})),
		recognizing("a retry may have no metadata", "Append retry/fails for no metadata under a recorded ID",
			sameAfter(func(sent, recorded *dcb.Event) {
				if len(sent.Metadata) == 0 {
					recorded.Metadata = nil
				}
			})),
		recognizing("a retry may be in any order", "Append retry/fails for reordered events",
			func(s *simpleStore, events []dcb.Event) bool {
				return !slices.ContainsFunc(events, func(e dcb.Event) bool { return positionOf(s, e.ID) == 0 })
			}),
		recognizing("a retry need not be consecutive", "Append retry/fails for events that are not consecutive",
			func(s *simpleStore, events []dcb.Event) bool {
				inOrder := slices.IsSortedFunc(events, func(a, b dcb.Event) int {
					return int(positionOf(s, a.ID)) - int(positionOf(s, b.ID))
				})
				return inOrder && positionOf(s, events[0].ID) > 0
			}),
		recognizing("a retry is recognized by its first event", "Append retry/fails for recorded and new IDs in one call",
			func(s *simpleStore, events []dcb.Event) bool { return positionOf(s, events[0].ID) > 0 }),
		recognizing("a retry may have events without IDs", "Append retry/fails if an event has no ID",
			func(s *simpleStore, events []dcb.Event) bool {
				withoutID := func(e dcb.Event) bool { return e.ID == uuid.Nil }
				return consecutiveIDs(s, slices.DeleteFunc(slices.Clone(events), withoutID))
			}),
	}
}

// retriesRejectedWrongly return ErrDuplicateID for retries.
func retriesRejectedWrongly() []faultyStore {
	return []faultyStore{
		rejecting("a retry of one event is a duplicate", "Append retry/records a single event once",
			func(_ *simpleStore, events []dcb.Event) bool { return len(events) == 1 }),
		rejecting("only the last append can be retried", "Append retry/is recognized after many other appends",
			func(s *simpleStore, events []dcb.Event) bool {
				return positionOf(s, events[len(events)-1].ID) != s.log.Head()
			}),
		rejecting("the first events of a call are no retry", "Append retry/recognizes the first events of a call",
			func(_ *simpleStore, events []dcb.Event) bool { return len(events) < 3 }),
		rejecting("the middle of a call is no retry", "Append retry/recognizes any consecutive events of a call",
			func(s *simpleStore, events []dcb.Event) bool { return positionOf(s, events[0].ID) > 1 }),
		rejecting("adjacent calls are no retry", "Append retry/recognizes the events of adjacent calls",
			func(_ *simpleStore, events []dcb.Event) bool { return len(events) > 3 }),
		rejecting("many events are no retry", "Append retry/records a thousand events once",
			func(_ *simpleStore, events []dcb.Event) bool { return len(events) > 999 }),
		rejecting("the order of tags counts", "Append retry/compares tags as a set, and nil as empty",
			func(s *simpleStore, events []dcb.Event) bool {
				return !slices.Equal(events[0].Tags, s.log[positionOf(s, events[0].ID)-1].Tags)
			}),
	}
}

// positionOf returns the position of the event with the ID, or 0 if it is not recorded. The caller
// holds the mutex.
func positionOf(s *simpleStore, id uuid.UUID) dcb.Position {
	for _, e := range s.log {
		if id != uuid.Nil && e.ID == id {
			return e.Position
		}
	}
	return 0
}

// sameAfter returns a comparison of events with the recorded ones. It makes them more equal first.
func sameAfter(equalize func(sent, recorded *dcb.Event)) func(s *simpleStore, events []dcb.Event) bool {
	return func(s *simpleStore, events []dcb.Event) bool {
		if !consecutiveIDs(s, events) {
			return false
		}
		for i := range events {
			recorded := s.log[int(positionOf(s, events[i].ID))-1].Event.Clone()
			equalize(&events[i], &recorded)
			if !events[i].Same(recorded) {
				return false
			}
		}
		return true
	}
}

// consecutiveIDs reports whether the IDs of events are recorded at consecutive positions.
func consecutiveIDs(s *simpleStore, events []dcb.Event) bool {
	for i := range events {
		if at := positionOf(s, events[i].ID); at == 0 || at != positionOf(s, events[0].ID)+dcb.Position(i) {
			return false
		}
	}
	return len(events) > 0
}

// recognizing returns a store that treats more appends as retries.
func recognizing(name, caughtBy string, isRetry func(s *simpleStore, events []dcb.Event) bool) faultyStore {
	return faultyStore{
		name: name, caughtBy: caughtBy,
		build: replacingAppend(func(s *simpleStore, a appendArgs) (dcb.Position, error) {
			if isRetry(s, a.events) {
				return positionOf(s, a.events[len(a.events)-1].ID), nil
			}
			return s.record(a)
		}),
	}
}

// rejecting returns a store that fails some retries with ErrDuplicateID.
func rejecting(name, caughtBy string, rejects func(s *simpleStore, events []dcb.Event) bool) faultyStore {
	return faultyStore{
		name: name, caughtBy: caughtBy,
		build: replacingAppend(func(s *simpleStore, a appendArgs) (dcb.Position, error) {
			if positionOf(s, a.events[0].ID) > 0 && rejects(s, a.events) {
				return 0, dcb.ErrDuplicateID
			}
			return s.record(a)
		}),
	}
}

// recordAgain records events although their IDs are recorded already.
func recordAgain(s *simpleStore, events []dcb.Event) (dcb.Position, error) {
	for _, e := range events {
		s.log = append(s.log, dcb.SequencedEvent{Event: e.Clone(), Position: s.log.Head() + 1, RecordedAt: s.last})
	}
	s.wake()
	return s.log.Head(), nil
}
