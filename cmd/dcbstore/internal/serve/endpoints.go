package serve

import (
	"context"
	"log/slog"
	"net"

	"github.com/dcbstore/dcb/cmd/dcbstore/internal/observe"
	"github.com/dcbstore/dcb/dcbnet"
	"github.com/dcbstore/dcb/umadb"
)

// The names of what listens, in logs and metrics.
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
	// serve goes on until shutdown or close, which is no error.
	serve func(net.Listener) error
	// shutdown lets calls finish until its context ends; then, with an error, it cuts off what is left. close does so at once.
	shutdown func(context.Context) error
	close    func()
	// cut closes the connections under the server's feet.
	cut func()
}

func (s *server) makeEndpoints(listeners listeners) error {
	for _, kind := range []struct {
		name string
		make func(net.Listener) (*endpoint, error)
	}{{dcbEndpoint, s.dcbEndpoint}, {umadbEndpoint, s.umadbEndpoint}, {httpEndpoint, s.httpEndpoint}, {pprofEndpoint, s.pprofEndpoint}} {
		listener := listeners[kind.name]
		if listener == nil {
			continue
		}
		w, err := kind.make(listener)
		if err != nil {
			return err
		}
		connections := newCuttable(listener)
		w.name, w.listener, w.cut = kind.name, connections, connections.cut
		if w.name != pprofEndpoint {
			w.listener = s.metrics.Listener(w.name, connections)
		}
		s.endpoints = append(s.endpoints, w)
	}
	return nil
}

func (s *server) dcbEndpoint(listener net.Listener) (*endpoint, error) {
	options := &dcbnet.ServerOptions{Keys: s.keys, Limits: s.Limits, Observe: s.calls.Done, Log: observe.Calm(s.Log)}
	if s.certs != nil && listener.Addr().Network() != "unix" {
		options.TLS = s.certs.config(forDCB)
	}
	if s.traces != nil {
		options.Traceparent = s.traces.Traceparent
	}
	server, err := dcbnet.NewServer(s.watched, options)
	if err != nil {
		return nil, err
	}
	return &endpoint{serve: server.Serve, shutdown: server.Shutdown, close: server.Close}, nil
}

func (s *server) umadbEndpoint(net.Listener) (*endpoint, error) {
	options := &umadb.ServerOptions{
		Keys: s.keys, Limits: s.Limits, Observe: s.calls.Done, Log: observe.Calm(s.Log), Keepalive: s.Keepalive, GRPC: s.traces.GRPC(),
	}
	if s.certs != nil {
		options.TLS = s.certs.config(forUmaDB)
	}
	server, err := umadb.NewServer(s.watched, options)
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
		shutdown: func(context.Context) error { return server.Close() }, // nobody waits for a profile
		close:    func() { _ = server.Close() },                         // again, which is nothing
	}, nil
}
