package wire

import (
	"log/slog"
	"net"
	"sync"
)

// Listen returns a listener with at most limit open connections. It closes a further connection
// as soon as it accepts it, so that the client gets an error instead of waiting, and logs a
// warning.
func Listen(listener net.Listener, limit int, log *slog.Logger) net.Listener {
	return &limitedListener{Listener: listener, limit: limit, log: log}
}

type limitedListener struct {
	net.Listener
	limit int
	log   *slog.Logger

	mu   sync.Mutex // guards open
	open int
}

// Accept returns the next connection within the limit.
func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.add() {
			return &countedConn{Conn: conn, remove: sync.OnceFunc(l.remove)}, nil
		}
		l.log.Warn("connection refused: the server is at its limit", "limit", l.limit, "remote", conn.RemoteAddr().String())
		_ = conn.Close()
	}
}

func (l *limitedListener) add() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open >= l.limit {
		return false
	}
	l.open++
	return true
}

func (l *limitedListener) remove() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
}

// countedConn is a connection that its listener counts until it is closed.
type countedConn struct {
	net.Conn
	remove func()
}

// Close closes the connection. A second Close does not count twice.
func (c *countedConn) Close() error {
	defer c.remove()
	return c.Conn.Close()
}
