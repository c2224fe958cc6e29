package edge_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/edge"
)

func TestLimitsHaveDefaultsAndBounds(t *testing.T) {
	t.Parallel()
	got, err := edge.Limits{}.WithDefaults()
	want := edge.Limits{MessageBytes: 80 << 20, Connections: 10_000, Calls: 4096, QueryItems: dcb.MaxQueryItems, CallTime: time.Minute}
	if got != want || err != nil {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	least := edge.Limits{MessageBytes: 1, Connections: 1, Calls: 1, QueryItems: 1, CallTime: 1}
	most := edge.Limits{MessageBytes: 1 << 30, Connections: 1 << 20, Calls: 1 << 20, QueryItems: dcb.MaxQueryItems, CallTime: math.MaxInt64}
	for _, l := range []edge.Limits{least, most, want} {
		if got, err := l.WithDefaults(); got != l || err != nil {
			t.Errorf("%+v became %+v, %v", l, got, err)
		}
	}
	for field, l := range map[string]edge.Limits{
		"MessageBytes is -1": {MessageBytes: -1}, "Connections is -1": {Connections: -1}, "Calls is -1": {Calls: -1}, "QueryItems is -1": {QueryItems: -1},
		"MessageBytes is 1073741825": {MessageBytes: 1<<30 + 1}, "Connections is 1048577": {Connections: 1<<20 + 1}, "Calls is 1048577": {Calls: 1<<20 + 1},
		"QueryItems is 65537": {QueryItems: dcb.MaxQueryItems + 1}, "CallTime is -1ns": {CallTime: -1},
	} {
		if _, err := l.WithDefaults(); err == nil || !strings.Contains(err.Error(), "Limits."+field) {
			t.Errorf("%+v: %v; want it to name %s", l, err, field)
		}
	}
}

func TestAQueryMayHaveAsManyItemsAsTheLimitSays(t *testing.T) {
	t.Parallel()
	l := edge.Limits{QueryItems: 2}
	if err := l.CheckQuery(make(dcb.Query, 2)); err != nil {
		t.Error(err)
	}
	var invalid *dcb.InvalidError
	if err := l.CheckQuery(make(dcb.Query, 3)); !errors.As(err, &invalid) || invalid.Limit != 2 || errors.Is(err, dcb.ErrInvalidQuery) {
		t.Errorf("%v; want an InvalidError with the limit", err)
	}
}

func TestAListenerHasAsManyConnectionsAsTheLimitSays(t *testing.T) {
	t.Parallel()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var told strings.Builder
	limited := edge.Listen(inner, 2, slog.New(slog.NewTextHandler(&told, nil)))
	accepted := make(chan net.Conn)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := limited.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	dial()
	first := <-accepted
	dial()
	second := <-accepted
	for range 3 { // one too many is closed as soon as it is accepted
		if _, err := dial().Read(make([]byte, 1)); err == nil {
			t.Error("something came on a connection beyond the limit")
		}
	}
	for range 2 { // a connection leaves once, however often it is closed
		_ = first.Close()
	}
	third := dial()
	next := <-accepted
	if _, err := fmt.Fprint(third, "x"); err != nil {
		t.Error(err)
	}
	if got, err := io.ReadAll(io.LimitReader(next, 1)); string(got) != "x" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := dial().Read(make([]byte, 1)); err == nil {
		t.Error("closing one twice made room for two")
	}
	_, _ = second.Close(), next.Close()
	_ = limited.Close()
	<-done
	if got := strings.Count(told.String(), "a connection is refused"); got != 4 {
		t.Errorf("the log was told %d times, want 4: %s", got, &told)
	}
}
