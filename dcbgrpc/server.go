package dcbgrpc

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
	"github.com/dcbstore/dcb/internal/proto/dcbv1"
	"github.com/dcbstore/dcb/internal/proto/umadbv1"
	"github.com/dcbstore/dcb/internal/wire"
)

// ServerOptions say how a server serves. Nil and the zero value mean the defaults.
type ServerOptions struct {
	// Keys are who may call. Default nil: everyone may do everything.
	Keys *auth.Keys
	// Limits are what callers may ask for. Default: those of [wire.Limits].
	Limits wire.Limits
	// TLS is how connections are encrypted. Default nil: not at all.
	TLS *tls.Config
	// Observe is told of each call when it is done. Default nil: nobody is.
	Observe wire.Observer
	// Log is told what no call fails by. Default: [slog.Default].
	Log *slog.Logger
	// Keepalive is after how much silence a connection is asked for a sign of life, and how long it has for that. Default: 20 s.
	Keepalive time.Duration
	// Traceparent puts a caller's trace, as the W3C writes it, into the context of a session's request. Default nil: it is ignored.
	Traceparent func(ctx context.Context, traceparent string) context.Context
	// GRPC are further options of gRPC's server, such as handlers of statistics.
	GRPC []grpc.ServerOption

	lastWords time.Duration // 0: the constant; longer for tests whose clients are not let run for a while
}

func (o *ServerOptions) withDefaults() (ServerOptions, error) {
	var opts ServerOptions
	if o != nil {
		opts = *o
	}
	var err error
	if opts.Limits, err = opts.Limits.WithDefaults(); err != nil {
		return opts, fmt.Errorf("dcbgrpc: %w", err)
	}
	if opts.Log == nil {
		opts.Log = slog.Default()
	}
	if opts.Keepalive < 0 {
		return opts, fmt.Errorf("dcbgrpc: ServerOptions.Keepalive is %v; it is positive, or 0 for 20 s", opts.Keepalive)
	}
	if opts.Keepalive == 0 {
		opts.Keepalive = 20 * time.Second
	}
	if opts.lastWords == 0 {
		opts.lastWords = lastWords
	}
	if opts.Observe == nil {
		opts.Observe = func(context.Context, wire.Call) {}
	}
	return opts, nil
}

// The windows of HTTP/2: how much a peer may send that is not read yet, on a stream and on a connection. Fixed ones, since finding better
// ones by measuring costs a round trip again and again.
const (
	streamWindow     = 1 << 20
	connectionWindow = 4 << 20
)

// streamWorkers is how many goroutines answer one call after the other. Their stacks have grown already, which otherwise costs a call a tenth of its
// time. More calls, and those that last, have goroutines of their own.
const streamWorkers = 128

// Server serves a store over gRPC.
type Server struct {
	store  dcb.Store
	opts   ServerOptions
	grpc   *grpc.Server
	health *health.Server

	// stopping is closed when the server is about to stop: who follows is told to come back.
	stopping chan struct{}

	mu         sync.Mutex // guards what follows
	isStopping bool
	guests     map[net.Conn]*guest
	connected  sync.WaitGroup // the guests; added to only while not stopping
}

// NewServer returns a server of store, which stays the caller's to close, after the server. Errors: an option that is out of bounds.
func NewServer(store dcb.Store, options *ServerOptions) (*Server, error) {
	opts, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{store: store, opts: opts, health: health.NewServer(), stopping: make(chan struct{}), guests: make(map[net.Conn]*guest)}
	grpcOptions := []grpc.ServerOption{
		grpc.ForceServerCodecV2(codec{}),
		grpc.MaxRecvMsgSize(opts.Limits.MessageBytes),
		grpc.MaxConcurrentStreams(uint32(opts.Limits.Calls)),
		grpc.InitialWindowSize(streamWindow),
		grpc.InitialConnWindowSize(connectionWindow),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: opts.Keepalive, Timeout: opts.Keepalive}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
		grpc.ConnectionTimeout(20 * time.Second),
		grpc.NumStreamWorkers(streamWorkers),
	}
	if opts.TLS != nil {
		grpcOptions = append(grpcOptions, grpc.Creds(credentials.NewTLS(opts.TLS)))
	}
	s.grpc = grpc.NewServer(append(grpcOptions, opts.GRPC...)...)
	umadb := &umadbServer{server: s}
	umadbv1.RegisterDCBServer(s.grpc, umadb)
	s.grpc.RegisterService(formerName(umadbv1.DCB_ServiceDesc), umadb)
	dcbv1.RegisterStoreServer(s.grpc, &sessionServer{server: s})
	healthv1.RegisterHealthServer(s.grpc, &healthServer{s.health, s.stopping})
	for _, service := range []string{"", umadbv1.DCB_ServiceDesc.ServiceName, dcbv1.Store_ServiceDesc.ServiceName} {
		s.health.SetServingStatus(service, healthv1.HealthCheckResponse_SERVING)
	}
	reflection.Register(s.grpc)
	return s, nil
}

// formerName returns the service of UmaDB's protocol by the path that its older clients use.
func formerName(desc grpc.ServiceDesc) *grpc.ServiceDesc {
	desc.ServiceName = "umadb.UmaDBService"
	return &desc
}

// Serve answers what comes in by listener, which it closes in the end, until Shutdown or Close. It may be called several times, with a listener each.
func (s *Server) Serve(listener net.Listener) error {
	listener = wire.Listen(listener, s.opts.Limits.Connections, s.opts.Log)
	if s.opts.TLS == nil {
		listener = s.split(listener)
	}
	err := s.grpc.Serve(listener)
	if err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("dcbgrpc: serve: %w", err)
	}
	return nil
}

// Shutdown stops in good order: the health says so first, nobody new is let in, the calls under way are answered, and who waits or follows is told
// to come back. When ctx ends what is left is cut off, and its error returned.
func (s *Server) Shutdown(ctx context.Context) error {
	s.beginStop()
	done := make(chan struct{})
	go func() {
		s.grpc.GracefulStop()
		s.connected.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		s.grpc.Stop()
		s.cut()
		<-done
		return ctx.Err()
	}
}

// Close stops at once. Calls under way are cut off.
func (s *Server) Close() {
	s.beginStop()
	s.grpc.Stop()
	s.cut()
	s.connected.Wait()
}
