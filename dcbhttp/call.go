package dcbhttp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/dcbstore/dcb/auth"
	"github.com/dcbstore/dcb/internal/eventjson"
	"github.com/dcbstore/dcb/internal/wire"
)

// call is one request and its response. One goroutine uses it.
type call struct {
	h       *Handler
	w       http.ResponseWriter
	r       *http.Request
	control *http.ResponseController
	began   time.Time
	name    string // of the method for the observer: a path of ours, never one of the caller's

	key        string          // the caller's key
	keyName    string          // what the key is called in logs and metrics
	permission auth.Permission // that the call needs
	changed    <-chan struct{} // closed when the keys have changed since the last check
	revoked    error           // the result of the check after a change

	deadline *time.Timer // cancels the call; nil if its time is not limited
	reported error       // what the observer gets for a call that was answered with 200
	started  bool        // some of the response was sent
	complete bool        // all of the response was sent
}

func newCall(h *Handler, w http.ResponseWriter, r *http.Request) *call {
	return &call{h: h, w: w, r: r, control: http.NewResponseController(w), began: time.Now(), name: "other"}
}

// authorize checks that the caller's key has a permission.
func (c *call) authorize(keys *auth.Keys, permission auth.Permission) (err error) {
	c.key, c.permission = auth.Bearer(c.r.Header.Get("Authorization")), permission
	if len(c.r.Header.Values("Authorization")) > 1 {
		c.key = ""
	}
	c.changed = keys.Changed() // before the check, so that no change falls between the two
	c.keyName, err = keys.Check(c.key, permission)
	return err
}

// recheckKey returns an error if the key has lost its permission since the call began.
func (c *call) recheckKey() error {
	select {
	case <-c.changed:
		if c.revoked == nil {
			c.revoked = c.authorize(c.h.opts.Keys, c.permission)
		}
	default:
	}
	return c.revoked
}

// pieceBytes is how much of a response is written at once.
const pieceBytes = 64 << 10

// send writes and flushes text. The client must accept each piece of it within timeouts.write.
func (c *call) send(text []byte) error {
	c.started = true
	for len(text) > 0 {
		n := min(len(text), pieceBytes)
		if err := c.sendPiece(text[:n]); err != nil {
			return err
		}
		text = text[n:]
	}
	return nil
}

func (c *call) sendPiece(piece []byte) error {
	c.setWriteDeadline()
	_, err := c.w.Write(piece)
	if err == nil {
		err = c.control.Flush()
	}
	switch {
	case err == nil, errors.Is(err, errors.ErrUnsupported):
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("dcbhttp: the client accepted nothing for %v: %w", c.h.timeouts.write, context.DeadlineExceeded)
	default:
		return fmt.Errorf("dcbhttp: the client is gone: %w", context.Canceled)
	}
	if c.deadline != nil && !c.deadline.Reset(c.h.opts.Limits.CallTime) {
		return context.DeadlineExceeded
	}
	// With HTTP/2 the deadline also runs while nothing is being written.
	_ = c.control.SetWriteDeadline(time.Time{})
	return nil
}

// setWriteDeadline limits the time of the next write. Response writers of tests do not support it.
func (c *call) setWriteDeadline() { _ = c.control.SetWriteDeadline(time.Now().Add(c.h.timeouts.write)) }

// answer sends value as the whole response.
func (c *call) answer(value any) error {
	return c.answerStatus(http.StatusOK, "application/json", value)
}

func (c *call) answerStatus(status int, contentType string, value any) error {
	var text bytes.Buffer
	if err := eventjson.Write(&text, value); err != nil {
		return fmt.Errorf("dcbhttp: encode the response: %w", err)
	}
	c.w.Header().Set("Content-Type", contentType)
	c.setWriteDeadline()
	c.w.WriteHeader(status)
	c.started, c.complete = true, true
	if c.r.Method == http.MethodHead {
		return nil
	}
	text.WriteByte('\n')
	if _, err := c.w.Write(text.Bytes()); err != nil {
		return fmt.Errorf("dcbhttp: the client is gone: %w", context.Canceled)
	}
	return nil
}

// finish answers a call that ended with err, unless a response was begun. It returns the error for
// the observer.
func (c *call) finish(ctx context.Context, err error) error {
	defer c.setWriteDeadline() // net/http flushes after this
	if err == nil {
		return c.reported
	}
	// A store reports only that its context ended. The cause says whether it was the deadline.
	if cause := context.Cause(ctx); cause != nil && wire.CodeOf(err) == wire.Canceled {
		err = cause
	}
	if !c.started {
		_ = c.sendProblem(err) // if the client is gone, err is still what the observer gets
	}
	return err
}
