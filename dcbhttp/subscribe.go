package dcbhttp

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/wire"
)

// lastEventID is the header with which a browser's EventSource comes back. It wins over the parameter, which stays what it was.
const lastEventID = "Last-Event-ID"

// subscribe answers with server-sent events for ever:
//
//	id: 17                                   id: 20                  : still here
//	event: event                             event: head
//	data: {"position":17,"type":…}           data: {"head":20}
//
// An event of the store is an event of the stream, and its position the ID. Where the head rose without one, so does the ID, by
// an event that tells the head, at most one a second: so who comes back with the last ID misses nothing and has nothing searched again.
func (h *Handler) subscribe(ctx context.Context, c *call) error {
	params, err := parameters(c.r, "query", "after")
	if err != nil {
		return err
	}
	q, err := queryOf(params)
	if err != nil {
		return err
	}
	if err := h.opts.Limits.CheckQuery(q); err != nil {
		return err
	}
	text, there := params["after"]
	after, err := position(text, there, "after")
	if err != nil {
		return err
	}
	if ids := c.r.Header.Values(lastEventID); len(ids) > 0 && ids[0] != "" {
		if after, err = position(ids[0], true, lastEventID); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	batches := follow(ctx, h.store, q, after)
	defer func() {
		cancel()
		for range batches { // until the follower is gone
		}
	}()
	s := &stream{call: c}
	err = s.run(ctx, batches)
	if c.started && !c.ended && err != nil {
		return s.fail(err)
	}
	return err
}

// batch is what a follower yields.
type batch struct {
	dcb.ReadResult
	err error
}

// follow sends what Follow yields. It is never more than one batch ahead, and the channel is closed when it is gone.
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

// stream is an answer that is server-sent events.
type stream struct {
	*call
	text bytes.Buffer
	told dcb.Position // the last ID that was sent
	head dcb.Position // what was read up to
	tick time.Time    // when the head was told
}

func (s *stream) run(ctx context.Context, batches <-chan batch) error {
	progress := time.NewTicker(s.h.patience.progress)
	defer progress.Stop()
	alive := time.NewTicker(s.h.patience.heartbeat)
	defer alive.Stop()
	for {
		var err error
		select {
		case <-s.h.drained:
			return s.goodbye()
		case <-ctx.Done():
			return nil // the client went, as followers do
		case <-s.changed:
			err = s.keep()
		case b, ok := <-batches:
			if !ok {
				return nil
			}
			if err = b.err; err == nil {
				err = s.batch(b.ReadResult)
			}
		case <-progress.C:
			err = s.progress()
		case <-alive.C:
			err = s.sign()
		}
		if err != nil {
			return err
		}
	}
}

// begin sends the header. It waits for the first batch, so that what is wrong from the beginning is a problem like any other.
func (s *stream) begin() error {
	header := s.w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("X-Accel-Buffering", "no") // nginx would wait for more
	s.hurry()
	s.w.WriteHeader(http.StatusOK)
	return s.send([]byte(": here are events\n\n"))
}

// sign shows that the connection lives. If nothing was found so far, it also shows that the call was understood.
func (s *stream) sign() error {
	if !s.started {
		return s.begin()
	}
	return s.send([]byte(": still here\n\n"))
}

// batch sends events, each as soon as it is encoded if it is large, and keeps to what the key and the server allow in between.
func (s *stream) batch(result dcb.ReadResult) error {
	if !s.started {
		if err := s.begin(); err != nil {
			return err
		}
	}
	for i := range result.Events {
		e := &result.Events[i]
		if err := s.event(e.Position, "event", jsonOf(e)); err != nil {
			return err
		}
		if s.text.Len() >= pieceBytes {
			if err := s.flush(); err != nil {
				return err
			}
		}
	}
	s.head = result.Head
	if s.tick.IsZero() {
		return s.progress() // at once: so the follower knows that it has begun
	}
	return s.flush()
}

// progress tells the head if it is higher than the last ID.
func (s *stream) progress() error {
	if s.started && (s.head > s.told || s.tick.IsZero()) {
		s.tick = time.Now()
		if err := s.event(s.head, "head", headJSON{Head: s.head}); err != nil {
			return err
		}
	}
	return s.flush()
}

func (s *stream) event(id dcb.Position, name string, data any) error {
	fmt.Fprintf(&s.text, "id: %d\nevent: %s\ndata: ", id, name)
	if err := encode(&s.text, data); err != nil {
		return err
	}
	s.text.WriteString("\n\n")
	s.told = id
	return nil
}

func (s *stream) flush() error {
	if s.text.Len() == 0 {
		return nil
	}
	if err := s.keep(); err != nil {
		return err
	}
	err := s.send(s.text.Bytes())
	if s.text.Reset(); s.text.Cap() > 4*heldBytes {
		s.text = bytes.Buffer{}
	}
	return err
}

// goodbye sends the client away. It comes back after a second or a few: not all at once.
func (s *stream) goodbye() error {
	if !s.started {
		if err := s.begin(); err != nil {
			return err
		}
	}
	fmt.Fprintf(&s.text, ": the server goes away; come back\nretry: %d\n\n", 1000+rand.IntN(2000))
	err := s.send(s.text.Bytes())
	s.ended = err == nil
	return err
}

// fail tells a client that can still be told why the stream ends.
func (s *stream) fail(err error) error {
	code := wire.CodeOf(err)
	if code == wire.Canceled || code == wire.Deadline {
		return err // it accepts nothing
	}
	s.text.Reset()
	s.text.WriteString("retry: 5000\nevent: problem\ndata: ")
	if encodeErr := encode(&s.text, problemOf(err)); encodeErr != nil {
		return encodeErr
	}
	s.text.WriteString("\n\n")
	if s.send(s.text.Bytes()) == nil {
		s.ended = true
	}
	return err
}
