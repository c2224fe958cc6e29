package serve

import (
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dcbstore/dcb/dcbnet"
	"github.com/dcbstore/dcb/internal/wire"
	"github.com/dcbstore/dcb/memstore"
)

func TestListenClosesAllListenersIfAnAddressIsInUse(t *testing.T) {
	t.Parallel()
	used, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer used.Close()
	c := config(memstore.New(nil))
	c.HTTP = used.Addr().String()
	for { // until no other process takes the address of --dcb meanwhile
		free, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		c.DCB = free.Addr().String()
		if err := free.Close(); err != nil {
			t.Fatal(err)
		}
		err = Run(t.Context(), c)
		if err == nil || !strings.Contains(err.Error(), "address already in use") {
			t.Fatalf("Run = %v, want address already in use", err)
		}
		if strings.Contains(err.Error(), "--http: ") {
			break
		}
	}
	if !eventually(func() bool { // another process can have the port for a moment
		again, err := net.Listen("tcp", c.DCB)
		if err == nil {
			_ = again.Close()
		}
		return err == nil
	}) {
		t.Errorf("the listener on %s is still open", c.DCB)
	}
}

func TestRunClosesConnectionsAboveTheLimit(t *testing.T) {
	t.Parallel()
	c := config(memstore.New(nil))
	c.Limits = wire.Limits{Connections: 1}
	r := start(t, c)
	client := newClient(t)
	if status, _ := get(t, client, "http://"+r.HTTP+"/head", ""); status != http.StatusOK {
		t.Fatal(status)
	}
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", r.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(long))
	if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Read = %v, want a closed connection", err)
	}
}

func TestRunListensOnAUNIXSocketAndReplacesAStaleOne(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "socket")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false) // as after a killed process
	if err := stale.Close(); err != nil {
		t.Fatal(err)
	}
	c := config(memstore.New(nil))
	c.DCB = "unix:" + path
	r := start(t, c)
	client, err := dcbnet.Dial(t.Context(), c.DCB, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if head, err := client.Head(t.Context()); head != 0 || err != nil {
		t.Errorf("Head = %d, %v, want 0", head, err)
	}
	second := config(memstore.New(nil))
	second.DCB = c.DCB
	if err := Run(t.Context(), second); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("Run on a socket in use = %v, want address already in use", err)
	}
	r.stop()
	if err := r.await(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Stat of the socket after the stop = %v, want ErrNotExist", err)
	}
}
