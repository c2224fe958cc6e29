package dcbnet

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/auth"
	"github.com/dcbstore/dcb/internal/wire"
	"github.com/dcbstore/dcb/memstore"
)

// isOutcomeUnknown reports whether err ended an append that may have been recorded.
func isOutcomeUnknown(err error) bool {
	unavailable, ok := errors.AsType[*dcb.UnavailableError](err)
	return ok && unavailable.OutcomeUnknown
}

func TestServerEndsConnectionsThatViolateTheProtocol(t *testing.T) {
	t.Parallel()
	keys := auth.NewKeys(auth.NewKey("ann", auth.Read, strings.Repeat("k", 16)))
	server := serveTCP(t, memstore.New(nil), &ServerOptions{Keys: keys, Limits: Limits{MessageBytes: 1 << 20}})
	helloWith := func(key string) request {
		return request{id: 1, kind: helloRequest, hello: hello{version: protocolVersion, key: key}}
	}
	good := helloWith(strings.Repeat("k", 16))
	wait := request{id: 2, kind: waitRequest, opts: dcb.ReadOptions{After: 9}}
	framed := func(requests ...request) string {
		message := messageOf(requests...)
		binary.BigEndian.PutUint32(message, uint32(len(message)-headerBytes))
		return string(message)
	}
	for name, c := range map[string]struct {
		sent string
		code wire.Code
		text string
	}{
		"no Hello":                  {framed(request{id: 1, kind: headRequest}), wire.Invalid, "is not a Hello"},
		"two Hellos":                {framed(good, good), wire.Invalid, "second Hello"},
		"unknown key":               {framed(helloWith("other")), wire.NoKey, "key"},
		"prefix of a key":           {framed(helloWith(strings.Repeat("k", 15))), wire.NoKey, "key"},
		"huge Hello":                {"\x00\x02\x00\x01", wire.Invalid, "Hello of at most 131072 bytes"},
		"message above the limit":   {framed(good) + "\x00\x10\x00\x01", wire.Invalid, "larger"},
		"impossible length":         {framed(good) + "\xff\xff\xff\xff", wire.Invalid, "larger"},
		"malformed message":         {framed(good) + "\x00\x00\x00\x02\x0a\x7f", wire.Invalid, "cannot be decoded"},
		"other version":             {framed(request{id: 1, kind: helloRequest, hello: hello{version: 7}}), wire.Invalid, "version"},
		"name of a store":           {framed(request{id: 1, kind: helloRequest, hello: hello{version: 1, store: "x"}}), wire.Invalid, "store"},
		"duplicate id":              {framed(good, wait, wait), wire.Invalid, "another request under way"},
		"empty first message":       {"\x00\x00\x00\x00", wire.Invalid, "does not begin with a Hello"},
		"HTTP":                      {"GET / HTTP/1.1\r\n\r\n", wire.Invalid, "speaks HTTP; this port speaks dcb's protocol"},
		"HTTP/2":                    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", wire.Invalid, "speaks HTTP/2 (gRPC)"},
		"TLS":                       {"\x16\x03\x01\x02\x00\x01", wire.Invalid, "speaks TLS"},
		"another protocol entirely": {"\x00\x00\x00\x05hello", wire.Invalid, "does not begin with a Hello"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := server.peer(t)
			if _, err := io.WriteString(p.Conn, c.sent); err != nil {
				t.Fatal(err)
			}
			last := p.goodbye(t)
			if last.kind != errorResponse || last.id != 0 || last.err.Code != c.code || !strings.Contains(last.err.Text, c.text) {
				t.Errorf("the last response is %+v, want %s: %q", last, c.code, c.text)
			}
		})
	}
}

func TestServerAnswersUnknownCallsAndTooManyCalls(t *testing.T) {
	t.Parallel()
	server := serve(t, memstore.New(nil), &ServerOptions{Limits: Limits{Calls: 2}})
	p := server.greetedPeer(t)
	forever := dcb.ReadOptions{After: 1 << 60}
	p.request(t, request{id: 2, kind: 14}) // of a later version
	if got := p.responses(t)[0]; got.id != 2 || !errors.Is(got.err.Err(), dcb.ErrInvalid) {
		t.Errorf("response to an unknown call: %+v", got)
	}
	p.request(t, request{id: 3, kind: waitRequest, opts: forever}, request{id: 4, kind: waitRequest, opts: forever}, request{id: 5, kind: headRequest})
	got := p.responses(t)[0]
	if got.id != 5 || got.err.Code != wire.Limit || !dcb.Retryable(got.err.Err()) {
		t.Errorf("response above the limit of calls: %+v", got)
	}
	cancels := make([]request, 0, 200_000)
	for range 100_000 {
		cancels = append(cancels, request{id: 9, kind: cancelRequest}, request{id: 3, kind: creditRequest, credit: 1 << 63})
	}
	p.request(t, cancels...) // all ignored
	p.request(t, request{id: 3, kind: cancelRequest})
	if got := p.responses(t)[0]; got.id != 3 || got.err.Code != wire.Canceled {
		t.Errorf("response to a canceled call: %+v", got)
	}
	p.request(t, request{id: 3, kind: headRequest}) // the id is free again
	if got := p.responses(t)[0]; got.id != 3 || got.kind != positionResponse {
		t.Errorf("%+v", got)
	}
}

func TestClientMakesAConnectionWhenOthersAreFull(t *testing.T) {
	t.Parallel()
	server := serve(t, memstore.New(nil), &ServerOptions{Limits: Limits{Calls: 4}})
	client := server.dial(t)
	var waits sync.WaitGroup
	for range 10 {
		waits.Go(func() {
			if head, err := client.Wait(t.Context(), 0); head != 1 || err != nil {
				t.Errorf("Wait = %d, %v", head, err)
			}
		})
	}
	eventually(t, "there are three connections", func() bool {
		client.mu.Lock()
		defer client.mu.Unlock()
		return len(client.conns) >= 3
	})
	if _, err := client.Append(t.Context(), []dcb.Event{{Type: "T"}}, nil); err != nil {
		t.Error(err)
	}
	waits.Wait()
}

func TestClientCallWaitsWhileTheOnlyConnectionIsFull(t *testing.T) {
	t.Parallel()
	client := serve(t, memstore.New(nil), &ServerOptions{Limits: Limits{Calls: 1, Connections: 1}}).dial(t)
	ctx, cancel := context.WithCancel(t.Context())
	waited := make(chan error)
	go func() {
		_, err := client.Wait(ctx, 0)
		waited <- err
	}()
	eventually(t, "the connection is full", func() bool {
		client.mu.Lock()
		defer client.mu.Unlock()
		return !client.conns[0].takesCalls()
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

func TestClientKeepsMessagesBelowTheServersLimit(t *testing.T) {
	t.Parallel()
	const limit = 8 << 10
	store := memstore.New(nil)
	client := serve(t, store, &ServerOptions{Limits: Limits{MessageBytes: limit}}).dial(t)
	of := func(size int) []dcb.Event { return []dcb.Event{{Type: "T", Data: make([]byte, size)}} }
	var callers sync.WaitGroup
	for range 64 { // whose appends are gathered into messages
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
		invalid, isInvalid := errors.AsType[*dcb.InvalidError](err)
		switch {
		case err == nil && accepted == size-limit+100:
			accepted++
		case !isInvalid || invalid.Limit != limit:
			t.Errorf("Append of %d bytes = %v", size, err)
		}
	}
	if accepted < 10 || accepted > 100 {
		t.Errorf("%d sizes below the limit were accepted", accepted)
	}
}

func TestServerLimitsQueriesOfEveryMethod(t *testing.T) {
	t.Parallel()
	client := serve(t, memstore.New(nil), &ServerOptions{Limits: Limits{QueryItems: 3}}).dial(t)
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
			t.Errorf("%s at the limit = %v", name, err)
		}
		err := ask(query(4))
		if invalid, ok := errors.AsType[*dcb.InvalidError](err); !ok || invalid.Limit != 3 || errors.Is(err, dcb.ErrInvalidQuery) {
			t.Errorf("%s above the limit = %v", name, err)
		}
	}
}

// stuckStore is a store whose appends and reads end only with their context.
type stuckStore struct{ dcb.Store }

func (stuckStore) Append(ctx context.Context, _ []dcb.Event, _ *dcb.AppendCondition) (dcb.Position, error) {
	<-ctx.Done()
	return 0, ctx.Err()
}

func (stuckStore) Read(ctx context.Context, _ dcb.Query, _ dcb.ReadOptions) (dcb.ReadResult, error) {
	<-ctx.Done()
	return dcb.ReadResult{}, ctx.Err()
}

func TestServerLimitsTheTimeOfCalls(t *testing.T) {
	t.Parallel()
	server := serve(t, stuckStore{memstore.New(nil)}, &ServerOptions{Limits: Limits{CallTime: 50 * time.Millisecond}})
	client := server.dial(t)
	_, err := client.Append(t.Context(), []dcb.Event{{Type: "T"}}, nil)
	if !isOutcomeUnknown(err) {
		t.Errorf("Append = %v, want an unknown outcome", err)
	}
	_, err = client.Read(t.Context(), dcb.All(), dcb.ReadOptions{})
	if !dcb.Retryable(err) || isOutcomeUnknown(err) || !strings.Contains(err.Error(), "50ms") {
		t.Errorf("Read = %v, want ErrUnavailable with the limit", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := client.Wait(ctx, 0); !errors.Is(err, context.DeadlineExceeded) || dcb.Retryable(err) {
		t.Errorf("Wait = %v, want the deadline of its context", err)
	}
}

func TestStreamMayTakeLongerThanTheLimitOfACall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // so that only the consumer takes time
		const events = 600
		store := memstore.New(nil)
		for range events / 10 {
			if _, err := store.Append(t.Context(), tenEvents(10<<10), nil); err != nil {
				t.Fatal(err)
			}
		}
		client := serve(t, store, &ServerOptions{Limits: Limits{CallTime: 300 * time.Millisecond}}).dial(t)
		next, began := dcb.Position(0), time.Now()
		for e, err := range client.Stream(t.Context(), dcb.All(), dcb.ReadOptions{}) {
			if err != nil {
				t.Fatalf("after %d events and %v: %v", next, time.Since(began), err)
			}
			if next++; e.Position != next {
				t.Fatalf("position %d follows %d", e.Position, next-1)
			}
			time.Sleep(2 * time.Millisecond)
		}
		if next != events || time.Since(began) < time.Second {
			t.Errorf("%d events in %v", next, time.Since(began))
		}
	})
}

func TestServerLimitsConnections(t *testing.T) {
	t.Parallel()
	server := serveTCP(t, memstore.New(nil), &ServerOptions{Limits: Limits{Connections: 2}})
	first, _ := server.dial(t), server.dial(t)
	if third, err := Dial(t.Context(), server.address, server.opts); !errors.Is(err, dcb.ErrUnavailable) {
		t.Errorf("Dial above the limit = %v, %v", third, err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "another connection is accepted", func() bool {
		client, err := Dial(t.Context(), server.address, server.opts)
		if err == nil {
			_ = client.Close()
		}
		return err == nil
	})
}
