package dcbnet

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/memstore"
)

// A caller that reads its own response can be canceled in the middle of a message. The next reader
// continues with the rest of it.
func TestMessageConnReceiveContinuesAfterATimeout(t *testing.T) {
	t.Parallel()
	here, there := net.Pipe()
	t.Cleanup(func() { _ = here.Close(); _ = there.Close() })
	in, out := newMessageConn(here, 1<<30), newMessageConn(there, 1<<30)
	want := bytes.Repeat([]byte("0123456789"), firstGrowth/4) // its buffer grows twice
	message := append(make([]byte, headerBytes), want...)
	go func() {
		_ = out.send(&message)
	}()
	timeouts := 0
	for {
		_ = in.SetReadDeadline(time.Now().Add(20 * time.Microsecond))
		got, err := in.receive()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			timeouts++
			continue
		}
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("receive = %d bytes, %v, want %d bytes", len(got), err, len(want))
		}
		break
	}
	t.Logf("%d timeouts", timeouts)
}

// Callers take turns in reading, alone and together, while others are canceled.
func TestClientCallsAreAnsweredWhoeverReads(t *testing.T) {
	t.Parallel()
	server := serveTCP(t, memstore.New(nil), nil)
	client := server.dial(t)
	var group sync.WaitGroup
	stop := make(chan struct{})
	for i := range 3 {
		group.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(time.Duration(n%7*50)*time.Microsecond, cancel)
				if _, err := client.Wait(ctx, 1<<40); !errors.Is(err, context.Canceled) {
					t.Errorf("Wait = %v, want context.Canceled", err)
					return
				}
				time.Sleep(time.Duration(i*n%5) * time.Millisecond) // so that others are alone for a while
			}
		})
	}
	event := []dcb.Event{{Type: "A", Tags: []string{"x"}}}
	for n := range dcb.Position(2000) {
		if got, err := client.Append(t.Context(), event, nil); got != n+1 || err != nil {
			t.Fatalf("Append = %d, %v, want %d", got, err, n+1)
		}
		if got, err := client.Head(context.Background()); got != n+1 || err != nil { // cannot be canceled
			t.Fatalf("Head = %d, %v, want %d", got, err, n+1)
		}
	}
	close(stop)
	group.Wait()
}

// A server that stops says so in a GOAWAY. While nobody reads, the GOAWAY waits for the next
// call, which must find it before it sends its request: an append without IDs would have an
// unknown outcome.
func TestAppendFindsAGoAwayThatNobodyHasRead(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	listener, err := net.Listen("tcp", anyPort)
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	server := serveOn(t, store, nil, listener)
	client := server.dial(t)
	for range 20 {
		if _, err := client.Append(t.Context(), []dcb.Event{{Type: "A"}}, nil); err != nil {
			t.Fatalf("Append = %v", err)
		}
		if err := server.Shutdown(t.Context()); err != nil { // the client reads alone, and has just stopped
			t.Fatal(err)
		}
		if listener, err = net.Listen("tcp", address); err != nil {
			t.Fatal(err)
		}
		server = serveOn(t, store, nil, listener)
	}
}
