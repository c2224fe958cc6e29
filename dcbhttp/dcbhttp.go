// Package dcbhttp serves any [dcb.Store] over HTTP: the room for whoever has no client of the gRPC wire. It speaks the protocol of the public
// test suite for Dynamic Consistency Boundaries, and adds what that lacks. The document at /openapi.json says what goes in and
// out, and is tested against the code:
//
//	GET  /read          the events of a query, as one JSON array, sent as they are read
//	POST /read          the same, for queries that are too long for a URL
//	POST /append        events and a condition; a condition that failed is an answer, not an error
//	GET  /head          the last position
//	GET  /wait          the head as soon as it is higher than a position, or when the time is over
//	GET  /subscribe     server-sent events, resumable by Last-Event-ID
//	GET  /healthz       the process lives
//	GET  /readyz        the store answers, and no shutdown has begun
//	GET  /metrics       what [Options].Metrics tells
//	GET  /openapi.json  the document
//
// # How it keeps its promises
//
// It is a thin shell. What it reads is read strictly (json.go), so that nothing is recorded otherwise than it was sent; what matches and what is
// valid is decided by the store; what an error is called is decided by package wire, and problem.go gives it a status. An answer that
// breaks off looks broken: the connection is cut before the array is closed. A client that accepts nothing is cut off after
// thirty seconds, and costs a page of events until then.
//
// Start reading at [Handler.ServeHTTP], then read.go, append.go and subscribe.go; wire.go has the shapes.
package dcbhttp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/auth"
	"github.com/dcbstore/dcb/internal/wire"
)

// What the protocols of a server share, by the names that [Options] need outside this module.
type (
	// Limits bound what callers may ask of a server.
	Limits = wire.Limits
	// Observer is called after each call.
	Observer = wire.Observer
	// Call describes a finished call.
	Call = wire.Call
)

// Options say how a store is served. The zero value serves everybody who can connect.
type Options struct {
	// Keys are who may call; who reads asks for the metrics too. The health of the server and the document need no key. Default nil: everybody may.
	Keys *auth.Keys
	// Limits are how much a caller may ask for. A body may have twice Limits.MessageBytes, for JSON makes text of bytes; a read may go on for
	// longer than Limits.CallTime as long as every piece of it comes within that. Connections are counted by [wire.Listen], around the listener.
	Limits Limits
	// Observe is told of each call. Default nil: nobody is.
	Observe Observer
	// Log is told of what is no call's error: a fault that made a call panic, and what [http.Server] complains about. Default: none.
	Log *slog.Logger
	// Origins are the origins, such as https://app.example.com, whose pages may call from a browser. Default none: only pages of this server may.
	Origins []string
	// Metrics is served at /metrics. Default nil: there is no such path.
	Metrics http.Handler
	// Ready returns nil if calls can be answered. Default: the store tells its head.
	Ready func(ctx context.Context) error
}

// Handler serves a store. It may be used from many goroutines at once, and by several servers.
type Handler struct {
	store  dcb.Store
	opts   Options // completed
	routes []route
	origin *http.CrossOriginProtection
	bodies budget

	drain    sync.Once
	drained  chan struct{} // closed by Drain
	patience patience
}

// patience is how long what may take long does. Tests have less.
type patience struct {
	stuck     time.Duration // a client that accepts nothing
	heartbeat time.Duration // between two signs of life on a stream of events
	ready     time.Duration // Options.Ready
	second    time.Duration // the unit of the time that a caller says he waits
	progress  time.Duration // between two events that tell the head only
}

// New returns a handler for store. Opts may be nil. The error names the option that is wrong.
func New(store dcb.Store, opts *Options) (*Handler, error) {
	h := &Handler{
		store:   store,
		origin:  http.NewCrossOriginProtection(),
		drained: make(chan struct{}),
		patience: patience{
			stuck: 30 * time.Second, heartbeat: 15 * time.Second, ready: 5 * time.Second, second: time.Second, progress: time.Second,
		},
	}
	if opts != nil {
		h.opts = *opts
	}
	var err error
	if h.opts.Limits, err = h.opts.Limits.WithDefaults(); err != nil {
		return nil, fmt.Errorf("dcbhttp: %w", err)
	}
	h.bodies.most = max(2*int64(h.maxBody()), minBudget)
	h.opts.Origins = slices.Clone(h.opts.Origins)
	for _, origin := range h.opts.Origins {
		if err := h.origin.AddTrustedOrigin(origin); err != nil {
			return nil, fmt.Errorf("dcbhttp: Options.Origins: %w", err)
		}
	}
	if h.opts.Log == nil {
		h.opts.Log = slog.New(slog.DiscardHandler)
	}
	if h.opts.Observe == nil {
		h.opts.Observe = func(context.Context, wire.Call) {}
	}
	if h.opts.Ready == nil {
		h.opts.Ready = func(ctx context.Context) error {
			_, err := store.Head(ctx)
			return err
		}
	}
	h.routes = routes(h.opts.Metrics != nil)
	return h, nil
}

// Server returns a server for h with bounds on what a client can hold up before its call has begun. The caller may put a handler around
// h. It has no bound on a whole call: streams have none, and h bounds the rest itself.
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

// Drain begins the shutdown: /readyz says no from now on, callers who wait are answered, and streams of events end with the advice to come
// back. Everything else goes on. [http.Server.Shutdown] comes next, once whoever asks /readyz has had the time to. It may be called again.
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
	right        auth.Permission // that the key must have; 0: no key is asked for
	endless      bool            // it has no bound on its time, or one of its own
	serve        func(h *Handler, ctx context.Context, c *call) error
}

func routes(metrics bool) []route {
	all := []route{
		{method: http.MethodGet, path: "/read", right: auth.Read, serve: (*Handler).getRead},
		{method: http.MethodPost, path: "/read", right: auth.Read, serve: (*Handler).postRead},
		{method: http.MethodPost, path: "/append", right: auth.Append, serve: (*Handler).append},
		{method: http.MethodGet, path: "/head", right: auth.Read, serve: (*Handler).head},
		{method: http.MethodGet, path: "/wait", right: auth.Read, endless: true, serve: (*Handler).wait},
		{method: http.MethodGet, path: "/subscribe", right: auth.Read, endless: true, serve: (*Handler).subscribe},
		{method: http.MethodGet, path: "/healthz", serve: (*Handler).healthz},
		{method: http.MethodHead, path: "/healthz", serve: (*Handler).healthz},
		{method: http.MethodGet, path: "/readyz", serve: (*Handler).readyz},
		{method: http.MethodHead, path: "/readyz", serve: (*Handler).readyz},
		{method: http.MethodGet, path: "/openapi.json", serve: (*Handler).openAPI},
	}
	if metrics {
		all = append(all, route{method: http.MethodGet, path: "/metrics", right: auth.Read, serve: (*Handler).metrics})
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
			err = h.panicked(fault)
		}
		err = c.finish(ctx, err)
		h.opts.Observe(r.Context(), wire.Call{Protocol: "http", Method: c.name, Key: c.key, Duration: time.Since(c.began), Err: err})
		if err != nil && c.started && !c.ended {
			// What was sent must not look complete. This is how net/http is told to cut the connection.
			panic(http.ErrAbortHandler)
		}
	}()
	err = h.serve(ctx, c, cancel)
}

func (h *Handler) serve(ctx context.Context, c *call, cancel context.CancelCauseFunc) error {
	answered, err := h.admit(c)
	if answered || err != nil {
		return err
	}
	route, err := h.find(c)
	if err != nil {
		return err
	}
	if route.right != 0 {
		if err := c.present(h.opts.Keys, route.right); err != nil {
			return err
		}
	}
	if !route.endless {
		c.time = time.AfterFunc(h.opts.Limits.CallTime, func() { cancel(context.DeadlineExceeded) })
		defer c.time.Stop()
	}
	return route.serve(h, ctx, c)
}

// find returns the route of c.
func (h *Handler) find(c *call) (route, error) {
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
		return route{}, &refusal{http.StatusNotFound, wrong("path", "is none of this server's; GET /openapi.json tells them")}
	}
	for _, method := range methods {
		c.w.Header().Add("Allow", method)
	}
	return route{}, &refusal{http.StatusMethodNotAllowed, wrong("method", "is not one that this path has")}
}

// panicked makes an error of a fault of ours. Its text goes no further than that of a runtime error, for another one could hold anything.
func (h *Handler) panicked(fault any) error {
	if fault == http.ErrAbortHandler { //nolint:errorlint // it is this very value
		return context.Canceled // by a handler that was given to us
	}
	err := fmt.Errorf("dcbhttp: panic: %T", fault)
	var runtimeError interface {
		error
		RuntimeError()
	}
	if cause, ok := fault.(error); ok && errors.As(cause, &runtimeError) {
		err = fmt.Errorf("dcbhttp: panic: %w", runtimeError)
	}
	h.opts.Log.Error("a call panicked", "error", err, "stack", stack())
	return err
}
