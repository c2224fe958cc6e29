package observe

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/stats"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/wire"
)

// ErrTraces means that the environment configures traces wrongly, or that sending them failed.
var ErrTraces = errors.New("observe: traces")

// Traces makes spans of calls and of the calls of the store. A nil *Traces makes none.
type Traces struct {
	provider *sdktrace.TracerProvider
	context  propagation.TraceContext
}

// TracesFromEnv returns traces as the standard variables of OpenTelemetry configure them, or nil
// if they configure none. It differs from the standard in one rule. Without an endpoint or an
// exporter in the environment there are no traces, so a server without a collector does not try
// to reach one. The SDK itself reads the rest from the environment: endpoint, headers,
// certificates, sampler, batches.
func TracesFromEnv(ctx context.Context, getenv func(string) string, build Build, log *slog.Logger) (*Traces, error) {
	exporter, err := exporterFromEnv(ctx, getenv)
	if err != nil || exporter == nil {
		return nil, err
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("traces", "cause", err.Error()) }))
	// Later options override earlier ones.
	described, err := resource.New(ctx, resource.WithTelemetrySDK(),
		resource.WithAttributes(attribute.String("service.name", "dcb"), attribute.String("service.version", build.Version)),
		resource.WithFromEnv())
	if err != nil && !errors.Is(err, resource.ErrPartialResource) && !errors.Is(err, resource.ErrSchemaURLConflict) {
		return nil, errors.Join(fmt.Errorf("%w: %w", ErrTraces, err), exporter.Shutdown(ctx))
	}
	return &Traces{provider: sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(described))}, nil
}

// NewTraces returns traces that provider sends.
func NewTraces(provider *sdktrace.TracerProvider) *Traces { return &Traces{provider: provider} }

func exporterFromEnv(ctx context.Context, getenv func(string) string) (sdktrace.SpanExporter, error) {
	if strings.EqualFold(getenv("OTEL_SDK_DISABLED"), "true") {
		return nil, nil
	}
	first := func(names ...string) string {
		for _, name := range names {
			if value := strings.TrimSpace(getenv(name)); value != "" {
				return value
			}
		}
		return ""
	}
	switch kind := first("OTEL_TRACES_EXPORTER"); kind {
	case "none":
		return nil, nil
	case "":
		if first("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT") == "" {
			return nil, nil
		}
	case "otlp":
	default:
		return nil, fmt.Errorf("%w: OTEL_TRACES_EXPORTER is %q; it must be otlp or none", ErrTraces, kind)
	}
	switch protocol := first("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"); protocol {
	case "grpc":
		return otlptracegrpc.New(ctx)
	case "", "http/protobuf":
		return otlptracehttp.New(ctx)
	default:
		return nil, fmt.Errorf("%w: OTEL_EXPORTER_OTLP_PROTOCOL is %q; it must be grpc or http/protobuf", ErrTraces, protocol)
	}
}

// Tracer returns the tracer for the spans of a store, or nil if there are no traces.
func (t *Traces) Tracer() trace.Tracer {
	if t == nil {
		return nil
	}
	return t.provider.Tracer("github.com/dcbstore/dcb")
}

// GRPC returns the options of a gRPC server that make a span of each call, except health checks.
func (t *Traces) GRPC() []grpc.ServerOption {
	if t == nil {
		return nil
	}
	return []grpc.ServerOption{grpc.StatsHandler(otelgrpc.NewServerHandler(
		otelgrpc.WithTracerProvider(t.provider), otelgrpc.WithPropagators(t.context),
		otelgrpc.WithFilter(func(info *stats.RPCTagInfo) bool {
			return !strings.HasPrefix(info.FullMethodName, "/grpc.")
		}),
	))}
}

// HTTP returns handler with a span around each call, except scrapes and health checks.
func (t *Traces) HTTP(handler http.Handler) http.Handler {
	if t == nil {
		return handler
	}
	return otelhttp.NewHandler(handler, "http",
		otelhttp.WithTracerProvider(t.provider), otelhttp.WithPropagators(t.context),
		otelhttp.WithFilter(func(r *http.Request) bool {
			return r.URL.Path != "/metrics" && r.URL.Path != "/healthz" && r.URL.Path != "/readyz"
		}),
	)
}

// Traceparent returns ctx with the trace of the caller, for a request of dcbnet.
func (t *Traces) Traceparent(ctx context.Context, traceparent string) context.Context {
	if t == nil || traceparent == "" {
		return ctx
	}
	return t.context.Extract(ctx, propagation.MapCarrier{"traceparent": traceparent})
}

// Shutdown sends the spans that have not been sent.
func (t *Traces) Shutdown(ctx context.Context) error {
	if t == nil {
		return nil
	}
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("%w: %w", ErrTraces, err)
	}
	return nil
}

// begin begins a span of the store. The span is nil if there are no traces.
func (s *Store) begin(ctx context.Context, name string) (context.Context, trace.Span) {
	if s.tracer == nil {
		return ctx, nil
	}
	return s.tracer.Start(ctx, name)
}

// end ends a span. A conflict is not an error of the span.
func end(span trace.Span, err error, attributes ...attribute.KeyValue) {
	span.SetAttributes(attributes...)
	if err != nil {
		code := wire.CodeOf(err)
		span.SetAttributes(attribute.String("dcb.code", string(code)))
		if code != wire.Conflict {
			span.SetStatus(codes.Error, string(code))
		}
	}
	span.End()
}

func endAppend(span trace.Span, events []dcb.Event, condition *dcb.AppendCondition, at dcb.Position, err error) {
	attributes := []attribute.KeyValue{attribute.Int("dcb.events", len(events)), attribute.Bool("dcb.condition", condition != nil)}
	if condition != nil {
		attributes = append(attributes, attribute.Int("dcb.items", len(condition.FailIfEventsMatch)), position("dcb.after", condition.After))
	}
	if err == nil {
		attributes = append(attributes, position("dcb.position", at))
	} else if conflict, ok := errors.AsType[*dcb.ConflictError](err); ok {
		attributes = append(attributes, position("dcb.conflicting_position", conflict.Position))
	}
	end(span, err, attributes...)
}

// boundsOf returns the attributes of a read, without the types and tags of its query.
func boundsOf(q dcb.Query, opts dcb.ReadOptions) []attribute.KeyValue {
	return []attribute.KeyValue{
		attribute.Int("dcb.items", len(q)), position("dcb.after", opts.After), position("dcb.before", opts.Before),
		attribute.Int("dcb.limit", opts.Limit), attribute.Bool("dcb.backwards", opts.Backwards),
	}
}

func position(key string, p dcb.Position) attribute.KeyValue { return attribute.Int64(key, int64(p)) }
