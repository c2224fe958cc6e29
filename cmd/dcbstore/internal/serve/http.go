package serve

import (
	"context"
	"errors"
	"net"
	"net/http"

	"github.com/dcbstore/dcb/cmd/dcbstore/internal/observe"
	"github.com/dcbstore/dcb/dcbhttp"
	"github.com/dcbstore/dcb/internal/wire"
)

func (s *server) httpEndpoint(listener net.Listener) (*endpoint, error) {
	log := observe.Calm(s.Log)
	handler, err := dcbhttp.New(s.watched, &dcbhttp.Options{
		Keys: s.keys, Limits: s.Limits, Observe: s.calls.Done, Log: log, Origins: s.Origins,
		Metrics: s.metrics.Handler(), Ready: s.readiness,
	})
	if err != nil {
		return nil, refuse("an origin is as https://app.example.com", "%v", err)
	}
	server := handler.Server()
	server.Handler = s.traces.HTTP(handler)
	if s.unguarded() && isLoopback(listener.Addr()) {
		server.Handler = localHosts(server.Handler)
	}
	serve := server.Serve
	if s.certs != nil {
		server.TLSConfig = s.certs.config(forHTTP)
		serve = func(l net.Listener) error { return server.ServeTLS(l, "", "") } // the certificate is in the configuration
	}
	return &endpoint{
		serve: func(l net.Listener) error { return untilClosed(serve(wire.Listen(l, s.Limits.Connections, log))) },
		shutdown: func(ctx context.Context) error {
			handler.Drain()
			err := server.Shutdown(ctx)
			if err != nil {
				_ = server.Close() // whatever is left is cut off
			}
			return err
		},
		close: func() { _ = server.Close() }, // of what is stopped already
	}, nil
}

// unguarded reports whether whoever reaches the server may do everything.
func (s *server) unguarded() bool { return s.keys == nil && s.TLSClientCA == "" && !s.Insecure }

func isLoopback(address net.Addr) bool {
	tcp, ok := address.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// untilClosed is the error of a server of HTTP, other than that it was told to stop.
func untilClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
