package diskstore

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/diskstore/internal/frame"
	"github.com/dcbstore/dcb/diskstore/internal/search"
	"github.com/dcbstore/dcb/diskstore/internal/term"
)

// call is an append on its way to the disk.
type appendRequest struct {
	frame.Draft // the frame

	keys    []term.Key // of each event: its type, its ID or 0, its tags
	ends    []int      // where the keys of each event end
	hasIDs  bool
	query   search.Query // of the condition
	finder  finder
	segment *segment
	offset  uint32 // of the frame in the segment
	first   dcb.Position
	// recordedAt is in microseconds since 1970.
	recordedAt int64

	// Of the store's mu, until the call is done.
	done      bool
	isLeader  bool // the caller is to write the next group
	abandoned bool // the caller is gone
	err       error
	wake      chan struct{} // has room for one; told when done or lead was set
}

// largeDraft is from which size on the memory of a frame is not kept for the next.
const maxPooledBytes = 1 << 20

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

// free gives the call back. Nobody may have it any more.
func (s *Store) recycle(r *appendRequest) {
	r.query.Of = nil
	if cap(r.Bytes) <= maxPooledBytes && r.finder.isSmall() {
		s.requests.Put(r)
	}
}

func (r *appendRequest) last() dcb.Position { return r.first + dcb.Position(len(r.ends)) - 1 }

// Append implements dcb.Store. If ctx ends while the append is being written its outcome is unknown to the caller.
func (s *Store) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	if err := dcb.ValidateAppend(events, condition); err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	r := s.newRequest(events, condition)
	checked := dcb.Position(0) // nothing at or before it stands in the way
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

// judge looks at what is durable, after judged: it returns the position of the last of events if they are recorded already, or the error that
// stands in the way, and otherwise how far it looked.
func (s *Store) checkDurable(ctx context.Context, r *appendRequest, events []dcb.Event, condition *dcb.AppendCondition, checked dcb.Position) (recorded, head dcb.Position, err error) {
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
		b := bounds{after: max(condition.After, checked), last: head, backwards: true} // what is new is what conflicts
		return r.finder.forEach(ctx, s, snap, &r.query, b, func(e *dcb.SequencedEvent) error {
			s.counters.conflicts.Add(1)
			return &dcb.ConflictError{Position: e.Position}
		})
	})
	return recorded, head, err
}

// repeated returns the position of the last of events if they are a repetition of what is recorded up to head, 0 if none of their IDs is
// recorded, and dcb.ErrDuplicateID otherwise.
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
			return 0, fmt.Errorf("%w: %s is recorded at position %d, and not by this append", dcb.ErrDuplicateID, events[i].ID, position)
		}
		return first + dcb.Position(len(events)) - 1, nil
	}
	return 0, nil
}

// idKey returns the key of the ID of event i.
func (r *appendRequest) idKey(i int) term.Key {
	from := 0
	if i > 0 {
		from = r.ends[i-1]
	}
	return r.keys[from+1]
}

// decide gives the call its positions and its place in the log, if nothing after judged stands in the way and there is room. Otherwise it returns what to wait
// for before judging again.
func (s *Store) admit(ctx context.Context, r *appendRequest, condition *dcb.AppendCondition, checked dcb.Position) (wait func(context.Context) error, err error) {
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
		if damaged, ok := asDamaged(err); ok {
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

// refusal returns why nothing can be appended, if that is so.
func (s *Store) checkUsable() error {
	switch {
	case s.closing:
		return dcb.ErrClosed
	case s.failed != nil:
		return unavailable(false, "the store has failed, and must be closed and opened again: %w", s.failed)
	}
	return nil
}

// touched reports whether what was decided after judged may stand in the way: an event that the condition selects, or one of the IDs. It looks at keys alone, in
// memory, since what was decided may not be written yet; who is touched waits until it is, and judges it then.
func (s *Store) mayConflict(ctx context.Context, r *appendRequest, condition *dcb.AppendCondition, checked dcb.Position) (bool, error) {
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
	return r.finder.hasCandidate(ctx, snap, &r.query, bounds{after: max(condition.After, checked), last: s.admitted, backwards: true})
}

// untilRisen returns a wait for the head to be above judged, or for anything else to become known of it.
func (s *Store) waitForHead(checked dcb.Position) func(context.Context) error {
	risen := s.head.Risen()
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

// accept gives the call its positions and its place, and puts it into the index beyond the head.
func (s *Store) enqueue(r *appendRequest) {
	if now := s.opts.Now().UnixMicro(); now > s.lastRecordedAt {
		s.lastRecordedAt = now
	}
	a := s.active
	r.first, r.recordedAt = s.admitted+1, s.lastRecordedAt
	r.segment, r.offset = a.segment, a.end
	from := 0
	for i, to := range r.ends {
		a.tail.Add(r.offset+r.Records[i], r.keys[from], r.keys[from+1], r.keys[from+2:to])
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

// await returns when the call is recorded, or is known not to be. The caller writes it himself if he is to lead.
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
