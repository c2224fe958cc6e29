// Package memstore is a [dcb.Store] in memory, for tests and for events that may be lost when the
// process ends. It is indexed by type and tag: a decision costs the same with five million events
// as with none.
//
// A mutex admits one append at a time. It checks the condition, adds the events and their index
// entries above the head, where no reader looks, and then publishes them by raising the head. A
// reader takes no lock: it loads the head once and reads nothing above it.
//
// Start reading at [Store.Append], then read query.go.
package memstore

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/head"
)

// Options configure [New]. The zero value has the defaults.
type Options struct {
	// Now is the clock for RecordedAt. Default time.Now.
	Now func() time.Time
}

// withDefaults returns a complete copy of o, which may be nil. No value is invalid.
func (o *Options) withDefaults() Options {
	var complete Options
	if o != nil {
		complete = *o
	}
	if complete.Now == nil {
		complete.Now = time.Now
	}
	return complete
}

// Store is a [dcb.Store] in memory. Several goroutines may call its methods at once.
//
// Invariant: nothing at or below head changes, neither in events nor in the indexes.
type Store struct {
	now  func() time.Time
	head head.Watch

	appendMu     sync.Mutex // held by the append under way; guards the fields below against other appends
	ids          map[uuid.UUID]dcb.Position
	lastRecorded time.Time
	events       sequence
	tags         arena[string] // the tags of events
	data         arena[byte]   // the data of events
	byTag        index
	byType       index
}

var (
	_ dcb.Store = (*Store)(nil)
	_ dcb.Pager = (*Store)(nil)
)

// New returns an empty store. If opts is nil, it has the defaults.
func New(opts *Options) *Store {
	return &Store{
		now:  opts.withDefaults().Now,
		ids:  make(map[uuid.UUID]dcb.Position),
		tags: arena[string]{blockLength: 4 << 10},
		data: arena[byte]{blockLength: 64 << 10},
	}
}

// Close waits for the append under way and ends every Wait with [dcb.ErrClosed]. Every later call
// fails with that error, except Close, which returns nil. The events are lost.
func (s *Store) Close() error {
	s.appendMu.Lock()
	defer s.appendMu.Unlock()
	s.head.Close()
	return nil
}

// Head implements [dcb.Store].
func (s *Store) Head(ctx context.Context) (dcb.Position, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	return s.head.Load()
}

// Wait implements [dcb.Store].
func (s *Store) Wait(ctx context.Context, after dcb.Position) (dcb.Position, error) {
	return s.head.Wait(ctx, after)
}

// Append implements [dcb.Store].
func (s *Store) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	if err := dcb.ValidateAppend(events, condition); err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.appendMu.Lock()
	defer s.appendMu.Unlock()

	last, err := s.head.Load()
	if err != nil {
		return 0, err
	}
	if recorded, err := s.checkIDs(events); recorded != 0 || err != nil {
		return recorded, err
	}
	if condition != nil {
		for position := range s.matches(condition.FailIfEventsMatch, bounds{after: condition.After, last: last}) {
			return 0, &dcb.ConflictError{Position: position}
		}
	}
	recordedAt := s.nextRecordedAt()
	for i := range events {
		last++
		s.add(dcb.SequencedEvent{Event: s.copyEvent(events[i]), Position: last, RecordedAt: recordedAt})
	}
	s.head.Raise(last)
	return last, nil
}

// checkIDs returns 0 if none of the IDs of events is recorded. If the append is a retry, it returns
// the recorded position of the last event. Otherwise the error is [dcb.ErrDuplicateID].
func (s *Store) checkIDs(events []dcb.Event) (dcb.Position, error) {
	known := slices.IndexFunc(events, func(e dcb.Event) bool {
		_, ok := s.ids[e.ID]
		return ok
	})
	if known < 0 {
		return 0, nil
	}
	first := s.ids[events[known].ID] - dcb.Position(known) // if it is a retry
	for i := range events {
		position := first + dcb.Position(i)
		if recorded, ok := s.ids[events[i].ID]; !ok || recorded != position || !events[i].Same(s.events.at(position).Event) {
			return 0, fmt.Errorf("%w: %s is recorded at position %d, and not by this append",
				dcb.ErrDuplicateID, events[known].ID, s.ids[events[known].ID])
		}
	}
	return first + dcb.Position(len(events)-1), nil
}

// nextRecordedAt returns the time in whole microseconds, and never less than it returned before.
func (s *Store) nextRecordedAt() time.Time {
	if now := s.now().UTC().Truncate(time.Microsecond); now.After(s.lastRecorded) {
		s.lastRecorded = now
	}
	return s.lastRecorded
}

// copyEvent returns a copy of event in memory that belongs to the store.
func (s *Store) copyEvent(event dcb.Event) dcb.Event {
	event.Tags = s.tags.copy(dcb.UniqueTags(event.Tags))
	event.Data = s.data.copy(event.Data)
	event.Metadata = maps.Clone(event.Metadata)
	return event
}

// add adds an event above the head, where no reader looks.
func (s *Store) add(event dcb.SequencedEvent) {
	s.events.add(event)
	s.byType.add(event.Type, event.Position)
	for _, tag := range event.Tags {
		s.byTag.add(tag, event.Position)
	}
	if event.ID != uuid.Nil {
		s.ids[event.ID] = event.Position
	}
}

// maxFirstEvents bounds the events that a read allocates memory for before it finds them. It is
// enough for most decisions.
const maxFirstEvents = 64

// Read implements [dcb.Store].
func (s *Store) Read(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
	return s.ReadPage(ctx, q, opts, math.MaxInt)
}

// ReadPage implements [dcb.Pager].
func (s *Store) ReadPage(ctx context.Context, q dcb.Query, opts dcb.ReadOptions, bytes int) (dcb.ReadResult, error) {
	bytes = max(bytes, 0) // so that subtracting sizes cannot overflow
	if err := dcb.ValidateRead(q, opts); err != nil {
		return dcb.ReadResult{}, err
	}
	if err := ctx.Err(); err != nil {
		return dcb.ReadResult{}, err
	}
	head, err := s.head.Load()
	if err != nil {
		return dcb.ReadResult{}, err
	}
	result := dcb.ReadResult{Head: opts.Top(head)}
	candidates := s.candidates(q, bounds{opts.After, result.Head, opts.Backwards})
	expected := min(candidates.atMost(), maxFirstEvents)
	if opts.Limit > 0 {
		expected = min(expected, opts.Limit)
	}
	if expected > 0 {
		result.Events = make([]dcb.SequencedEvent, 0, expected)
	}
	tags := arena[string]{blockLength: 2 * expected} // few events have more than two tags
	for position := range s.matching(candidates) {
		read := len(result.Events)
		if read > 0 && (bytes <= 0 || read == opts.Limit) {
			result.More = true
			if !opts.Backwards {
				result.Head = result.Events[read-1].Position
			}
			break
		}
		if read%1024 == 1023 {
			if err := ctx.Err(); err != nil {
				return dcb.ReadResult{}, err
			}
		}
		event := *s.events.at(position)
		event.Tags = tags.copy(event.Tags)
		event.Data = slices.Clone(event.Data)
		event.Metadata = maps.Clone(event.Metadata)
		result.Events = append(result.Events, event)
		bytes -= event.Size()
	}
	return result, nil
}
