package umadb

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/diskstore"
	"github.com/dcbstore/dcb/internal/pgtest"
	"github.com/dcbstore/dcb/internal/wire"
	"github.com/dcbstore/dcb/memstore"
	"github.com/dcbstore/dcb/pgstore"
	"github.com/dcbstore/dcb/umadb/internal/umadbv1"
)

// testPatience bounds everything that should happen soon. It is reached only when something is
// broken, however loaded the machine is.
const testPatience = 2 * time.Minute

// storeKinds opens each kind of store that servers of the tests have.
var storeKinds = map[string]func(t testing.TB) dcb.Store{
	"memory": func(testing.TB) dcb.Store { return memstore.New(nil) },
	"disk": func(t testing.TB) dcb.Store {
		s, err := diskstore.Open(t.TempDir(), nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	},
	"PostgreSQL": func(t testing.TB) dcb.Store {
		s, err := pgstore.Open(t.Context(), pgtest.DSN(t), &pgstore.Options{Schema: pgtest.Schema(t)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	},
}

// forEachKind runs a test on each kind of store, in parallel.
func forEachKind(t *testing.T, test func(t *testing.T, store dcb.Store)) {
	t.Helper()
	for kind, open := range storeKinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

// served is a server under test, and how to reach it.
type served struct {
	server  *Server
	store   dcb.Store
	address string
	dial    func(ctx context.Context, address string) (net.Conn, error) // nil: TCP

	mu    sync.Mutex // guards calls
	calls []wire.Call
}

// serve serves a store until the end of the test, on a listener in memory.
func serve(t testing.TB, store dcb.Store, options ServerOptions) *served {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
	s := serveOn(t, store, options, listener)
	s.dial = func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }
	return s
}

// serveTCP serves a store until the end of the test, on a TCP port.
func serveTCP(t testing.TB, store dcb.Store, options ServerOptions) *served {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, store, options, listener)
}

func serveOn(t testing.TB, store dcb.Store, options ServerOptions, listener net.Listener) *served {
	t.Helper()
	s := &served{store: store, address: listener.Addr().String()}
	if options.Observe == nil {
		options.Observe = s.observe
	}
	options.Log = slog.New(slog.DiscardHandler)
	var err error
	if s.server, err = NewServer(store, &options); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.server.Serve(listener) }()
	t.Cleanup(func() {
		s.server.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *served) observe(_ context.Context, call wire.Call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, call)
}

// observed waits until n calls are observed, and returns them.
func (s *served) observed(t testing.TB, n int) []wire.Call {
	t.Helper()
	var calls []wire.Call
	eventually(t, "the calls are observed", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		calls = slices.Clone(s.calls)
		return len(calls) >= n
	})
	return calls
}

// client returns a client of s, which is closed at the end of the test.
func (s *served) client(t testing.TB) *Client {
	t.Helper()
	c, err := Dial(t.Context(), s.address, &ClientOptions{Dial: s.dial, RetryFor: testPatience, connectTime: testPatience})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// raw returns the generated client of s, which shows the messages themselves.
func (s *served) raw(t testing.TB) umadbv1.DCBClient {
	t.Helper()
	return umadbv1.NewDCBClient(s.conn(t))
}

func (s *served) conn(t testing.TB) *grpc.ClientConn {
	t.Helper()
	opts, err := (&ClientOptions{Dial: s.dial, connectTime: testPatience}).withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := connect(s.address, &opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// eventually waits until holds returns true.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(testPatience); !holds(); {
		if time.Now().After(end) {
			t.Fatalf("after %v it is still not the case that %s", testPatience, what)
		}
		time.Sleep(time.Millisecond)
	}
}

// wantError checks the status of a failed call and the error type in its detail, and returns the
// detail.
func wantError(t testing.TB, err error, trailer metadata.MD, code codes.Code, kind umadbv1.ErrorResponse_ErrorType) *umadbv1.ErrorResponse {
	t.Helper()
	if err == nil {
		t.Fatalf("the call succeeded, want %v %v", code, kind)
	}
	// grpc-go expects a google.rpc.Status in the detail. Its error about that contains the status.
	if status := "grpc-status=" + code.String() + ","; !strings.Contains(err.Error(), status) {
		t.Errorf("the status is not %v: %v", code, err)
	}
	details := trailer.Get(errorDetails)
	if len(details) != 1 {
		t.Fatalf("%d details with %v, want one", len(details), err)
	}
	detail := &umadbv1.ErrorResponse{}
	if err := proto.Unmarshal([]byte(details[0]), detail); err != nil {
		t.Fatal(err)
	}
	if detail.GetErrorType() != kind {
		t.Fatalf("error type %v, want %v (%s)", detail.GetErrorType(), kind, detail.GetMessage())
	}
	if detail.GetMessage() == "" {
		t.Error("the detail has no message")
	}
	return detail
}

// messages receives the messages of a Read to its end.
func messages(t testing.TB, stream grpc.ServerStreamingClient[umadbv1.ReadResponse], err error) []*umadbv1.ReadResponse {
	t.Helper()
	var all []*umadbv1.ReadResponse
	for err == nil {
		var message *umadbv1.ReadResponse
		if message, err = stream.Recv(); err == nil {
			all = append(all, message)
		}
	}
	if !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return all
}

// shape contains the positions and the head of a message; 0 for an absent head.
type shape struct {
	Positions []uint64
	Head      uint64
}

func shapes(all []*umadbv1.ReadResponse) []shape {
	var found []shape
	for _, m := range all {
		s := shape{Head: m.GetHead()}
		for _, e := range m.GetEvents() {
			s.Positions = append(s.Positions, e.GetPosition())
		}
		found = append(found, s)
	}
	return found
}

func newEvent(eventType string, tags ...string) *umadbv1.Event {
	return &umadbv1.Event{EventType: eventType, Tags: tags, Data: []byte("data")}
}

// rpcCalls contains each method, as a call that succeeds.
func rpcCalls() map[string]func(ctx context.Context, rpc umadbv1.DCBClient) (metadata.MD, error) {
	return map[string]func(ctx context.Context, rpc umadbv1.DCBClient) (metadata.MD, error){
		"Append": func(ctx context.Context, rpc umadbv1.DCBClient) (trailer metadata.MD, err error) {
			_, err = rpc.Append(ctx, &umadbv1.AppendRequest{Events: []*umadbv1.Event{newEvent("T")}}, grpc.Trailer(&trailer))
			return trailer, err
		},
		"Head": func(ctx context.Context, rpc umadbv1.DCBClient) (trailer metadata.MD, err error) {
			_, err = rpc.Head(ctx, &umadbv1.HeadRequest{}, grpc.Trailer(&trailer))
			return trailer, err
		},
		"GetTrackingInfo": func(ctx context.Context, rpc umadbv1.DCBClient) (trailer metadata.MD, err error) {
			_, err = rpc.GetTrackingInfo(ctx, &umadbv1.TrackingRequest{Source: "s"}, grpc.Trailer(&trailer))
			return trailer, err
		},
		"Read": func(ctx context.Context, rpc umadbv1.DCBClient) (trailer metadata.MD, err error) {
			stream, err := rpc.Read(ctx, &umadbv1.ReadRequest{})
			for err == nil {
				_, err = stream.Recv()
			}
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return stream.Trailer(), err
		},
		"Subscribe": func(ctx context.Context, rpc umadbv1.DCBClient) (trailer metadata.MD, err error) {
			stream, err := rpc.Subscribe(ctx, &umadbv1.SubscribeRequest{After: new(uint64(1<<64 - 1))}) // which ends at once
			if err == nil {
				_, err = stream.Recv()
			}
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return stream.Trailer(), err
		},
	}
}

func withAuthorization(ctx context.Context, value string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", value)
}
