package observe

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// maxLines is the number of lines of one kind per second. A database that is down, or a client
// that tries keys or opens connections, must not fill the disk or hide other lines.
const maxLines = 20

// maxKinds is the number of kinds with a limit of their own.
const maxKinds = 1000

// rateLimits limits the lines of each kind.
type rateLimits struct {
	now func() time.Time

	mu    sync.Mutex // guards kinds
	kinds map[string]*rateLimit
}

// rateLimit counts the lines of one kind.
type rateLimit struct {
	second  int64
	written int // in that second
	dropped int // since the last line that was written
}

func newRateLimits() *rateLimits {
	return &rateLimits{now: time.Now, kinds: make(map[string]*rateLimit)}
}

// allow reports whether a line of this kind can be written now, and how many were dropped before
// it.
func (r *rateLimits) allow(kind string) (ok bool, dropped int) {
	second := r.now().Unix()
	r.mu.Lock()
	defer r.mu.Unlock()
	limit := r.kinds[kind]
	if limit == nil && len(r.kinds) >= maxKinds {
		kind = "other"
		limit = r.kinds[kind]
	}
	if limit == nil {
		limit = new(rateLimit)
		r.kinds[kind] = limit
	}
	if limit.second != second {
		limit.second, limit.written = second, 0
	}
	if limit.written == maxLines {
		limit.dropped++
		return false, 0
	}
	limit.written++
	dropped, limit.dropped = limit.dropped, 0
	return true, dropped
}

// notLogged is the attribute with the number of lines of the kind that were dropped before this
// one.
const notLogged = "not_logged_before"

// Calm returns a logger for events that clients can cause, such as refused connections. It writes
// at most 20 lines per second with the same message; a later line has the number of lines that
// were dropped. Messages are compared up to their first digit, because some of net/http contain
// an address.
func Calm(log *slog.Logger) *slog.Logger { return slog.New(&calm{log.Handler(), newRateLimits()}) }

type calm struct {
	slog.Handler
	limits *rateLimits
}

// Handle implements [slog.Handler].
func (c *calm) Handle(ctx context.Context, r slog.Record) error {
	kind := r.Message
	if digit := strings.IndexAny(kind, "0123456789"); digit > 0 {
		kind = kind[:digit]
	}
	ok, dropped := c.limits.allow(kind)
	if !ok {
		return nil
	}
	if dropped > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int(notLogged, dropped))
	}
	return c.Handler.Handle(ctx, r)
}

// WithAttrs implements [slog.Handler].
func (c *calm) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &calm{c.Handler.WithAttrs(attrs), c.limits}
}

// WithGroup implements [slog.Handler].
func (c *calm) WithGroup(name string) slog.Handler {
	return &calm{c.Handler.WithGroup(name), c.limits}
}
