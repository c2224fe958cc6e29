package dcbnet

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dcbstore/dcb"
)

// ClientOptions are the options of [Dial]. Nil and the zero value mean the defaults.
type ClientOptions struct {
	// Key is sent when a connection begins. Default: none.
	Key string
	// TLS encrypts connections. Its NextProtos are set to [ALPN], and its ServerName, if it is
	// empty, to the host. Default nil: no encryption.
	TLS *tls.Config
	// RetryFor is how long a call is repeated after the first failure to reach a server. Default 30
	// s.
	RetryFor time.Duration
	// MessageBytes is the maximum size of a message from the server. Default 128 MiB.
	MessageBytes int
	// Dial makes a connection. Default: TCP, or a UNIX socket for an address unix:PATH.
	Dial func(ctx context.Context, address string) (net.Conn, error)
	// Traceparent returns the trace (W3C trace context) of a call from its context. Default nil:
	// none.
	Traceparent func(ctx context.Context) string

	connectTime time.Duration // 0: the constant; longer in tests on loaded machines
	keepalive   time.Duration // 0: the constant; shorter in tests
}

const (
	// connectTime bounds the time for making a network connection.
	connectTime = 5 * time.Second
	// welcomeTime bounds the time from the network connection to the server's Welcome, with the TLS
	// handshake.
	welcomeTime = 20 * time.Second
)

func (o *ClientOptions) withDefaults() (ClientOptions, error) {
	var opts ClientOptions
	if o != nil {
		opts = *o
	}
	if opts.RetryFor < 0 {
		return opts, fmt.Errorf("dcbnet: ClientOptions.RetryFor is %v; it must be positive, or 0 for 30 s", opts.RetryFor)
	}
	if opts.RetryFor == 0 {
		opts.RetryFor = 30 * time.Second
	}
	if opts.MessageBytes < 0 {
		return opts, fmt.Errorf("dcbnet: ClientOptions.MessageBytes is %d; it must be positive, or 0 for 128 MiB", opts.MessageBytes)
	}
	if opts.MessageBytes == 0 {
		opts.MessageBytes = 128 << 20
	}
	if opts.Dial == nil {
		opts.Dial = dial
	}
	if opts.connectTime == 0 {
		opts.connectTime = connectTime
	}
	if opts.keepalive == 0 {
		opts.keepalive = keepalive
	}
	return opts, nil
}

func dial(ctx context.Context, address string) (net.Conn, error) {
	var dialer net.Dialer
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return dialer.DialContext(ctx, "unix", path)
	}
	return dialer.DialContext(ctx, "tcp", address)
}

// Client is a store on a server. Its methods may be called by many goroutines at once. They share
// one connection; the client makes a further one while all are full.
//
// After a lost connection the client makes a new one, to the next of its servers if there are
// several. It repeats reads, and appends whose events all have IDs. An append without IDs that
// may have been recorded ends with a [*dcb.UnavailableError] that has OutcomeUnknown. Calls may
// also end with auth.ErrKey or auth.ErrPermission.
type Client struct {
	addresses []string
	opts      ClientOptions
	closed    chan struct{} // closed by Close

	mu       sync.Mutex    // guards what follows
	conns    []*clientConn // that take calls, oldest first
	opening  *opening      // the connection that is being made; nil: none
	next     int           // index of the address for the next connection
	isClosed bool
}

// opening is a connection that is being made. Several calls may wait for it.
type opening struct {
	done chan struct{} // closed when conn and err are set
	conn *clientConn
	err  error
}

var (
	_ dcb.Store    = (*Client)(nil)
	_ dcb.Streamer = (*Client)(nil)
	_ dcb.Follower = (*Client)(nil)
)

// Dial connects to a server. The address is host:port or unix:PATH; several addresses are
// separated by commas, and the first server that can be reached is used. Dial tries each once,
// until ctx ends; later calls retry. Errors: [dcb.ErrUnavailable], auth.ErrKey, or an option that
// is out of bounds.
func Dial(ctx context.Context, address string, options *ClientOptions) (*Client, error) {
	opts, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	addresses := strings.Split(address, ",")
	if slices.Contains(addresses, "") {
		return nil, fmt.Errorf("dcbnet: dial: %q contains an empty address", address)
	}
	c := &Client{addresses: addresses, opts: opts, closed: make(chan struct{})}
	if _, err := c.connection(ctx); err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("dcbnet: dial %s: %w", address, err)
	}
	return c, nil
}

// Close ends the connections. Calls under way end with [dcb.ErrClosed]; whether an append among
// them was recorded is then unknown. A second Close returns nil.
func (c *Client) Close() error {
	c.mu.Lock()
	if c.isClosed {
		c.mu.Unlock()
		return nil
	}
	c.isClosed = true
	close(c.closed)
	conns := c.conns
	c.conns = nil
	c.mu.Unlock()
	for _, conn := range conns {
		conn.close()
	}
	return nil
}

// connection returns a connection that takes a call. It makes one if there is none.
func (c *Client) connection(ctx context.Context) (*clientConn, error) {
	for {
		conn, opening, err := c.find()
		if conn != nil || err != nil {
			return conn, err
		}
		// The server may refuse a further connection. Then a place in an open one becomes free sooner
		// or later.
		again := time.NewTimer(busyPause)
		select {
		case <-opening.done:
			again.Stop()
			return opening.conn, opening.err
		case <-ctx.Done():
			again.Stop()
			return nil, ctx.Err()
		case <-c.closed:
			again.Stop()
			return nil, dcb.ErrClosed
		case <-again.C:
		}
	}
}

// busyPause is how long a call waits for a new connection before it checks the open ones again.
const busyPause = 20 * time.Millisecond

// find returns a connection that takes a call, or the opening of a new one.
func (c *Client) find() (*clientConn, *opening, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isClosed {
		return nil, nil, dcb.ErrClosed
	}
	for _, conn := range c.conns {
		if conn.takesCalls() {
			return conn, nil, nil
		}
	}
	if c.opening == nil {
		c.opening = &opening{done: make(chan struct{})}
		go c.open(c.opening)
	}
	return nil, c.opening, nil
}

// open makes a connection to the first server that can be reached. No caller's context bounds it,
// because other calls wait for it, too.
func (c *Client) open(o *opening) {
	for range c.addresses {
		address := c.address()
		o.conn, o.err = newClientConn(address, &c.opts, c.forget)
		if !dcb.Retryable(o.err) {
			break
		}
		c.skip(address)
	}
	if dcb.Retryable(o.err) {
		o.err = &notSentError{o.err}
	}
	c.mu.Lock()
	isLate := o.err == nil && c.isClosed
	c.opening = nil
	if o.err == nil && !isLate && !o.conn.isRetired() {
		c.conns = append(c.conns, o.conn)
	}
	c.mu.Unlock()
	if isLate {
		o.conn.close()
		o.conn, o.err = nil, dcb.ErrClosed
	}
	close(o.done)
}

// address returns the address for the next connection.
func (c *Client) address() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.addresses[c.next]
}

// skip makes the next connection go to the server after the one at address.
func (c *Client) skip(address string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.addresses[c.next] == address {
		c.next = (c.next + 1) % len(c.addresses)
	}
}

// forget removes a connection that takes no more calls. The next one goes to the next server.
func (c *Client) forget(gone *clientConn) {
	c.skip(gone.address)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conns = slices.DeleteFunc(c.conns, func(conn *clientConn) bool { return conn == gone })
}

// canSwitch reports whether a call that ended with err on conn is worth repeating on another
// server. It retires conn in that case.
func (c *Client) canSwitch(conn *clientConn, err error) bool {
	if len(c.addresses) == 1 || !dcb.Retryable(err) {
		return false
	}
	unavailable, ok := errors.AsType[*dcb.UnavailableError](err)
	if ok && unavailable.OutcomeUnknown {
		return false
	}
	conn.retire()
	return true
}

// start sends a request on a connection that takes it.
func (c *Client) start(ctx context.Context, r *request) (*clientConn, *clientCall, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	if c.opts.Traceparent != nil {
		r.traceparent = c.opts.Traceparent(ctx)
	}
	for range 3 {
		conn, err := c.connection(ctx)
		if err != nil {
			return nil, nil, err
		}
		call, err := conn.start(ctx, r)
		if err == nil {
			return conn, call, nil
		}
		if !errors.Is(err, errBusy) {
			return nil, nil, err
		}
	}
	// Other calls were quicker each time, or connections end as soon as they begin.
	return nil, nil, &notSentError{unavailable(errBusy)}
}
