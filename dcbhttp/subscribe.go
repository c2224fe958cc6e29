package dcbhttp

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/eventjson"
	"github.com/dcbstore/dcb/internal/wire"
)

// lastEventID is the header that a browser's EventSource sends when it reconnects. It takes
// precedence over the parameter after, which still has its first value then.
const lastEventID = "Last-Event-ID"

// subscribe answers with server-sent events without end:
//
//	id: 17                                   id: 20                  : still here
//	event: event                             event: head
//	data: {"position":17,"type":…}           data: {"head":20}
//
// Each event of the store is an event of the stream, and its position is the ID. If the head rises
// without a matching event, an event with the head carries the new ID, at most once a second. So a
// client that reconnects with the last ID misses nothing, and no position is searched twice.
func (h *Handler) subscribe(ctx context.Context, c *call) error {
	params, err := parameters(c.r, "query", "after")
	if err != nil {
		return err
	}
	q, err := queryParameter(params)
	if err != nil {
		return err
	}
	if err := h.opts.Limits.CheckQuery(q); err != nil {
		return err
	}
	text, given := params["after"]
	after, err := positionParameter(text, given, "/after")
	if err != nil {
		return err
	}
	if ids := c.r.Header.Values(lastEventID); len(ids) > 0 && ids[0] != "" {
		if after, err = positionParameter(ids[0], true, lastEventID); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	batches := follow(ctx, h.store, q, after)
	defer func() {
		cancel()
		for range batches { // until the follower has ended
		}
	}()
	s := &eventStream{call: c}
	err = s.run(ctx, batches)
	if c.started && !c.complete && err != nil {
		return s.sendError(err)
	}
	return err
}

// batch is one result of the follower, or its error.
type batch struct {
	dcb.ReadResult
	err error
}

// follow sends the results of Follow to a channel, which it closes at the end. It reads at most one
// batch ahead.
func follow(ctx context.Context, store dcb.Store, q dcb.Query, after dcb.Position) <-chan batch {
	batches := make(chan batch)
	go func() {
		defer close(batches)
		for result, err := range wire.Follow(ctx, store, q, after) {
			select {
			case batches <- batch{result, err}:
			case <-ctx.Done():
				return
			}
		}
	}()
	return batches
}

// eventStream is a response of server-sent events.
type eventStream struct {
	*call
	buf        bytes.Buffer
	lastID     dcb.Position // the last ID that was written to buf
	head       dcb.Position // the events up to here were written to buf
	headSentAt time.Time    // when an event with the head was last written; zero before the first
}

func (s *eventStream) run(ctx context.Context, batches <-chan batch) error {
	progress := time.NewTicker(s.h.timeouts.progress)
	defer progress.Stop()
	heartbeat := time.NewTicker(s.h.timeouts.heartbeat)
	defer heartbeat.Stop()
	for {
		var err error
		select {
		case <-s.h.drained:
			return s.sendGoodbye()
		case <-ctx.Done():
			return nil // the client closed the stream, which is how streams end
		case <-s.changed:
			err = s.recheckKey()
		case b, ok := <-batches:
			if !ok {
				return nil
			}
			if err = b.err; err == nil {
				err = s.sendBatch(b.ReadResult)
			}
		case <-progress.C:
			err = s.sendHead()
		case <-heartbeat.C:
			err = s.sendHeartbeat()
		}
		if err != nil {
			return err
		}
	}
}

// begin sends the response's header. The stream waits for its first batch with it, so that an error
// before that is a problem document.
func (s *eventStream) begin() error {
	header := s.w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("X-Accel-Buffering", "no") // or nginx collects events before it passes them on
	s.setWriteDeadline()
	s.w.WriteHeader(http.StatusOK)
	return s.send([]byte(": connected\n\n"))
}

// sendHeartbeat shows that the connection is alive. While a long search has found nothing yet, it
// also shows that the call was accepted.
func (s *eventStream) sendHeartbeat() error {
	if !s.started {
		return s.begin()
	}
	return s.send([]byte(": still here\n\n"))
}

// sendBatch sends events in pieces. Before each piece it checks the key again.
func (s *eventStream) sendBatch(result dcb.ReadResult) error {
	if !s.started {
		if err := s.begin(); err != nil {
			return err
		}
	}
	for i := range result.Events {
		e := &result.Events[i]
		if err := s.writeEvent(e.Position, "event", eventjson.Of(e)); err != nil {
			return err
		}
		if s.buf.Len() >= pieceBytes {
			if err := s.flush(); err != nil {
				return err
			}
		}
	}
	s.head = result.Head
	if s.headSentAt.IsZero() {
		return s.sendHead() // at once, so that the client sees that the stream has begun
	}
	return s.flush()
}

// sendHead sends an event with the head if the head is greater than the last ID.
func (s *eventStream) sendHead() error {
	if s.started && (s.head > s.lastID || s.headSentAt.IsZero()) {
		s.headSentAt = time.Now()
		if err := s.writeEvent(s.head, "head", headResponse{Head: s.head}); err != nil {
			return err
		}
	}
	return s.flush()
}

func (s *eventStream) writeEvent(id dcb.Position, name string, data any) error {
	fmt.Fprintf(&s.buf, "id: %d\nevent: %s\ndata: ", id, name)
	if err := eventjson.Write(&s.buf, data); err != nil {
		return err
	}
	s.buf.WriteString("\n\n")
	s.lastID = id
	return nil
}

func (s *eventStream) flush() error {
	if s.buf.Len() == 0 {
		return nil
	}
	if err := s.recheckKey(); err != nil {
		return err
	}
	err := s.send(s.buf.Bytes())
	resetBuffer(&s.buf)
	return err
}

// sendGoodbye ends the stream. The clients reconnect after one to three seconds, not all at once.
func (s *eventStream) sendGoodbye() error {
	if !s.started {
		if err := s.begin(); err != nil {
			return err
		}
	}
	fmt.Fprintf(&s.buf, ": the server is stopping; reconnect\nretry: %d\n\n", 1000+rand.IntN(2000))
	err := s.send(s.buf.Bytes())
	s.complete = err == nil
	return err
}

// sendError ends the stream with a problem document, unless the client accepts nothing any more.
func (s *eventStream) sendError(err error) error {
	code := wire.CodeOf(err)
	if code == wire.Canceled || code == wire.Deadline {
		return err
	}
	s.buf.Reset()
	s.buf.WriteString("retry: 5000\nevent: problem\ndata: ")
	if encodeErr := eventjson.Write(&s.buf, problemOf(err)); encodeErr != nil {
		return encodeErr
	}
	s.buf.WriteString("\n\n")
	if s.send(s.buf.Bytes()) == nil {
		s.complete = true
	}
	return err
}
