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

// mostMethods is how many methods of all wires get series of their own. There are fewer; should a wire ever pass on what a caller made up, it
// ends here.
const mostMethods = 100

// Calls is told of each call by the wires: Done is their [wire.Observer].
type Calls struct {
	log      *failures
	tracer   trace.Tracer // nil where nobody traces
	total    *prometheus.CounterVec
	duration *prometheus.HistogramVec

	series atomic.Pointer[map[method]*series] // replaced as a whole, so that a call looks it up without a lock
	mu     sync.Mutex                         // held while it is replaced
}

type method struct{ wire, name string }

// series are the metrics of a method.
type series struct {
	method
	ok       prometheus.Counter
	duration prometheus.Observer
}

// Calls adds the metrics of calls. Those that fail are told to log. The spans of calls are made by the handlers of gRPC and HTTP, except for
// those of dcbnet, which only this knows: they are made with tracer, if there is one.
func (m *Metrics) Calls(log *slog.Logger, tracer trace.Tracer) *Calls {
	c := &Calls{
		log: newFailures(log), tracer: tracer,
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dcb_calls_total", Help: "Calls that were answered, by what came of them.",
		}, []string{"wire", "method", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "dcb_call_duration_seconds", Help: "How long a call took, from its arrival to its answer.", Buckets: buckets,
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
	c.log.tell(ctx, s.method, code, call)
}

// dcbnet is the protocol whose calls have no handler around them.
const dcbnet = "dcbnet"

// span makes a span of a call that is done, beside those of the store: both are children of the caller's, or each the root of a trace.
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
	if len(known) >= mostMethods {
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
		c.total.WithLabelValues(m.wire, m.name, string(code)) // for alerts, which want to see it at 0 first
	}
	more := maps.Clone(known)
	more[m] = s
	c.series.Store(&more)
	return s
}
