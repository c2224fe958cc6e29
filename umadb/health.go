package umadb

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
)

// healthServer is gRPC's health server, except that Watch ends when the server stops. Otherwise a
// watcher would delay an orderly stop for as long as it watches.
type healthServer struct {
	*health.Server
	stopping <-chan struct{}
}

// Watch sends the health status whenever it changes. The last status is NOT_SERVING.
func (h *healthServer) Watch(
	r *healthv1.HealthCheckRequest, stream grpc.ServerStreamingServer[healthv1.HealthCheckResponse],
) error {
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	go func() {
		select {
		case <-h.stopping:
			cancel()
		case <-ctx.Done():
		}
	}()
	w := &watchStream{ServerStreamingServer: stream, ctx: ctx}
	err := h.Server.Watch(r, w)
	if w.last == healthv1.HealthCheckResponse_SERVING { // canceled before gRPC sent the change
		_ = stream.Send(&healthv1.HealthCheckResponse{Status: healthv1.HealthCheckResponse_NOT_SERVING})
	}
	return err
}

// watchStream is the stream of a Watch. It remembers the last status that was sent.
type watchStream struct {
	grpc.ServerStreamingServer[healthv1.HealthCheckResponse]
	ctx  context.Context //nolint:containedctx // the stream's context, which also ends when the server stops
	last healthv1.HealthCheckResponse_ServingStatus
}

// Context returns the context of the stream.
func (w *watchStream) Context() context.Context { return w.ctx }

// Send sends m.
func (w *watchStream) Send(m *healthv1.HealthCheckResponse) error {
	w.last = m.GetStatus()
	return w.ServerStreamingServer.Send(m)
}
