package umadb

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/wire"
	"github.com/dcbstore/dcb/memstore"
	"github.com/dcbstore/dcb/umadb/internal/umadbv1"
)

// stopping is a server whose Read is like UmaDB's: a shutdown ends its streams in order at any
// message.
type stopping struct {
	umadbv1.UnimplementedDCBServer
	selected uint64        // every query matches the positions 1 to selected
	head     atomic.Uint64 // at least selected
	capacity int           // maximum number of events in a message; 0: the requested one
	stops    []int         // number of messages after which the n-th read ends; later reads are complete
	reads    atomic.Int32

	subscriptions atomic.Int32
	subscription  func(n int32, stream grpc.ServerStreamingServer[umadbv1.SubscribeResponse]) error
}

func (s *stopping) Head(context.Context, *umadbv1.HeadRequest) (*umadbv1.HeadResponse, error) {
	return &umadbv1.HeadResponse{Position: new(s.head.Load())}, nil
}

func (s *stopping) Read(in *umadbv1.ReadRequest, stream grpc.ServerStreamingServer[umadbv1.ReadResponse]) error {
	stop := -1
	if n := int(s.reads.Add(1)); n <= len(s.stops) {
		stop = s.stops[n-1]
	}
	size := batchSize(in.BatchSize)
	if s.capacity > 0 {
		size = min(size, s.capacity)
	}
	next, step := max(in.GetStart(), 1), uint64(1)
	if in.GetBackwards() {
		next, step = s.selected, ^uint64(0)
		if in.Start != nil {
			next = min(next, in.GetStart())
		}
	}
	for sent := 0; sent != stop; sent++ {
		m := &umadbv1.ReadResponse{Head: new(s.head.Load())}
		for ; next >= 1 && next <= s.selected && len(m.Events) < size; next += step {
			m.Events = append(m.Events, &umadbv1.SequencedEvent{Position: next, Event: newEvent("T")})
		}
		if len(m.Events) > 0 || sent == 0 {
			if err := stream.Send(m); err != nil {
				return err
			}
		}
		if len(m.Events) < size {
			break
		}
	}
	return nil
}

func (s *stopping) Subscribe(_ *umadbv1.SubscribeRequest, stream grpc.ServerStreamingServer[umadbv1.SubscribeResponse]) error {
	return s.subscription(s.subscriptions.Add(1), stream)
}

func dialForeign(t testing.TB, server umadbv1.DCBServer, retryFor time.Duration) *Client {
	t.Helper()
	c := serveForeign(t, server)
	client, err := Dial(t.Context(), c.serving.address, &ClientOptions{Dial: c.dial, RetryFor: retryFor, connectTime: testPatience})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

func TestClientReadIsCompleteThoughTheServerIsShutDown(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name                 string
		selected, head       uint64
		capacity             int
		stops                []int
		opts                 dcb.ReadOptions
		wantEvents, wantHead int
		wantReads            int32
	}{
		{"no shutdown", 10, 20, 0, nil, dcb.ReadOptions{}, 10, 20, 1},
		{"before the first message", 10, 10, 0, []int{0, 0}, dcb.ReadOptions{}, 10, 10, 3},
		{"before the head", 10, 10, 0, []int{0}, dcb.ReadOptions{After: 10}, 0, 10, 2},
		{"between messages", 2500, 3000, 0, []int{1, 0, 1}, dcb.ReadOptions{}, 2500, 3000, 4},
		{"between messages, backwards", 2500, 3000, 0, []int{1, 0, 1}, dcb.ReadOptions{Backwards: true}, 2500, 3000, 4},
		{"between messages below the requested size", 10, 20, 3, []int{2}, dcb.ReadOptions{}, 10, 20, 2},
		{"between messages of a read with a limit", 6000, 6000, 0, []int{1}, dcb.ReadOptions{Limit: 5000}, 5000, 5000, 2},
		{"after a full last message", 1024, 2000, 0, []int{1}, dcb.ReadOptions{}, 1024, 2000, 2},
		{"after a full message at the head", 1024, 1024, 0, []int{1}, dcb.ReadOptions{}, 1024, 1024, 1},
		{"after a full message at the first event", 1024, 2000, 0, []int{1}, dcb.ReadOptions{Backwards: true}, 1024, 2000, 1},
		{"after a full message at Before", 3000, 3000, 0, []int{1}, dcb.ReadOptions{Before: 1025}, 1024, 1024, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := &stopping{selected: test.selected, capacity: test.capacity, stops: test.stops}
			server.head.Store(test.head)
			client := dialForeign(t, server, testPatience)
			result, err := client.Read(t.Context(), dcb.All(), test.opts)
			if err != nil || len(result.Events) != test.wantEvents || result.Head != dcb.Position(test.wantHead) {
				t.Errorf("Read = %d events, head %d, %v; want %d, %d", len(result.Events), result.Head, err, test.wantEvents, test.wantHead)
			}
			if got := server.reads.Swap(0); got != test.wantReads {
				t.Errorf("Read made %d calls, want %d", got, test.wantReads)
			}
			count := 0
			for e, err := range client.Stream(t.Context(), dcb.All(), test.opts) {
				if err != nil {
					t.Fatal(err)
				}
				if e.Position != result.Events[count].Position {
					t.Fatalf("Stream: event %d has position %d, and in Read %d", count, e.Position, result.Events[count].Position)
				}
				count++
			}
			if count != test.wantEvents {
				t.Errorf("Stream: %d events, want %d", count, test.wantEvents)
			}
		})
	}
}

func TestClientReadOfAServerThatSendsNothing(t *testing.T) {
	t.Parallel()
	client := dialForeign(t, &stopping{stops: make([]int, 1000)}, 100*time.Millisecond)
	if result, err := client.Read(t.Context(), dcb.All(), dcb.ReadOptions{}); !errors.Is(err, dcb.ErrUnavailable) {
		t.Errorf("Read = %+v, %v; want ErrUnavailable", result, err)
	}
}

// ignorant is a server that sends the same full message for every request.
type ignorant struct {
	umadbv1.UnimplementedDCBServer
}

func (ignorant) Head(context.Context, *umadbv1.HeadRequest) (*umadbv1.HeadResponse, error) {
	return &umadbv1.HeadResponse{}, nil
}

func (ignorant) Read(in *umadbv1.ReadRequest, stream grpc.ServerStreamingServer[umadbv1.ReadResponse]) error {
	m := &umadbv1.ReadResponse{Head: new(uint64(1 << 40))}
	for n := range in.GetBatchSize() {
		m.Events = append(m.Events, &umadbv1.SequencedEvent{Position: uint64(n) + 1, Event: newEvent("T")})
	}
	return stream.Send(m)
}

func TestClientReadOfAServerThatRepeatsItselfEnds(t *testing.T) {
	t.Parallel()
	client := dialForeign(t, ignorant{}, 100*time.Millisecond)
	if _, err := client.Read(t.Context(), dcb.All(), dcb.ReadOptions{}); !errors.Is(err, dcb.ErrUnavailable) {
		t.Errorf("Read = %v, want ErrUnavailable", err)
	}
}

// dcb's server ends no read early without an error, so a full last message needs no second call.
func TestClientReadOfOurServerTakesOneCallIfMessagesAreFull(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	for _, events := range [][]dcb.Event{slices.Repeat([]dcb.Event{{Type: "T"}}, 2*defaultBatch), {{Type: "Other"}}} {
		if _, err := store.Append(t.Context(), events, nil); err != nil {
			t.Fatal(err)
		}
	}
	serving := serve(t, store, ServerOptions{})
	client := serving.client(t)
	result, err := client.Read(t.Context(), dcb.Query{{Types: []string{"T"}}}, dcb.ReadOptions{})
	if err != nil || len(result.Events) != 2*defaultBatch || result.Head != 2*defaultBatch+1 {
		t.Errorf("Read = %d events, head %d, %v", len(result.Events), result.Head, err)
	}
	if _, err := client.Head(t.Context()); err != nil {
		t.Fatal(err)
	}
	reads := 0
	for _, call := range serving.observed(t, 3) { // the first one belongs to Dial
		if call.Method == "Read" {
			reads++
		}
	}
	if reads != 1 {
		t.Errorf("Read made %d calls, want 1", reads)
	}
}

// brokenOff contains the ways in which a shutdown or a proxy ends a subscription.
var brokenOff = map[string]error{
	"in order": nil,
	"reset":    status.Error(codes.Internal, "stream terminated by RST_STREAM with error code: INTERNAL_ERROR"),
}

func TestClientWaitAndFollowContinueWhenTheSubscriptionEnds(t *testing.T) {
	t.Parallel()
	for name, end := range brokenOff {
		server := &stopping{}
		server.subscription = func(n int32, _ grpc.ServerStreamingServer[umadbv1.SubscribeResponse]) error {
			if n == 3 {
				server.head.Store(1)
			}
			return end
		}
		client := dialForeign(t, server, testPatience)
		if head, err := client.Wait(t.Context(), 0); err != nil || head != 1 {
			t.Errorf("%s: Wait = %d, %v; want 1", name, head, err)
		}
		server.head.Store(0)
		server.subscriptions.Store(0)
		for batch, err := range dcb.Follow(t.Context(), client, dcb.All(), 0) {
			if err != nil {
				t.Errorf("%s: Follow = %v", name, err)
			}
			if err != nil || batch.Head == 1 {
				break
			}
		}
	}
}

func TestClientWaitPausesWhileTheHeadIsStale(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // so that half a second is exact
		server := &stopping{}
		server.subscription = func(n int32, stream grpc.ServerStreamingServer[umadbv1.SubscribeResponse]) error {
			if n > 20 {
				server.head.Store(1) // otherwise no time would pass for a client without pauses
			}
			return stream.Send(&umadbv1.SubscribeResponse{Events: []*umadbv1.SequencedEvent{{Position: 1, Event: newEvent("T")}}})
		}
		client := dialForeign(t, server, testPatience)
		time.AfterFunc(500*time.Millisecond, func() { server.head.Store(1) })
		if head, err := client.Wait(t.Context(), 0); err != nil || head != 1 {
			t.Errorf("Wait = %d, %v; want 1", head, err)
		}
		if got := server.subscriptions.Load(); got > 20 {
			t.Errorf("Wait subscribed %d times in half a second", got)
		}
	})
}

// The status of a proxy that gave up on a call does not tell what the server did.
func TestClientAppendEndedByAProxyHasAnUnknownOutcome(t *testing.T) {
	t.Parallel()
	for _, code := range []codes.Code{codes.Canceled, codes.DeadlineExceeded, codes.Aborted, codes.Internal, codes.Unavailable} {
		f := &foreign{fail: func() error { return status.Error(code, "stream terminated by RST_STREAM") }}
		client := dialForeign(t, f, 500*time.Millisecond)
		for _, id := range []uuid.UUID{{}, uuid.New()} {
			_, err := client.Append(t.Context(), []dcb.Event{{Type: "T", ID: id}}, nil)
			if !isOutcomeUnknown(err) {
				t.Errorf("%v: Append = %v, want an unknown outcome", code, err)
			}
			if got := f.appends.Swap(0); got != 1 {
				t.Errorf("%v: the append was sent %d times, want 1", code, got)
			}
		}
	}
}

// Unlike the status of a proxy, an internal error with the server's own detail is definite.
func TestClientAppendIsNotRepeatedAfterAnInternalErrorOfTheServer(t *testing.T) {
	t.Parallel()
	f := &foreign{fail: func() error { return status.Error(codes.Internal, "x") }}
	f.detail = &umadbv1.ErrorResponse{Message: "x", ErrorType: umadbv1.ErrorResponse_INTERNAL}
	client := dialForeign(t, f, testPatience)
	_, err := client.Append(t.Context(), []dcb.Event{{Type: "T", ID: uuid.New()}}, nil)
	if err == nil || dcb.Retryable(err) || wire.CodeOf(err) != wire.Internal || f.appends.Load() != 1 {
		t.Errorf("after %d calls Append = %v, want an internal error after one", f.appends.Load(), err)
	}
}
