package observe

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/dcbstore/dcb/internal/wire"
)

// maxMethods is the number of methods that get series of their own. There are fewer; the limit
// protects against a protocol that passes on a name of a caller's.
const maxMethods = 100

// Calls counts and logs the calls of all protocols. Its Done is their [wire.Observer].
type Calls struct {
	log      *failures
	tracer   trace.Tracer // nil if there are no traces
	total    *prometheus.CounterVec
	duration *prometheus.HistogramVec

	series atomic.Pointer[map[method]*series] // replaced as a whole, so that a call looks it up without a lock
	mu     sync.Mutex                         // held while it is replaced
}

type method struct{ wire, name string }

// series has the metrics of one method.
type series struct {
	method
	ok       prometheus.Counter
	duration prometheus.Observer
}

// Calls adds the metrics of calls. Failed calls are logged to log. The handlers of gRPC and HTTP
// make the spans of their calls; spans of dcbnet's calls are made here with tracer, if it is not
// nil.
func (m *Metrics) Calls(log *slog.Logger, tracer trace.Tracer) *Calls {
	c := &Calls{
		log: newFailures(log), tracer: tracer,
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dcb_calls_total", Help: "Calls answered, by result.",
		}, []string{"wire", "method", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "dcb_call_duration_seconds", Help: "Time from the arrival of a call to its answer.", Buckets: buckets,
		}, []string{"wire", "method"}),
	}
	c.series.Store(&map[method]*series{})
	m.registry.MustRegister(c.total, c.duration)
	return c
}

// Done counts a call, and logs it if it failed.
func (c *Calls) Done(ctx context.Context, call wire.Call) {
	s := c.of(method{call.Protocol, call.Method})
	s.duration.Observe(call.Duration.Seconds())
	if c.tracer != nil && call.Protocol == dcbnet {
		ctx = c.span(ctx, s.name, call)
	}
	if call.Err == nil {
		s.ok.Inc()
		return
	}
	code := wire.CodeOf(call.Err)
	c.total.WithLabelValues(s.wire, s.name, string(code)).Inc()
	c.log.log(ctx, s.method, code, call)
}

// dcbnet is the protocol without a handler that makes spans.
const dcbnet = "dcbnet"

// span makes the span of a finished call. It is a sibling of the store's spans: both are children
// of the caller's span, or each is the root of a trace.
func (c *Calls) span(ctx context.Context, name string, call wire.Call) context.Context {
	now := time.Now()
	ctx, span := c.tracer.Start(ctx, dcbnet+"/"+name, trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(now.Add(-call.Duration)))
	end(span, call.Err)
	return ctx
}

func (c *Calls) of(m method) *series {
	if s, ok := (*c.series.Load())[m]; ok {
		return s
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	known := *c.series.Load()
	if len(known) >= maxMethods {
		m = method{"other", "other"}
	}
	if s, ok := known[m]; ok {
		return s
	}
	s := &series{
		method: m, ok: c.total.WithLabelValues(m.wire, m.name, string(wire.OK)),
		duration: c.duration.WithLabelValues(m.wire, m.name),
	}
	for _, code := range []wire.Code{wire.Unavailable, wire.Corrupt, wire.Internal} {
		c.total.WithLabelValues(m.wire, m.name, string(code)) // at 0, so that alerts see the first increase
	}
	more := maps.Clone(known)
	more[m] = s
	c.series.Store(&more)
	return s
}
