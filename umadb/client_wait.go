package umadb

import (
	"context"
	"math"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/wire"
	"github.com/dcbstore/dcb/umadb/internal/umadbv1"
)

// Head implements [dcb.Store].
func (c *Client) Head(ctx context.Context) (dcb.Position, error) {
	for retry := wire.NewRetry(c.opts.RetryFor); ; {
		head, err := c.headOnce(ctx)
		if err == nil || !dcb.Retryable(err) {
			return head, err
		}
		if err := retry.Pause(ctx, c.closed, err); err != nil {
			return 0, err
		}
	}
}

func (c *Client) headOnce(ctx context.Context) (dcb.Position, error) {
	options, trailer := c.callOptions()
	response, err := c.rpc.Head(ctx, &umadbv1.HeadRequest{}, options...)
	if err != nil {
		_, err = c.failure(ctx, err, *trailer)
		return 0, err
	}
	return dcb.Position(response.GetPosition()), nil
}

// Wait implements [dcb.Store].
func (c *Client) Wait(ctx context.Context, after dcb.Position) (dcb.Position, error) {
	for retry := wire.NewRetry(c.opts.RetryFor); ; retry.Reset() {
		head, err := c.Head(ctx)
		if err != nil || head > after {
			return head, err
		}
		if after == math.MaxUint64 { // a subscription after it ends at once
			select {
			case <-ctx.Done():
				return 0, ctx.Err()
			case <-c.closed:
				return 0, dcb.ErrClosed
			}
		}
		if head, err = c.headAfter(ctx, after); err == nil {
			return head, nil
		}
		if dcb.Retryable(err) {
			err = retry.Pause(ctx, c.closed, err)
		}
		if err != nil {
			return 0, err
		}
	}
}

// headAfter returns the head once an event after a position is recorded. Some servers send events
// before their head reaches them; that is an error, so that Wait pauses before it asks again.
func (c *Client) headAfter(ctx context.Context, after dcb.Position) (dcb.Position, error) {
	if err := c.awaitEvent(ctx, after); err != nil {
		return 0, err
	}
	head, err := c.headOnce(ctx)
	if err == nil && head <= after {
		err = unavailable(errStaleHead)
	}
	return head, err
}

// awaitEvent returns when an event after a position is recorded.
func (c *Client) awaitEvent(ctx context.Context, after dcb.Position) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	one, position := uint32(1), uint64(after)
	options, trailer := c.callOptions()
	stream, err := c.rpc.Subscribe(ctx, &umadbv1.SubscribeRequest{After: &position, BatchSize: &one}, options...)
	if err == nil {
		_, err = stream.Recv()
	}
	if err == nil {
		return nil
	}
	if stream != nil {
		*trailer = stream.Trailer()
	}
	_, err = c.failure(ctx, err, *trailer)
	return err
}
