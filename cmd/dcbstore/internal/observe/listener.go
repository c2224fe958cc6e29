package observe

import (
	"net"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// Listener returns l with its connections counted for a protocol: dcbnet, umadb or http.
func (m *Metrics) Listener(protocol string, l net.Listener) net.Listener {
	return &listener{Listener: l, open: m.connections.WithLabelValues(protocol), accepted: m.accepted.WithLabelValues(protocol)}
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

// connection is counted until it is closed.
type connection struct {
	net.Conn
	closed func()
}

// Close closes the connection.
func (c *connection) Close() error {
	defer c.closed()
	return c.Conn.Close()
}
