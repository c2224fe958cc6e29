package dcbhttp

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/wire"
	"github.com/dcbstore/dcb/memstore"
)

// These tests run in synctest bubbles: their clock advances when every goroutine waits, so
// minutes take no time.

// hanging is a store whose calls return when their context ends.
type hanging struct{ *memstore.Store }

func (hanging) Read(ctx context.Context, _ dcb.Query, _ dcb.ReadOptions) (dcb.ReadResult, error) {
	<-ctx.Done()
	return dcb.ReadResult{}, ctx.Err()
}

func (hanging) ReadPage(ctx context.Context, _ dcb.Query, _ dcb.ReadOptions, _ int) (dcb.ReadResult, error) {
	<-ctx.Done()
	return dcb.ReadResult{}, ctx.Err()
}

func (hanging) Append(ctx context.Context, _ []dcb.Event, _ *dcb.AppendCondition) (dcb.Position, error) {
	<-ctx.Done()
	return 0, ctx.Err()
}

func (hanging) Head(ctx context.Context) (dcb.Position, error) {
	<-ctx.Done()
	return 0, ctx.Err()
}

func TestServeHTTPEndsCallsAtTheDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := serve(t, hanging{memstore.New(nil)}, nil, false)
		for _, c := range []struct {
			method, target, body string
			status               int
			code                 wire.Code
			after                time.Duration
		}{
			{"GET", "/read", "", 504, wire.Deadline, time.Minute},
			{"POST", "/read", "{}", 504, wire.Deadline, time.Minute},
			{"GET", "/head", "", 504, wire.Deadline, time.Minute},
			{"POST", "/append", `{"events":[{"type":"A"}]}`, 503, wire.Unknown, time.Minute},
			{"GET", "/readyz", "", 503, wire.Deadline, 5 * time.Second},
			{"GET", "/wait?after=1&timeout=7", "", 504, wire.Deadline, time.Minute + 7*time.Second},
		} {
			began := time.Now()
			response, text := server.send(t, c.method, c.target, c.body)
			wantProblem(t, response, text, c.status, c.code, "")
			if took := time.Since(began); took != c.after {
				t.Errorf("%s %s: it took %v, want %v", c.method, c.target, took, c.after)
			}
		}
	})
}

func TestWaitReturnsTheHeadAtTheTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := serve(t, filled(t, 2), nil, false)
		for target, want := range map[string]time.Duration{
			"/wait?after=2": 30 * time.Second, "/wait?after=9&timeout=300": 5 * time.Minute, "/wait?after=2&timeout=0": 0, "/wait": 0,
		} {
			began := time.Now()
			if _, text := server.send(t, "GET", target, ""); text != `{"head":2}`+"\n" || time.Since(began) != want {
				t.Errorf("%s: after %v %s", target, time.Since(began), text)
			}
		}
	})
}

// slow is a store that pauses before each page.
type slow struct {
	*memstore.Store
	pause time.Duration
}

func (s slow) ReadPage(ctx context.Context, q dcb.Query, opts dcb.ReadOptions, bytes int) (dcb.ReadResult, error) {
	select {
	case <-time.After(s.pause):
		return s.Store.ReadPage(ctx, q, opts, bytes)
	case <-ctx.Done():
		return dcb.ReadResult{}, ctx.Err()
	}
}

func TestReadCanTakeLongIfEachPieceIsInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := memstore.New(nil)
		events := make([]dcb.Event, 70)
		for i := range events {
			events[i] = dcb.Event{Type: "A", Data: []byte(strings.Repeat("x", pieceBytes))}
		}
		if _, err := store.Append(t.Context(), events, nil); err != nil {
			t.Fatal(err)
		}
		server := serve(t, slow{store, 50 * time.Second}, nil, false)
		result, err := server.client().Read(t.Context(), dcb.All(), dcb.ReadOptions{})
		if err != nil || len(result.Events) != 70 {
			t.Errorf("pieces in time: Read = %v, %d events", err, len(result.Events))
		}
		server = serve(t, slow{store, 70 * time.Second}, nil, false)
		if _, err := server.client().Read(t.Context(), dcb.All(), dcb.ReadOptions{}); !errors.Is(err, dcb.ErrUnavailable) {
			t.Errorf("pieces too late: Read = %v", err)
		}
	})
}

// raw sends text on a new connection.
func (s *served) raw(t *testing.T, text string) net.Conn {
	t.Helper()
	conn, err := s.transport.DialContext(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestServerCutsOffSlowSenders(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := serve(t, memstore.New(nil), nil, false)
		for text, want := range map[string]time.Duration{
			"GET /read HTTP/1.1\r\nHost: x\r\nX: ":                             10 * time.Second,
			"POST /append HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{": time.Minute,
			"GET /head HTTP/1.1\r\nHost: x\r\n\r\n":                            2 * time.Minute, // and then no further request
		} {
			began := time.Now()
			answer, _ := io.ReadAll(server.raw(t, text))
			if took := time.Since(began).Round(time.Second); took != want {
				t.Errorf("%q: cut off after %v, want %v: %s", text, took, want, answer)
			}
			if strings.HasPrefix(text, "POST") && !strings.HasPrefix(string(answer), "HTTP/1.1 408 ") {
				t.Errorf("%q: %s", text, answer)
			}
		}
	})
}

// counting is a store that counts the events that its reads return.
type counting struct {
	*memstore.Store
	read atomic.Int64
}

func (c *counting) ReadPage(ctx context.Context, q dcb.Query, opts dcb.ReadOptions, bytes int) (dcb.ReadResult, error) {
	result, err := c.Store.ReadPage(ctx, q, opts, bytes)
	c.read.Add(int64(len(result.Events)))
	return result, err
}

func TestServeHTTPCutsOffAClientThatAcceptsNothing(t *testing.T) {
	t.Parallel()
	for _, target := range []string{"/subscribe", "/read"} {
		synctest.Test(t, func(t *testing.T) {
			store := &counting{Store: memstore.New(nil)}
			events := make([]dcb.Event, 50_000)
			for i := range events {
				events[i] = dcb.Event{Type: "A", Data: []byte(strings.Repeat("x", 1000))}
			}
			if _, err := store.Append(t.Context(), events, nil); err != nil {
				t.Fatal(err)
			}
			var mu sync.Mutex
			var observed []wire.Call
			server := serve(t, store, &Options{Observe: func(_ context.Context, call wire.Call) {
				mu.Lock()
				defer mu.Unlock()
				observed = append(observed, call)
			}}, false)
			began := time.Now()
			stuck := server.raw(t, "GET "+target+" HTTP/1.1\r\nHost: x\r\n\r\n")
			if _, err := io.ReadFull(stuck, make([]byte, 100)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if n := store.read.Load(); n > 1000 {
				t.Errorf("%s: %d events were read for a client that accepts none", target, n)
			}
			// Other clients do not wait.
			if _, text := server.send(t, "POST", "/append", `{"events":[{"type":"A"}]}`); !strings.Contains(text, "50001") {
				t.Error(text)
			}
			for m, err := range (follower{server.client()}).events(t.Context(), dcb.All(), 50_000) {
				if err != nil || m.id != "50001" {
					t.Errorf("another follower got %v %v", m, err)
				}
				break
			}
			if took := time.Since(began); took != 0 {
				t.Errorf("other clients waited for %v", took)
			}
			time.Sleep(31 * time.Second)
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			last := observed[len(observed)-1]
			if last.Method != target || wire.CodeOf(last.Err) != wire.Deadline || last.Duration != 30*time.Second {
				t.Errorf("observed %+v, want a deadline after 30 s", last)
			}
		})
	}
}

// A client that accepts nothing costs a page, even if the first page has many large events.
func TestServeHTTPReadsLargeEventsOneByOne(t *testing.T) {
	t.Parallel()
	for _, target := range []string{"/subscribe", "/read", "/read?options=%7B%22backwards%22:true%7D", "/read?options=%7B%22limit%22:30%7D"} {
		synctest.Test(t, func(t *testing.T) {
			store := &counting{Store: memstore.New(nil)}
			large := dcb.Event{Type: "A", Data: make([]byte, 1<<20)}
			for range 40 {
				if _, err := store.Append(t.Context(), []dcb.Event{large}, nil); err != nil {
					t.Fatal(err)
				}
			}
			server := serve(t, store, nil, false)
			_ = server.raw(t, "GET "+target+" HTTP/1.1\r\nHost: x\r\n\r\n")
			synctest.Wait()
			if n := store.read.Load(); n > 2 {
				t.Errorf("%s: %d events of 1 MiB were read for a client that accepts none", target, n)
			}
		})
	}
}

func TestSubscribeSendsHeartbeats(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := filled(t, 1)
		server := serve(t, store, nil, false)
		conn := server.raw(t, "GET /subscribe?after=1 HTTP/1.1\r\nHost: x\r\n\r\n")
		began := time.Now()
		buffer := make([]byte, 10_000)
		heartbeats := 0
		for heartbeats < 3 {
			n, err := conn.Read(buffer)
			if err != nil {
				t.Fatal(err)
			}
			heartbeats += strings.Count(string(buffer[:n]), ": still here\n\n")
		}
		if took := time.Since(began); took != 45*time.Second {
			t.Errorf("three heartbeats took %v, want 45 s", took)
		}
	})
}

// A follower whose query matches nothing gets the head, at most once a second.
func TestSubscribeSendsTheHeadIfNothingMatches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := filled(t, 3)
		server := serve(t, store, nil, false)
		ctx, cancel := context.WithCancel(t.Context())
		var got []string
		done := make(chan struct{})
		go func() {
			defer close(done)
			for m, err := range (follower{server.client()}).events(ctx, dcb.Query{{Types: []string{"B"}}}, 0) {
				if err != nil {
					return
				}
				got = append(got, m.event+m.id+m.data)
			}
		}()
		synctest.Wait()
		for range 40 {
			if _, err := store.Append(t.Context(), []dcb.Event{{Type: "A"}}, nil); err != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
		}
		time.Sleep(2 * time.Second)
		cancel()
		<-done
		if len(got) < 4 || len(got) > 6 || got[0] != `head3{"head":3}` || got[len(got)-1] != `head43{"head":43}` {
			t.Errorf("got %q, want 4 to 6 heads from 3 to 43", got)
		}
	})
}

func TestServerSetsItsLimits(t *testing.T) {
	t.Parallel()
	h, err := New(memstore.New(nil), &Options{Limits: wire.Limits{Calls: 17}})
	if err != nil {
		t.Fatal(err)
	}
	s := h.Server()
	if s.ReadHeaderTimeout == 0 || s.IdleTimeout == 0 || s.MaxHeaderBytes == 0 || s.HTTP2.MaxConcurrentStreams != 17 || s.Handler != http.Handler(h) {
		t.Errorf("%+v", s)
	}
}
