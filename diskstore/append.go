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
type call struct {
	frame.Draft // the frame

	keys    []term.Key // of each event: its type, its ID or 0, its tags
	ends    []int      // where the keys of each event end
	hasIDs  bool
	search  search.Query // of the condition
	walk    walk
	segment *segment
	place   uint32 // of the frame in the segment
	first   dcb.Position
	// recordedAt is in microseconds since 1970.
	recordedAt int64

	// Of the store's mu, until the call is done.
	done bool
	lead bool // the caller is to write the next group
	left bool // the caller is gone
	err  error
	wake chan struct{} // has room for one; told when done or lead was set
}

// largeDraft is from which size on the memory of a frame is not kept for the next.
const largeDraft = 1 << 20

func (s *Store) newCall(events []dcb.Event, condition *dcb.AppendCondition) *call {
	c, ok := s.calls.Get().(*call)
	if !ok {
		c = &call{wake: make(chan struct{}, 1)}
	}
	c.keys, c.ends, c.hasIDs = c.keys[:0], c.ends[:0], false
	c.done, c.lead, c.left, c.err, c.segment = false, false, false, nil, nil
	c.Encode(events)
	for i := range events {
		e := &events[i]
		c.keys = append(c.keys, term.OfType(e.Type), 0)
		if e.ID != uuid.Nil {
			c.hasIDs = true
			c.keys[len(c.keys)-1] = term.OfID(e.ID)
		}
		for _, tag := range e.Tags {
			c.keys = append(c.keys, term.OfTag(tag))
		}
		c.ends = append(c.ends, len(c.keys))
	}
	if condition != nil {
		c.search.Translate(condition.FailIfEventsMatch)
	}
	return c
}

// free gives the call back. Nobody may have it any more.
func (s *Store) free(c *call) {
	c.search.Of = nil
	if cap(c.Bytes) <= largeDraft && c.walk.isSmall() {
		s.calls.Put(c)
	}
}

func (c *call) last() dcb.Position { return c.first + dcb.Position(len(c.ends)) - 1 }

// Append implements dcb.Store. If ctx ends while the append is being written its outcome is unknown to the caller.
func (s *Store) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	if err := dcb.ValidateAppend(events, condition); err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	c := s.newCall(events, condition)
	judged := dcb.Position(0) // nothing at or before it stands in the way
	for {
		recorded, head, err := s.judge(ctx, c, events, condition, judged)
		if err != nil || recorded > 0 {
			s.free(c)
			return recorded, err
		}
		judged = head
		wait, err := s.decide(ctx, c, condition, judged)
		if err != nil {
			s.free(c)
			return 0, err
		}
		if wait == nil {
			return s.await(ctx, c)
		}
		if err := wait(ctx); err != nil {
			s.free(c)
			return 0, err
		}
	}
}

// judge looks at what is durable, after judged: it returns the position of the last of events if they are recorded already, or the error that
// stands in the way, and otherwise how far it looked.
func (s *Store) judge(ctx context.Context, c *call, events []dcb.Event, condition *dcb.AppendCondition, judged dcb.Position) (recorded, head dcb.Position, err error) {
	head, err = s.head.Load()
	if err != nil || head <= judged || condition == nil && !c.hasIDs {
		return 0, head, err
	}
	if !c.hasIDs && condition.After >= head {
		return 0, head, nil
	}
	err = s.reading(ctx, func(v *view) error {
		if c.hasIDs {
			if recorded, err = repeated(v, c, events, head); err != nil || recorded > 0 {
				return err
			}
		}
		if condition == nil {
			return nil
		}
		b := bounds{after: max(condition.After, judged), last: head, backwards: true} // what is new is what conflicts
		return c.walk.each(ctx, s, v, &c.search, b, func(e *dcb.SequencedEvent) error {
			s.count.conflicts.Add(1)
			return &dcb.ConflictError{Position: e.Position}
		})
	})
	return recorded, head, err
}

// repeated returns the position of the last of events if they are a repetition of what is recorded up to head, 0 if none of their IDs is
// recorded, and dcb.ErrDuplicateID otherwise.
func repeated(v *view, c *call, events []dcb.Event, head dcb.Position) (dcb.Position, error) {
	for i := range events {
		if events[i].ID == uuid.Nil {
			continue
		}
		position, err := c.walk.findID(v, events[i].ID, c.idKey(i), head)
		if err != nil {
			return 0, err
		}
		if position == 0 {
			continue
		}
		first, same := position-dcb.Position(i), false
		if position > dcb.Position(i) {
			if same, err = c.walk.same(v, events, first, head); err != nil {
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
func (c *call) idKey(i int) term.Key {
	from := 0
	if i > 0 {
		from = c.ends[i-1]
	}
	return c.keys[from+1]
}

// decide gives the call its positions and its place in the log, if nothing after judged stands in the way and there is room. Otherwise it returns what to wait
// for before judging again.
func (s *Store) decide(ctx context.Context, c *call, condition *dcb.AppendCondition, judged dcb.Position) (wait func(context.Context) error, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.refusal(); err != nil {
		return nil, err
	}
	if s.decided > judged {
		var touched bool
		err := guarded(func() (err error) {
			touched, err = s.touched(ctx, c, condition, judged)
			return err
		})
		if damaged, ok := asDamaged(err); ok {
			return func(ctx context.Context) error { return s.mend(ctx, damaged) }, nil
		}
		if err != nil {
			return nil, err
		}
		if touched {
			return s.untilRisen(judged), nil
		}
	}
	if wait, err := s.room(int64(len(c.Bytes))); wait != nil || err != nil {
		return wait, err
	}
	s.accept(c)
	return nil, nil
}

// refusal returns why nothing can be appended, if that is so.
func (s *Store) refusal() error {
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
func (s *Store) touched(ctx context.Context, c *call, condition *dcb.AppendCondition, judged dcb.Position) (bool, error) {
	v := s.view.Load()
	if c.hasIDs {
		for i := range c.ends {
			if key := c.idKey(i); key != 0 {
				if found, err := c.walk.hasTerm(v, key, judged, s.decided); found || err != nil {
					return found, err
				}
			}
		}
	}
	if condition == nil || condition.After >= s.decided {
		return false, nil
	}
	return c.walk.hasCandidate(ctx, v, &c.search, bounds{after: max(condition.After, judged), last: s.decided, backwards: true})
}

// untilRisen returns a wait for the head to be above judged, or for anything else to become known of it.
func (s *Store) untilRisen(judged dcb.Position) func(context.Context) error {
	risen := s.head.Risen()
	if head, err := s.head.Load(); err != nil || head > judged {
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
func (s *Store) accept(c *call) {
	if now := s.opts.Now().UnixMicro(); now > s.lastRecorded {
		s.lastRecorded = now
	}
	a := s.active
	c.first, c.recordedAt = s.decided+1, s.lastRecorded
	c.segment, c.place = a.segment, a.end
	from := 0
	for i, to := range c.ends {
		a.tail.Add(c.place+c.Records[i], c.keys[from], c.keys[from+1], c.keys[from+2:to])
		from = to
	}
	a.end += uint32(len(c.Bytes))
	s.decided = c.last()
	s.pending = append(s.pending, c)
	s.prepareAhead()
	if !s.leading {
		s.leading = true
		c.lead = true
	}
}

// await returns when the call is recorded, or is known not to be. The caller writes it himself if he is to lead.
func (s *Store) await(ctx context.Context, c *call) (dcb.Position, error) {
	for {
		s.mu.Lock()
		done, lead := c.done, c.lead
		s.mu.Unlock()
		switch {
		case done:
			last, err := c.last(), c.err
			s.free(c)
			if err != nil {
				return 0, err
			}
			return last, nil
		case lead:
			s.lead()
		default:
			select {
			case <-c.wake:
			case <-ctx.Done():
				if s.leave(c) {
					return 0, ctx.Err()
				}
			}
		}
	}
}
