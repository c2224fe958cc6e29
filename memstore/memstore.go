// Package memstore keeps events in memory, for tests, for what may be forgotten when the process ends, and as the model
// that the other stores are judged by. So it is the simplest code that keeps the contract, yet indexed: a decision
// costs the same at five million events as at none.
//
// One mutex lets one append in at a time. It checks the condition, puts the events and their index entries where no
// reader looks yet, and publishes them by raising the head. A reader takes no lock: it loads the head once and looks at
// nothing beyond it. Start at [Store.Append], then query.go.
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

// Options for New. The zero value has the defaults.
type Options struct {
	// Now is the clock that RecordedAt is read from. Default time.Now.
	Now func() time.Time
}

// Store is a dcb.Store in memory. Any number of goroutines may use it.
//
// Invariant: everything at and below head is never written again, neither in events nor in the index.
type Store struct {
	now  func() time.Time
	head head.Watch

	appending    sync.Mutex // one append at a time; guards ids, lastRecorded, tags, data, and writing to events and index
	ids          map[uuid.UUID]dcb.Position
	lastRecorded time.Time
	events       sequence
	tags         arena[string] // of events
	data         arena[byte]   // of events
	byTag        index
	byType       index
}

var (
	_ dcb.Store = (*Store)(nil)
	_ dcb.Pager = (*Store)(nil)
)

// New returns an empty store. Options may be nil.
func New(opts *Options) *Store {
	s := &Store{
		now:  time.Now,
		ids:  make(map[uuid.UUID]dcb.Position),
		tags: arena[string]{size: 4 << 10},
		data: arena[byte]{size: 64 << 10},
	}
	if opts != nil && opts.Now != nil {
		s.now = opts.Now
	}
	return s
}

// Close waits for the append under way and ends every Wait with [dcb.ErrClosed]. Every later call
// fails with that error, except Close, which returns nil. The events are lost.
func (s *Store) Close() error {
	s.appending.Lock()
	defer s.appending.Unlock()
	s.head.Close()
	return nil
}

// Head implements dcb.Store.
func (s *Store) Head(ctx context.Context) (dcb.Position, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	return s.head.Load()
}

// Wait implements dcb.Store.
func (s *Store) Wait(ctx context.Context, after dcb.Position) (dcb.Position, error) {
	return s.head.Wait(ctx, after)
}

// Append implements dcb.Store.
func (s *Store) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	if err := dcb.ValidateAppend(events, condition); err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.appending.Lock()
	defer s.appending.Unlock()

	last, err := s.head.Load()
	if err != nil {
		return 0, err
	}
	if recorded, err := s.repeated(events); recorded != 0 || err != nil {
		return recorded, err
	}
	if condition != nil {
		for position := range s.matches(condition.FailIfEventsMatch, bounds{after: condition.After, last: last}) {
			return 0, &dcb.ConflictError{Position: position}
		}
	}
	recordedAt := s.clock()
	for i := range events {
		last++
		s.record(dcb.SequencedEvent{Event: s.keep(events[i]), Position: last, RecordedAt: recordedAt})
	}
	s.head.Raise(last)
	return last, nil
}

// repeated returns the position of the last of events if they are a repetition of what is recorded, 0 if none of their IDs
// is, and dcb.ErrDuplicateID otherwise.
func (s *Store) repeated(events []dcb.Event) (dcb.Position, error) {
	known, first := -1, dcb.Position(0)
	for i := range events {
		if position, ok := s.ids[events[i].ID]; ok && events[i].ID != uuid.Nil {
			known, first = i, position-dcb.Position(i)
			break
		}
	}
	if known < 0 {
		return 0, nil
	}
	for i := range events {
		position := first + dcb.Position(i)
		if recorded, ok := s.ids[events[i].ID]; !ok || recorded != position || !events[i].Same(s.events.at(position).Event) {
			return 0, fmt.Errorf("%w: %s is recorded at position %d, and not by this append",
				dcb.ErrDuplicateID, events[known].ID, s.ids[events[known].ID])
		}
	}
	return first + dcb.Position(len(events)-1), nil
}

// clock returns the time in microseconds, and never less than it returned before.
func (s *Store) clock() time.Time {
	if now := s.now().UTC().Truncate(time.Microsecond); now.After(s.lastRecorded) {
		s.lastRecorded = now
	}
	return s.lastRecorded
}

// keep returns a copy of event in memory of the store's own.
func (s *Store) keep(event dcb.Event) dcb.Event {
	event.Tags = s.tags.copy(dcb.UniqueTags(event.Tags))
	event.Data = s.data.copy(event.Data)
	event.Metadata = maps.Clone(event.Metadata)
	return event
}

// record puts an event beyond the head, where no reader looks yet.
func (s *Store) record(event dcb.SequencedEvent) {
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
	merged := s.merge(q, bounds{opts.After, result.Head, opts.Backwards})
	expected := min(merged.atMost(), maxFirstEvents)
	if opts.Limit > 0 {
		expected = min(expected, opts.Limit)
	}
	if expected > 0 {
		result.Events = make([]dcb.SequencedEvent, 0, expected)
	}
	tags := arena[string]{size: 2 * expected} // few events have more than two
	for position := range s.walk(merged) {
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
