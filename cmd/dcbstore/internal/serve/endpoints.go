package serve

import (
	"context"
	"log/slog"
	"net"

	"github.com/dcbstore/dcb/cmd/dcbstore/internal/observe"
	"github.com/dcbstore/dcb/dcbnet"
	"github.com/dcbstore/dcb/umadb"
)

// Names of the endpoints in logs and metrics.
const (
	dcbEndpoint   = "dcbnet"
	umadbEndpoint = "umadb"
	httpEndpoint  = "http"
	pprofEndpoint = "pprof"
)

// endpoint is a server of one protocol on its listener.
type endpoint struct {
	name     string
	listener net.Listener
	// serve runs until shutdown or close, and then returns nil.
	serve func(net.Listener) error
	// shutdown waits for the calls under way. When its context ends, it cuts off the rest and returns
	// an error.
	shutdown func(context.Context) error
	// close ends all calls at once.
	close func()
	// cut closes all network connections.
	cut func()
}

// makeEndpoints makes the servers of all listeners.
func (s *server) makeEndpoints(listeners listeners) error {
	for _, kind := range []struct {
		name string
		make func(net.Listener) (*endpoint, error)
	}{{dcbEndpoint, s.dcbEndpoint}, {umadbEndpoint, s.umadbEndpoint}, {httpEndpoint, s.httpEndpoint}, {pprofEndpoint, s.pprofEndpoint}} {
		listener := listeners[kind.name]
		if listener == nil {
			continue
		}
		e, err := kind.make(listener)
		if err != nil {
			return err
		}
		connections := newCuttable(listener)
		e.name, e.listener, e.cut = kind.name, connections, connections.cut
		if e.name != pprofEndpoint {
			e.listener = s.metrics.Listener(e.name, connections)
		}
		s.endpoints = append(s.endpoints, e)
	}
	return nil
}

func (s *server) dcbEndpoint(listener net.Listener) (*endpoint, error) {
	opts := &dcbnet.ServerOptions{Keys: s.keys, Limits: s.Limits, Observe: s.calls.Done, Log: observe.Calm(s.Log)}
	if s.certs != nil && listener.Addr().Network() != "unix" {
		opts.TLS = s.certs.config(forDCB)
	}
	if s.traces != nil {
		opts.Traceparent = s.traces.Traceparent
	}
	server, err := dcbnet.NewServer(s.observed, opts)
	if err != nil {
		return nil, err
	}
	return &endpoint{serve: server.Serve, shutdown: server.Shutdown, close: server.Close}, nil
}

func (s *server) umadbEndpoint(net.Listener) (*endpoint, error) {
	opts := &umadb.ServerOptions{
		Keys: s.keys, Limits: s.Limits, Observe: s.calls.Done, Log: observe.Calm(s.Log),
		Keepalive: s.Keepalive, GRPC: s.traces.GRPC(),
	}
	if s.certs != nil {
		opts.TLS = s.certs.config(forUmaDB)
	}
	server, err := umadb.NewServer(s.observed, opts)
	if err != nil {
		return nil, err
	}
	return &endpoint{serve: server.Serve, shutdown: server.Shutdown, close: server.Close}, nil
}

func (s *server) pprofEndpoint(net.Listener) (*endpoint, error) {
	server := profiles()
	server.ErrorLog = slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug)
	return &endpoint{
		serve:    func(l net.Listener) error { return untilClosed(server.Serve(l)) },
		shutdown: func(context.Context) error { return server.Close() }, // profiles are cut off
		close:    func() { _ = server.Close() },
	}, nil
}
