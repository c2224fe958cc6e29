package serve

import (
	"net"
	"sync"
)

// cuttable is a listener that can close all its connections at once. Closing a server does not end its
// unfinished TLS handshakes, so a client that sends nothing would delay the stop.
type cuttable struct {
	net.Listener

	mu    sync.Mutex // guards what follows
	open  map[net.Conn]struct{}
	isCut bool
}

func newCuttable(l net.Listener) *cuttable {
	return &cuttable{Listener: l, open: make(map[net.Conn]struct{})}
}

// Accept returns the next connection. After cut, the connection is closed already.
func (c *cuttable) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isCut {
		_ = conn.Close()
	}
	c.open[conn] = struct{}{}
	return &cutConn{Conn: conn, listener: c}, nil
}

// cut closes all connections, and those that Accept returns later.
func (c *cuttable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.isCut = true
	for conn := range c.open {
		_ = conn.Close()
	}
}

// cutConn is a connection that its Close removes from its listener.
type cutConn struct {
	net.Conn
	listener *cuttable
}

// Close implements [net.Conn].
func (c *cutConn) Close() error {
	c.listener.mu.Lock()
	delete(c.listener.open, c.Conn)
	c.listener.mu.Unlock()
	return c.Conn.Close()
}
