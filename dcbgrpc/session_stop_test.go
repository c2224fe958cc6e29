package dcbgrpc

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/test/bufconn"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/memstore"
)

// gated is a store whose appends wait until they are let go.
type gated struct {
	dcb.Store
	reached chan struct{}
	opened  chan struct{}
}

func newGated() *gated {
	return &gated{memstore.New(nil), make(chan struct{}, 100), make(chan struct{})}
}

func (g *gated) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	g.reached <- struct{}{}
	select {
	case <-g.opened:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	return g.Store.Append(ctx, events, condition)
}

func TestWhoWatchesTheHealthHearsFirstThatAServerStops(t *testing.T) {
	t.Parallel()
	store := newGated()
	server := serve(t, store, nil)
	opts, err := server.opts.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := connect(server.address, &opts)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	watch, err := healthv1.NewHealthClient(conn).Watch(t.Context(), &healthv1.HealthCheckRequest{Service: "dcb.v1.Store"})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := watch.Recv(); got.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		t.Fatalf("%v, %v", got, err)
	}
	client := server.dial(t)
	appended := make(chan error)
	go func() {
		_, err := client.Append(t.Context(), []dcb.Event{{Type: "T"}}, nil)
		appended <- err
	}()
	<-store.reached
	stopped := make(chan error)
	go func() { stopped <- server.Shutdown(t.Context()) }()
	if got, err := watch.Recv(); got.GetStatus() != healthv1.HealthCheckResponse_NOT_SERVING {
		t.Errorf("%v, %v; want NOT_SERVING while the append goes on", got, err)
	}
	select {
	case err := <-stopped:
		t.Errorf("the server stopped, with %v, and an append is under way", err)
	case <-time.After(20 * time.Millisecond):
	}
	close(store.opened)
	if err := <-appended; err != nil {
		t.Errorf("the append under way: %v", err)
	}
	if err := <-stopped; err != nil { // although the health is watched
		t.Error(err)
	}
}

func TestWhoFollowsGoesOnAtTheNextServer(t *testing.T) {
	t.Parallel()
	const servers, followers, appends = 5, 10, 20
	store := memstore.New(nil)
	server := serveByLoopback(t, store, nil)
	place := movingTo(server.address)
	var following sync.WaitGroup
	for n := range followers {
		client := server.dial(t, func(o *ClientOptions) { o.Dial = place.dial })
		following.Go(func() {
			next := dcb.Position(1)
			for batch, err := range client.Follow(t.Context(), dcb.All(), 0) {
				if err != nil {
					t.Errorf("follower %d, at %d: %v", n, next, err)
					return
				}
				for _, e := range batch.Events {
					if e.Position != next {
						t.Errorf("follower %d was shown %d and expected %d", n, e.Position, next)
					}
					next++
				}
				if batch.Head < next-1 {
					t.Errorf("follower %d was told head %d with position %d", n, batch.Head, next-1)
				}
				if next > servers*appends {
					return
				}
			}
		})
	}
	for n := range servers {
		for range appends {
			if _, err := store.Append(t.Context(), []dcb.Event{{Type: "T"}}, nil); err != nil {
				t.Fatal(err)
			}
		}
		if n == servers-1 {
			break
		}
		if err := errors.Join(server.Shutdown(t.Context()), <-server.done); err != nil {
			t.Fatal(err)
		}
		server.done <- nil
		server = serveByLoopback(t, store, nil)
		place.to(server.address)
	}
	following.Wait()
}

// Whoever waits for something to happen has been with the server for as long as nothing did, and that is not counted as trying to reach it. The time is the
// bubble's, so that it is only the waiting that takes any.
func TestWhoWaitsForLongGoesOnAtTheNextServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const retryFor = time.Second
		store := memstore.New(nil)
		var server atomic.Pointer[served]
		server.Store(serve(t, store, nil))
		opts := ClientOptions{RetryFor: retryFor}
		opts.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			return server.Load().opts.Dial(ctx, address)
		}
		umadb, err := DialUmaDB(t.Context(), "server", &opts)
		if err != nil {
			t.Fatal(err)
		}
		defer umadb.Close()
		ours := func(overGRPC bool) *Client {
			return server.Load().dial(t, func(o *ClientOptions) { *o = opts; o.OverGRPC = overGRPC })
		}
		var waiting sync.WaitGroup
		for name, client := range map[string]dcb.Store{"session": ours(false), "session over gRPC": ours(true), "UmaDB's protocol": umadb} {
			waiting.Go(func() {
				if _, err := client.Wait(t.Context(), 0); err != nil {
					t.Errorf("Wait, %s: %v", name, err)
				}
			})
			waiting.Go(func() {
				for batch, err := range dcb.Follow(t.Context(), client, dcb.All(), 0) {
					if err != nil {
						t.Errorf("Follow, %s: %v", name, err)
					}
					if err != nil || len(batch.Events) > 0 {
						return
					}
				}
			})
		}
		for range 2 {
			time.Sleep(aWhile + retryFor/2)
			last := server.Load()
			if err := errors.Join(last.Shutdown(t.Context()), <-last.done); err != nil {
				t.Fatal(err)
			}
			last.done <- nil
			server.Store(serve(t, store, nil))
		}
		time.Sleep(aWhile + retryFor/2)
		if _, err := store.Append(t.Context(), []dcb.Event{{Type: "T"}}, nil); err != nil {
			t.Fatal(err)
		}
		waiting.Wait()
	})
}

func TestWhatDoesNotEndInTimeIsCutOff(t *testing.T) {
	t.Parallel()
	store := newGated()
	server := serve(t, store, nil)
	client := server.dial(t, func(o *ClientOptions) { o.RetryFor = 50 * time.Millisecond })
	appended := make(chan error)
	go func() {
		_, err := client.Append(t.Context(), []dcb.Event{{Type: "T"}}, nil)
		appended <- err
	}()
	<-store.reached
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := server.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown ended with %v; want its deadline", err)
	}
	var unavailable *dcb.UnavailableError
	if err := <-appended; !errors.As(err, &unavailable) || !unavailable.OutcomeUnknown {
		t.Errorf("the append that was cut off: %v; want an unknown outcome", err)
	}
	if _, err := client.Head(t.Context()); !errors.Is(err, dcb.ErrUnavailable) || errors.As(err, &unavailable) && unavailable.OutcomeUnknown {
		t.Errorf("a call afterwards: %v; want ErrUnavailable", err)
	}
}

func TestClosedClientsSaySo(t *testing.T) {
	t.Parallel()
	store := newGated()
	client := serve(t, store, nil).dial(t)
	done := make(chan error, 4)
	for _, id := range []byte{0, 1} { // with an ID and without
		go func() {
			_, err := client.Append(t.Context(), []dcb.Event{{Type: "T", ID: [16]byte{id}}}, nil)
			done <- err
		}()
	}
	go func() {
		_, err := client.Wait(t.Context(), 1<<60)
		done <- err
	}()
	go func() {
		for _, err := range client.Follow(t.Context(), dcb.All(), 0) {
			if err != nil {
				done <- err
			}
		}
	}()
	<-store.reached
	<-store.reached
	eventually(t, "four calls are under way", func() bool { return client.underWay() == 4 })
	var closing sync.WaitGroup
	for range 3 { // as often as one likes
		closing.Go(func() {
			if err := client.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	closing.Wait()
	for range 4 {
		if err := <-done; !errors.Is(err, dcb.ErrClosed) || dcb.Retryable(err) {
			t.Errorf("a call under way ended with %v; want ErrClosed", err)
		}
	}
	for name, call := range sessionCalls {
		if err := call(t.Context(), client); !errors.Is(err, dcb.ErrClosed) {
			t.Errorf("%s after Close: %v; want ErrClosed", name, err)
		}
	}
}

// Close may come at any moment while a session is being opened.
func TestAClientMayBeClosedWhileItConnects(t *testing.T) {
	t.Parallel()
	server := serve(t, memstore.New(nil), nil)
	for round := range 300 {
		c := &cutter{dial: server.opts.Dial}
		client := server.dial(t, func(o *ClientOptions) { o.Dial = c.connect })
		c.cut(up, 1) // so that the next call needs another session
		done := make(chan error)
		go func() {
			_, err := client.Head(t.Context())
			done <- err
		}()
		time.Sleep(time.Duration(round) * 50 * time.Microsecond)
		if err := client.Close(); err != nil {
			t.Error(err)
		}
		select {
		case err := <-done:
			if err != nil && !errors.Is(err, dcb.ErrClosed) {
				t.Errorf("round %d: %v; want ErrClosed", round, err)
			}
		case <-time.After(testPatience):
			t.Fatalf("round %d: the call hangs", round)
		}
		if _, err := client.Head(t.Context()); !errors.Is(err, dcb.ErrClosed) {
			t.Errorf("round %d, afterwards: %v; want ErrClosed", round, err)
		}
	}
}

func TestDialingNothingFailsAtOnce(t *testing.T) {
	t.Parallel()
	// Nobody listens at a port that only the system may use. One that was given back here could be another's by now.
	const nothing = "127.0.0.1:1"
	bound, cancelBound := context.WithTimeout(t.Context(), testPatience)
	defer cancelBound()
	_, err := Dial(bound, nothing, &ClientOptions{RetryFor: time.Hour}) // which is for later calls
	if !errors.Is(err, dcb.ErrUnavailable) || !strings.Contains(err.Error(), nothing) {
		t.Errorf("%v; want ErrUnavailable, and the address", err)
	}
	// Whoever listens and says nothing is waited for as long as the context allows.
	silent := bufconn.Listen(1 << 10)
	defer silent.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = Dial(ctx, "silent", &ClientOptions{Dial: func(ctx context.Context, _ string) (net.Conn, error) { return silent.DialContext(ctx) }})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v; want the context's deadline", err)
	}
}

func TestAServerOfSomethingElseIsToldApart(t *testing.T) {
	t.Parallel()
	listener := bufconn.Listen(1 << 16)
	other := grpc.NewServer()
	go func() { _ = other.Serve(listener) }()
	defer other.Stop()
	_, err := Dial(t.Context(), "other", &ClientOptions{Dial: func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }})
	if !errors.Is(err, errNotOurs) || dcb.Retryable(err) || !strings.Contains(err.Error(), "dcb+umadb://") {
		t.Errorf("%v; want it to say that this is not dcb's protocol", err)
	}
}

func TestOptionsOutOfBoundsAreNamed(t *testing.T) {
	t.Parallel()
	for field, opts := range map[string]*ClientOptions{
		"RetryFor": {RetryFor: -1}, "Keepalive": {Keepalive: -1}, "MessageBytes": {MessageBytes: -1},
	} {
		if _, err := Dial(t.Context(), "localhost:1", opts); err == nil || !strings.Contains(err.Error(), "ClientOptions."+field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	if _, err := NewServer(memstore.New(nil), &ServerOptions{Keepalive: -1}); err == nil || !strings.Contains(err.Error(), "ServerOptions.Keepalive") {
		t.Error(err)
	}
	opts := &ServerOptions{}
	opts.Limits.Calls = -1
	if _, err := NewServer(memstore.New(nil), opts); err == nil || !strings.Contains(err.Error(), "Limits.Calls") {
		t.Error(err)
	}
}
