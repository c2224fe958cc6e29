package dcbgrpc

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/wire"
)

// Append records events, as [dcb.Store] says.
func (c *Client) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	if err := dcb.ValidateAppend(events, condition); err != nil {
		return 0, err
	}
	canRepeat := true
	for i := range events {
		canRepeat = canRepeat && events[i].ID != uuid.Nil
	}
	r := &request{kind: fieldAppend, events: events, condition: condition}
	return c.call(ctx, r, canRepeat)
}

// Head returns the position of the last event, as [dcb.Store] says.
func (c *Client) Head(ctx context.Context) (dcb.Position, error) {
	return c.call(ctx, &request{kind: fieldHead}, true)
}

// Wait returns the head when it is greater than after, as [dcb.Store] says.
func (c *Client) Wait(ctx context.Context, after dcb.Position) (dcb.Position, error) {
	return c.call(ctx, &request{kind: fieldWait, opts: dcb.ReadOptions{After: after}}, true)
}

// aWhile is how long a call waits for something to happen before it is clear that it was with the server.
const aWhile = time.Second

// call has a request answered that is answered by a position. If canRepeat it is sent again when the answer is lost.
func (c *Client) call(ctx context.Context, r *request, canRepeat bool) (dcb.Position, error) {
	t := c.newRetry()
	mayBeDone := false // by the server, without our knowing
	for {
		a, isLost, began, err := c.try(ctx, r)
		if err == nil {
			return a.position, nil
		}
		if r.kind == fieldWait && !began.IsZero() && time.Since(began) > aWhile {
			t.reached()
		}
		if errors.Is(err, dcb.ErrClosed) {
			return 0, dcb.ErrClosed // by Close, which says what that means
		}
		mayBeDone = mayBeDone || isLost && r.kind == fieldAppend
		if isLost && !canRepeat {
			return 0, outcomeUnknown(err)
		}
		if isLost || errors.Is(err, wire.ErrStopping) || errors.Is(err, errUnreached) {
			err = c.again(ctx, &t, err)
			if err == nil {
				continue
			}
		}
		if mayBeDone && !isAboutEvents(err) && ctx.Err() == nil {
			return 0, outcomeUnknown(err)
		}
		return 0, err
	}
}

// isAboutEvents reports whether err answers an append that was sent again for the first time, too: it was not recorded then.
func isAboutEvents(err error) bool {
	return errors.Is(err, dcb.ErrConflict) || errors.Is(err, dcb.ErrDuplicateID)
}

// try sends a request once and returns the first answer to it. It began when the request was on its way, which may be long after the call: a link
// takes its time to be made. The zero time: it was not.
func (c *Client) try(ctx context.Context, r *request) (a answer, isLost bool, began time.Time, err error) {
	l, p, err := c.start(ctx, r)
	if err != nil {
		return answer{}, false, time.Time{}, err
	}
	began = time.Now()
	a, isLost, err = l.wait(ctx, c.closed, p)
	return a, isLost, began, err
}

// Read returns the events that q selects, as [dcb.Store] says.
func (c *Client) Read(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
	if err := dcb.ValidateRead(q, opts); err != nil {
		return dcb.ReadResult{}, err
	}
	var result dcb.ReadResult
	isFirst := true
	r := &request{kind: fieldRead, query: q, opts: opts}
	err := c.pieces(ctx, r, func(a *answer) bool {
		if isFirst {
			isFirst, result = false, dcb.ReadResult{Events: a.events, Head: a.position, More: a.more}
			return true
		}
		result.Events = append(result.Events, a.events...)
		result.More = a.more
		if !opts.Backwards {
			result.Head = min(result.Head, a.position) // higher after a reconnection, lower if the limit ended the read
		}
		return true
	})
	if err != nil {
		return dcb.ReadResult{}, err
	}
	return result, nil
}

// Stream yields the events that q selects, as [dcb.Stream] says.
func (c *Client) Stream(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) iter.Seq2[dcb.SequencedEvent, error] {
	return func(yield func(dcb.SequencedEvent, error) bool) {
		if err := dcb.ValidateRead(q, opts); err != nil {
			yield(dcb.SequencedEvent{}, err)
			return
		}
		more := true
		r := &request{kind: fieldRead, query: q, opts: opts}
		err := c.pieces(ctx, r, func(a *answer) bool {
			for i := range a.events {
				if ctx.Err() != nil {
					return false
				}
				if more = yield(a.events[i], nil); !more {
					return false
				}
			}
			return true
		})
		if err == nil {
			err = ctx.Err()
		}
		if err != nil && more {
			yield(dcb.SequencedEvent{}, err)
		}
	}
}

// Follow yields the events that q selects after a position, for ever, as [dcb.Follow] says.
func (c *Client) Follow(ctx context.Context, q dcb.Query, after dcb.Position) iter.Seq2[dcb.ReadResult, error] {
	return func(yield func(dcb.ReadResult, error) bool) {
		if err := dcb.ValidateRead(q, dcb.ReadOptions{}); err != nil {
			yield(dcb.ReadResult{}, err)
			return
		}
		more := true
		r := &request{kind: fieldSubscribe, query: q, opts: dcb.ReadOptions{After: after}}
		err := c.pieces(ctx, r, func(a *answer) bool {
			head := a.position
			if head == 0 && len(a.events) > 0 { // more of the same moment follow
				head = a.events[len(a.events)-1].Position
			}
			more = yield(dcb.ReadResult{Events: a.events, Head: head}, nil)
			return more
		})
		if err != nil && more {
			yield(dcb.ReadResult{}, err)
		}
	}
}

// pieces calls found with each piece that answers a Read or a Subscribe, until the last, or until found has enough. After a
// lost connection it goes on behind the last event.
func (c *Client) pieces(ctx context.Context, r *request, found func(a *answer) bool) error {
	r.window = clientWindow
	t := c.newRetry()
	for {
		isDone, err := c.somePieces(ctx, r, func(a *answer) bool {
			t = c.newRetry() // it gets on
			goOnBehind(r, a)
			return found(a)
		})
		if isDone {
			return err
		}
		if err := c.again(ctx, &t, err); err != nil {
			return err
		}
	}
}

// goOnBehind makes r ask for what comes after a, and a Read for nothing that was recorded since.
func goOnBehind(r *request, a *answer) {
	if r.kind == fieldSubscribe {
		r.opts.After = max(r.opts.After, a.position)
	} else if r.opts.Before == 0 || r.opts.Before > a.position+1 {
		r.opts.Before = a.position + 1
	}
	if len(a.events) == 0 {
		return
	}
	last := a.events[len(a.events)-1].Position
	switch {
	case r.opts.Backwards:
		r.opts.Before = last
	default:
		r.opts.After = max(last, r.opts.After)
	}
	if r.opts.Limit > 0 {
		r.opts.Limit -= len(a.events)
	}
}

// somePieces is pieces as long as one link lasts. It is done unless trying again may help.
func (c *Client) somePieces(ctx context.Context, r *request, found func(a *answer) bool) (isDone bool, err error) {
	l, p, err := c.start(ctx, r)
	if err != nil {
		return !errors.Is(err, errUnreached), err
	}
	consumed, getsOn := int64(0), false
	for {
		a, isLost, err := l.wait(ctx, c.closed, p)
		if errors.Is(err, dcb.ErrClosed) {
			return true, dcb.ErrClosed
		}
		if err != nil {
			// What has begun may have taken the server too long because its consumer takes his time.
			goesOn := isLost || errors.Is(err, wire.ErrStopping) || getsOn && dcb.Retryable(err)
			return !goesOn, err
		}
		getsOn = true
		if !found(&a) {
			l.giveUp(p)
			return true, nil
		}
		if a.last {
			return true, nil
		}
		consumed += pieceCost(a.bytes)
		if consumed >= clientWindow/4 {
			l.grant(p, consumed)
			consumed = 0
		}
	}
}
