package dcbnet

import (
	"context"
	"errors"
	"iter"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/wire"
)

// Append implements [dcb.Store].
func (c *Client) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	if err := dcb.ValidateAppend(events, condition); err != nil {
		return 0, err
	}
	canRepeat := !slices.ContainsFunc(events, func(e dcb.Event) bool { return e.ID == uuid.Nil })
	return c.call(ctx, &request{kind: appendRequest, events: events, condition: condition}, canRepeat)
}

// Head implements [dcb.Store].
func (c *Client) Head(ctx context.Context) (dcb.Position, error) {
	return c.call(ctx, &request{kind: headRequest}, true)
}

// Wait implements [dcb.Store].
func (c *Client) Wait(ctx context.Context, after dcb.Position) (dcb.Position, error) {
	return c.call(ctx, &request{kind: waitRequest, opts: dcb.ReadOptions{After: after}}, true)
}

// reachedAfter is the time after which a Wait that is lost has been on the server. Then RetryFor
// begins again.
const reachedAfter = time.Second

// call makes a call whose response is a position. If canRepeat, it is repeated after a lost
// response.
func (c *Client) call(ctx context.Context, r *request, canRepeat bool) (dcb.Position, error) {
	retry := wire.NewRetry(c.opts.RetryFor)
	mayBeDone := false // an append may have been recorded without a response
	for {
		attempt := c.try(ctx, r)
		err := attempt.err
		if err == nil {
			return attempt.response.position, nil
		}
		if r.kind == waitRequest && !attempt.began.IsZero() && time.Since(attempt.began) > reachedAfter {
			retry.Reset()
		}
		if errors.Is(err, dcb.ErrClosed) {
			return 0, dcb.ErrClosed
		}
		mayBeDone = mayBeDone || attempt.isLost && r.kind == appendRequest
		if attempt.isLost && !canRepeat {
			return 0, outcomeUnknown(err)
		}
		if attempt.isLost || errors.Is(err, wire.ErrStopping) || errors.Is(err, errNotSent) || attempt.canSwitch {
			err = retry.Pause(ctx, c.closed, err)
			if err == nil {
				continue
			}
		}
		if mayBeDone && !isDefinite(err) && ctx.Err() == nil {
			return 0, outcomeUnknown(err)
		}
		return 0, err
	}
}

// isDefinite reports whether err, as the response to a repeated append, also means that no
// earlier attempt was recorded.
func isDefinite(err error) bool {
	return errors.Is(err, dcb.ErrConflict) || errors.Is(err, dcb.ErrDuplicateID)
}

// attempt is the result of sending a request once.
type attempt struct {
	response  response
	err       error
	isLost    bool      // the connection was lost before the response
	canSwitch bool      // another server may succeed
	began     time.Time // when the request was sent; zero: it was not
}

func (c *Client) try(ctx context.Context, r *request) (a attempt) {
	conn, call, err := c.start(ctx, r)
	if err != nil {
		return attempt{err: err}
	}
	a.began = time.Now()
	a.response, a.isLost, a.err = conn.wait(ctx, c.closed, call)
	a.canSwitch = a.err != nil && !a.isLost && c.canSwitch(conn, a.err)
	return a
}

// Read implements [dcb.Store].
func (c *Client) Read(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
	if err := dcb.ValidateRead(q, opts); err != nil {
		return dcb.ReadResult{}, err
	}
	var result dcb.ReadResult
	isFirst := true
	r := &request{kind: readRequest, query: q, opts: opts}
	err := c.pieces(ctx, r, func(a *response) bool {
		if isFirst {
			isFirst, result = false, dcb.ReadResult{Events: a.events, Head: a.position, More: a.more}
			return true
		}
		result.Events = append(result.Events, a.events...)
		result.More = a.more
		if !opts.Backwards {
			result.Head = min(result.Head, a.position) // lower if the limit ended the read
		}
		return true
	})
	if err != nil {
		return dcb.ReadResult{}, err
	}
	return result, nil
}

// Stream implements [dcb.Streamer].
func (c *Client) Stream(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) iter.Seq2[dcb.SequencedEvent, error] {
	return func(yield func(dcb.SequencedEvent, error) bool) {
		if err := dcb.ValidateRead(q, opts); err != nil {
			yield(dcb.SequencedEvent{}, err)
			return
		}
		more := true
		r := &request{kind: readRequest, query: q, opts: opts}
		err := c.pieces(ctx, r, func(a *response) bool {
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

// Follow implements [dcb.Follower].
func (c *Client) Follow(ctx context.Context, q dcb.Query, after dcb.Position) iter.Seq2[dcb.ReadResult, error] {
	return func(yield func(dcb.ReadResult, error) bool) {
		if err := dcb.ValidateRead(q, dcb.ReadOptions{}); err != nil {
			yield(dcb.ReadResult{}, err)
			return
		}
		more := true
		r := &request{kind: subscribeRequest, query: q, opts: dcb.ReadOptions{After: after}}
		err := c.pieces(ctx, r, func(a *response) bool {
			head := a.position
			if head == 0 && len(a.events) > 0 { // more pieces of the same page follow
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

// pieces calls found with each piece of a Read or a Subscribe, until the last one, or until found
// returns false. After a lost connection it continues after the last event.
func (c *Client) pieces(ctx context.Context, r *request, found func(a *response) bool) error {
	r.credit = clientCredit
	retry := wire.NewRetry(c.opts.RetryFor)
	for {
		isDone, err := c.somePieces(ctx, r, func(a *response) bool {
			retry = wire.NewRetry(c.opts.RetryFor)
			continueAfter(r, a)
			return found(a)
		})
		if isDone {
			return err
		}
		if err := retry.Pause(ctx, c.closed, err); err != nil {
			return err
		}
	}
}

// continueAfter changes r to ask for what follows a. A Read then still ends at its first head.
func continueAfter(r *request, a *response) {
	if r.kind == subscribeRequest {
		r.opts.After = max(r.opts.After, a.position)
	} else if r.opts.Before == 0 || r.opts.Before > a.position+1 {
		r.opts.Before = a.position + 1
	}
	if len(a.events) == 0 {
		return
	}
	last := a.events[len(a.events)-1].Position
	if r.opts.Backwards {
		r.opts.Before = last
	} else {
		r.opts.After = max(last, r.opts.After)
	}
	if r.opts.Limit > 0 {
		r.opts.Limit -= len(a.events)
	}
}

// somePieces is pieces on one connection. IsDone is false if repeating may help.
func (c *Client) somePieces(ctx context.Context, r *request, found func(a *response) bool) (isDone bool, err error) {
	conn, call, err := c.start(ctx, r)
	if err != nil {
		return !errors.Is(err, errNotSent), err
	}
	consumed, progressed := int64(0), false
	for {
		a, isLost, err := conn.wait(ctx, c.closed, call)
		if errors.Is(err, dcb.ErrClosed) {
			return true, dcb.ErrClosed
		}
		if err != nil {
			// A read that progressed may have exceeded the server's time limit because its consumer is
			// slow.
			canRepeat := isLost || errors.Is(err, wire.ErrStopping) || progressed && dcb.Retryable(err) || c.canSwitch(conn, err)
			return !canRepeat, err
		}
		progressed = true
		if !found(&a) {
			conn.giveUp(call)
			return true, nil
		}
		if a.last {
			return true, nil
		}
		consumed += pieceCost(a.bytes)
		if consumed >= clientCredit/4 {
			conn.addCredit(call, consumed)
			consumed = 0
		}
	}
}
