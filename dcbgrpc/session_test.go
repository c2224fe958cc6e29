package dcbgrpc

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc/test/bufconn"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/dcbtest"
	"github.com/dcbstore/dcb/dcbtest/history"
	"github.com/dcbstore/dcb/internal/racing"
	"github.com/dcbstore/dcb/memstore"
)

// testPatience is how long anything may take that should happen; it is reached only when something is broken, however loaded the machine is.
const testPatience = 2 * time.Minute

// served is a server under test, and how it is reached.
type served struct {
	*Server
	opts    *ClientOptions
	address string
	done    chan error // what Serve returned
}

// startServer serves a store by a listener until the test ends.
func startServer(tb testing.TB, store dcb.Store, opts *ServerOptions, listener net.Listener) *served {
	tb.Helper()
	if opts == nil {
		opts = &ServerOptions{}
	}
	quiet := *opts
	if quiet.Log == nil {
		quiet.Log = slog.New(slog.DiscardHandler)
	}
	quiet.lastWords = testPatience
	server, err := NewServer(store, &quiet)
	if err != nil {
		tb.Fatal(err)
	}
	s := &served{Server: server, opts: &ClientOptions{RetryFor: testPatience, connectTime: testPatience}, address: listener.Addr().String(), done: make(chan error, 1)}
	go func() { s.done <- server.Serve(listener) }()
	tb.Cleanup(func() {
		server.Close()
		if err := <-s.done; err != nil {
			tb.Error(err)
		}
		s.done <- nil
	})
	return s
}

// serve serves a store over a listener in memory until the test ends.
func serve(tb testing.TB, store dcb.Store, opts *ServerOptions) *served {
	tb.Helper()
	listener := bufconn.Listen(256 << 10)
	s := startServer(tb, store, opts, listener)
	s.opts.Dial = func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }
	return s
}

// serveByLoopback serves a store at a port of its own.
func serveByLoopback(tb testing.TB, store dcb.Store, opts *ServerOptions) *served {
	tb.Helper()
	listener, err := net.Listen("tcp", anyPort)
	if err != nil {
		tb.Fatal(err)
	}
	return startServer(tb, store, opts, listener)
}

const anyPort = "127.0.0.1:0"

// dial returns a client of s, which is closed when the test ends.
func (s *served) dial(tb testing.TB, change ...func(o *ClientOptions)) *Client {
	tb.Helper()
	opts := *s.opts
	for _, c := range change {
		c(&opts)
	}
	client, err := Dial(tb.Context(), s.address, &opts)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = client.Close() })
	return client
}

func withKey(key string) func(o *ClientOptions) { return func(o *ClientOptions) { o.Key = key } }

// overServer is the store that a client of a server of s is. A second one shares the server.
type overServer struct {
	*Client
	server *served
}

func sessionSuite(open func(tb testing.TB) *served) dcbtest.Suite {
	return dcbtest.Suite{
		Timeout:      5 * testPatience, // some cases make thousands of calls
		WithoutLarge: racing.Watched,
		Open: func(tb testing.TB) dcb.Store {
			server := open(tb)
			return &overServer{server.dial(tb), server}
		},
		Second: func(tb testing.TB, s dcb.Store) dcb.Store {
			server := s.(*overServer).server //nolint:forcetypeassert // Open made it
			return &overServer{server.dial(tb), server}
		},
	}
}

func TestASessionKeepsTheContract(t *testing.T) {
	t.Parallel()
	sessionSuite(func(tb testing.TB) *served { return serve(tb, memstore.New(nil), nil) }).Run(t)
}

func TestASessionOverGRPCAndLoopbackKeepsTheContractOfADirectory(t *testing.T) {
	t.Parallel()
	sessionSuite(func(tb testing.TB) *served {
		server := serveByLoopback(tb, umadbKinds["disk"](tb), nil)
		server.opts.OverGRPC = true
		return server
	}).Run(t)
}

func TestASessionKeepsTheContractOfPostgreSQL(t *testing.T) {
	t.Parallel()
	sessionSuite(func(tb testing.TB) *served { return serve(tb, umadbKinds["PostgreSQL"](tb), nil) }).Run(t)
}

// Callers share two clients of one server.
func TestHistoriesOverSessionsAreCorrect(t *testing.T) {
	t.Parallel()
	for kind, open := range umadbKinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			server := serveByLoopback(t, open(t), nil)
			a, b := server.dial(t), server.dial(t, func(o *ClientOptions) { o.OverGRPC = true })
			steps := 60
			if kind == "PostgreSQL" {
				steps = 20
			}
			h, err := history.Workload{Handles: []dcb.Store{a, b}, Steps: steps, Patience: testPatience}.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := h.Verify(t.Context(), a); err != nil {
				t.Error(err)
			}
		})
	}
}
