package dcbnet

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/wire"
	"github.com/dcbstore/dcb/memstore"
)

// A side that sends nothing is given up. The time is the bubble's, which passes only while all
// goroutines wait, so a live side answers in time however slow the machine is.
func TestKeepaliveClosesADeadConnectionAndKeepsALiveOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const interval = 50 * time.Millisecond
		server := serve(t, memstore.New(nil), &ServerOptions{keepalive: interval})
		silent, began := server.greetedPeer(t), time.Now()
		last := silent.goodbye(t) // reads pings, and sends nothing
		if took := time.Since(began); took < 2*interval-interval/ticks || took > 2*interval+interval/ticks {
			t.Errorf("the server closed a silent connection after %v, want %v", took, 2*interval)
		}
		if last.kind != errorResponse || !strings.Contains(last.err.Text, "nothing arrived") {
			t.Errorf("the last response is %+v", last)
		}

		client := server.dial(t, func(o *ClientOptions) { o.keepalive = interval })
		conn := client.conns[0]
		ctx, cancel := context.WithTimeout(t.Context(), 10*interval)
		defer cancel()
		if _, err := client.Wait(ctx, 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Wait = %v, want DeadlineExceeded", err)
		}
		if conn.isRetired() {
			t.Error("the connection of a live client was closed")
		}
	})
}

// The other direction: a server that vanishes without closing the connection.
func TestKeepaliveOfTheClientDetectsADeadServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const interval = 50 * time.Millisecond
		server := serve(t, memstore.New(nil), nil) // sends no pings for minutes
		client := server.dial(t, func(o *ClientOptions) { o.keepalive, o.RetryFor = interval, time.Nanosecond })
		client.mu.Lock()
		conn, began := client.conns[0], time.Now()
		client.mu.Unlock()
		<-conn.done
		if took := time.Since(began); took > 3*interval {
			t.Errorf("the client closed a silent connection after %v", took)
		}
		// It makes another one for the next call.
		if _, err := client.Head(t.Context()); err != nil {
			t.Errorf("Head = %v", err)
		}
	})
}

// A call that takes long in the reading goroutine must not delay the requests after it.
func TestServerHandsOffTheReadLoopDuringALongCall(t *testing.T) {
	t.Parallel()
	store := newGated()
	client := serveTCP(t, store, nil).dial(t)
	ctx, cancel := context.WithCancel(t.Context())
	appended := make(chan error, 1)
	go func() {
		_, err := client.Append(ctx, []dcb.Event{{Type: "T"}}, nil)
		appended <- err
	}()
	<-store.reached
	for range 3 {
		if _, err := client.Head(t.Context()); err != nil {
			t.Errorf("Head during a long append = %v", err)
		}
	}
	cancel()
	if err := <-appended; !errors.Is(err, context.Canceled) {
		t.Errorf("Append = %v, want Canceled", err)
	}
}

// An observer delays the reading goroutine after its response. By then the next call may run in
// the goroutine that took over, and take long, too.
func TestServerHasOneReadLoopHoweverLongCallsTake(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	server := serveTCP(t, memstore.New(nil), &ServerOptions{Observe: func(context.Context, Call) {
		<-time.After(handOffAfter * time.Duration(calls.Add(1)%4) * 3 / 4)
	}})
	client := server.dial(t)
	for range 300 {
		if _, err := client.Append(t.Context(), []dcb.Event{{Type: "T"}}, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// A connection without a Hello does not delay Shutdown. A client that is still sending receives
// the reason for the end of its connection.
func TestServerShutdownOfConnectionsWithoutHelloAndOfBusyOnes(t *testing.T) {
	t.Parallel()
	server := serveTCP(t, memstore.New(nil), nil)
	silent, busy := server.peer(t), server.greetedPeer(t)
	stopped := make(chan error, 1)
	go func() { stopped <- server.Shutdown(t.Context()) }()
	go func() { // sends until the connection fails
		for id := uint64(2); ; id++ {
			b := messageOf(request{id: id, kind: headRequest})
			if busy.send(&b) != nil {
				return
			}
		}
	}()
	last := busy.goodbye(t)
	if last.kind != errorResponse || last.err.Code != wire.Stopping {
		t.Errorf("the last response is %+v, want %s", last, wire.Stopping)
	}
	_ = busy.Close()
	if err := <-stopped; err != nil {
		t.Errorf("Shutdown = %v", err)
	}
	// A server that accepts it only after Shutdown began sends the reason, and then closes it.
	if _, err := io.Copy(io.Discard, silent); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("reading the silent connection to its end = %v, want that it is closed", err)
	}
}

// A small read is one message in each direction: its result fits the first credit.
func TestReadOfASmallResultIsOneMessageEachWay(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	if _, err := store.Append(t.Context(), tenEvents(256), nil); err != nil {
		t.Fatal(err)
	}
	server := serve(t, store, nil)
	p := server.greetedPeer(t)
	p.request(t, request{id: 2, kind: readRequest, query: dcb.All(), credit: clientCredit})
	if got := p.responses(t); len(got) != 1 || !got[0].last || len(got[0].events) != 10 {
		t.Errorf("the response is %+v, want ten events in the last piece", got)
	}
}
