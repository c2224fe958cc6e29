// Package observe is how a server is seen from outside: metrics for Prometheus, traces for OpenTelemetry, and a line in the log for each
// call that failed.
//
// [Metrics] has the registry. [Metrics.Store] wraps a store and counts what it does (store.go), also how far behind its
// followers are (followers.go); [Metrics.Disk] looks at a store in a directory (disk.go); [Calls] is told by the wires of each call
// (calls.go, log.go); [Metrics.Listener] counts connections. [Traces] is in trace.go.
//
// No event's data, no type, tag or key is ever in a metric, a span or a line: only counts, positions, and names out of fixed lists. That is
// also why the number of series is bounded.
package observe

import (
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// buckets are the bounds of what a call or an append takes, in seconds: from a decision in memory to what no user waits for.
var buckets = []float64{50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}

// scrapeTimeout is how long a scrape waits for the store to say its head.
const scrapeTimeout = 2 * time.Second

// Build says which dcb this is.
type Build struct{ Version, Commit string }

// Metrics are what Prometheus is told. They have a registry of their own.
type Metrics struct {
	registry *prometheus.Registry

	connections *prometheus.GaugeVec
	accepted    *prometheus.CounterVec
	reloaded    prometheus.Gauge
	reloads     *prometheus.CounterVec
}

// New returns metrics, of the process and of the build so far.
func New(build Build) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "dcb_build_info", Help: "Which dcb this is; always 1.",
		ConstLabels: prometheus.Labels{"version": build.Version, "commit": build.Commit, "goversion": runtime.Version()},
	})
	info.Set(1)
	m.connections = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "dcb_connections", Help: "Connections that are open.",
	}, []string{"wire"})
	m.accepted = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "dcb_connections_accepted_total", Help: "Connections that were accepted, those beyond the limit too.",
	}, []string{"wire"})
	m.reloaded = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "dcb_config_last_reload_successful", Help: "Whether the keys and certificates that were read last are the ones in use: 1, or 0 if they were wrong and the old ones are.",
	})
	m.reloaded.Set(1)
	m.reloads = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "dcb_config_reloads_total", Help: "Times that keys and certificates were read again.",
	}, []string{"result"})
	m.reloads.WithLabelValues("ok")
	m.reloads.WithLabelValues("error")
	m.registry.MustRegister(info, m.connections, m.accepted, m.reloaded, m.reloads,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Handler answers a scrape.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorHandling:       promhttp.ContinueOnError, // what can be told is told
		MaxRequestsInFlight: 4,                        // a scrape asks the store
		Timeout:             10 * time.Second,
	})
}

// Gatherer gives what a scrape would give.
func (m *Metrics) Gatherer() prometheus.Gatherer { return m.registry }

// Reloaded counts one reading of keys and certificates.
func (m *Metrics) Reloaded(err error) {
	if err != nil {
		m.reloaded.Set(0)
		m.reloads.WithLabelValues("error").Inc()
		return
	}
	m.reloaded.Set(1)
	m.reloads.WithLabelValues("ok").Inc()
}

// Certificate tells until when the certificate in use is good, which expires says at each scrape.
func (m *Metrics) Certificate(expires func() time.Time) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "dcb_tls_certificate_expiry_timestamp_seconds", Help: "When the server's certificate expires, in seconds since 1970.",
	}, func() float64 { return float64(expires().Unix()) }))
}
