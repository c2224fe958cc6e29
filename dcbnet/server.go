package dcbnet

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/auth"
	"github.com/dcbstore/dcb/internal/wire"
)

// Types that the options share with the other protocols.
type (
	// Limits bound what callers may ask of a server.
	Limits = wire.Limits
	// Observer is called after each call.
	Observer = wire.Observer
	// Call describes a finished call.
	Call = wire.Call
)

// ServerOptions are the options of [NewServer]. Nil and the zero value mean the defaults.
type ServerOptions struct {
	// Keys are the keys that clients need. Default nil: every call is permitted.
	Keys *auth.Keys
	// Limits bound what clients may ask for. Default: the defaults of [Limits].
	Limits Limits
	// TLS encrypts connections. Its NextProtos are set to [ALPN]; a configuration that its
	// GetConfigForClient returns must have them, too. Default nil: no encryption.
	TLS *tls.Config
	// Observe is called after each call, and after a Hello that is refused. Default nil: not called.
	Observe Observer
	// Log receives warnings that belong to no call. Default: discarded.
	Log *slog.Logger
	// Traceparent adds the client's trace (W3C trace context) to the context of a request. Default
	// nil: the trace is ignored.
	Traceparent func(ctx context.Context, traceparent string) context.Context

	closeTime time.Duration // 0: the constant; longer in tests on loaded machines
	keepalive time.Duration // 0: the constant; shorter in tests
}

const (
	// helloTime bounds the time from accepting a connection to its Hello, with the TLS handshake.
	helloTime = 20 * time.Second
	// closeTime is the time that a client gets to read why its connection ends.
	closeTime = time.Second
	// acceptPause is the pause after a temporary error of Accept, such as too many open files.
	acceptPause = 10 * time.Millisecond
)

func (o *ServerOptions) withDefaults() (ServerOptions, error) {
	var opts ServerOptions
	if o != nil {
		opts = *o
	}
	var err error
	if opts.Limits, err = opts.Limits.WithDefaults("dcbnet: ServerOptions.Limits"); err != nil {
		return opts, err
	}
	if opts.TLS != nil {
		opts.TLS = opts.TLS.Clone()
		opts.TLS.NextProtos = []string{ALPN}
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Observe == nil {
		opts.Observe = func(context.Context, Call) {}
	}
	if opts.closeTime == 0 {
		opts.closeTime = closeTime
	}
	if opts.keepalive == 0 {
		opts.keepalive = keepalive
	}
	return opts, nil
}

// Server serves a store to clients. Its methods may be called by many goroutines at once.
type Server struct {
	store dcb.Store
	opts  ServerOptions

	stopping chan struct{} // closed when a stop begins

	mu         sync.Mutex // guards what follows
	isStopping bool
	listeners  map[net.Listener]struct{}
	conns      map[*serverConn]struct{}
	open       sync.WaitGroup // the connections; added to only while not stopping
}

// NewServer returns a server of store. The caller closes the store, after the server. An error
// names the option that is out of bounds.
func NewServer(store dcb.Store, options *ServerOptions) (*Server, error) {
	opts, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Server{
		store: store, opts: opts, stopping: make(chan struct{}),
		listeners: make(map[net.Listener]struct{}), conns: make(map[*serverConn]struct{}),
	}, nil
}

// Serve serves the connections of listener until Shutdown or Close, and closes it. The listener
// is of TCP or of UNIX sockets, without TLS: [ServerOptions] has that. Serve may be called
// several times, each with its own listener.
func (s *Server) Serve(listener net.Listener) error {
	listener = wire.Listen(listener, s.opts.Limits.Connections, s.opts.Log)
	defer listener.Close()
	if !s.addListener(listener) {
		return nil
	}
	defer s.removeListener(listener)
	for {
		conn, err := listener.Accept()
		if err == nil {
			go s.serve(conn)
			continue
		}
		if s.isStopped() {
			return nil
		}
		temporary, ok := errors.AsType[net.Error](err)
		if !ok || !temporary.Temporary() { //nolint:staticcheck // deprecated, but net/http and gRPC rely on it, too
			return fmt.Errorf("dcbnet: serve: %w", err)
		}
		select {
		case <-time.After(acceptPause):
		case <-s.stopping:
		}
	}
}

// serve serves a connection, and closes it.
func (s *Server) serve(network net.Conn) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	c := newServerConn(s, network, cancel)
	if !s.add(c) {
		_ = network.Close()
		return
	}
	defer s.remove(c)
	c.serve(ctx)
}

// Shutdown stops the server in order: it closes the listeners, sends GOAWAY on every connection,
// ends Waits and subscriptions, and answers the other calls under way. When ctx ends, Shutdown
// cuts off what is left, and returns ctx's error.
func (s *Server) Shutdown(ctx context.Context) error {
	s.beginStop()
	done := make(chan struct{})
	go func() {
		s.open.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		s.cut()
		<-done
		return ctx.Err()
	}
}

// Close stops the server at once, and cuts off the calls under way.
func (s *Server) Close() {
	s.beginStop()
	s.cut()
	s.open.Wait()
}

// beginStop refuses new connections, and starts the end of the open ones.
func (s *Server) beginStop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isStopping {
		return
	}
	s.isStopping = true
	close(s.stopping)
	for listener := range s.listeners {
		_ = listener.Close() // Serve returns
	}
	for c := range s.conns {
		if !c.isGreeted {
			_ = c.network.Close() // it has no call to wait for
		}
	}
}

// cut closes all connections.
func (s *Server) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		// The connection first: a client must not receive "canceled" for a call whose outcome is
		// unknown.
		_ = c.network.Close()
		c.cancel()
	}
}

func (s *Server) isStopped() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.isStopping
}

// addListener returns false if the server is stopping.
func (s *Server) addListener(listener net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.isStopping {
		s.listeners[listener] = struct{}{}
	}
	return !s.isStopping
}

func (s *Server) removeListener(listener net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, listener)
}

// add returns false if the server is stopping.
func (s *Server) add(c *serverConn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isStopping {
		return false
	}
	s.conns[c] = struct{}{}
	s.open.Add(1)
	return true
}

// greet records that a connection has sent its Hello. It returns false if the server is stopping.
func (s *Server) greet(c *serverConn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.isGreeted = true
	return !s.isStopping
}

func (s *Server) remove(c *serverConn) {
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	s.open.Done()
}
