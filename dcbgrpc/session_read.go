package dcbgrpc

import (
	"context"

	"github.com/dcbstore/dcb"
)

// firstPage and maxPage bound the pages that a store is asked for, in events, and pageBytes in bytes, if the store can count them: what is
// small is one call of the store and one answer, and what is large takes a page of memory at a time.
const (
	firstPage = 64
	maxPage   = 4096
	pageBytes = 2 * pieceBytes
)

// nextPage returns how many events to ask for after a page of events that have so many bytes.
func nextPage(events, bytes int) int {
	if events == 0 {
		return firstPage
	}
	return max(1, min(maxPage, pageBytes/max(1, bytes/events)))
}

// read sends what a Read selects in pieces, and returns the last.
func (c *session) read(ctx context.Context, r *request, w *window) (answer, error) {
	if err := c.server.opts.Limits.CheckQuery(r.query); err != nil {
		return answer{}, err
	}
	opts := r.opts
	left := opts.Limit
	opts.Limit = firstPage
	head := dcb.Position(0) // of the moment that the whole read shows; 0: not known yet
	for {
		if left > 0 {
			opts.Limit = min(opts.Limit, left)
		}
		page, more, err := dcb.ReadPage(ctx, c.server.store, r.query, opts, pageBytes)
		if err != nil {
			return answer{}, err
		}
		read := len(page.Events)
		isCut := read == left // or has, by chance, as many as there are
		switch {
		case head == 0 && (isCut || !more || opts.Backwards):
			head = page.Head
		case head == 0:
			// What was read is the beginning also of what can be read now.
			if head, err = c.server.store.Head(ctx); err != nil {
				return answer{}, err
			}
			if opts.Before == 0 || opts.Before > head+1 {
				opts.Before = head + 1
			}
		case isCut && !opts.Backwards:
			head = min(head, page.Head) // there may be events after head by now
		}
		rest, bytes, err := c.sendPieces(ctx, r.id, page.Events, w, 0)
		if err != nil {
			return answer{}, err
		}
		if isCut || !more {
			return answer{id: r.id, kind: fieldEvents, events: rest, position: head, last: true}, c.wait(ctx, w)
		}
		if err := c.sendPiece(ctx, r.id, rest, w, 0); err != nil {
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
		opts.Limit = nextPage(read, bytes)
	}
}

// subscribe sends what a Subscribe selects, until it is told to end.
func (c *session) subscribe(ctx context.Context, r *request, w *window) error {
	if err := c.server.opts.Limits.CheckQuery(r.query); err != nil {
		return err
	}
	opts := dcb.ReadOptions{After: r.opts.After, Limit: firstPage}
	for {
		page, more, err := dcb.ReadPage(ctx, c.server.store, r.query, opts, pageBytes)
		if err != nil {
			return err
		}
		// A caller may start beyond the head, and must not be sent back.
		opts.After = max(opts.After, page.Head)
		rest, bytes, err := c.sendPieces(ctx, r.id, page.Events, w, 0)
		if err == nil {
			err = c.sendPiece(ctx, r.id, rest, w, opts.After)
		}
		if err != nil {
			return err
		}
		opts.Limit = nextPage(len(page.Events), bytes)
		if more {
			continue
		}
		if _, err := c.server.store.Wait(ctx, opts.After); err != nil {
			return err
		}
	}
}

// sendPieces sends events but for the last piece, which it returns, with the bytes of all of them, roughly.
func (c *session) sendPieces(ctx context.Context, id uint64, events []dcb.SequencedEvent, w *window, head dcb.Position) (rest []dcb.SequencedEvent, bytes int, err error) {
	start, inPiece := 0, 0
	for i := range events {
		size := sizeOf(&events[i].Event)
		if inPiece > 0 && inPiece+size > pieceBytes {
			if err := c.sendPiece(ctx, id, events[start:i], w, head); err != nil {
				return nil, 0, err
			}
			start, inPiece = i, 0
		}
		inPiece += size
		bytes += size
	}
	return events[start:], bytes, nil
}

// sendPiece sends one piece as soon as the client's window and the outbox have room.
func (c *session) sendPiece(ctx context.Context, id uint64, events []dcb.SequencedEvent, w *window, head dcb.Position) error {
	if err := c.wait(ctx, w); err != nil {
		return err
	}
	a := answer{id: id, kind: fieldEvents, events: events, position: head}
	return c.out.put(func(b []byte) []byte {
		before := len(b)
		b = a.append(b)
		w.take(pieceCost(len(b) - before))
		return b
	})
}

// wait returns when the client's window and the outbox have room for a piece.
func (c *session) wait(ctx context.Context, w *window) error {
	if err := w.wait(ctx); err != nil {
		return err
	}
	return c.out.wait(ctx)
}

// sizeOf returns about how many bytes e is on the wire.
func sizeOf(e *dcb.Event) int {
	size := 48 + len(e.Type) + len(e.Data)
	for _, tag := range e.Tags {
		size += len(tag) + 3
	}
	for key, value := range e.Metadata {
		size += len(key) + len(value) + 8
	}
	return size
}
