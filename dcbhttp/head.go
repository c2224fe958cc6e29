package dcbhttp

import (
	"context"
	_ "embed"
	"net/http"
	"strconv"
	"time"

	"github.com/dcbstore/dcb"
)

func (h *Handler) head(ctx context.Context, c *call) error {
	if _, err := parameters(c.r); err != nil {
		return err
	}
	head, err := h.store.Head(ctx)
	if err != nil {
		return err
	}
	return c.answer(headJSON{Head: head})
}

// The bounds of a wait, in seconds. A proxy between would give up in the end, so the server answers before.
const (
	defaultWaitSeconds = 30
	maxWaitSeconds     = 300
)

// wait answers with the head when it is higher than after, or as it is when the time is over or the server goes away: whoever waits on asks again.
func (h *Handler) wait(ctx context.Context, c *call) error {
	params, err := parameters(c.r, "after", "timeout")
	if err != nil {
		return err
	}
	text, there := params["after"]
	after, err := position(text, there, "after")
	if err != nil {
		return err
	}
	seconds := uint64(defaultWaitSeconds)
	if text, there := params["timeout"]; there {
		if seconds, err = parseWhole(text); err != nil {
			return within("timeout", err)
		}
		if seconds > maxWaitSeconds {
			return within("timeout", &dcb.InvalidError{Problem: "is longer than 300 seconds", Limit: maxWaitSeconds})
		}
	}
	bounded, cancel := context.WithTimeout(ctx, time.Duration(seconds)*h.patience.second)
	defer cancel()
	stop := c.until(bounded, cancel)
	head, err := h.store.Wait(bounded, after)
	stop()
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		if err := c.keep(); err != nil {
			return err
		}
		ready, cancel := context.WithTimeout(ctx, h.opts.Limits.CallTime)
		defer cancel()
		head, err = h.store.Head(ready)
	}
	if err != nil {
		return err
	}
	return c.answer(headJSON{Head: head})
}

// until calls cancel when the server goes away or the call's key may have been revoked. Stop ends that, and must be called.
func (c *call) until(ctx context.Context, cancel func()) (stop func()) {
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-c.h.drained:
				cancel()
				return
			case <-c.changed:
				if c.keep() != nil {
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
	return c.answer(statusJSON{Status: "ok"})
}

func (h *Handler) readyz(ctx context.Context, c *call) error {
	if h.draining() {
		return &refusal{http.StatusServiceUnavailable, dcb.ErrUnavailable}
	}
	ctx, cancel := context.WithTimeout(ctx, h.patience.ready)
	defer cancel()
	if err := h.opts.Ready(ctx); err != nil {
		return &refusal{http.StatusServiceUnavailable, err}
	}
	return c.answer(statusJSON{Status: "ready"})
}

// metrics hands the call on. What Options.Metrics answers is its own.
func (h *Handler) metrics(_ context.Context, c *call) error {
	c.hurry()
	c.started = true
	h.opts.Metrics.ServeHTTP(c.w, c.r)
	c.ended = true
	return nil
}

// document describes this package for other programs. It is written by hand, and tests hold it against the code.
//
//go:embed openapi.json
var document []byte

func (h *Handler) openAPI(_ context.Context, c *call) error {
	c.w.Header().Set("Content-Type", "application/json")
	c.w.Header().Set("Content-Length", strconv.Itoa(len(document)))
	err := c.send(document)
	c.ended = true
	return err
}
