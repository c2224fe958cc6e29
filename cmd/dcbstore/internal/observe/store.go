package observe

import (
	"context"
	"iter"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/wire"
)

// countEvery is the number of events of a stream that are counted together, so that a long stream
// is visible before it ends.
const countEvery = 1024

// Store is a store whose calls are counted. It adds two readings of the clock and some atomic
// additions to a call; see BenchmarkStore.
type Store struct {
	inner     dcb.Store
	tracer    trace.Tracer // nil if there are no traces
	followers *followers

	appends, eventsAppended, conflicts, reads, eventsRead prometheus.Counter
	appendTime, readTime                                  prometheus.Histogram
	waiters                                               prometheus.Gauge
	failed                                                *prometheus.CounterVec
}

var (
	_ dcb.Store             = (*Store)(nil)
	_ dcb.Streamer          = (*Store)(nil)
	_ dcb.Pager             = (*Store)(nil)
	_ wire.FollowerObserver = (*Store)(nil)
)

// Store wraps inner. There can be one store per Metrics. If tracer is nil there are no spans.
func (m *Metrics) Store(inner dcb.Store, tracer trace.Tracer) *Store {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	histogram := func(name, help string) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
	}
	s := &Store{
		inner: inner, tracer: tracer, followers: newFollowers(inner),
		appends:        counter("dcb_appends_total", "Successful appends, including repeated ones."),
		eventsAppended: counter("dcb_events_appended_total", "Events of successful appends."),
		conflicts:      counter("dcb_append_conflicts_total", "Appends whose condition failed."),
		reads:          counter("dcb_reads_total", "Successful reads and streams."),
		eventsRead:     counter("dcb_events_read_total", "Events returned by reads, streams and follows."),
		appendTime:     histogram("dcb_append_duration_seconds", "Duration of appends in the store, including failed ones."),
		readTime:       histogram("dcb_read_duration_seconds", "Duration of reads in the store; of streams, until the first event."),
		waiters:        prometheus.NewGauge(prometheus.GaugeOpts{Name: "dcb_waiters", Help: "Calls that wait for a new head, including those of followers."}),
		failed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dcb_store_errors_total", Help: "Failed calls of the store, except conflicts.",
		}, []string{"operation", "code"}),
	}
	// The series of alerts exist from the start: a series that begins with 1 has not increased.
	for _, operation := range []string{"append", "read", "head", "wait", "stream"} {
		for _, code := range []wire.Code{wire.Unavailable, wire.Corrupt, wire.Internal} {
			s.failed.WithLabelValues(operation, string(code))
		}
	}
	s.failed.WithLabelValues("append", string(wire.Unknown))
	m.registry.MustRegister(s.appends, s.eventsAppended, s.conflicts, s.reads, s.eventsRead, s.appendTime, s.readTime, s.waiters,
		s.failed, s.followers)
	return s
}

// fail counts an error.
func (s *Store) fail(operation string, err error) {
	switch code := wire.CodeOf(err); code {
	case wire.OK:
	case wire.Conflict:
		s.conflicts.Inc()
	default:
		s.failed.WithLabelValues(operation, string(code)).Inc()
	}
}

// Append implements [dcb.Store].
func (s *Store) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	start := time.Now()
	ctx, span := s.begin(ctx, "store.append")
	position, err := s.inner.Append(ctx, events, condition)
	s.appendTime.Observe(time.Since(start).Seconds())
	if err == nil {
		s.appends.Inc()
		s.eventsAppended.Add(float64(len(events)))
	} else {
		s.fail("append", err)
	}
	if span != nil {
		endAppend(span, events, condition, position, err)
	}
	return position, err
}

// Read implements [dcb.Store].
func (s *Store) Read(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
	return s.read(ctx, q, opts, func(ctx context.Context) (dcb.ReadResult, error) {
		return s.inner.Read(ctx, q, opts)
	})
}

// ReadPage implements [dcb.Pager].
func (s *Store) ReadPage(ctx context.Context, q dcb.Query, opts dcb.ReadOptions, bytes int) (dcb.ReadResult, error) {
	return s.read(ctx, q, opts, func(ctx context.Context) (dcb.ReadResult, error) {
		return dcb.ReadPage(ctx, s.inner, q, opts, bytes)
	})
}

func (s *Store) read(ctx context.Context, q dcb.Query, opts dcb.ReadOptions, read func(context.Context) (dcb.ReadResult, error)) (dcb.ReadResult, error) {
	start := time.Now()
	ctx, span := s.begin(ctx, "store.read")
	result, err := read(ctx)
	s.readTime.Observe(time.Since(start).Seconds())
	if err == nil {
		s.reads.Inc()
		s.eventsRead.Add(float64(len(result.Events)))
	} else {
		s.fail("read", err)
	}
	if span != nil {
		end(span, err, append(boundsOf(q, opts), attribute.Int("dcb.events", len(result.Events)), position("dcb.head", result.Head))...)
	}
	return result, err
}

// Head implements [dcb.Store].
func (s *Store) Head(ctx context.Context) (dcb.Position, error) {
	ctx, span := s.begin(ctx, "store.head")
	head, err := s.inner.Head(ctx)
	if err != nil {
		s.fail("head", err)
	}
	if span != nil {
		end(span, err, position("dcb.head", head))
	}
	return head, err
}

// Wait implements [dcb.Store].
func (s *Store) Wait(ctx context.Context, after dcb.Position) (dcb.Position, error) {
	s.waiters.Inc()
	defer s.waiters.Dec()
	ctx, span := s.begin(ctx, "store.wait")
	head, err := s.inner.Wait(ctx, after)
	if err != nil {
		s.fail("wait", err)
	}
	if span != nil {
		end(span, err, position("dcb.after", after), position("dcb.head", head))
	}
	return head, err
}

// Stream implements [dcb.Streamer].
func (s *Store) Stream(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) iter.Seq2[dcb.SequencedEvent, error] {
	return func(yield func(dcb.SequencedEvent, error) bool) {
		start := time.Now()
		ctx, span := s.begin(ctx, "store.stream")
		var failure error
		first, events, uncounted := true, 0, 0
		// After the first event, the time depends on the consumer, too.
		answered := func() {
			if first {
				first = false
				s.readTime.Observe(time.Since(start).Seconds())
			}
		}
		defer func() {
			answered()
			s.eventsRead.Add(float64(uncounted))
			if failure == nil {
				s.reads.Inc()
			}
			s.fail("stream", failure)
			if span != nil {
				end(span, failure, append(boundsOf(q, opts), attribute.Int("dcb.events", events))...)
			}
		}()
		for event, err := range dcb.Stream(ctx, s.inner, q, opts) {
			answered()
			if failure = err; err == nil {
				events++
				uncounted++
			}
			if uncounted == countEvery {
				s.eventsRead.Add(countEvery)
				uncounted = 0
			}
			if !yield(event, err) {
				return
			}
		}
	}
}

// ObserveFollower implements wire.FollowerObserver: it counts the follower and records its
// position.
func (s *Store) ObserveFollower(after dcb.Position) (reached func(dcb.Position), done func()) {
	follower := s.followers.enter(after)
	return func(to dcb.Position) { follower.position.Store(uint64(to)) }, func() { s.followers.leave(follower) }
}
