// Package model is the contract in its plainest form: a slice of events, scanned with
// [dcb.Query.Matches]. Tests compare stores with it. It is slow, and short enough to be checked by
// reading.
package model

import (
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
)

// Log is the sequence of events: the event at position p is Log[p-1]. It has no lock.
type Log []dcb.SequencedEvent

// Head returns the position of the last event, or 0 if there is none.
func (l Log) Head() dcb.Position { return dcb.Position(len(l)) }

// Read returns the result of [dcb.Store.Read] of a store that holds l. The events are copies.
func (l Log) Read(q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
	if err := dcb.ValidateRead(q, opts); err != nil {
		return dcb.ReadResult{}, err
	}
	result := dcb.ReadResult{Head: opts.Top(l.Head())}
	for i := range l {
		e := &l[i]
		if opts.Backwards {
			e = &l[len(l)-1-i]
		}
		if e.Position <= opts.After || e.Position > opts.Top(l.Head()) || !q.Matches(e.Event) {
			continue
		}
		if opts.Limit > 0 && len(result.Events) == opts.Limit {
			result.More = true
			break
		}
		result.Events = append(result.Events, e.Clone())
	}
	if result.More && !opts.Backwards {
		result.Head = result.Events[opts.Limit-1].Position
	}
	return result, nil
}

// Append appends copies of events with the result of [dcb.Store.Append] of a store that holds l.
func (l *Log) Append(events []dcb.Event, condition *dcb.AppendCondition, recordedAt time.Time) (dcb.Position, error) {
	if err := dcb.ValidateAppend(events, condition); err != nil {
		return 0, err
	}
	if recorded := l.recordedIDs(events); len(recorded) > 0 {
		if last, ok := l.retry(recorded[0], events); ok {
			return last, nil
		}
		return 0, fmt.Errorf("%w: recorded at positions %v", dcb.ErrDuplicateID, recorded)
	}
	if condition != nil {
		for _, e := range *l {
			if e.Position > condition.After && condition.FailIfEventsMatch.Matches(e.Event) {
				return 0, &dcb.ConflictError{Position: e.Position}
			}
		}
	}
	for i := range events {
		e := events[i].Clone()
		e.Tags = dcb.UniqueTags(e.Tags)
		*l = append(*l, dcb.SequencedEvent{Event: e, Position: l.Head() + 1, RecordedAt: recordedAt})
	}
	return l.Head(), nil
}

// recordedIDs returns the positions at which IDs of events are recorded, in the order of events.
func (l Log) recordedIDs(events []dcb.Event) []dcb.Position {
	byID := make(map[uuid.UUID]dcb.Position)
	for i := range l {
		if l[i].ID != uuid.Nil {
			byID[l[i].ID] = l[i].Position
		}
	}
	var recorded []dcb.Position
	for i := range events {
		if position, ok := byID[events[i].ID]; ok {
			recorded = append(recorded, position)
		}
	}
	return recorded
}

// retry returns true and the position of the last event if all events have IDs and exactly these
// events are recorded from position first on.
func (l Log) retry(first dcb.Position, events []dcb.Event) (dcb.Position, bool) {
	last := first + dcb.Position(len(events)) - 1
	if last > l.Head() {
		return 0, false
	}
	for i := range events {
		if events[i].ID == uuid.Nil || !events[i].Same(l[int(first)-1+i].Event) {
			return 0, false
		}
	}
	return last, true
}
