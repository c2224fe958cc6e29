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

func TestAnAddressInUseIsAnErrorAndNothingIsLeftOpen(t *testing.T) {
	t.Parallel()
	used, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer used.Close()
	c := config(memstore.New(nil))
	c.HTTP = used.Addr().String()
	for { // until nobody took the address for gRPC between here and there
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
			t.Fatalf("%v; want that the address is in use", err)
		}
		if strings.Contains(err.Error(), "--http: ") {
			break
		}
	}
	if !eventually(func() bool { // likewise; what is left open stays so
		again, err := net.Listen("tcp", c.DCB)
		if err == nil {
			_ = again.Close()
		}
		return err == nil
	}) {
		t.Errorf("%s is left open", c.DCB)
	}
}

func TestMoreConnectionsThanAllowedAreClosed(t *testing.T) {
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
		t.Errorf("%v; want that it is closed", err)
	}
}

func TestRunListensOnAUNIXSocketAndReplacesAStaleOne(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "socket")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false) // as if its process had been killed
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
		t.Errorf("Head = %d, %v", head, err)
	}
	second := config(memstore.New(nil))
	second.DCB = c.DCB
	if err := Run(t.Context(), second); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("Run on a socket in use = %v", err)
	}
	r.stop()
	if err := r.await(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket after the stop: %v, want that it is removed", err)
	}
}
