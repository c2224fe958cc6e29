package umadb

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/auth"
	pf "github.com/dcbstore/dcb/internal/protofield"
	"github.com/dcbstore/dcb/memstore"
	"github.com/dcbstore/dcb/umadb/internal/umadbv1"
)

// cutter dials a server, and cuts the connections that it dialed.
type cutter struct {
	serving *served

	mu     sync.Mutex // guards what follows
	conns  []net.Conn
	refuse bool // new connections
}

func (c *cutter) dial(ctx context.Context, address string) (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refuse {
		return nil, errors.New("refused by the test")
	}
	conn, err := c.serving.dial(ctx, address)
	if err == nil {
		c.conns = append(c.conns, conn)
	}
	return conn, err
}

// cut closes all connections. With refuse, dial fails from now on.
func (c *cutter) cut(refuse bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		_ = conn.Close() // it may be closed already
	}
	c.conns, c.refuse = nil, refuse
}

// isolate cuts a client off, and returns when the client has noticed: until then it may still
// send a call.
func (c *cutter) isolate(t testing.TB, client *Client) {
	t.Helper()
	eventually(t, "the client is connected", func() bool { return client.conn.GetState() == connectivity.Ready })
	c.cut(true)
	client.conn.WaitForStateChange(t.Context(), connectivity.Ready)
}

func dialCutter(t testing.TB, serving *served, retryFor time.Duration) (*Client, *cutter) {
	t.Helper()
	c := &cutter{serving: serving}
	client, err := Dial(t.Context(), serving.address, &ClientOptions{Dial: c.dial, RetryFor: retryFor, connectTime: testPatience})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client, c
}

// trapped is a store that calls recorded after it has recorded an append, before it returns.
type trapped struct {
	dcb.Store
	recorded func()
}

func (s trapped) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	position, err := s.Store.Append(ctx, events, condition)
	if err == nil {
		s.recorded()
	}
	return position, err
}

func TestClientAppendWithIDsSurvivesLostResponses(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	var cuts atomic.Int32
	cut := make(chan func(bool), 1)
	serving := serve(t, trapped{store, func() {
		if cuts.Add(1) <= 3 {
			now := <-cut
			now(false)
			cut <- now
		}
	}}, ServerOptions{})
	client, c := dialCutter(t, serving, testPatience)
	cut <- c.cut
	events := []dcb.Event{{Type: "T", ID: uuid.New()}, {Type: "T", ID: uuid.New()}}
	condition := &dcb.AppendCondition{FailIfEventsMatch: dcb.All()}
	position, err := client.Append(t.Context(), events, condition)
	if err != nil || position != 2 {
		t.Fatalf("Append = %d, %v; want 2", position, err)
	}
	if cuts.Load() < 4 {
		t.Errorf("the response was lost %d times, want 3", cuts.Load()-1)
	}
	if head, err := store.Head(t.Context()); err != nil || head != 2 {
		t.Errorf("Head = %d, %v; want 2", head, err)
	}
}

func TestClientAppendWithoutIDsHasAnUnknownOutcome(t *testing.T) {
	t.Parallel()
	cut := make(chan func(bool), 1)
	serving := serve(t, trapped{memstore.New(nil), func() { (<-cut)(false) }}, ServerOptions{})
	client, c := dialCutter(t, serving, testPatience)
	cut <- c.cut
	_, err := client.Append(t.Context(), []dcb.Event{{Type: "T", ID: uuid.New()}, {Type: "T"}}, nil)
	if !isOutcomeUnknown(err) {
		t.Errorf("Append = %v, want an unknown outcome", err)
	}
	if head, err := client.Head(t.Context()); err != nil || head != 2 {
		t.Errorf("Head = %d, %v; want 2", head, err)
	}
}

func TestClientAppendIsRetriedUntilItIsSent(t *testing.T) {
	t.Parallel()
	client, c := dialCutter(t, serve(t, memstore.New(nil), ServerOptions{}), testPatience)
	c.isolate(t, client)
	go func() {
		time.Sleep(100 * time.Millisecond)
		c.cut(false)
	}()
	if position, err := client.Append(t.Context(), []dcb.Event{{Type: "T"}}, nil); err != nil || position != 1 {
		t.Errorf("Append = %d, %v; want 1", position, err)
	}
}

func TestClientCallsEndAfterRetryFor(t *testing.T) {
	t.Parallel()
	client, c := dialCutter(t, serve(t, memstore.New(nil), ServerOptions{}), 300*time.Millisecond)
	c.isolate(t, client)
	for name, call := range clientCalls(client) {
		err := call(t.Context())
		if !dcb.Retryable(err) || isOutcomeUnknown(err) {
			t.Errorf("%s = %v, want ErrUnavailable", name, err)
		}
	}
}

// isOutcomeUnknown reports whether err ended an append that may have been recorded.
func isOutcomeUnknown(err error) bool {
	unavailable, ok := errors.AsType[*dcb.UnavailableError](err)
	return ok && unavailable.OutcomeUnknown
}

// clientCalls contains each method of a client, as a call that ends.
func clientCalls(client *Client) map[string]func(ctx context.Context) error {
	return map[string]func(ctx context.Context) error{
		"Append": func(ctx context.Context) error {
			_, err := client.Append(ctx, []dcb.Event{{Type: "T"}}, nil)
			return err
		},
		"Head": func(ctx context.Context) error {
			_, err := client.Head(ctx)
			return err
		},
		"Wait": func(ctx context.Context) error {
			_, err := client.Wait(ctx, 100)
			return err
		},
		"Read": func(ctx context.Context) error {
			_, err := client.Read(ctx, dcb.All(), dcb.ReadOptions{})
			return err
		},
		"Stream": func(ctx context.Context) error {
			for _, err := range client.Stream(ctx, dcb.All(), dcb.ReadOptions{}) {
				return err
			}
			return nil
		},
	}
}

func TestClientCloseEndsCallsWithErrClosed(t *testing.T) {
	t.Parallel()
	serving := serve(t, stuck{memstore.New(nil)}, ServerOptions{})
	opts, err := (&ClientOptions{Dial: serving.dial}).withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := connect(serving.address, &opts)
	if err != nil {
		t.Fatal(err)
	}
	client := &Client{opts: opts, conn: conn, rpc: umadbv1.NewDCBClient(conn), closed: make(chan struct{})}
	calls := clientCalls(client)
	ended := make(chan error, len(calls))
	for _, call := range calls {
		go func() { ended <- call(t.Context()) }()
	}
	time.Sleep(50 * time.Millisecond) // so that some calls are under way
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	for range calls {
		if err := <-ended; !errors.Is(err, dcb.ErrClosed) {
			t.Errorf("a call under way = %v, want ErrClosed", err)
		}
	}
	for name, call := range calls {
		if err := call(t.Context()); !errors.Is(err, dcb.ErrClosed) {
			t.Errorf("%s after Close = %v, want ErrClosed", name, err)
		}
	}
}

func TestClientStreamResumesAfterACut(t *testing.T) {
	t.Parallel()
	const events = 20_000
	store := memstore.New(nil)
	fill(t, store, events)
	client, c := dialCutter(t, serve(t, store, ServerOptions{}), testPatience)
	for _, isBackwards := range []bool{false, true} {
		count := 0
		opts := dcb.ReadOptions{Backwards: isBackwards}
		if isBackwards {
			opts.Before = events + 1 // without the late events
		}
		for e, err := range client.Stream(t.Context(), dcb.All(), opts) {
			if err != nil {
				t.Fatal(err)
			}
			count++
			want := dcb.Position(count)
			if isBackwards {
				want = dcb.Position(events + 1 - count)
			}
			if e.Position != want {
				t.Fatalf("position %d, want %d", e.Position, want)
			}
			if count == 5_000 || count == 12_345 {
				c.cut(false)
				if !isBackwards {
					if _, err := store.Append(t.Context(), []dcb.Event{{Type: "Late"}}, nil); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		if count != events {
			t.Errorf("%d events, backwards %v; want %d", count, isBackwards, events)
		}
	}
}

func TestClientWaitResumesAfterACut(t *testing.T) {
	t.Parallel()
	store := &counting{Store: memstore.New(nil)}
	client, c := dialCutter(t, serve(t, store, ServerOptions{}), testPatience)
	waited := make(chan dcb.Position, 1)
	go func() {
		head, err := client.Wait(t.Context(), 0)
		if err != nil {
			t.Error(err)
		}
		waited <- head
	}()
	for n := range 4 {
		eventually(t, "the server waits again", func() bool { return store.begun() > n })
		if n < 3 {
			c.cut(false)
		}
	}
	fill(t, store, 2)
	if head := <-waited; head != 2 {
		t.Errorf("Wait = %d, want 2", head)
	}
}

// foreign is a server of the protocol that is not dcb's, with the methods that tests need.
type foreign struct {
	umadbv1.UnimplementedDCBServer
	appends atomic.Int32
	fail    func() error // the result of an append
	detail  *umadbv1.ErrorResponse
	reads   []*umadbv1.ReadRequest
}

func (f *foreign) Head(context.Context, *umadbv1.HeadRequest) (*umadbv1.HeadResponse, error) {
	return &umadbv1.HeadResponse{}, nil
}

func (f *foreign) Append(ctx context.Context, _ *umadbv1.AppendRequest) (*umadbv1.AppendResponse, error) {
	f.appends.Add(1)
	if f.detail != nil {
		detail, err := proto.Marshal(f.detail)
		if err != nil {
			return nil, err
		}
		if err := grpc.SetTrailer(ctx, metadata.Pairs(errorDetails, string(detail))); err != nil {
			return nil, err
		}
	}
	return nil, f.fail()
}

func (f *foreign) Read(in *umadbv1.ReadRequest, stream grpc.ServerStreamingServer[umadbv1.ReadResponse]) error {
	f.reads = append(f.reads, in)
	return stream.Send(&umadbv1.ReadResponse{Head: new(uint64(9)), Events: []*umadbv1.SequencedEvent{{Position: 7, Event: newEvent("T")}}})
}

// serveForeign serves a foreign server until the end of the test.
func serveForeign(t testing.TB, f umadbv1.DCBServer) *cutter {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer()
	umadbv1.RegisterDCBServer(server, f)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return &cutter{serving: &served{address: listener.Addr().String(), dial: func(ctx context.Context, _ string) (net.Conn, error) {
		return listener.DialContext(ctx)
	}}}
}

func TestClientAppendIsNotRepeatedOnAForeignServer(t *testing.T) {
	t.Parallel()
	f := &foreign{}
	c := serveForeign(t, f)
	f.fail = func() error {
		c.cut(false)
		return nil
	}
	client, err := Dial(t.Context(), c.serving.address, &ClientOptions{Dial: c.dial, RetryFor: testPatience, connectTime: testPatience})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	_, err = client.Append(t.Context(), []dcb.Event{{Type: "T", ID: uuid.New()}}, nil)
	if !isOutcomeUnknown(err) {
		t.Errorf("Append = %v, want an unknown outcome", err)
	}
	if got := f.appends.Load(); got != 1 {
		t.Errorf("the append was sent %d times, want 1", got)
	}
}

func TestClientErrorsOfForeignServers(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		status error
		kind   umadbv1.ErrorResponse_ErrorType
		want   error
	}{
		{"conflict", status.Error(codes.FailedPrecondition, "x"), umadbv1.ErrorResponse_INTEGRITY, dcb.ErrConflict},
		{"invalid argument", status.Error(codes.InvalidArgument, "x"), umadbv1.ErrorResponse_INVALID_ARGUMENT, dcb.ErrInvalid},
		{"invalid key", status.Error(codes.Unauthenticated, "x"), umadbv1.ErrorResponse_AUTHENTICATION, auth.ErrKey},
		{"corruption", status.Error(codes.DataLoss, "x"), umadbv1.ErrorResponse_CORRUPTION, dcb.ErrCorrupt},
		{"conflict without detail", status.Error(codes.FailedPrecondition, "x"), -1, dcb.ErrConflict},
		{"invalid argument without detail", status.Error(codes.InvalidArgument, "x"), -1, dcb.ErrInvalid},
		{"invalid key without detail", status.Error(codes.Unauthenticated, "x"), -1, auth.ErrKey},
		{"no permission without detail", status.Error(codes.PermissionDenied, "x"), -1, auth.ErrPermission},
		{"corruption without detail", status.Error(codes.DataLoss, "x"), -1, dcb.ErrCorrupt},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := &foreign{fail: func() error { return test.status }}
			if test.kind >= 0 {
				f.detail = &umadbv1.ErrorResponse{Message: "x", ErrorType: test.kind}
			}
			c := serveForeign(t, f)
			client, err := Dial(t.Context(), c.serving.address, &ClientOptions{Dial: c.dial, RetryFor: testPatience, connectTime: testPatience})
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			q := dcb.Query{{Types: []string{"T"}}}
			_, err = client.Append(t.Context(), []dcb.Event{{Type: "T"}}, &dcb.AppendCondition{FailIfEventsMatch: q, After: 3})
			if !errors.Is(err, test.want) {
				t.Errorf("Append = %v, want %v", err, test.want)
			}
			// Such a server does not send the position of a conflict. The client reads it.
			conflict, ok := errors.AsType[*dcb.ConflictError](err)
			if ok && (conflict.Position != 7 || len(f.reads) != 1 || f.reads[0].GetStart() != 4) {
				t.Errorf("conflict at %d, want 7, after the reads %v", conflict.Position, f.reads)
			}
		})
	}
}

// The encoding is checked byte by byte, because both ends of ours could have the same fault.
func TestAppendSequencedWritesTheGoldenBytes(t *testing.T) {
	t.Parallel()
	e := dcb.SequencedEvent{
		Position: 300, RecordedAt: time.UnixMicro(1_000_000).UTC(),
		Event: dcb.Event{
			Type: "T", Tags: []string{"a", "b"}, Data: []byte{1, 2}, ID: uuid.MustParse("123e4567-e89b-12d3-a456-426614174000"),
			Metadata: map[string]string{"k": "v", trackingKey: "7 s"},
		},
	}
	e.Tags = append(e.Tags, "dcb:tracking:s")
	want := slices.Concat(
		[]byte{0x0a, 0x4b + 1},   // events, 76 bytes
		[]byte{0x08, 0xac, 0x02}, // position
		[]byte{0x12, 0x3b},       // event, 59 bytes
		[]byte{0x0a, 1, 'T', 0x12, 1, 'a', 0x12, 1, 'b', 0x1a, 2, 1, 2},
		[]byte{0x22, 36}, []byte("123e4567-e89b-12d3-a456-426614174000"),
		[]byte{0x2a, 6, 0x0a, 1, 'k', 0x12, 1, 'v'}, // metadata
		[]byte{0x1a, 5, 0x0a, 1, 's', 0x10, 7},      // tracking_info
		[]byte{0xc0, 0x3e, 0xc0, 0x84, 0x3d},        // recorded_at
		[]byte{0x10, 0xac, 0x02},                    // head
	)
	got := pf.AppendUint(appendSequenced(nil, &e), 2, 300)
	if !slices.Equal(got, want) {
		t.Errorf("appendSequenced =\n% x, want\n% x", got, want)
	}
	message := &umadbv1.ReadResponse{}
	if err := proto.Unmarshal(got, message); err != nil {
		t.Fatal(err)
	}
	again, err := proto.MarshalOptions{Deterministic: true}.Marshal(message)
	if err != nil || !slices.Equal(again, got) {
		t.Errorf("the generated code encodes it as\n% x, %v, want\n% x", again, err, got)
	}
	s := &scan{found: func(found *dcb.SequencedEvent) bool {
		if found.Position != 300 || !found.RecordedAt.Equal(e.RecordedAt) || found.ID != e.ID || len(found.Tags) != 2 {
			t.Errorf("add found %+v", found)
		}
		return true
	}}
	if _, err := s.add(t.Context(), pf.NewMessage(got)); err != nil || s.head != 300 || s.count != 1 {
		t.Errorf("add: head %d, %d events, %v", s.head, s.count, err)
	}
	if _, err := s.add(t.Context(), pf.NewMessage(got[:len(got)-4])); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("add of a truncated message = %v, want an error", err)
	}
}

// gRPC sends the deadline of a call to the server, whose clock may be ahead. Then the server
// reports the deadline, or gRPC resets the stream. In the bubble the call reaches the server
// before the deadline.
func TestClientAppendEndsWithTheDeadlineOfItsContext(t *testing.T) {
	t.Parallel()
	deadline := &umadbv1.ErrorResponse{ErrorType: umadbv1.ErrorResponse_INTERNAL, Dcb: errorResponse(context.DeadlineExceeded).GetDcb()}
	for code, detail := range map[codes.Code]*umadbv1.ErrorResponse{codes.DeadlineExceeded: deadline, codes.Canceled: nil} {
		synctest.Test(t, func(t *testing.T) {
			f := &foreign{fail: func() error { return status.Error(code, "too late") }, detail: detail}
			client := dialForeign(t, f, testPatience)
			for _, id := range []uuid.UUID{{}, uuid.New()} {
				ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
				_, err := client.Append(ctx, []dcb.Event{{Type: "T", ID: id}}, nil)
				if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() == nil || f.appends.Swap(0) != 1 {
					t.Errorf("%v: Append = %v, the error of the context is %v", code, err, ctx.Err())
				}
				cancel()
			}
		})
	}
}
