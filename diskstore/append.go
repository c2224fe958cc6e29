package diskstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/diskstore/internal/logfile"
	"github.com/dcbstore/dcb/diskstore/internal/search"
	"github.com/dcbstore/dcb/diskstore/internal/term"
)

// appendRequest is one call of Append, from its validation until its answer. Requests are
// reused.
//
// The calling goroutine owns the request until enqueue. From then until done is set, the leader
// owns all fields but those that Store.mu guards.
type appendRequest struct {
	logfile.Encoder // the log record

	keys       []term.Key   // of each event: the key of its type, of its ID or 0, and of its tags
	ends       []int        // of each event, the end of its keys in keys
	hasIDs     bool         // at least one event has an ID
	query      search.Query // of the condition
	finder     finder
	segment    *segment
	offset     uint32       // of the log record in the segment, in bytes
	first      dcb.Position // the position of the first event
	recordedAt int64        // microseconds since 1970

	// Guarded by Store.mu.
	done      bool
	isLeader  bool // the caller is to write the next group
	abandoned bool // the caller has returned
	err       error
	wake      chan struct{} // has capacity 1; receives when done or isLeader was set
}

// maxPooledBytes is the largest log record whose memory is kept for reuse.
const maxPooledBytes = 1 << 20

// newRequest encodes the log record of events and hashes their terms, before any lock is taken.
func (s *Store) newRequest(events []dcb.Event, condition *dcb.AppendCondition) *appendRequest {
	r, ok := s.requests.Get().(*appendRequest)
	if !ok {
		r = &appendRequest{wake: make(chan struct{}, 1)}
	}
	r.keys, r.ends, r.hasIDs = r.keys[:0], r.ends[:0], false
	r.done, r.isLeader, r.abandoned, r.err, r.segment = false, false, false, nil, nil
	r.Encode(events)
	for i := range events {
		e := &events[i]
		r.keys = append(r.keys, term.OfType(e.Type), 0)
		if e.ID != uuid.Nil {
			r.hasIDs = true
			r.keys[len(r.keys)-1] = term.OfID(e.ID)
		}
		for _, tag := range e.Tags {
			r.keys = append(r.keys, term.OfTag(tag))
		}
		r.ends = append(r.ends, len(r.keys))
	}
	if condition != nil {
		r.query.Translate(condition.FailIfEventsMatch)
	}
	return r
}

// recycle makes r available for reuse. The caller must hold the only reference.
func (s *Store) recycle(r *appendRequest) {
	r.query.Of = nil
	if cap(r.Bytes) <= maxPooledBytes && r.finder.isSmall() {
		s.requests.Put(r)
	}
}

// last returns the position of the last event.
func (r *appendRequest) last() dcb.Position { return r.first + dcb.Position(len(r.ends)) - 1 }

// Append implements [dcb.Store]. If ctx ends while the append is being written, its outcome is
// unknown: it is recorded as a whole or not at all.
func (s *Store) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	if err := dcb.ValidateAppend(events, condition); err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	r := s.newRequest(events, condition)
	checked := dcb.Position(0) // no event at or before it conflicts
	for {
		recorded, head, err := s.checkDurable(ctx, r, events, condition, checked)
		if err != nil || recorded > 0 {
			s.recycle(r)
			return recorded, err
		}
		checked = head
		wait, err := s.admit(ctx, r, condition, checked)
		if err != nil {
			s.recycle(r)
			return 0, err
		}
		if wait == nil {
			return s.await(ctx, r)
		}
		if err := wait(ctx); err != nil {
			s.recycle(r)
			return 0, err
		}
	}
}

// checkDurable checks the IDs and the condition against the durable events after checked. It
// returns the position of the last of events if they are recorded already, or the error that the
// append fails with; otherwise the head up to which it checked.
func (s *Store) checkDurable(
	ctx context.Context, r *appendRequest, events []dcb.Event, condition *dcb.AppendCondition, checked dcb.Position,
) (recorded, head dcb.Position, err error) {
	head, err = s.head.Load()
	if err != nil || head <= checked || condition == nil && !r.hasIDs {
		return 0, head, err
	}
	if !r.hasIDs && condition.After >= head {
		return 0, head, nil
	}
	err = s.withSnapshot(ctx, func(snap *snapshot) error {
		if r.hasIDs {
			if recorded, err = findRepeat(snap, r, events, head); err != nil || recorded > 0 {
				return err
			}
		}
		if condition == nil {
			return nil
		}
		// Backwards, because conflicts are most likely among the newest events.
		b := bounds{after: max(condition.After, checked), last: head, backwards: true}
		return r.finder.forEach(ctx, s, snap, &r.query, b, func(e *dcb.SequencedEvent) error {
			s.counters.conflicts.Add(1)
			return &dcb.ConflictError{Position: e.Position}
		})
	})
	return recorded, head, err
}

// findRepeat returns the position of the last of events if exactly these events are recorded up
// to head. It returns 0 if none of their IDs is recorded, and [dcb.ErrDuplicateID] otherwise.
func findRepeat(snap *snapshot, r *appendRequest, events []dcb.Event, head dcb.Position) (dcb.Position, error) {
	for i := range events {
		if events[i].ID == uuid.Nil {
			continue
		}
		position, err := r.finder.findID(snap, events[i].ID, r.idKey(i), head)
		if err != nil {
			return 0, err
		}
		if position == 0 {
			continue
		}
		first, same := position-dcb.Position(i), false
		if position > dcb.Position(i) {
			if same, err = r.finder.isRecorded(snap, events, first, head); err != nil {
				return 0, err
			}
		}
		if !same {
			return 0, fmt.Errorf("%w: %s is recorded at position %d by another append", dcb.ErrDuplicateID, events[i].ID, position)
		}
		return first + dcb.Position(len(events)) - 1, nil
	}
	return 0, nil
}

// idKey returns the key of the ID of event i, or 0 if it has none.
func (r *appendRequest) idKey(i int) term.Key {
	from := 0
	if i > 0 {
		from = r.ends[i-1]
	}
	return r.keys[from+1]
}

// admit gives r its positions and its place in the queue, unless an append admitted after
// checked may conflict or the log has no space. In these cases it returns a function that waits;
// the caller then checks again.
func (s *Store) admit(
	ctx context.Context, r *appendRequest, condition *dcb.AppendCondition, checked dcb.Position,
) (wait func(context.Context) error, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.checkUsable(); err != nil {
		return nil, err
	}
	if s.admitted > checked {
		var conflicting bool
		err := catchFaults(func() (err error) {
			conflicting, err = s.mayConflict(ctx, r, condition, checked)
			return err
		})
		if damaged, ok := errors.AsType[*damagedIndexError](err); ok {
			return func(ctx context.Context) error { return s.rebuildIndex(ctx, damaged) }, nil
		}
		if err != nil {
			return nil, err
		}
		if conflicting {
			return s.waitForHead(checked), nil
		}
	}
	if wait, err := s.ensureSpace(int64(len(r.Bytes))); wait != nil || err != nil {
		return wait, err
	}
	s.enqueue(r)
	return nil, nil
}

// checkUsable returns the error of every append if the store cannot append. The caller holds mu.
func (s *Store) checkUsable() error {
	switch {
	case s.closing:
		return dcb.ErrClosed
	case s.failed != nil:
		return unavailable(false, "append: the store cannot append until it is closed and opened again: %w", s.failed)
	}
	return nil
}

// mayConflict reports whether an append admitted after checked may conflict with r: it may have
// an event that the condition matches, or one of the IDs. It compares keys in memory only,
// because the events are perhaps not written yet. The caller then waits until they are durable
// and checks the events themselves. The caller holds mu.
func (s *Store) mayConflict(
	ctx context.Context, r *appendRequest, condition *dcb.AppendCondition, checked dcb.Position,
) (bool, error) {
	snap := s.snapshot.Load()
	if r.hasIDs {
		for i := range r.ends {
			if key := r.idKey(i); key != 0 {
				if found, err := r.finder.hasTerm(snap, key, checked, s.admitted); found || err != nil {
					return found, err
				}
			}
		}
	}
	if condition == nil || condition.After >= s.admitted {
		return false, nil
	}
	b := bounds{after: max(condition.After, checked), last: s.admitted, backwards: true}
	return r.finder.hasCandidate(ctx, snap, &r.query, b)
}

// waitForHead returns a function that waits until the head is above checked, or until an append
// in progress has failed.
func (s *Store) waitForHead(checked dcb.Position) func(context.Context) error {
	risen := s.head.Changed()
	if head, err := s.head.Load(); err != nil || head > checked {
		return func(context.Context) error { return err }
	}
	return func(ctx context.Context) error {
		select {
		case <-risen:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// enqueue gives r its positions, its offset and its time, adds its events to the tail index, and
// appends it to pending. The caller holds mu. Readers do not see the events until the head
// rises.
func (s *Store) enqueue(r *appendRequest) {
	if now := s.opts.Now().UnixMicro(); now > s.lastRecordedAt {
		s.lastRecordedAt = now
	}
	a := s.active
	r.first, r.recordedAt = s.admitted+1, s.lastRecordedAt
	r.segment, r.offset = a.segment, a.end
	from := 0
	for i, to := range r.ends {
		a.tail.Add(r.offset+r.EntryOffsets[i], r.keys[from], r.keys[from+1], r.keys[from+2:to])
		from = to
	}
	a.end += uint32(len(r.Bytes))
	s.admitted = r.last()
	s.pending = append(s.pending, r)
	s.preallocateAhead()
	if !s.hasLeader {
		s.hasLeader = true
		r.isLeader = true
	}
}

// await waits until r is recorded or has failed. The caller leads if it is chosen to.
func (s *Store) await(ctx context.Context, r *appendRequest) (dcb.Position, error) {
	for {
		s.mu.Lock()
		done, isLeader := r.done, r.isLeader
		s.mu.Unlock()
		switch {
		case done:
			last, err := r.last(), r.err
			s.recycle(r)
			if err != nil {
				return 0, err
			}
			return last, nil
		case isLeader:
			s.commitNext()
		default:
			select {
			case <-r.wake:
			case <-ctx.Done():
				if s.abandon(r) {
					return 0, ctx.Err()
				}
			}
		}
	}
}
