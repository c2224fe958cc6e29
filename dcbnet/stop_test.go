package dcbnet

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/memstore"
)

// gated is a store whose appends wait until opened is closed.
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

// Shutdown waits for the calls under way.
func TestServerShutdownAnswersTheCallsUnderWay(t *testing.T) {
	t.Parallel()
	store := newGated()
	server := serve(t, store, nil)
	client := server.dial(t)
	appended := make(chan error)
	go func() {
		_, err := client.Append(t.Context(), []dcb.Event{{Type: "T"}}, nil)
		appended <- err
	}()
	<-store.reached
	stopped := make(chan error)
	go func() { stopped <- server.Shutdown(t.Context()) }()
	select {
	case err := <-stopped:
		t.Errorf("Shutdown = %v while an append is under way", err)
	case <-time.After(20 * time.Millisecond):
	}
	close(store.opened)
	if err := <-appended; err != nil {
		t.Errorf("Append = %v", err)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Shutdown = %v", err)
	}
}

func TestFollowContinuesOnTheNextServer(t *testing.T) {
	t.Parallel()
	const servers, followers, appends = 5, 10, 20
	store := memstore.New(nil)
	server := serveTCP(t, store, nil)
	address := movingTo(server.address)
	var following sync.WaitGroup
	for n := range followers {
		client := server.dial(t, func(o *ClientOptions) { o.Dial = address.dial })
		following.Go(func() {
			next := dcb.Position(1)
			for batch, err := range client.Follow(t.Context(), dcb.All(), 0) {
				if err != nil {
					t.Errorf("follower %d at %d: %v", n, next, err)
					return
				}
				for _, e := range batch.Events {
					if e.Position != next {
						t.Errorf("follower %d received %d, want %d", n, e.Position, next)
					}
					next++
				}
				if batch.Head < next-1 {
					t.Errorf("follower %d received head %d with position %d", n, batch.Head, next-1)
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
		server = serveTCP(t, store, nil)
		address.to(server.address)
	}
	following.Wait()
}

// RetryFor does not count the time that a Wait or a Follow spent on a server.
func TestWaitAndFollowContinueOnTheNextServerAfterALongTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // so that only the waiting takes time
		const retryFor = time.Second
		store := memstore.New(nil)
		var server atomic.Pointer[served]
		server.Store(serve(t, store, nil))
		client := server.Load().dial(t, func(o *ClientOptions) {
			o.RetryFor = retryFor
			o.Dial = func(ctx context.Context, address string) (net.Conn, error) {
				return server.Load().opts.Dial(ctx, address)
			}
		})
		var waiting sync.WaitGroup
		waiting.Go(func() {
			if _, err := client.Wait(t.Context(), 0); err != nil {
				t.Errorf("Wait = %v", err)
			}
		})
		waiting.Go(func() {
			for batch, err := range client.Follow(t.Context(), dcb.All(), 0) {
				if err != nil {
					t.Errorf("Follow = %v", err)
				}
				if err != nil || len(batch.Events) > 0 {
					return
				}
			}
		})
		for range 2 {
			time.Sleep(reachedAfter + retryFor/2)
			last := server.Load()
			if err := errors.Join(last.Shutdown(t.Context()), <-last.done); err != nil {
				t.Fatal(err)
			}
			last.done <- nil
			server.Store(serve(t, store, nil))
		}
		time.Sleep(reachedAfter + retryFor/2)
		if _, err := store.Append(t.Context(), []dcb.Event{{Type: "T"}}, nil); err != nil {
			t.Fatal(err)
		}
		waiting.Wait()
	})
}

func TestServerShutdownCutsOffWhenItsContextEnds(t *testing.T) {
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
		t.Errorf("Shutdown = %v, want DeadlineExceeded", err)
	}
	if err := <-appended; !isOutcomeUnknown(err) {
		t.Errorf("Append = %v, want an unknown outcome", err)
	}
	if _, err := client.Head(t.Context()); !dcb.Retryable(err) || isOutcomeUnknown(err) {
		t.Errorf("Head after Shutdown = %v, want ErrUnavailable", err)
	}
}

func TestClientCloseEndsCallsWithErrClosed(t *testing.T) {
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
	for range 3 { // a second Close returns nil
		closing.Go(func() {
			if err := client.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	closing.Wait()
	for range 4 {
		if err := <-done; !errors.Is(err, dcb.ErrClosed) || dcb.Retryable(err) {
			t.Errorf("a call under way = %v, want ErrClosed", err)
		}
	}
	for name, call := range clientCalls {
		if err := call(t.Context(), client); !errors.Is(err, dcb.ErrClosed) {
			t.Errorf("%s after Close = %v, want ErrClosed", name, err)
		}
	}
}

func TestClientCloseWhileAConnectionIsMade(t *testing.T) {
	t.Parallel()
	server := serve(t, memstore.New(nil), nil)
	for round := range 300 {
		c := &cutter{dial: server.opts.Dial}
		client := server.dial(t, func(o *ClientOptions) { o.Dial = c.connect })
		c.cut(up, 1) // so that the next call needs another connection
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
				t.Errorf("round %d: Head = %v, want ErrClosed", round, err)
			}
		case <-time.After(testPatience):
			t.Fatalf("round %d: Head hangs", round)
		}
		if _, err := client.Head(t.Context()); !errors.Is(err, dcb.ErrClosed) {
			t.Errorf("round %d: Head after Close = %v, want ErrClosed", round, err)
		}
	}
}

func TestDialWithoutAServer(t *testing.T) {
	t.Parallel()
	const nothing = "127.0.0.1:1" // needs a privilege to listen, unlike a port that was free a moment ago
	limited, cancelLimited := context.WithTimeout(t.Context(), testPatience)
	defer cancelLimited()
	_, err := Dial(limited, nothing, &ClientOptions{RetryFor: time.Hour}) // which is for later calls
	if !errors.Is(err, dcb.ErrUnavailable) || !strings.Contains(err.Error(), nothing) {
		t.Errorf("Dial = %v, want ErrUnavailable with the address", err)
	}
	// A server that accepts and sends nothing is waited for until the context ends.
	silent := newPipeListener()
	go acceptAll(silent, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	defer silent.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = Dial(ctx, "silent", &ClientOptions{Dial: silent.dial})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Dial = %v, want DeadlineExceeded", err)
	}
}

func TestOptionsOutOfBounds(t *testing.T) {
	t.Parallel()
	for field, opts := range map[string]*ClientOptions{"RetryFor": {RetryFor: -1}, "MessageBytes": {MessageBytes: -1}} {
		if _, err := Dial(t.Context(), "localhost:1", opts); err == nil || !strings.Contains(err.Error(), "dcbnet: ClientOptions."+field) {
			t.Errorf("Dial with a negative %s = %v", field, err)
		}
	}
	opts := &ServerOptions{}
	opts.Limits.Calls = -1
	if _, err := NewServer(memstore.New(nil), opts); err == nil || !strings.Contains(err.Error(), "dcbnet: ServerOptions.Limits.Calls") {
		t.Errorf("NewServer with negative Limits.Calls = %v", err)
	}
}
