package dcbgrpc

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/auth"
	"github.com/dcbstore/dcb/internal/wire"
	"github.com/dcbstore/dcb/memstore"
)

// bareConn is a connection to a server on which anything can be said.
func bareConn(t *testing.T, s *served) net.Conn {
	t.Helper()
	dial := s.opts.Dial
	if dial == nil {
		dial = func(ctx context.Context, address string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", address)
		}
	}
	conn, err := dial(t.Context(), s.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(testPatience)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func framed(requests ...*request) string {
	var body []byte
	for _, r := range requests {
		body = r.append(body)
	}
	return string(binary.BigEndian.AppendUint32(nil, uint32(len(body)))) + string(body)
}

func helloWith(key string) *request {
	return &request{id: 1, kind: fieldHello, hello: hello{version: sessionVersion, key: key}}
}

// lastAnswer returns the last answer before the connection ends.
func lastAnswer(t *testing.T, conn net.Conn) (last answer) {
	t.Helper()
	in := bufio.NewReader(conn)
	said := make([]byte, len(bareHello))
	if _, err := io.ReadFull(in, said); err != nil || string(said) != bareHello {
		t.Fatalf("the server begins with %q, %v", said, err)
	}
	b := newBare(t.Context(), conn, in, 1<<20)
	for {
		var f frame
		if b.RecvMsg(&f) != nil {
			return last
		}
		if err := readAnswers(&f, func(a *answer) { last = *a }); err != nil {
			t.Fatal(err)
		}
	}
}

func TestABareSessionThatBreaksTheProtocolIsToldWhy(t *testing.T) {
	t.Parallel()
	keys := auth.NewKeys(auth.NewKey("ann", auth.Read, strings.Repeat("k", 16)))
	server := serveByLoopback(t, memstore.New(nil), &ServerOptions{Keys: keys, Limits: wire.Limits{MessageBytes: 1 << 20}})
	good := helloWith(strings.Repeat("k", 16))
	for name, c := range map[string]struct {
		said string
		code wire.Code
		text string
	}{
		"no Hello":                     {framed(&request{id: 1, kind: fieldHead}), wire.Invalid, "is no Hello"},
		"two of them":                  {framed(good, good), wire.Invalid, "second Hello"},
		"a wrong key":                  {framed(helloWith("other")), wire.NoKey, "key"},
		"a large beginning":            {"\x00\x02\x00\x01", wire.Invalid, "larger"},
		"a frame beyond the limit":     {framed(good) + "\x00\x10\x00\x01", wire.Invalid, "larger"},
		"a length beyond all reason":   {framed(good) + "\xff\xff\xff\xff", wire.Invalid, "larger"},
		"what is no frame":             {framed(good) + "\x00\x00\x00\x02\x0a\x7f", wire.Invalid, "cannot be read"},
		"a key that is the beginning":  {framed(helloWith(strings.Repeat("k", 15))), wire.NoKey, "key"},
		"another version of sessions":  {framed(&request{id: 1, kind: fieldHello, hello: hello{version: 7}}), wire.Invalid, "version"},
		"the name of a store":          {framed(&request{id: 1, kind: fieldHello, hello: hello{version: 1, store: "x"}}), wire.Invalid, "store"},
		"an id that is under way":      {framed(good, &request{id: 2, kind: fieldWait}, &request{id: 2, kind: fieldWait}), wire.Invalid, "another request"},
		"a ping, and then what is bad": {"\x80\x00\x00\x01" + framed(&request{id: 1, kind: fieldHead}), wire.Invalid, "is no Hello"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := bareConn(t, server)
			if _, err := io.WriteString(conn, bareHello+c.said); err != nil {
				t.Fatal(err)
			}
			last := lastAnswer(t, conn)
			if last.kind != fieldError || last.id != 0 || last.err.GetCode() != string(c.code) || !strings.Contains(last.err.GetText(), c.text) {
				t.Errorf("the last answer is %+v, %v; want %s: %q", last.kind, last.err, c.code, c.text)
			}
		})
	}
}

// A peer that is there answers pings; one that is not is given up. The time is the bubble's, which passes only while everybody waits: however
// slow the machine is, who is there answers in time.
func TestABareConnectionIsGivenUpWhenNobodyIsThere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const keepalive = 50 * time.Millisecond
		server := serve(t, memstore.New(nil), &ServerOptions{Keepalive: keepalive})
		silent, began := bareConn(t, server), time.Now()
		if _, err := io.WriteString(silent, bareHello+framed(helloWith(""))); err != nil {
			t.Fatal(err)
		}
		in := bufio.NewReader(silent)
		for { // reads, and answers nothing
			if _, err := in.ReadByte(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("the connection ends with %v; want that it is closed", err)
			}
		}
		if took := time.Since(began); took > 3*keepalive {
			t.Errorf("it was given up after %v", took)
		}
		// A client of ours answers, and is asked many times meanwhile.
		client := server.dial(t, func(o *ClientOptions) { o.Keepalive = keepalive })
		c, link := client, client.links[0]
		ctx, cancel := context.WithTimeout(t.Context(), 10*keepalive)
		defer cancel()
		if _, err := c.Wait(ctx, 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Wait: %v", err)
		}
		if link.ended() {
			t.Error("the session of a client that is there was given up")
		}
	})
}

func TestAClientFallsBackToGRPC(t *testing.T) {
	t.Parallel()
	inner, err := NewServer(memstore.New(nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", anyPort)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = inner.grpc.Serve(listener) }() // without looking at what comes
	t.Cleanup(inner.Close)
	client, err := Dial(t.Context(), listener.Addr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, isBare := client.links[0].stream.(*bare); isBare {
		t.Error("the session is bare")
	}
	if position, err := client.Append(t.Context(), []dcb.Event{{Type: "T"}}, nil); position != 1 || err != nil {
		t.Errorf("Append: %d, %v", position, err)
	}
}

func TestBareSessionsAndGRPCShareAnAddress(t *testing.T) {
	t.Parallel()
	server := serveByLoopback(t, memstore.New(nil), nil)
	bareClient := server.dial(t)
	overRPC := server.dial(t, func(o *ClientOptions) { o.OverGRPC = true })
	umadb, err := DialUmaDB(t.Context(), server.address, server.opts)
	if err != nil {
		t.Fatal(err)
	}
	defer umadb.Close()
	if _, isBare := bareClient.links[0].stream.(*bare); !isBare {
		t.Error("the session that may be bare is not")
	}
	if _, isBare := overRPC.links[0].stream.(*bare); isBare {
		t.Error("the session over gRPC is bare")
	}
	for i, store := range []dcb.Store{bareClient, overRPC, umadb} {
		if position, err := store.Append(t.Context(), []dcb.Event{{Type: "T"}}, nil); position != dcb.Position(i+1) || err != nil {
			t.Errorf("Append: %d, %v", position, err)
		}
	}
}

// A server that is busy with a call for long still hears what comes.
func TestWhoReceivesIsStoodInForWhenACallTakesLong(t *testing.T) {
	t.Parallel()
	store := newGated()
	server := serveByLoopback(t, store, nil)
	for _, overGRPC := range []bool{false, true} {
		client := server.dial(t, func(o *ClientOptions) { o.OverGRPC = overGRPC })
		ctx, cancel := context.WithCancel(t.Context())
		appended := make(chan error, 1)
		go func() {
			_, err := client.Append(ctx, []dcb.Event{{Type: "T"}}, nil)
			appended <- err
		}()
		<-store.reached
		for range 3 {
			if _, err := client.Head(t.Context()); err != nil {
				t.Errorf("Head beside an append that takes long: %v", err)
			}
		}
		cancel()
		if err := <-appended; !errors.Is(err, context.Canceled) {
			t.Errorf("the append that was called off: %v", err)
		}
	}
}

// A connection that has said nothing yet holds up no stop, and one whose session ends hears why while it is still sending.
func TestAStopWaitsForNobodyWhoHasSaidNothing(t *testing.T) {
	t.Parallel()
	server := serveByLoopback(t, memstore.New(nil), nil)
	silent, talking := bareConn(t, server), bareConn(t, server)
	if _, err := io.WriteString(talking, bareHello+framed(helloWith(""))); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(talking, make([]byte, len(bareHello)+4)); err != nil { // it is welcome, or nearly
		t.Fatal(err)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- server.Shutdown(t.Context()) }()
	go func() { // goes on sending for as long as anybody takes it
		for id := uint64(2); ; id++ {
			if _, err := io.WriteString(talking, framed(&request{id: id, kind: fieldHead})); err != nil {
				return
			}
		}
	}()
	rest, err := io.ReadAll(talking)
	if err != nil && !strings.Contains(err.Error(), "reset") || !strings.Contains(string(rest), string(wire.Stopping)) {
		t.Errorf("the session ends with %v, %q", err, rest[max(0, len(rest)-200):])
	}
	_ = talking.Close() // read to the end
	if err := <-stopped; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if _, err := silent.Read(make([]byte, 1)); err == nil {
		t.Error("the silent connection is still open")
	}
}

// Whoever watches holds up who receives after he has answered. By then the next call may be with who stands in for him, and be taking long, too.
func TestOnlyOneReceivesHoweverLongCallsTake(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	server := serveByLoopback(t, memstore.New(nil), &ServerOptions{Observe: func(context.Context, wire.Call) {
		<-time.After(standInAfter * time.Duration(calls.Add(1)%4) * 3 / 4)
	}})
	for _, overGRPC := range []bool{false, true} {
		client := server.dial(t, func(o *ClientOptions) { o.OverGRPC = overGRPC })
		for range 300 {
			if _, err := client.Append(t.Context(), []dcb.Event{{Type: "T"}}, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
}
