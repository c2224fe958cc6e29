package umadb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/auth"
	"github.com/dcbstore/dcb/memstore"
	"github.com/dcbstore/dcb/umadb/internal/umadbv1"
)

func TestServiceSubscribeCatchesUpAndContinues(t *testing.T) {
	t.Parallel()
	forEachKind(t, func(t *testing.T, store dcb.Store) {
		rpc := serve(t, store, ServerOptions{}).raw(t)
		fill(t, store, 200)
		onlyB := &umadbv1.Query{Items: []*umadbv1.QueryItem{{Types: []string{"B"}}}}
		stream, err := rpc.Subscribe(t.Context(), &umadbv1.SubscribeRequest{Query: onlyB, After: new(uint64(100)), BatchSize: new(uint32(7))})
		if err != nil {
			t.Fatal(err)
		}
		want := uint64(102)
		receive := func(until uint64) {
			t.Helper()
			for want <= until {
				m, err := stream.Recv()
				if err != nil {
					t.Fatal(err)
				}
				if len(m.Events) == 0 || len(m.Events) > 7 {
					t.Errorf("a message with %d events", len(m.Events))
				}
				for _, e := range m.Events {
					if e.Position != want {
						t.Fatalf("position %d, want %d", e.Position, want)
					}
					want += 2
				}
			}
		}
		receive(200)
		fill(t, store, 100)
		receive(300)
	})
}

func TestServiceSubscribeAfterTheHighestPositionEndsAtOnce(t *testing.T) {
	t.Parallel()
	rpc := serve(t, memstore.New(nil), ServerOptions{}).raw(t)
	stream, err := rpc.Subscribe(t.Context(), &umadbv1.SubscribeRequest{After: new(uint64(math.MaxUint64))})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("Recv = %v, want io.EOF", err)
	}
}

// Some clients return from the call only when the headers have arrived.
func TestServiceSubscribeSendsHeadersAtOnce(t *testing.T) {
	t.Parallel()
	rpc := serve(t, memstore.New(nil), ServerOptions{}).raw(t)
	stream, err := rpc.Subscribe(t.Context(), &umadbv1.SubscribeRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Header(); err != nil { // hangs without headers
		t.Error(err)
	}
}

func TestServerShutdownEndsSubscriptions(t *testing.T) {
	t.Parallel()
	s := serve(t, memstore.New(nil), ServerOptions{})
	rpc := s.raw(t)
	stream, err := rpc.Subscribe(t.Context(), &umadbv1.SubscribeRequest{})
	if err == nil {
		_, err = stream.Header()
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), testPatience)
	defer cancel()
	if err := s.server.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown = %v", err)
	}
	_, err = stream.Recv()
	wantError(t, err, stream.Trailer(), codes.Unavailable, umadbv1.ErrorResponse_IO)
}

func TestServerEndsSubscriptionsOfARevokedKey(t *testing.T) {
	t.Parallel()
	const secret, other = "a key of sixteen bytes", "another key of that kind"
	keys := auth.NewKeys(auth.NewKey("one", auth.Read, secret), auth.NewKey("two", auth.Read, other))
	rpc := serve(t, memstore.New(nil), ServerOptions{Keys: keys}).raw(t)
	revoked, err := rpc.Subscribe(withSecret(t.Context(), secret), &umadbv1.SubscribeRequest{})
	if err != nil {
		t.Fatal(err)
	}
	kept, err := rpc.Subscribe(withSecret(t.Context(), other), &umadbv1.SubscribeRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, stream := range []umadbv1.DCB_SubscribeClient{revoked, kept} {
		if _, err := stream.Header(); err != nil {
			t.Fatal(err)
		}
	}
	keys.Replace([]auth.Key{auth.NewKey("two", auth.Read, other)})
	_, err = revoked.Recv()
	wantError(t, err, revoked.Trailer(), codes.Unauthenticated, umadbv1.ErrorResponse_AUTHENTICATION)
	keys.Replace([]auth.Key{auth.NewKey("two", auth.Append, other)})
	_, err = kept.Recv()
	wantError(t, err, kept.Trailer(), codes.PermissionDenied, umadbv1.ErrorResponse_AUTHENTICATION)
}

// counting is a store that counts Waits and the events that it returned.
type counting struct {
	dcb.Store
	mu    sync.Mutex // guards what follows
	waits int        // begun
	calls int        // Waits under way
	read  int        // events
}

func (c *counting) Wait(ctx context.Context, after dcb.Position) (dcb.Position, error) {
	c.add(1)
	defer c.add(-1)
	return c.Store.Wait(ctx, after)
}

func (c *counting) Read(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
	result, err := c.Store.Read(ctx, q, opts)
	c.mu.Lock()
	c.read += len(result.Events)
	c.mu.Unlock()
	return result, err
}

func (c *counting) add(n int) {
	c.mu.Lock()
	c.calls += n
	c.waits += max(n, 0)
	c.mu.Unlock()
}

func (c *counting) begun() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.waits
}

func (c *counting) state() (calls, read int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls, c.read
}

func TestServerEndsSubscriptionsOfClientsThatAreGone(t *testing.T) { //nolint:paralleltest // counts goroutines
	store := &counting{Store: memstore.New(nil)}
	s := serve(t, store, ServerOptions{})
	rpc := s.raw(t)
	if _, err := rpc.Head(t.Context(), &umadbv1.HeadRequest{}); err != nil {
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(t.Context())
	for range 50 {
		stream, err := rpc.Subscribe(ctx, &umadbv1.SubscribeRequest{})
		if err == nil {
			_, err = stream.Header()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all subscriptions wait", func() bool { calls, _ := store.state(); return calls == 50 })
	cancel()
	eventually(t, "no subscription waits", func() bool { calls, _ := store.state(); return calls == 0 })
	eventually(t, "their goroutines are gone", func() bool { return runtime.NumGoroutine() <= before })
	for _, call := range s.observed(t, 51)[1:] {
		if call.Method != "Subscribe" || !errors.Is(call.Err, context.Canceled) {
			t.Errorf("the call %+v was observed", call)
		}
	}
}

func TestServerReadsLittleForASlowSubscriber(t *testing.T) {
	t.Parallel()
	store := &counting{Store: memstore.New(nil)}
	rpc := serve(t, store, ServerOptions{}).raw(t)
	const size, events = 64 << 10, 1000
	for range events / 100 {
		batch := make([]dcb.Event, 100)
		for i := range batch {
			batch[i] = dcb.Event{Type: "T", Data: make([]byte, size)}
		}
		if _, err := store.Append(t.Context(), batch, nil); err != nil {
			t.Fatal(err)
		}
	}
	slow, err := rpc.Subscribe(t.Context(), &umadbv1.SubscribeRequest{})
	if err == nil {
		_, err = slow.Header()
	}
	if err != nil {
		t.Fatal(err)
	}
	// Other calls succeed meanwhile. They also give the server the time to read ahead.
	for i := range 300 {
		if _, err := rpc.Append(t.Context(), &umadbv1.AppendRequest{Events: []*umadbv1.Event{newEvent("T")}}); err != nil {
			t.Fatalf("append %d: %v", i, err)
		}
	}
	if _, read := store.state(); read > events/2 {
		t.Errorf("the server read %d of %d events for a client that receives none", read, events)
	}
	got := 0
	for got < events+300 {
		m, err := slow.Recv()
		if err != nil {
			t.Fatal(err)
		}
		got += len(m.Events)
	}
}

func TestServerServesTheFormerName(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	fill(t, store, 3)
	conn := serve(t, store, ServerOptions{}).conn(t)
	response := &umadbv1.HeadResponse{}
	if err := conn.Invoke(t.Context(), "/umadb.UmaDBService/Head", &umadbv1.HeadRequest{}, response); err != nil || response.GetPosition() != 3 {
		t.Errorf("Head = %d, %v; want 3", response.GetPosition(), err)
	}
	stream, err := conn.NewStream(t.Context(), &umadbv1.DCB_ServiceDesc.Streams[0], "/umadb.UmaDBService/Read")
	if err == nil {
		err = stream.SendMsg(&umadbv1.ReadRequest{})
	}
	if err == nil {
		err = stream.CloseSend()
	}
	message := &umadbv1.ReadResponse{}
	if err == nil {
		err = stream.RecvMsg(message)
	}
	if err != nil || len(message.Events) != 3 {
		t.Errorf("Read = %d events, %v; want 3", len(message.Events), err)
	}
}

func TestServerHealthAndReflectionNeedNoKey(t *testing.T) {
	t.Parallel()
	conn := serve(t, memstore.New(nil), ServerOptions{Keys: auth.NewKeys()}).conn(t)
	for _, service := range []string{"", "umadb.v1.DCB"} {
		response, err := healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{Service: service})
		if err != nil || response.GetStatus() != healthv1.HealthCheckResponse_SERVING {
			t.Errorf("Check(%q) = %v, %v; want SERVING", service, response, err)
		}
	}
	stream, err := reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err == nil {
		err = stream.Send(&reflectionv1.ServerReflectionRequest{
			MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{},
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	response, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(response.GetListServicesResponse().GetService(), func(s *reflectionv1.ServiceResponse) bool {
		return s.GetName() == "umadb.v1.DCB"
	}) {
		t.Errorf("reflection lists %v", response)
	}
}

func withSecret(ctx context.Context, secret string) context.Context {
	return withAuthorization(ctx, "Bearer "+secret)
}

func TestServerChecksThePermissionsOfEachMethod(t *testing.T) {
	t.Parallel()
	const reader, writer = "the key of a reader", "the key of a writer"
	keys := auth.NewKeys(auth.NewKey("reader", auth.Read, reader), auth.NewKey("writer", auth.Append, writer))
	s := serve(t, memstore.New(nil), ServerOptions{Keys: keys})
	rpc := s.raw(t)
	calls := rpcCalls()
	asked := 0
	for method, call := range calls {
		right, wrong := reader, writer
		if method == "Append" {
			right, wrong = writer, reader
		}
		for _, test := range []struct {
			authorization, name string
			want                codes.Code
		}{
			{"", "", codes.Unauthenticated},
			{"Bearer", "", codes.Unauthenticated},
			{"Bearer ", "", codes.Unauthenticated},
			{right, "", codes.Unauthenticated},
			{"Basic " + right, "", codes.Unauthenticated},
			{"Bearer " + right + "x", "", codes.Unauthenticated},
			{"Bearer " + right[1:], "", codes.Unauthenticated},
			{"Bearer " + wrong, "", codes.PermissionDenied},
			{"Bearer " + right, keyName(right == reader), codes.OK},
			{"bearer " + right, keyName(right == reader), codes.OK},
		} {
			ctx := t.Context()
			if test.authorization != "" {
				ctx = withAuthorization(ctx, test.authorization)
			}
			trailer, err := call(ctx, rpc)
			asked++
			if test.want == codes.OK {
				if err != nil {
					t.Errorf("%s with %q: %v", method, test.authorization, err)
				}
			} else {
				detail := wantError(t, err, trailer, test.want, umadbv1.ErrorResponse_AUTHENTICATION)
				if strings.Contains(detail.String(), right) || strings.Contains(detail.String(), wrong) {
					t.Error("the error contains a key")
				}
			}
			calls := s.observed(t, asked)
			if len(calls) != asked {
				t.Fatalf("%d calls were observed, want %d", len(calls), asked)
			}
			last := calls[asked-1]
			if last.Protocol != "umadb" || last.Method != method || test.want == codes.OK && last.Key != test.name || (last.Err == nil) != (err == nil) {
				t.Errorf("%s with %q was observed as %+v", method, test.authorization, last)
			}
		}
	}
}

func keyName(isReader bool) string {
	if isReader {
		return "reader"
	}
	return "writer"
}

func TestServerLimitsQueries(t *testing.T) {
	t.Parallel()
	rpc := serve(t, memstore.New(nil), ServerOptions{Limits: Limits{QueryItems: 3}}).raw(t)
	for n, isFine := range map[int]bool{3: true, 4: false} {
		q := &umadbv1.Query{}
		for i := range n {
			q.Items = append(q.Items, &umadbv1.QueryItem{Tags: []string{fmt.Sprint(i)}})
		}
		stream, err := rpc.Read(t.Context(), &umadbv1.ReadRequest{Query: q})
		if err == nil {
			_, err = stream.Recv()
		}
		if isFine != (err == nil) {
			t.Errorf("Read with %d items = %v", n, err)
		}
		if err != nil {
			wantError(t, err, stream.Trailer(), codes.InvalidArgument, umadbv1.ErrorResponse_INVALID_ARGUMENT)
		}
		_, err = call(t, rpc, &umadbv1.AppendRequest{Condition: &umadbv1.AppendCondition{FailIfEventsMatch: q}})
		if isFine != (err == nil) {
			t.Errorf("Append with %d items = %v", n, err)
		}
	}
}

// stuck is a store whose calls end only with their context.
type stuck struct{ dcb.Store }

func (stuck) Append(ctx context.Context, _ []dcb.Event, _ *dcb.AppendCondition) (dcb.Position, error) {
	<-ctx.Done()
	return 0, ctx.Err()
}

func (stuck) Read(ctx context.Context, _ dcb.Query, _ dcb.ReadOptions) (dcb.ReadResult, error) {
	<-ctx.Done()
	return dcb.ReadResult{}, ctx.Err()
}

func (stuck) Head(ctx context.Context) (dcb.Position, error) {
	<-ctx.Done()
	return 0, ctx.Err()
}

func TestServerLimitsTheTimeOfCalls(t *testing.T) {
	t.Parallel()
	rpc := serve(t, stuck{memstore.New(nil)}, ServerOptions{Limits: Limits{CallTime: 50 * time.Millisecond}}).raw(t)
	for method, call := range rpcCalls() {
		if method == "Subscribe" {
			continue
		}
		trailer, err := call(t.Context(), rpc)
		wantError(t, err, trailer, codes.DeadlineExceeded, umadbv1.ErrorResponse_INTERNAL)
	}
}

func TestServerReadMayTakeLongerThanTheLimitOfACall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // so that only the reader is slow
		const events = 1000
		store := memstore.New(nil)
		for range events / 10 {
			if _, err := store.Append(t.Context(), tenEvents(10<<10), nil); err != nil { // more than the buffers on the way
				t.Fatal(err)
			}
		}
		c := serve(t, store, ServerOptions{Limits: Limits{CallTime: 200 * time.Millisecond}}).client(t)
		count := 0
		for _, err := range c.Stream(t.Context(), dcb.All(), dcb.ReadOptions{}) {
			if err != nil {
				t.Fatal(err)
			}
			if count++; count%100 == 0 {
				time.Sleep(150 * time.Millisecond)
			}
		}
		if count != events {
			t.Errorf("%d events, want %d", count, events)
		}
	})
}

// tenEvents returns ten events with data of size bytes each.
func tenEvents(size int) []dcb.Event {
	events := make([]dcb.Event, 10)
	for i := range events {
		events[i] = dcb.Event{Type: "T", Data: make([]byte, size)}
	}
	return events
}
