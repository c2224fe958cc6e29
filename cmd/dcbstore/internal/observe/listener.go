package observe

import (
	"net"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// Listener returns l with its connections counted as those of a wire, which is grpc or http.
func (m *Metrics) Listener(wire string, l net.Listener) net.Listener {
	return &listener{Listener: l, open: m.connections.WithLabelValues(wire), accepted: m.accepted.WithLabelValues(wire)}
}

type listener struct {
	net.Listener
	open     prometheus.Gauge
	accepted prometheus.Counter
}

// Accept returns the next connection.
func (l *listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.accepted.Inc()
	l.open.Inc()
	return &connection{Conn: conn, closed: sync.OnceFunc(l.open.Dec)}, nil
}

// connection leaves the count when it is closed, once.
type connection struct {
	net.Conn
	closed func()
}

// Close closes the connection.
func (c *connection) Close() error {
	defer c.closed()
	return c.Conn.Close()
}
