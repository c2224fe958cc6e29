package dcbhttp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"runtime/debug"
	"time"

	"github.com/dcbstore/dcb/auth"
	"github.com/dcbstore/dcb/internal/wire"
)

// call is one request on its way.
type call struct {
	h       *Handler
	w       http.ResponseWriter
	r       *http.Request
	control *http.ResponseController
	began   time.Time
	name    string // of the method, for the observer: a path of ours, never one of the caller's
	secret  string
	key     string // the key's name
	right   auth.Permission
	changed <-chan struct{} // closed when the keys may be others than when secret was checked
	revoked error           // what the check said then
	time    *time.Timer     // ends the call
	failed  error           // what an answer that is no error is for the observer
	started bool            // something of the answer was sent
	ended   bool            // and it is complete
}

func newCall(h *Handler, w http.ResponseWriter, r *http.Request) *call {
	return &call{h: h, w: w, r: r, control: http.NewResponseController(w), began: time.Now(), name: "other"}
}

// present checks the key that the call came with, which must have a right.
func (c *call) present(keys *auth.Keys, right auth.Permission) (err error) {
	c.secret, c.right = auth.Bearer(c.r.Header.Get("Authorization")), right
	if len(c.r.Header.Values("Authorization")) > 1 {
		c.secret = ""
	}
	c.changed = keys.Changed() // before the check, so that no change falls between
	c.key, err = keys.Check(c.secret, right)
	return err
}

// keep returns an error if the key was revoked meanwhile.
func (c *call) keep() error {
	select {
	case <-c.changed:
		if c.revoked == nil {
			c.revoked = c.present(c.h.opts.Keys, c.right)
		}
	default:
	}
	return c.revoked
}

// pieceBytes is how much of an answer is sent at once.
const pieceBytes = 64 << 10

// send sends a piece of an answer now. The client must accept some of it within a bounded time; what it does with
// the connection in between is its own affair.
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
	c.hurry()
	_, err := c.w.Write(piece)
	if err == nil {
		err = c.control.Flush()
	}
	switch {
	case err == nil, errors.Is(err, errors.ErrUnsupported):
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("dcbhttp: the client accepted nothing for %v: %w", c.h.patience.stuck, context.DeadlineExceeded)
	default:
		return fmt.Errorf("dcbhttp: the client is gone: %w", context.Canceled)
	}
	if c.time != nil && !c.time.Reset(c.h.opts.Limits.CallTime) {
		return context.DeadlineExceeded // it was over already
	}
	// HTTP/2 counts also while nothing is being sent.
	_ = c.control.SetWriteDeadline(time.Time{})
	return nil
}

// hurry bounds the time that what is sent next may take. A server that cannot do that is a test's.
func (c *call) hurry() { _ = c.control.SetWriteDeadline(time.Now().Add(c.h.patience.stuck)) }

// answer sends an answer that is one JSON value.
func (c *call) answer(value any) error { return c.write(http.StatusOK, "application/json", value) }

func (c *call) write(status int, contentType string, value any) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return fmt.Errorf("dcbhttp: answer: %w", err)
	}
	c.w.Header().Set("Content-Type", contentType)
	c.hurry()
	c.w.WriteHeader(status)
	c.started, c.ended = true, true
	if c.r.Method == http.MethodHead {
		return nil
	}
	if _, err := c.w.Write(text.Bytes()); err != nil {
		return fmt.Errorf("dcbhttp: the client is gone: %w", context.Canceled)
	}
	return nil
}

// finish answers a call that ended with err if it is not answered yet, and returns what is told of it.
func (c *call) finish(ctx context.Context, err error) error {
	defer c.hurry() // what is still held back is sent after this
	if err == nil {
		return c.failed
	}
	// What the store says when its context ends is that it ended; why, only we know.
	if cause := context.Cause(ctx); cause != nil && wire.CodeOf(err) == wire.Canceled {
		err = cause
	}
	if !c.started {
		_ = c.problem(err) // the client may be gone, and err is what counts
	}
	return err
}

func stack() string { return string(debug.Stack()) }
