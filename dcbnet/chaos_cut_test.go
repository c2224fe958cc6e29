package dcbnet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/memstore"
)

// direction is the direction of bytes on a connection.
type direction int

const (
	up   direction = iota // to the server
	down                  // to the client
)

// cutter cuts connections of a client after a number of bytes.
type cutter struct {
	dial func(ctx context.Context, address string) (net.Conn, error)

	mu    sync.Mutex // guards what follows
	armed bool
	way   direction
	left  int
	then  func() // called before the next connection
}

// cut arms c: it cuts the connection that carries the next n bytes in a direction, after them.
// Later connections are not cut.
func (c *cutter) cut(way direction, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.armed, c.way, c.left = true, way, n
}

// disarm disarms c. It reports whether c had not cut a connection yet.
func (c *cutter) disarm() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.armed
	c.armed = false
	return was
}

// allowed returns how many of n bytes may pass, and whether the connection is cut after them.
func (c *cutter) allowed(way direction, n int) (int, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.armed || c.way != way {
		return n, false
	}
	if n < c.left {
		c.left -= n
		return n, false
	}
	c.armed = false
	return c.left, true
}

func (c *cutter) connect(ctx context.Context, address string) (net.Conn, error) {
	c.mu.Lock()
	then := c.then
	c.then = nil
	c.mu.Unlock()
	if then != nil {
		then()
	}
	conn, err := c.dial(ctx, address)
	if err != nil {
		return nil, err
	}
	return &cutConn{conn, c}, nil
}

type cutConn struct {
	net.Conn
	cutter *cutter
}

// Write writes the allowed bytes, so that the other side receives a part of a message.
func (c *cutConn) Write(b []byte) (int, error) {
	n, isCut := c.cutter.allowed(up, len(b))
	n, err := c.Conn.Write(b[:n])
	if isCut {
		_ = c.Conn.Close()
		return n, io.ErrClosedPipe
	}
	return n, err
}

// Read reads, and returns the allowed bytes.
func (c *cutConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	n, isCut := c.cutter.allowed(down, n)
	if isCut {
		_ = c.Conn.Close()
		return n, io.EOF
	}
	return n, err
}

// cutCalls are the calls that are cut. Each checks its result.
var cutCalls = map[string]func(ctx context.Context, client *Client, store dcb.Store, n int) error{
	"Append with IDs": func(ctx context.Context, client *Client, store dcb.Store, n int) error {
		before, _ := store.Head(ctx)
		event := dcb.Event{Type: "Cut", Data: fmt.Append(nil, n), ID: uuid.New()}
		got, err := client.Append(ctx, []dcb.Event{event}, &dcb.AppendCondition{FailIfEventsMatch: dcb.All(), After: before})
		if err != nil || got != before+1 {
			return fmt.Errorf("Append = %d, %w; want %d", got, err, before+1)
		}
		return nil
	},
	"Append without IDs": func(ctx context.Context, client *Client, _ dcb.Store, n int) error {
		_, err := client.Append(ctx, []dcb.Event{{Type: "Cut", Data: fmt.Append(nil, n)}}, nil)
		if err != nil && !isOutcomeUnknown(err) {
			return fmt.Errorf("Append = %w; want success or an unknown outcome", err)
		}
		return nil
	},
	"Read": func(ctx context.Context, client *Client, store dcb.Store, _ int) error {
		want, _ := store.Read(ctx, dcb.All(), dcb.ReadOptions{})
		got, err := client.Read(ctx, dcb.All(), dcb.ReadOptions{})
		if err == nil && got.Head != want.Head {
			err = fmt.Errorf("head %d, want %d", got.Head, want.Head)
		}
		return errors.Join(err, samePositions(got.Events, want.Events))
	},
	"Stream": func(ctx context.Context, client *Client, store dcb.Store, _ int) error {
		want, _ := store.Read(ctx, dcb.All(), dcb.ReadOptions{Backwards: true})
		var got []dcb.SequencedEvent
		for e, err := range client.Stream(ctx, dcb.All(), dcb.ReadOptions{Backwards: true}) {
			if err != nil {
				return err
			}
			got = append(got, e)
		}
		return samePositions(got, want.Events)
	},
	"Wait": func(ctx context.Context, client *Client, store dcb.Store, _ int) error {
		head, _ := store.Head(ctx)
		got, err := client.Wait(ctx, head-1)
		if err == nil && got != head {
			err = fmt.Errorf("Wait = %d, want %d", got, head)
		}
		return err
	},
	"Follow": func(ctx context.Context, client *Client, store dcb.Store, _ int) error {
		want, _ := store.Read(ctx, dcb.All(), dcb.ReadOptions{})
		var got []dcb.SequencedEvent
		for batch, err := range client.Follow(ctx, dcb.All(), 0) {
			if err != nil {
				return err
			}
			if got = append(got, batch.Events...); len(got) >= len(want.Events) {
				break
			}
		}
		return samePositions(got, want.Events)
	},
}

func samePositions(got, want []dcb.SequencedEvent) error {
	at := func(e dcb.SequencedEvent) dcb.Position { return e.Position }
	if g, w := mapped(got, at), mapped(want, at); !slices.Equal(g, w) {
		return fmt.Errorf("positions %v, want %v", g, w)
	}
	return nil
}

func mapped[A, B any](all []A, f func(A) B) []B {
	out := make([]B, 0, len(all))
	for _, a := range all {
		out = append(out, f(a))
	}
	return out
}

// Each call is repeated with its connection cut after the first byte, after the second, and so
// on, until a call is over before the cut.
func TestClientCallsSurviveACutAnywhere(t *testing.T) {
	t.Parallel()
	servers := map[string]func(t *testing.T, store dcb.Store) *served{
		"TCP": func(t *testing.T, store dcb.Store) *served { return serve(t, store, nil) },
		"TLS": func(t *testing.T, store dcb.Store) *served { return serveTLS(t, store) },
	}
	for name, call := range cutCalls {
		for transport, open := range servers {
			if transport == "TLS" && name != "Append with IDs" && name != "Follow" {
				continue // each cut costs a handshake
			}
			for way, wayName := range []string{"up", "down"} {
				t.Run(name+", "+wayName+", "+transport, func(t *testing.T) {
					t.Parallel()
					store := memstore.New(nil)
					fill(t, store, 3)
					server := open(t, store)
					testCuts(t, server, store, direction(way), call, name == "Append with IDs")
				})
			}
		}
	}
}

func testCuts(
	t *testing.T, server *served, store dcb.Store, way direction,
	call func(ctx context.Context, client *Client, store dcb.Store, n int) error, mustRecord bool,
) {
	t.Helper()
	c := &cutter{dial: server.opts.Dial}
	if c.dial == nil {
		c.dial = dial
	}
	client := server.dial(t, func(o *ClientOptions) { o.Dial = c.connect })
	n := 0
	for uncut := 0; uncut < 3; { // three, because other bytes of the connection may be cut instead
		n++
		c.cut(way, n)
		ctx, cancel := context.WithTimeout(t.Context(), testPatience)
		err := call(ctx, client, store, n)
		cancel()
		if err != nil {
			t.Fatalf("cut after %d bytes: %v", n, err)
		}
		if c.disarm() {
			uncut++
		}
	}
	t.Logf("%d cuts", n-3)
	if n < 8 {
		t.Error("too few bytes for a call")
	}
	checkOnce(t, store, mustRecord, n)
}

// checkOnce checks the events of calls that were cut: no append is recorded twice, and if each,
// then every append is recorded.
func checkOnce(t *testing.T, store dcb.Store, each bool, calls int) {
	t.Helper()
	result, err := store.Read(t.Context(), dcb.Query{{Types: []string{"Cut"}}}, dcb.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for i := range result.Events {
		data := string(result.Events[i].Data)
		if seen[data] {
			t.Errorf("append %s is recorded twice", data)
		}
		seen[data] = true
	}
	if each && len(seen) != calls {
		t.Errorf("%d of %d appends are recorded", len(seen), calls)
	}
}

// A read that loses its connection continues after the events that it has. Its result must still
// be of one moment.
func TestReadThatIsCutIsOfOneMoment(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	server := serve(t, store, nil)
	c := &cutter{dial: server.opts.Dial}
	client := server.dial(t, func(o *ClientOptions) { o.Dial = c.connect })
	grow := func() {
		if _, err := store.Append(t.Context(), slices.Repeat([]dcb.Event{{Type: "T", Data: make([]byte, 10<<10)}}, 10), nil); err != nil {
			t.Fatal(err)
		}
	}
	for range 10 {
		grow()
	}
	for _, opts := range []dcb.ReadOptions{{}, {Backwards: true}, {Limit: 95}, {Limit: 95, Backwards: true}} {
		for n := 100 << 10; n < 1000<<10; n += 113 << 10 {
			c.cut(down, n)
			c.after(grow)
			got, err := client.Read(t.Context(), dcb.All(), opts)
			if err != nil {
				t.Fatalf("%+v: cut after %d bytes: %v", opts, n, err)
			}
			opts.Before = got.Head + 1 // the moment of the result
			if !opts.Backwards && opts.Limit > 0 {
				opts.Before = 0
			}
			want, err := store.Read(t.Context(), dcb.All(), opts)
			opts.Before = 0
			if err = errors.Join(err, samePositions(got.Events, want.Events)); err != nil {
				t.Fatalf("%+v: cut after %d bytes, head %d: %v", opts, n, got.Head, err)
			}
		}
	}
}

// after sets a function that is called between the cut and the next connection.
func (c *cutter) after(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.then = f
}

// swallower is a connection that becomes half-open when mute is closed: it accepts everything and
// returns nothing.
type swallower struct {
	net.Conn
	mute <-chan struct{}
}

func (s *swallower) Write(b []byte) (int, error) {
	select {
	case <-s.mute:
		return len(b), nil
	default:
		return s.Conn.Write(b)
	}
}

func (s *swallower) Read(b []byte) (int, error) {
	for {
		n, err := s.Conn.Read(b)
		select {
		case <-s.mute:
			if err != nil {
				return 0, err
			}
		default:
			return n, err
		}
	}
}

// A call on a half-open connection must end with its context, whatever it is doing.
func TestClientCallsEndWithTheirContextOnAHalfOpenConnection(t *testing.T) {
	t.Parallel()
	server := serve(t, memstore.New(nil), nil)
	mute := make(chan struct{})
	dial := server.opts.Dial
	client := server.dial(t, func(o *ClientOptions) {
		o.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			conn, err := dial(ctx, address)
			if err != nil {
				return nil, err
			}
			return &swallower{conn, mute}, nil
		}
	})
	close(mute)
	large := []dcb.Event{{Type: "T", Data: make([]byte, 3<<20)}} // more than fits the send queue
	var calls sync.WaitGroup
	for n := range 30 {
		calls.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			var err error
			switch n % 4 {
			case 0:
				_, err = client.Head(ctx)
			case 1:
				_, err = client.Read(ctx, dcb.All(), dcb.ReadOptions{})
			case 2:
				_, err = client.Wait(ctx, 0)
			default:
				_, err = client.Append(ctx, large, nil)
			}
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("call %d = %v, want DeadlineExceeded", n, err)
			}
		})
	}
	done := make(chan struct{})
	go func() {
		calls.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(testPatience):
		t.Fatal("calls did not end with their context")
	}
}
