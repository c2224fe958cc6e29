package dcbhttp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/wire"
	"github.com/dcbstore/dcb/memstore"
)

// stream begins an event stream. Next returns its next message, the zero message at the end.
func (s *served) stream(t *testing.T, target string, header ...string) (head *answer, next func() message) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	response, done, err := s.client().do(ctx, "GET", target, nil, header...) //nolint:bodyclose // the goroutine closes it
	if err != nil {
		t.Fatal(err)
	}
	come := make(chan message)
	go func() {
		defer done()
		defer response.Body.Close()
		defer close(come)
		for m, err := range messages(response.Body) {
			if err != nil {
				return
			}
			select {
			case come <- m:
			case <-ctx.Done():
				return
			}
		}
	}()
	return &answer{response.StatusCode, response.Header, response.Close}, func() message { return <-come }
}

func TestSubscribeSendsEventsAndThenTheHead(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	server := serve(t, store, nil, true)
	if _, err := store.Append(t.Context(), []dcb.Event{
		{Type: "A\nevent: x", Tags: []string{"t"}, Data: []byte("1\n\n2\r3")}, {Type: "B"},
	}, nil); err != nil {
		t.Fatal(err)
	}
	response, next := server.stream(t, "/subscribe?query=%7B%22items%22%3A%5B%7B%22tags%22%3A%5B%22t%22%5D%7D%5D%7D")
	if response.Header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("%v", response.Header)
	}
	m := next()
	if m.id != "1" || m.event != "event" || !strings.Contains(m.data, `"type":"A\nevent: x"`) || !strings.Contains(m.data, `"data":"1\n\n2\r3"`) {
		t.Errorf("got %v", m)
	}
	if m = next(); m != (message{id: "2", event: "head", data: `{"head":2}`}) {
		t.Errorf("got %v", m)
	}
	if _, err := store.Append(t.Context(), []dcb.Event{{Type: "C", Tags: []string{"t"}}}, nil); err != nil {
		t.Fatal(err)
	}
	if m = next(); m.id != "3" || m.event != "event" {
		t.Errorf("got %v", m)
	}
}

func TestSubscribeResumesAfterTheLastEventID(t *testing.T) {
	t.Parallel()
	server := serve(t, filled(t, 5), nil, false)
	for _, c := range []struct {
		target, last, want string
	}{
		{"/subscribe", "", "1"},
		{"/subscribe", "0", "1"},
		{"/subscribe", "3", "4"},
		{"/subscribe?after=1", "", "2"},
		{"/subscribe?after=1", "4", "5"},
		{"/subscribe?after=4", "1", "2"},
		{"/subscribe?after=5", "", "5"},
		{"/subscribe?after=18446744073709551615", "", "18446744073709551615"},
	} {
		var header []string
		if c.last != "" {
			header = []string{lastEventID, c.last}
		}
		_, next := server.stream(t, c.target, header...)
		if m := next(); m.id != c.want {
			t.Errorf("%s, %q: %v, want %s", c.target, c.last, m, c.want)
		}
	}
	response, text := server.send(t, "GET", "/subscribe", "", lastEventID, "x")
	wantProblem(t, response, text, http.StatusBadRequest, wire.Invalid, "Last-Event-ID is not a whole number")
}

// A client that reconnects with the last ID sees each event once, wherever its stream was cut.
func TestSubscribeMissesNothingAfterReconnects(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	server := serve(t, store, nil, true)
	const all = 500
	var appending sync.WaitGroup
	appending.Go(func() {
		for i := range all {
			kind := "A"
			if i%3 == 0 {
				kind = "B"
			}
			if _, err := store.Append(t.Context(), []dcb.Event{{Type: kind}}, nil); err != nil {
				t.Error(err)
			}
		}
	})
	last, seen := "0", 0
	for previous := dcb.Position(0); seen < all-(all+2)/3; {
		ctx, cancel := context.WithCancel(t.Context())
		response, done, err := server.client().do(ctx, "GET", "/subscribe?query=%7B%22items%22:%5B%7B%22types%22:%5B%22A%22%5D%7D%5D%7D",
			nil, lastEventID, last)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for m, err := range messages(response.Body) {
			if err != nil {
				t.Fatal(err)
			}
			result, err := m.result()
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range result.Events {
				if e.Position <= previous || e.Type != "A" {
					t.Fatalf("event %d (%s) after %d", e.Position, e.Type, previous)
				}
				previous, seen = e.Position, seen+1
			}
			last = m.id
			if n++; n == 7 || seen == all-(all+2)/3 {
				break
			}
		}
		_ = response.Body.Close()
		done()
		cancel()
	}
	appending.Wait() // the last event may be seen before its append has returned
}

func TestSubscribeEndsWithARetryTimeOnDrain(t *testing.T) {
	t.Parallel()
	server := serve(t, filled(t, 1), nil, false)
	_, next := server.stream(t, "/subscribe?after=1")
	if m := next(); m.event != "head" {
		t.Errorf("got %v", m)
	}
	server.Drain()
	m := next()
	if m.event != "" || m.id != "" || len(m.retry) != 4 {
		t.Errorf("got %v, want a retry time and no event", m)
	}
	if m = next(); m != (message{}) {
		t.Errorf("got %v after the end", m)
	}
	// A client that reconnects too early gets the same: after an error status, a browser never
	// reconnects.
	_, next = server.stream(t, "/subscribe?after=1")
	for m = next(); m.event == "head"; m = next() {
	}
	if m.retry == "" {
		t.Errorf("got %v", m)
	}
	if err := server.server.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

// failing is a store whose Wait fails.
type failing struct{ *memstore.Store }

func (failing) Wait(context.Context, dcb.Position) (dcb.Position, error) {
	return 0, fmt.Errorf("%w: %w", dcb.ErrCorrupt, errors.New("secret"))
}

func TestSubscribeSendsAProblemWhenTheStoreFails(t *testing.T) {
	t.Parallel()
	server := serve(t, failing{filled(t, 1)}, nil, false)
	_, next := server.stream(t, "/subscribe")
	m := next()
	for m.event == "event" || m.event == "head" {
		m = next()
	}
	if m.event != "problem" || m.id != "" || m.retry == "" || !strings.Contains(m.data, `"code":"corrupt"`) || strings.Contains(m.data, "secret") {
		t.Errorf("got %v", m)
	}
}

func TestServeHTTPLeaksNoGoroutines(t *testing.T) {
	store := filled(t, 1000)
	server := serve(t, store, nil, true)
	if response, text := server.send(t, "GET", "/head", ""); response.StatusCode != http.StatusOK {
		t.Fatal(text)
	}
	server.transport.CloseIdleConnections()
	before := runtime.NumGoroutine()
	for range 50 {
		ctx, cancel := context.WithCancel(t.Context())
		c := server.client()
		for _, err := range (follower{c}).Follow(ctx, dcb.All(), 0) {
			if err != nil {
				t.Error(err)
			}
			break
		}
		go func() {
			cancel()
		}()
		if _, err := c.Wait(ctx, 1000); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if _, err := c.Read(ctx, dcb.All(), dcb.ReadOptions{}); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	server.transport.CloseIdleConnections()
	if !eventually(func() bool { return runtime.NumGoroutine() <= before }) {
		stacks := make([]byte, 1<<20)
		t.Errorf("%d goroutines, want at most %d:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
	}
}
