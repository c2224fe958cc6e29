// Package observe makes a server observable: metrics for Prometheus, traces for OpenTelemetry,
// and a log line for each failed call.
//
// [Metrics] has the registry. [Metrics.Store] wraps a store and counts its calls (store.go) and
// the lag of its followers (followers.go). [Metrics.Disk] collects the metrics of a store in a
// directory (disk.go). [Calls] observes the calls of all protocols (calls.go, log.go).
// [Metrics.Listener] counts connections. [Traces] is in trace.go.
//
// Metrics, spans and log lines contain no data, type, tag or key, only counts, positions and
// names from fixed lists. So the number of series is bounded.
package observe

import (
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// buckets are the bounds of the histograms of durations, in seconds.
var buckets = []float64{50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}

// scrapeTimeout limits how long a scrape waits for the head of the store.
const scrapeTimeout = 2 * time.Second

// Build identifies the program.
type Build struct{ Version, Commit string }

// Metrics has the metrics of a server, in a registry of its own.
type Metrics struct {
	registry *prometheus.Registry

	connections *prometheus.GaugeVec
	accepted    *prometheus.CounterVec
	reloaded    prometheus.Gauge
	reloads     *prometheus.CounterVec
}

// New returns the metrics of the process and the build.
func New(build Build) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "dcb_build_info", Help: "The version of dcbstore; always 1.",
		ConstLabels: prometheus.Labels{"version": build.Version, "commit": build.Commit, "goversion": runtime.Version()},
	})
	info.Set(1)
	m.connections = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "dcb_connections", Help: "Open connections.",
	}, []string{"wire"})
	m.accepted = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "dcb_connections_accepted_total", Help: "Accepted connections, including those beyond the limit.",
	}, []string{"wire"})
	m.reloaded = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "dcb_config_last_reload_successful", Help: "1 if the last reload of keys and certificates succeeded, 0 if it failed and the old ones are in use.",
	})
	m.reloaded.Set(1)
	m.reloads = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "dcb_config_reloads_total", Help: "Reloads of keys and certificates, by result.",
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
		ErrorHandling:       promhttp.ContinueOnError, // answer with the metrics that succeeded
		MaxRequestsInFlight: 4,                        // a scrape calls the store
		Timeout:             10 * time.Second,
	})
}

// Gatherer returns the metrics of a scrape.
func (m *Metrics) Gatherer() prometheus.Gatherer { return m.registry }

// Reloaded counts a reload of keys and certificates.
func (m *Metrics) Reloaded(err error) {
	if err != nil {
		m.reloaded.Set(0)
		m.reloads.WithLabelValues("error").Inc()
		return
	}
	m.reloaded.Set(1)
	m.reloads.WithLabelValues("ok").Inc()
}

// Certificate adds the expiry of the certificate. It calls expires at each scrape.
func (m *Metrics) Certificate(expires func() time.Time) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "dcb_tls_certificate_expiry_timestamp_seconds", Help: "Expiry of the server's certificate, in seconds since 1970.",
	}, func() float64 { return float64(expires().Unix()) }))
}
