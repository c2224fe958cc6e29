package dcbhttp

import (
	"context"
	_ "embed"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/eventjson"
)

func (h *Handler) head(ctx context.Context, c *call) error {
	if _, err := parameters(c.r); err != nil {
		return err
	}
	head, err := h.store.Head(ctx)
	if err != nil {
		return err
	}
	return c.answer(headResponse{Head: head})
}

// The timeout of a wait, in seconds. The server answers before proxies give up.
const (
	defaultWaitSeconds = 30
	maxWaitSeconds     = 300
)

// wait answers with the head as soon as it is greater than after. At the timeout, or when the
// server drains, it answers with the head as it is; a client that still waits asks again.
func (h *Handler) wait(ctx context.Context, c *call) error {
	params, err := parameters(c.r, "after", "timeout")
	if err != nil {
		return err
	}
	text, given := params["after"]
	after, err := positionParameter(text, given, "/after")
	if err != nil {
		return err
	}
	seconds := eventjson.Whole(defaultWaitSeconds)
	if text, given := params["timeout"]; given {
		if seconds, err = eventjson.ParseWhole(text); err != nil {
			return within("/timeout", err)
		}
		if seconds > maxWaitSeconds {
			return &dcb.InvalidError{Field: "/timeout", Problem: fmt.Sprintf("is longer than %d seconds", maxWaitSeconds), Limit: maxWaitSeconds}
		}
	}
	waiting, cancel := context.WithTimeout(ctx, time.Duration(seconds)*h.timeouts.second)
	defer cancel()
	stop := c.cancelOnDrainOrRevocation(waiting, cancel)
	head, err := h.store.Wait(waiting, after)
	stop()
	if err != nil && waiting.Err() != nil && ctx.Err() == nil {
		if err := c.recheckKey(); err != nil {
			return err
		}
		reading, cancel := context.WithTimeout(ctx, h.opts.Limits.CallTime)
		defer cancel()
		head, err = h.store.Head(reading)
	}
	if err != nil {
		return err
	}
	return c.answer(headResponse{Head: head})
}

// cancelOnDrainOrRevocation calls cancel when the server drains or when the call's key loses its
// permission. The caller must call stop, which waits until cancel is not called any more.
func (c *call) cancelOnDrainOrRevocation(ctx context.Context, cancel func()) (stop func()) {
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-c.h.drained:
				cancel()
				return
			case <-c.changed:
				if c.recheckKey() != nil {
					cancel()
					return
				}
			case <-ctx.Done():
				return
			case <-done:
				return
			}
		}
	}()
	return func() {
		close(done)
		<-stopped
	}
}

func (h *Handler) healthz(_ context.Context, c *call) error {
	return c.answer(statusResponse{Status: "ok"})
}

func (h *Handler) readyz(ctx context.Context, c *call) error {
	if h.draining() {
		return &statusError{http.StatusServiceUnavailable, dcb.ErrUnavailable}
	}
	ctx, cancel := context.WithTimeout(ctx, h.timeouts.ready)
	defer cancel()
	if err := h.opts.Ready(ctx); err != nil {
		return &statusError{http.StatusServiceUnavailable, err}
	}
	return c.answer(statusResponse{Status: "ready"})
}

// metrics passes the call to Options.Metrics.
func (h *Handler) metrics(_ context.Context, c *call) error {
	c.setWriteDeadline()
	c.started = true
	h.opts.Metrics.ServeHTTP(c.w, c.r)
	c.complete = true
	return nil
}

// document describes this package for other programs. It is written by hand; tests compare it with
// the code.
//
//go:embed openapi.json
var document []byte

func (h *Handler) openAPI(_ context.Context, c *call) error {
	c.w.Header().Set("Content-Type", "application/json")
	c.w.Header().Set("Content-Length", strconv.Itoa(len(document)))
	err := c.send(document)
	c.complete = true
	return err
}
