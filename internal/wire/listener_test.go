package wire_test

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/dcbstore/dcb/internal/wire"
)

func TestListenClosesConnectionsBeyondTheLimit(t *testing.T) {
	t.Parallel()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	limited := wire.Listen(inner, 2, slog.New(slog.NewTextHandler(&log, nil)))
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
	for range 3 { // beyond the limit: closed as soon as it is accepted
		if _, err := dial().Read(make([]byte, 1)); err == nil {
			t.Error("a connection beyond the limit stayed open")
		}
	}
	for range 2 { // the second Close must not count
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
		t.Error("a second Close freed a second slot")
	}
	_, _ = second.Close(), next.Close()
	_ = limited.Close()
	<-done
	if got := strings.Count(log.String(), "connection refused"); got != 4 {
		t.Errorf("the log has %d warnings, want 4: %s", got, &log)
	}
}
