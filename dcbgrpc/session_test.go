package dcbgrpc_test

import (
	"context"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc/test/bufconn"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/dcbgrpc"
	"github.com/dcbstore/dcb/dcbtest"
	"github.com/dcbstore/dcb/memstore"
)

// serve serves a store over a listener in memory until the test ends, and returns how to reach it.
func serve(tb testing.TB, store dcb.Store, opts *dcbgrpc.ServerOptions) *dcbgrpc.ClientOptions {
	tb.Helper()
	server, err := dcbgrpc.NewServer(store, opts)
	if err != nil {
		tb.Fatal(err)
	}
	listener := bufconn.Listen(1 << 20)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	tb.Cleanup(func() {
		server.Close()
		if err := <-served; err != nil {
			tb.Error(err)
		}
	})
	return &dcbgrpc.ClientOptions{
		Dial:     func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) },
		RetryFor: 5 * time.Second,
	}
}

func dial(tb testing.TB, opts *dcbgrpc.ClientOptions) *dcbgrpc.Client {
	tb.Helper()
	client, err := dcbgrpc.Dial(tb.Context(), "server", opts)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = client.Close() })
	return client
}

func TestASessionKeepsTheContract(t *testing.T) {
	t.Parallel()
	dcbtest.Run(t, func(t testing.TB) dcb.Store { return dial(t, serve(t, memstore.New(nil), nil)) })
}
