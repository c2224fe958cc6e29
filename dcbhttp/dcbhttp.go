// Package dcbhttp serves any [dcb.Store] over HTTP, for clients without a library of ours. It
// speaks the protocol of the public test suite for Dynamic Consistency Boundaries and adds what
// that lacks. The document at /openapi.json describes requests and responses, and is tested
// against the code:
//
//	GET  /read          the events that a query selects, as one JSON array
//	POST /read          the same, for queries that are too long for a URL
//	POST /append        events and a condition; a failed condition is an answer, not an error
//	GET  /head          the last position
//	GET  /wait          the head, as soon as it is greater than a position, or at a timeout
//	GET  /subscribe     server-sent events, resumable by Last-Event-ID
//	GET  /healthz       the process is alive
//	GET  /readyz        the store answers, and no shutdown has begun
//	GET  /metrics       [Options].Metrics
//	GET  /openapi.json  the document
//
// # How it keeps its promises
//
// The handler is a thin shell. Requests are parsed strictly (package internal/eventjson), so that
// the events recorded are the events sent. The store decides what matches and what is valid. One
// table maps errors to codes (internal/wire) and one maps codes to a status (problem.go). Responses
// are sent page by page, so a read of large events holds a page in memory, not the result. A
// response that breaks off is invalid JSON: the connection is cut before the array is closed. A
// client that accepts nothing for 30 seconds is cut off.
//
// Start reading at [Handler.ServeHTTP], then read.go, append.go and subscribe.go. The shapes of the
// JSON are in json.go.
package dcbhttp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/auth"
	"github.com/dcbstore/dcb/internal/wire"
)

// Types that the protocols of a server share, under names that code outside this module can use.
type (
	// Limits bound what a caller can ask for.
	Limits = wire.Limits
	// Observer is called after each call.
	Observer = wire.Observer
	// Call describes a finished call.
	Call = wire.Call
)

// Options configure a [Handler]. Nil and the zero value mean the defaults.
type Options struct {
	// Keys hold the keys that callers need. The read permission includes the metrics. Health checks
	// and the document need no key. Default nil: no key is needed.
	Keys *auth.Keys
	// Limits bound what a caller can ask for. A body can have twice Limits.MessageBytes, because
	// JSON takes more space than the bytes it encodes. A read can take longer than Limits.CallTime
	// as long as each piece of it is sent within that time. Limits.Connections is for the caller
	// to apply to the listener. Default: see [Limits].
	Limits Limits
	// Observe is called after each call. Default nil: not called.
	Observe Observer
	// Log gets what is not the error of a call: panics, and messages of [http.Server]. Default:
	// discard.
	Log *slog.Logger
	// Origins lists the origins, such as https://app.example.com, whose pages can call this server
	// from a browser. Default: only pages of this server.
	Origins []string
	// Metrics serves /metrics. Default nil: the path does not exist.
	Metrics http.Handler
	// Ready returns nil if the server can answer calls. Default: the store returns its head.
	Ready func(ctx context.Context) error
}

// withDefaults returns a copy of o with defaults filled in. The error names the option that is
// wrong.
func (o *Options) withDefaults(store dcb.Store) (Options, error) {
	var opts Options
	if o != nil {
		opts = *o
	}
	var err error
	if opts.Limits, err = opts.Limits.WithDefaults("dcbhttp: Options.Limits"); err != nil {
		return opts, err
	}
	opts.Origins = slices.Clone(opts.Origins)
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Observe == nil {
		opts.Observe = func(context.Context, wire.Call) {}
	}
	if opts.Ready == nil {
		opts.Ready = func(ctx context.Context) error {
			_, err := store.Head(ctx)
			return err
		}
	}
	return opts, nil
}

// Handler serves a store. Several goroutines and several servers can use it at once.
type Handler struct {
	store    dcb.Store
	opts     Options // with defaults
	routes   []route
	origin   *http.CrossOriginProtection
	bodies   bodyBudget
	timeouts timeouts

	drain   sync.Once
	drained chan struct{} // closed by Drain
}

// timeouts are durations that only tests change.
type timeouts struct {
	write     time.Duration // for a client to accept a piece of a response
	heartbeat time.Duration // between two comments on an idle event stream
	ready     time.Duration // for Options.Ready
	second    time.Duration // the unit of the timeout parameter of /wait
	progress  time.Duration // between two events that carry only the head
}

func defaultTimeouts() timeouts {
	return timeouts{
		write: 30 * time.Second, heartbeat: 15 * time.Second, ready: 5 * time.Second, second: time.Second, progress: time.Second,
	}
}

// New returns a handler for store. The store stays the caller's to close. The error names the
// option that is wrong.
func New(store dcb.Store, opts *Options) (*Handler, error) {
	completed, err := opts.withDefaults(store)
	if err != nil {
		return nil, err
	}
	h := &Handler{
		store:    store,
		opts:     completed,
		routes:   routes(completed.Metrics != nil),
		origin:   http.NewCrossOriginProtection(),
		timeouts: defaultTimeouts(),
		drained:  make(chan struct{}),
	}
	h.bodies.limit = max(2*int64(h.maxBody()), minBodyBudget)
	for _, origin := range completed.Origins {
		if err := h.origin.AddTrustedOrigin(origin); err != nil {
			return nil, fmt.Errorf("dcbhttp: Options.Origins: %w", err)
		}
	}
	return h, nil
}

// Server returns a server for h with limits on the time and size of request headers. The caller can
// wrap its Handler. It sets no limit on the time of a whole call, because streams have none; h
// limits each call itself.
func (h *Handler) Server() *http.Server {
	return &http.Server{
		Handler:                      h,
		ReadHeaderTimeout:            10 * time.Second,
		IdleTimeout:                  2 * time.Minute,
		MaxHeaderBytes:               1 << 20,
		ErrorLog:                     slog.NewLogLogger(h.opts.Log.Handler(), slog.LevelWarn),
		HTTP2:                        &http.HTTP2Config{MaxConcurrentStreams: h.opts.Limits.Calls},
		DisableGeneralOptionsHandler: true,
	}
}

// Drain begins the shutdown: /readyz fails from now on, waiting calls are answered, and event
// streams end with the advice to reconnect. Other calls go on. Call [http.Server.Shutdown] next,
// after load balancers have had the time to see /readyz fail. Drain can be called again.
func (h *Handler) Drain() { h.drain.Do(func() { close(h.drained) }) }

func (h *Handler) draining() bool {
	select {
	case <-h.drained:
		return true
	default:
		return false
	}
}

// route is a method on a path.
type route struct {
	method, path string
	permission   auth.Permission // that the key needs; 0: no key is needed
	unbounded    bool            // its time is not limited by Limits.CallTime
	serve        func(h *Handler, ctx context.Context, c *call) error
}

func routes(metrics bool) []route {
	all := []route{
		{method: http.MethodGet, path: "/read", permission: auth.Read, serve: (*Handler).getRead},
		{method: http.MethodPost, path: "/read", permission: auth.Read, serve: (*Handler).postRead},
		{method: http.MethodPost, path: "/append", permission: auth.Append, serve: (*Handler).append},
		{method: http.MethodGet, path: "/head", permission: auth.Read, serve: (*Handler).head},
		{method: http.MethodGet, path: "/wait", permission: auth.Read, unbounded: true, serve: (*Handler).wait},
		{method: http.MethodGet, path: "/subscribe", permission: auth.Read, unbounded: true, serve: (*Handler).subscribe},
		{method: http.MethodGet, path: "/healthz", serve: (*Handler).healthz},
		{method: http.MethodHead, path: "/healthz", serve: (*Handler).healthz},
		{method: http.MethodGet, path: "/readyz", serve: (*Handler).readyz},
		{method: http.MethodHead, path: "/readyz", serve: (*Handler).readyz},
		{method: http.MethodGet, path: "/openapi.json", serve: (*Handler).openAPI},
	}
	if metrics {
		all = append(all, route{method: http.MethodGet, path: "/metrics", permission: auth.Read, serve: (*Handler).metrics})
	}
	return all
}

// ServeHTTP answers one call.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := newCall(h, w, r)
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	var err error
	defer func() {
		if fault := recover(); fault != nil {
			err = h.logPanic(fault)
		}
		err = c.finish(ctx, err)
		h.opts.Observe(r.Context(), wire.Call{Protocol: "http", Method: c.name, Key: c.keyName, Duration: time.Since(c.began), Err: err})
		if err != nil && c.started && !c.complete {
			// The part that was sent must not look complete. This panic makes net/http cut the
			// connection.
			panic(http.ErrAbortHandler)
		}
	}()
	err = h.serve(ctx, c, cancel)
}

func (h *Handler) serve(ctx context.Context, c *call, cancel context.CancelCauseFunc) error {
	answered, err := h.checkOrigin(c)
	if answered || err != nil {
		return err
	}
	route, err := h.findRoute(c)
	if err != nil {
		return err
	}
	if route.permission != 0 {
		if err := c.authorize(h.opts.Keys, route.permission); err != nil {
			return err
		}
	}
	if !route.unbounded {
		c.deadline = time.AfterFunc(h.opts.Limits.CallTime, func() { cancel(context.DeadlineExceeded) })
		defer c.deadline.Stop()
	}
	return route.serve(h, ctx, c)
}

// findRoute returns the route of c, or a 404 or 405.
func (h *Handler) findRoute(c *call) (route, error) {
	var methods []string
	for _, route := range h.routes {
		if route.path != c.r.URL.Path {
			continue
		}
		c.name = route.path
		if route.method == c.r.Method {
			return route, nil
		}
		methods = append(methods, route.method)
	}
	if methods == nil {
		return route{}, &statusError{http.StatusNotFound, invalid("path", "is unknown; GET /openapi.json lists the paths")}
	}
	for _, method := range methods {
		c.w.Header().Add("Allow", method)
	}
	return route{}, &statusError{http.StatusMethodNotAllowed, invalid("method", "is not allowed on this path; the header Allow lists those that are")}
}

// logPanic logs a panic and returns it as an error. Only the text of a runtime error is kept,
// because another value can contain anything, event data included.
func (h *Handler) logPanic(fault any) error {
	if fault == http.ErrAbortHandler { //nolint:errorlint // it is this very value
		return context.Canceled // by a handler of the caller's, such as Options.Metrics
	}
	err := fmt.Errorf("dcbhttp: panic: %T", fault)
	if cause, ok := fault.(error); ok {
		if runtimeError, ok := errors.AsType[runtime.Error](cause); ok {
			err = fmt.Errorf("dcbhttp: panic: %w", runtimeError)
		}
	}
	h.opts.Log.Error("call panicked", "error", err, "stack", string(debug.Stack()))
	return err
}
