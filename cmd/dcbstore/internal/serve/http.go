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

// httpEndpoint makes the HTTP server. If callers need no key, it accepts only local host names.
func (s *server) httpEndpoint(listener net.Listener) (*endpoint, error) {
	log := observe.Calm(s.Log)
	handler, err := dcbhttp.New(s.observed, &dcbhttp.Options{
		Keys: s.keys, Limits: s.Limits, Observe: s.calls.Done, Log: log, Origins: s.Origins,
		Metrics: s.metrics.Handler(), Ready: s.readiness,
	})
	if err != nil {
		return nil, refuse("write an origin as https://app.example.com", "%v", err)
	}
	server := handler.Server()
	server.Handler = s.traces.HTTP(handler)
	if s.isOpen() && isLoopback(listener.Addr()) {
		server.Handler = localHosts(server.Handler)
	}
	serve := server.Serve
	if s.certs != nil {
		server.TLSConfig = s.certs.config(forHTTP)
		serve = func(l net.Listener) error { return server.ServeTLS(l, "", "") } // TLSConfig has the certificate
	}
	return &endpoint{
		serve: func(l net.Listener) error { return untilClosed(serve(wire.Listen(l, s.Limits.Connections, log))) },
		shutdown: func(ctx context.Context) error {
			handler.Drain()
			err := server.Shutdown(ctx)
			if err != nil {
				_ = server.Close() // cuts off the rest
			}
			return err
		},
		close: func() { _ = server.Close() },
	}, nil
}

// isOpen reports whether callers need neither a key nor a certificate, and --insecure is not given.
func (s *server) isOpen() bool { return s.keys == nil && s.TLSClientCA == "" && !s.Insecure }

func isLoopback(address net.Addr) bool {
	tcp, ok := address.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// untilClosed returns nil for the error of an HTTP server that was closed, and other errors as they
// are.
func untilClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
