package dcbgrpc

import (
	"context"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/wire"
)

// read sends what a Read selects in pieces, and returns the last.
func (c *session) read(ctx context.Context, r *request, w *window) (answer, error) {
	if err := c.server.opts.Limits.CheckQuery(r.query); err != nil {
		return answer{}, err
	}
	opts := r.opts
	left := opts.Limit
	opts.Limit = wire.FirstPage
	head := dcb.Position(0) // of the moment that the whole read shows; 0: not known yet
	for {
		if left > 0 {
			opts.Limit = min(opts.Limit, left)
		}
		page, err := dcb.ReadPage(ctx, c.server.store, r.query, opts, wire.PageBytes)
		if err != nil {
			return answer{}, err
		}
		read := len(page.Events)
		isLast := !page.More || read == left
		switch {
		case head == 0 && (isLast || opts.Backwards):
			head = page.Head
		case head == 0:
			// What was read is the beginning also of what can be read now.
			if head, err = c.server.store.Head(ctx); err != nil {
				return answer{}, err
			}
			head = opts.Top(head)
			opts.Before = head + 1
		case isLast && !opts.Backwards:
			head = page.Head
		}
		rest, err := c.sendPieces(ctx, r.id, page.Events, w, head)
		if err != nil {
			return answer{}, err
		}
		if isLast {
			return answer{id: r.id, kind: fieldEvents, events: rest, position: head, more: page.More, last: true}, w.wait(ctx)
		}
		if err := c.sendPiece(ctx, r.id, rest, w, head); err != nil {
			return answer{}, err
		}
		if left > 0 {
			left -= read
		}
		if last := page.Events[read-1].Position; opts.Backwards {
			opts.Before = last
		} else {
			opts.After = last
		}
		opts.Limit = wire.NextPage(page.Events)
	}
}

// subscribe sends what a Subscribe selects, until it is told to end.
func (c *session) subscribe(ctx context.Context, r *request, w *window) error {
	if err := c.server.opts.Limits.CheckQuery(r.query); err != nil {
		return err
	}
	for page, err := range wire.Follow(ctx, c.server.store, r.query, r.opts.After) {
		if err != nil {
			return err
		}
		rest, err := c.sendPieces(ctx, r.id, page.Events, w, 0)
		if err == nil {
			err = c.sendPiece(ctx, r.id, rest, w, page.Head)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// sendPieces sends events but for the last piece, which it returns.
func (c *session) sendPieces(ctx context.Context, id uint64, events []dcb.SequencedEvent, w *window, head dcb.Position) (rest []dcb.SequencedEvent, err error) {
	start, inPiece := 0, 0
	for i := range events {
		size := wire.Size(&events[i].Event)
		if inPiece > 0 && inPiece+size > pieceBytes {
			if err := c.sendPiece(ctx, id, events[start:i], w, head); err != nil {
				return nil, err
			}
			start, inPiece = i, 0
		}
		inPiece += size
	}
	return events[start:], nil
}

// sendPiece sends one piece as soon as the client's window and the outbox have room.
func (c *session) sendPiece(ctx context.Context, id uint64, events []dcb.SequencedEvent, w *window, head dcb.Position) error {
	if err := w.wait(ctx); err != nil {
		return err
	}
	a := answer{id: id, kind: fieldEvents, events: events, position: head}
	return c.out.putInRoom(ctx, outboxBytes, func(b []byte) []byte {
		before := len(b)
		b = a.append(b)
		w.take(pieceCost(len(b) - before))
		return b
	})
}
