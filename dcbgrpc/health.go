package dcbgrpc

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
)

// healthServer is gRPC's own, except that its Watch ends when the server stops. It would hold up a server that stops in good order for as
// long as anybody watches.
type healthServer struct {
	*health.Server
	stopping <-chan struct{}
}

// Watch sends the health whenever it changes. The last that is sent is NOT_SERVING.
func (h *healthServer) Watch(r *healthv1.HealthCheckRequest, stream grpc.ServerStreamingServer[healthv1.HealthCheckResponse]) error {
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	go func() {
		select {
		case <-h.stopping:
			cancel()
		case <-ctx.Done():
		}
	}()
	w := &watcher{ServerStreamingServer: stream, ctx: ctx}
	err := h.Server.Watch(r, w)
	if w.last == healthv1.HealthCheckResponse_SERVING { // it ended before it came to that, or its client is gone
		_ = stream.Send(&healthv1.HealthCheckResponse{Status: healthv1.HealthCheckResponse_NOT_SERVING})
	}
	return err
}

// watcher is a stream that knows what was sent last.
type watcher struct {
	grpc.ServerStreamingServer[healthv1.HealthCheckResponse]
	ctx  context.Context //nolint:containedctx // the stream's own, which ends earlier
	last healthv1.HealthCheckResponse_ServingStatus
}

// Context ends when the server stops, too.
func (w *watcher) Context() context.Context { return w.ctx }

// Send sends m.
func (w *watcher) Send(m *healthv1.HealthCheckResponse) error {
	w.last = m.GetStatus()
	return w.ServerStreamingServer.Send(m)
}
