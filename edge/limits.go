package edge

import (
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/dcbstore/dcb"
)

// Limits are what callers may ask of a server at most. The zero value of each field means its default.
type Limits struct {
	// MessageBytes is how large a request may be. Default: 80 MiB, enough for the largest append and query that the contract allows.
	MessageBytes int
	// Connections is how many there may be at once; more are closed at once. Default: 10,000.
	Connections int
	// Calls is how many calls one session, and how many streams one connection of gRPC or HTTP/2, may have under way at once, those that wait and follow
	// included. Default: 4,096.
	Calls int
	// QueryItems is how many items a query may have. Default: [dcb.MaxQueryItems].
	QueryItems int
	// CallTime is how long a call may take; those that wait and follow may go on for ever. Default: one minute.
	CallTime time.Duration
}

// WithDefaults returns l with its zero fields filled in, or an error naming the field that is out of its bounds.
func (l Limits) WithDefaults() (Limits, error) {
	for _, field := range []struct {
		name           string
		value          *int
		byDefault, top int
	}{
		{"MessageBytes", &l.MessageBytes, 80 << 20, 1 << 30},
		{"Connections", &l.Connections, 10_000, 1 << 20},
		{"Calls", &l.Calls, 4096, 1 << 20},
		{"QueryItems", &l.QueryItems, dcb.MaxQueryItems, dcb.MaxQueryItems},
	} {
		if *field.value == 0 {
			*field.value = field.byDefault
		}
		if *field.value < 1 || *field.value > field.top {
			return l, fmt.Errorf("edge: Limits.%s is %d; it is 1 to %d, or 0 for %d", field.name, *field.value, field.top, field.byDefault)
		}
	}
	if l.CallTime == 0 {
		l.CallTime = time.Minute
	}
	if l.CallTime < 0 {
		return l, fmt.Errorf("edge: Limits.CallTime is %v; it is positive, or 0 for a minute", l.CallTime)
	}
	return l, nil
}

// CheckQuery returns an error if q has more items than l allows: an [*dcb.InvalidError] that is not [dcb.ErrInvalidQuery], since
// the contract allows it.
func (l Limits) CheckQuery(q dcb.Query) error {
	if len(q) > l.QueryItems {
		return &dcb.InvalidError{
			Field: "query", Problem: fmt.Sprintf("has %d items; the limit of this server is %d", len(q), l.QueryItems), Limit: l.QueryItems,
		}
	}
	return nil
}

// Listen returns listener with at most limit connections at once. One more is closed as soon as it is accepted, so
// that its caller knows, and log is told.
func Listen(listener net.Listener, limit int, log *slog.Logger) net.Listener {
	return &limited{Listener: listener, limit: limit, log: log}
}

type limited struct {
	net.Listener
	limit int
	log   *slog.Logger

	mu   sync.Mutex // guards open
	open int
}

// Accept returns the next connection that is within the limit.
func (l *limited) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.take() {
			return &counted{Conn: conn, done: sync.OnceFunc(l.leave)}, nil
		}
		l.log.Warn("a connection is refused", "limit", l.limit, "remote", conn.RemoteAddr().String())
		_ = conn.Close()
	}
}

func (l *limited) take() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open >= l.limit {
		return false
	}
	l.open++
	return true
}

func (l *limited) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
}

// counted is a connection that leaves its listener's count when it is closed.
type counted struct {
	net.Conn
	done func()
}

// Close closes the connection.
func (c *counted) Close() error {
	defer c.done()
	return c.Conn.Close()
}
