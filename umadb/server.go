package umadb

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/auth"
	"github.com/dcbstore/dcb/internal/wire"
	"github.com/dcbstore/dcb/umadb/internal/umadbv1"
)

// Types that the options share with the other protocols.
type (
	// Limits bound what callers may ask of a server.
	Limits = wire.Limits
	// Observer is called after each call.
	Observer = wire.Observer
	// Call describes a finished call.
	Call = wire.Call
)

// ServerOptions are the options of [NewServer]. Nil and the zero value mean the defaults.
type ServerOptions struct {
	// Keys are the keys that callers need. Default nil: every call is permitted.
	Keys *auth.Keys
	// Limits bound what callers may ask for. Default: the defaults of [Limits].
	Limits Limits
	// TLS encrypts connections. Default nil: no encryption.
	TLS *tls.Config
	// Observe is called after each call. Default nil: not called.
	Observe Observer
	// Log receives warnings that belong to no call. Default: discarded.
	Log *slog.Logger
	// Keepalive is the silence after which the server pings a connection, and the time that a ping
	// may take. Default 20 s.
	Keepalive time.Duration
	// GRPC are further options for gRPC's server, such as stats handlers. Default none.
	GRPC []grpc.ServerOption
}

func (o *ServerOptions) withDefaults() (ServerOptions, error) {
	var opts ServerOptions
	if o != nil {
		opts = *o
	}
	var err error
	if opts.Limits, err = opts.Limits.WithDefaults("umadb: ServerOptions.Limits"); err != nil {
		return opts, err
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Keepalive < 0 {
		return opts, fmt.Errorf("umadb: ServerOptions.Keepalive is %v; it must be positive, or 0 for %v",
			opts.Keepalive, defaultKeepalive)
	}
	if opts.Keepalive == 0 {
		opts.Keepalive = defaultKeepalive
	}
	if opts.Observe == nil {
		opts.Observe = func(context.Context, Call) {}
	}
	return opts, nil
}

const (
	defaultKeepalive = 20 * time.Second
	// handshakeTime bounds the time from accepting a connection to the end of its handshake.
	handshakeTime = 20 * time.Second

	// Flow-control windows of HTTP/2: the bytes that a peer may send before they are read. They are
	// fixed, because gRPC's dynamic windows cost extra round trips.
	streamWindow     = 1 << 20
	connectionWindow = 4 << 20

	// streamWorkers is the number of goroutines that serve one call after the other. Their stacks
	// have grown already; growing a new goroutine's stack costs a tenth of a call. Further calls get
	// goroutines of their own.
	streamWorkers = 128
)

// ownService is a health service that only dcb's server reports. The client recognizes dcb's
// server by it, and repeats appends only there.
const ownService = "dcb.umadb"

// Server serves a store to UmaDB's clients. Its methods may be called by many goroutines at once.
type Server struct {
	store  dcb.Store
	opts   ServerOptions
	grpc   *grpc.Server
	health *health.Server

	stopping chan struct{} // closed when a stop begins: it ends subscriptions
	stop     sync.Once
}

// NewServer returns a server of store. The caller closes the store, after the server. An error
// names the option that is out of bounds.
func NewServer(store dcb.Store, options *ServerOptions) (*Server, error) {
	opts, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{store: store, opts: opts, health: health.NewServer(), stopping: make(chan struct{})}
	grpcOptions := []grpc.ServerOption{
		grpc.ForceServerCodecV2(codec{}),
		grpc.MaxRecvMsgSize(opts.Limits.MessageBytes),
		grpc.MaxConcurrentStreams(uint32(opts.Limits.Calls)),
		grpc.InitialWindowSize(streamWindow),
		grpc.InitialConnWindowSize(connectionWindow),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: opts.Keepalive, Timeout: opts.Keepalive}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
		grpc.ConnectionTimeout(handshakeTime),
		grpc.NumStreamWorkers(streamWorkers),
	}
	if opts.TLS != nil {
		grpcOptions = append(grpcOptions, grpc.Creds(credentials.NewTLS(opts.TLS)))
	}
	s.grpc = grpc.NewServer(append(grpcOptions, opts.GRPC...)...)
	service := &service{server: s}
	umadbv1.RegisterDCBServer(s.grpc, service)
	s.grpc.RegisterService(formerName(umadbv1.DCB_ServiceDesc), service)
	healthv1.RegisterHealthServer(s.grpc, &healthServer{s.health, s.stopping})
	for _, name := range []string{"", umadbv1.DCB_ServiceDesc.ServiceName, ownService} {
		s.health.SetServingStatus(name, healthv1.HealthCheckResponse_SERVING)
	}
	reflection.Register(s.grpc)
	return s, nil
}

// formerName returns the service under the name that older clients of UmaDB use in their paths.
func formerName(desc grpc.ServiceDesc) *grpc.ServiceDesc {
	desc.ServiceName = "umadb.UmaDBService"
	return &desc
}

// Serve serves the connections of listener until Shutdown or Close, and closes it. It may be
// called several times, each with its own listener.
func (s *Server) Serve(listener net.Listener) error {
	err := s.grpc.Serve(wire.Listen(listener, s.opts.Limits.Connections, s.opts.Log))
	if err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("umadb: serve: %w", err)
	}
	return nil
}

// Shutdown stops the server in order. The health status becomes NOT_SERVING, and new calls are
// refused. Subscriptions end with an error that asks the client to connect again, and other calls
// under way are answered. When ctx ends, Shutdown cuts off what is left, and returns ctx's error.
func (s *Server) Shutdown(ctx context.Context) error {
	s.beginStop()
	done := make(chan struct{})
	go func() {
		s.grpc.GracefulStop()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		s.grpc.Stop()
		<-done
		return ctx.Err()
	}
}

// Close stops the server at once, and cuts off the calls under way.
func (s *Server) Close() {
	s.beginStop()
	s.grpc.Stop()
}

func (s *Server) beginStop() {
	s.stop.Do(func() {
		s.health.Shutdown()
		close(s.stopping)
	})
}
