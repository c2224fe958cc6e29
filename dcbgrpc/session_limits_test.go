package dcbgrpc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/proto/dcbv1"
	"github.com/dcbstore/dcb/internal/wire"
	"github.com/dcbstore/dcb/memstore"
)

// raw returns a session in generated code, for what our client never does.
func (s *served) raw(tb testing.TB) dcbv1.Store_SessionClient {
	tb.Helper()
	opts, err := s.opts.withDefaults()
	if err != nil {
		tb.Fatal(err)
	}
	conn, err := connect(s.address, &opts)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	stream, err := dcbv1.NewStoreClient(conn).Session(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	return stream
}

// greeted is raw after Hello and Welcome.
func (s *served) greeted(tb testing.TB) dcbv1.Store_SessionClient {
	tb.Helper()
	stream := s.raw(tb)
	send(tb, stream, request{id: 1, kind: fieldHello, hello: hello{version: sessionVersion}})
	if got := receive(tb, stream); got[0].kind != fieldWelcome {
		tb.Fatalf("the answer to Hello is %+v", got)
	}
	return stream
}

func send(tb testing.TB, stream dcbv1.Store_SessionClient, all ...request) {
	tb.Helper()
	var b []byte
	for i := range all {
		b = all[i].append(b)
	}
	if err := stream.SendMsg(&frame{&b}); err != nil {
		tb.Fatal(err)
	}
}

// receive returns the next answers.
func receive(tb testing.TB, stream dcbv1.Store_SessionClient) (all []answer) {
	tb.Helper()
	var f frame
	if err := stream.RecvMsg(&f); err != nil {
		tb.Fatal(fromStatus(err, stream.Trailer()))
	}
	if err := readAnswers(&f, func(a *answer) { all = append(all, *a) }); err != nil {
		tb.Fatal(err)
	}
	return all
}

// ending returns what the server ended a session with.
func ending(stream dcbv1.Store_SessionClient) error {
	for {
		if err := stream.RecvMsg(&frame{}); err != nil {
			return fromStatus(err, stream.Trailer())
		}
	}
}

func TestASessionThatBreaksTheProtocolEndsAndSaysWhy(t *testing.T) {
	t.Parallel()
	server := serve(t, memstore.New(nil), nil)
	for name, test := range map[string]struct {
		greeted bool
		send    []request
		says    string
	}{
		"no Hello":           {false, []request{{id: 1, kind: fieldHead}}, "call is no Hello"},
		"another version":    {false, []request{{id: 1, kind: fieldHello, hello: hello{version: 2}}}, "this server speaks 1"},
		"another store":      {false, []request{{id: 1, kind: fieldHello, hello: hello{version: 1, store: "other"}}}, "store names a store"},
		"a huge first frame": {false, []request{{id: 1, kind: fieldHello, hello: hello{version: 1, key: strings.Repeat("k", frameBytes)}}}, "too large to be the first"},
		"a second Hello":     {true, []request{{id: 2, kind: fieldHello, hello: hello{version: 1}}}, "second Hello"},
		"an id twice":        {true, []request{{id: 2, kind: fieldWait, opts: dcb.ReadOptions{After: 9}}, {id: 2, kind: fieldHead}}, "another request under way"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stream := server.raw(t)
			if test.greeted {
				stream = server.greeted(t)
			}
			send(t, stream, test.send...)
			err := ending(stream)
			var invalid *dcb.InvalidError
			if !errors.As(err, &invalid) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("it ended with %v; want %q", err, test.says)
			}
		})
	}
	garbage := []byte("\xff\xff\xff")
	stream := server.greeted(t)
	if err := stream.SendMsg(&frame{&garbage}); err != nil {
		t.Fatal(err)
	}
	if err := ending(stream); !errors.Is(err, dcb.ErrInvalid) || !strings.Contains(err.Error(), "cannot be read") {
		t.Errorf("garbage ended with %v", err)
	}
}

func TestUnknownCallsAndMoreCallsThanAllowedAreAnsweredByErrors(t *testing.T) {
	t.Parallel()
	server := serve(t, memstore.New(nil), &ServerOptions{Limits: wire.Limits{Calls: 2}})
	stream := server.greeted(t)
	forever := dcb.ReadOptions{After: 1 << 60}
	send(t, stream, request{id: 2, kind: 14}) // of a later version
	if got := receive(t, stream)[0]; got.id != 2 || !errors.Is(fromMessage(got.err), dcb.ErrInvalid) {
		t.Errorf("an unknown call: %+v", got)
	}
	send(t, stream, request{id: 3, kind: fieldWait, opts: forever}, request{id: 4, kind: fieldWait, opts: forever}, request{id: 5, kind: fieldHead})
	got := receive(t, stream)[0]
	if got.id != 5 || got.err.GetCode() != string(wire.Limit) || !dcb.Retryable(fromMessage(got.err)) {
		t.Errorf("one call too many: %+v", got)
	}
	var cancels []request
	for range 100_000 {
		cancels = append(cancels, request{id: 9, kind: fieldCancel}, request{id: 3, kind: fieldGrant, window: 1 << 63})
	}
	send(t, stream, cancels...)
	send(t, stream, request{id: 3, kind: fieldCancel})
	if got := receive(t, stream)[0]; got.id != 3 || got.err.GetCode() != string(wire.Canceled) {
		t.Errorf("the answer to what was given up: %+v", got)
	}
	send(t, stream, request{id: 3, kind: fieldHead}) // the id is free again, and there is room
	if got := receive(t, stream)[0]; got.id != 3 || got.kind != fieldPosition {
		t.Errorf("%+v", got)
	}
}

func TestAClientBeginsAnotherSessionWhenOneIsFull(t *testing.T) {
	t.Parallel()
	server := serve(t, memstore.New(nil), &ServerOptions{Limits: wire.Limits{Calls: 4}})
	client := server.dial(t)
	var waits sync.WaitGroup
	for range 10 {
		waits.Go(func() {
			if head, err := client.Wait(t.Context(), 0); head != 1 || err != nil {
				t.Errorf("%d, %v", head, err)
			}
		})
	}
	eventually(t, "there are three sessions", func() bool {
		client.mu.Lock()
		defer client.mu.Unlock()
		return len(client.links) >= 3
	})
	if _, err := client.Append(t.Context(), []dcb.Event{{Type: "T"}}, nil); err != nil {
		t.Error(err)
	}
	waits.Wait()
}

// A server that takes one call a connection leaves no room for a second session; so the second call waits for the first.
func TestACallWaitsForRoomWhereThereIsNoOtherSession(t *testing.T) {
	t.Parallel()
	client := serve(t, memstore.New(nil), &ServerOptions{Limits: wire.Limits{Calls: 1}}).dial(t)
	ctx, cancel := context.WithCancel(t.Context())
	waited := make(chan error)
	go func() {
		_, err := client.Wait(ctx, 0)
		waited <- err
	}()
	eventually(t, "the session is full", func() bool {
		client.mu.Lock()
		defer client.mu.Unlock()
		return !client.links[0].hasRoom()
	})
	head := make(chan error)
	go func() {
		_, err := client.Head(t.Context())
		head <- err
	}()
	cancel()
	if err := <-waited; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := <-head; err != nil {
		t.Error(err)
	}
}

func TestMessagesStayUnderWhatTheServerTakes(t *testing.T) {
	t.Parallel()
	const limit = 8 << 10
	store := memstore.New(nil)
	client := serve(t, store, &ServerOptions{Limits: wire.Limits{MessageBytes: limit}}).dial(t)
	of := func(size int) []dcb.Event { return []dcb.Event{{Type: "T", Data: make([]byte, size)}} }
	var callers sync.WaitGroup
	for range 64 { // who are gathered into one message as far as it goes
		callers.Go(func() {
			for range 10 {
				if _, err := client.Append(t.Context(), of(3000), nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	callers.Wait()
	accepted := 0
	for size := limit - 100; size < limit+10; size++ {
		_, err := client.Append(t.Context(), of(size), nil)
		var invalid *dcb.InvalidError
		switch {
		case err == nil && accepted == size-limit+100:
			accepted++
		case !errors.As(err, &invalid) || invalid.Limit != limit:
			t.Errorf("%d bytes of data: %v", size, err)
		}
	}
	if accepted < 10 || accepted > 100 {
		t.Errorf("%d sizes below the limit were taken", accepted)
	}
}

func TestQueriesAreLimitedOnEveryMethod(t *testing.T) {
	t.Parallel()
	client := serve(t, memstore.New(nil), &ServerOptions{Limits: wire.Limits{QueryItems: 3}}).dial(t)
	query := func(n int) (q dcb.Query) {
		for i := range n {
			q = append(q, dcb.QueryItem{Types: []string{fmt.Sprint("T", i)}})
		}
		return q
	}
	for name, ask := range map[string]func(q dcb.Query) error{
		"Append": func(q dcb.Query) error {
			_, err := client.Append(t.Context(), []dcb.Event{{Type: "T"}}, &dcb.AppendCondition{FailIfEventsMatch: q})
			return err
		},
		"Read": func(q dcb.Query) error {
			_, err := client.Read(t.Context(), q, dcb.ReadOptions{})
			return err
		},
		"Stream": func(q dcb.Query) error {
			for _, err := range client.Stream(t.Context(), q, dcb.ReadOptions{}) {
				return err
			}
			return nil
		},
		"Follow": func(q dcb.Query) error {
			for _, err := range client.Follow(t.Context(), q, 0) {
				return err
			}
			return nil
		},
	} {
		if err := ask(query(3)); err != nil {
			t.Errorf("%s at the limit: %v", name, err)
		}
		var invalid *dcb.InvalidError
		if err := ask(query(4)); !errors.As(err, &invalid) || invalid.Limit != 3 || errors.Is(err, dcb.ErrInvalidQuery) {
			t.Errorf("%s beyond the limit: %v", name, err)
		}
	}
}

// stuckStore never comes to an end of an append or a read, until its context does.
type stuckStore struct{ dcb.Store }

func (stuckStore) Append(ctx context.Context, _ []dcb.Event, _ *dcb.AppendCondition) (dcb.Position, error) {
	<-ctx.Done()
	return 0, ctx.Err()
}

func (stuckStore) Read(ctx context.Context, _ dcb.Query, _ dcb.ReadOptions) (dcb.ReadResult, error) {
	<-ctx.Done()
	return dcb.ReadResult{}, ctx.Err()
}

func TestCallsHaveTheirTimeAndNoMore(t *testing.T) {
	t.Parallel()
	server := serve(t, stuckStore{memstore.New(nil)}, &ServerOptions{Limits: wire.Limits{CallTime: 50 * time.Millisecond}})
	client := server.dial(t)
	var unavailable *dcb.UnavailableError
	_, err := client.Append(t.Context(), []dcb.Event{{Type: "T"}}, nil)
	if !errors.As(err, &unavailable) || !unavailable.OutcomeUnknown {
		t.Errorf("Append ended with %v; want an unknown outcome", err)
	}
	_, err = client.Read(t.Context(), dcb.All(), dcb.ReadOptions{})
	if !errors.As(err, &unavailable) || unavailable.OutcomeUnknown || !strings.Contains(err.Error(), "50ms") {
		t.Errorf("Read ended with %v; want ErrUnavailable, and the limit", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := client.Wait(ctx, 0); !errors.Is(err, context.DeadlineExceeded) || dcb.Retryable(err) {
		t.Errorf("Wait ended with %v; want its own deadline", err)
	}
}

func TestAStreamMayTakeLongerThanACall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // so that only the consumer takes his time
		const events = 600
		store := memstore.New(nil)
		for range events / 10 {
			if _, err := store.Append(t.Context(), make10(10<<10), nil); err != nil {
				t.Fatal(err)
			}
		}
		client := serve(t, store, &ServerOptions{Limits: wire.Limits{CallTime: 300 * time.Millisecond}}).dial(t)
		next, began := dcb.Position(0), time.Now()
		for e, err := range client.Stream(t.Context(), dcb.All(), dcb.ReadOptions{}) {
			if err != nil {
				t.Fatalf("after %d events and %v: %v", next, time.Since(began), err)
			}
			if next++; e.Position != next {
				t.Fatalf("position %d came after %d", e.Position, next-1)
			}
			time.Sleep(2 * time.Millisecond)
		}
		if next != events || time.Since(began) < time.Second {
			t.Errorf("%d events came in %v", next, time.Since(began))
		}
	})
}

func make10(size int) []dcb.Event {
	events := make([]dcb.Event, 10)
	for i := range events {
		events[i] = dcb.Event{Type: "T", Data: make([]byte, size)}
	}
	return events
}

func TestMoreConnectionsThanAllowedAreRefusedUntilOneIsGone(t *testing.T) {
	t.Parallel()
	server := serveByLoopback(t, memstore.New(nil), &ServerOptions{Limits: wire.Limits{Connections: 2}})
	first, _ := server.dial(t), server.dial(t)
	if third, err := Dial(t.Context(), server.address, server.opts); !errors.Is(err, dcb.ErrUnavailable) {
		t.Errorf("a third connection: %v, %v", third, err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "there is room for another", func() bool {
		client, err := Dial(t.Context(), server.address, server.opts)
		if err == nil {
			_ = client.Close()
		}
		return err == nil
	})
}

// Our client looks before it sends; whoever does not is told by gRPC itself.
func TestAMessageBeyondTheLimitEndsTheSession(t *testing.T) {
	t.Parallel()
	stream := serve(t, memstore.New(nil), &ServerOptions{Limits: wire.Limits{MessageBytes: 1 << 20}}).greeted(t)
	send(t, stream, request{id: 2, kind: fieldAppend, events: make10(200 << 10)})
	if err := ending(stream); err == nil || !strings.Contains(err.Error(), "ResourceExhausted") || !strings.Contains(err.Error(), "larger than max") {
		t.Errorf("it ended with %v; want ResourceExhausted", err)
	}
}
