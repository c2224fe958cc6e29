package serve

import (
	"net"
	"sync"
)

// cuttable is a listener whose connections can all be cut, whatever is going on with them. A server that stops hard waits even so for those who have
// connected and not finished, or begun, to say hello in TLS; nobody may hold up a stop like that.
type cuttable struct {
	net.Listener

	mu    sync.Mutex // guards what follows
	open  map[net.Conn]struct{}
	isCut bool
}

func newCuttable(l net.Listener) *cuttable {
	return &cuttable{Listener: l, open: make(map[net.Conn]struct{})}
}

// Accept returns the next connection. After a cut it is one that is closed.
func (c *cuttable) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isCut {
		_ = conn.Close() // whoever it is comes too late
	}
	c.open[conn] = struct{}{}
	return &cutConn{Conn: conn, listener: c}, nil
}

// cut closes all connections.
func (c *cuttable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.isCut = true
	for conn := range c.open {
		_ = conn.Close() // what was to be said on it is not
	}
}

// cutConn is a connection that its listener forgets when it is closed.
type cutConn struct {
	net.Conn
	listener *cuttable
}

// Close closes the connection.
func (c *cutConn) Close() error {
	c.listener.mu.Lock()
	delete(c.listener.open, c.Conn)
	c.listener.mu.Unlock()
	return c.Conn.Close()
}
