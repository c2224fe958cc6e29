package dcbnet

import (
	"context"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/wire"
)

// readEvents sends the result of a Read in pieces, and returns the last piece.
func (c *serverConn) readEvents(ctx context.Context, r *request, credit *credit) (response, error) {
	if err := c.server.opts.Limits.CheckQuery(r.query); err != nil {
		return response{}, err
	}
	var head dcb.Position
	opts := dcb.PageOptions{Bytes: wire.PageBytes, OnHead: func(position dcb.Position) { head = position }}
	read := 0
	for page, err := range dcb.Pages(ctx, c.server.store, r.query, r.opts, opts) {
		if err != nil {
			return response{}, err
		}
		read += len(page.Events)
		isLast := !page.More || read == r.opts.Limit
		if isLast {
			head = page.Head // lower than OnHead's if the limit ended the read
		}
		rest, err := c.sendPieces(ctx, r.id, page.Events, credit, head)
		if err != nil {
			return response{}, err
		}
		if isLast {
			last := response{id: r.id, kind: eventsResponse, events: rest, position: head, last: true, more: page.More}
			return last, credit.wait(ctx)
		}
		if err := c.sendPiece(ctx, r.id, rest, credit, head); err != nil {
			return response{}, err
		}
	}
	panic("dcbnet: dcb.Pages ended without a last page")
}

// subscribe sends the events of a Subscribe until ctx ends.
func (c *serverConn) subscribe(ctx context.Context, r *request, credit *credit) error {
	if err := c.server.opts.Limits.CheckQuery(r.query); err != nil {
		return err
	}
	for page, err := range wire.Follow(ctx, c.server.store, r.query, r.opts.After) {
		if err != nil {
			return err
		}
		rest, err := c.sendPieces(ctx, r.id, page.Events, credit, 0)
		if err == nil {
			err = c.sendPiece(ctx, r.id, rest, credit, page.Head)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// sendPieces sends all pieces of events but the last, which it returns.
func (c *serverConn) sendPieces(
	ctx context.Context, id uint64, events []dcb.SequencedEvent, credit *credit, head dcb.Position,
) (rest []dcb.SequencedEvent, err error) {
	start, inPiece := 0, 0
	for i := range events {
		size := wire.Size(&events[i].Event)
		if inPiece > 0 && inPiece+size > pieceBytes {
			if err := c.sendPiece(ctx, id, events[start:i], credit, head); err != nil {
				return nil, err
			}
			start, inPiece = i, 0
		}
		inPiece += size
	}
	return events[start:], nil
}

// sendPiece sends one piece as soon as the credit and the send queue allow it.
func (c *serverConn) sendPiece(
	ctx context.Context, id uint64, events []dcb.SequencedEvent, credit *credit, head dcb.Position,
) error {
	if err := credit.wait(ctx); err != nil {
		return err
	}
	a := response{id: id, kind: eventsResponse, events: events, position: head}
	return c.queue.putBelow(ctx, queueBytes, func(b []byte) []byte {
		before := len(b)
		b = a.append(b)
		credit.use(pieceCost(len(b) - before))
		return b
	})
}
