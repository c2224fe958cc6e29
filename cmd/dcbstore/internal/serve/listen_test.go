package serve

import (
	"errors"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

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
		c.GRPC = free.Addr().String()
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
		again, err := net.Listen("tcp", c.GRPC)
		if err == nil {
			_ = again.Close()
		}
		return err == nil
	}) {
		t.Errorf("%s is left open", c.GRPC)
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
