package dcbnet

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/wire"
)

// clientConn is the client's side of a connection. One goroutine at a time reads responses and hands
// each to its call (client_read.go); another one sends pings.
type clientConn struct {
	address string
	conn    *messageConn
	queue   *sendQueue
	done    chan struct{}     // closed when the connection is lost
	forget  func(*clientConn) // called when it takes no more calls
	reading chan struct{}     // capacity 1; full while a goroutine reads, see client_read.go
	wake    chan struct{}     // capacity 1; receives when the read loop must read

	mu        sync.Mutex // guards what follows
	lastID    uint64
	calls     map[uint64]*clientCall // without a last response
	maxCalls  int
	maxBytes  int   // of a message to the server; 0: not known yet
	retired   bool  // takes no new calls
	isLeaving bool  // closes itself after the last call
	lost      error // why no more responses arrive; nil while they do
	goodbye   error // the server's reason for ending the connection
}

// clientCall is a call that waits for responses.
type clientCall struct {
	id    uint64
	ready chan struct{} // capacity 1; receives when there are responses or the connection is lost

	readsAlone bool // its caller is the reader until the next response

	responses []response // guarded by clientConn.mu
}

// newClientConn makes a connection, and returns when the server has sent its Welcome.
func newClientConn(address string, opts *ClientOptions, forget func(*clientConn)) (*clientConn, error) {
	network, err := connect(address, opts)
	if err != nil {
		return nil, err
	}
	c := &clientConn{
		address: address, conn: newMessageConn(network, opts.MessageBytes), done: make(chan struct{}),
		forget: forget, reading: make(chan struct{}, 1), wake: make(chan struct{}, 1),
		calls: make(map[uint64]*clientCall), maxCalls: 1,
	}
	c.reading <- struct{}{} // for the read loop
	c.queue = newSendQueue(c.conn.send, c.isAlone)
	c.queue.inBackground = true
	if err := c.hello(opts.Key); err != nil {
		_ = network.Close()
		return nil, err
	}
	go c.keepAlive(opts.keepalive)
	return c, nil
}

// connect makes a network connection, with TLS if the options have it.
func connect(address string, opts *ClientOptions) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), opts.connectTime)
	defer cancel()
	network, err := opts.Dial(ctx, address)
	if err != nil {
		return nil, unavailable(err)
	}
	limit := max(welcomeTime, opts.connectTime)
	if err := network.SetDeadline(time.Now().Add(limit)); err != nil { // cleared by hello
		_ = network.Close()
		return nil, unavailable(err)
	}
	if opts.TLS == nil {
		return network, nil
	}
	config := opts.TLS.Clone()
	config.NextProtos = []string{ALPN}
	if config.ServerName == "" {
		config.ServerName = hostOf(address)
	}
	secure := tls.Client(network, config)
	if err := secure.HandshakeContext(context.Background()); err != nil {
		_ = network.Close()
		return nil, tlsError(address, err)
	}
	if secure.ConnectionState().NegotiatedProtocol != ALPN {
		_ = network.Close()
		return nil, notOurs(address, &foreignError{})
	}
	return secure, nil
}

func hostOf(address string) string {
	if strings.HasPrefix(address, "unix:") {
		return "localhost"
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return host
}

// hello sends a Hello, and returns when the Welcome has arrived.
func (c *clientConn) hello(key string) error {
	call, err := c.start(context.Background(), &request{
		kind: helloRequest, hello: hello{version: protocolVersion, key: key},
	})
	if err != nil {
		return unavailable(err)
	}
	go c.readLoop()
	a, _, err := c.wait(context.Background(), nil, call)
	if err != nil {
		return err
	}
	if a.kind != welcomeResponse || a.welcome.maxRequests == 0 {
		return fmt.Errorf("dcbnet: the server at %s does not speak version %d of the protocol", c.address, protocolVersion)
	}
	maxBytes := int(min(a.welcome.maxMessageBytes, 1<<40))
	c.queue.setLimit(maxBytes)
	c.mu.Lock()
	c.maxCalls, c.maxBytes = int(min(a.welcome.maxRequests, 1<<30)), maxBytes
	c.mu.Unlock()
	_ = c.conn.SetDeadline(time.Time{}) // fails only on a connection that is lost, which the next call finds out
	return nil
}

// isAlone reports whether at most one call is under way.
func (c *clientConn) isAlone() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.calls) <= 1
}

// takesCalls reports whether a call can start now.
func (c *clientConn) takesCalls() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.retired && len(c.calls) < c.maxCalls
}

// isRetired reports whether the connection takes no calls any more.
func (c *clientConn) isRetired() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.retired
}

// start sends a request. An error, such as errBusy, means that nothing was sent.
func (c *clientConn) start(ctx context.Context, r *request) (*clientCall, error) {
	call := &clientCall{ready: make(chan struct{}, 1)}
	c.mu.Lock()
	if c.retired || len(c.calls) >= c.maxCalls {
		c.mu.Unlock()
		return nil, errBusy
	}
	c.lastID++
	call.id = c.lastID
	c.calls[call.id] = call
	limit := c.maxBytes
	c.mu.Unlock()

	r.id = call.id
	call.readsAlone = c.readAlone()
	err := errBusy
	if !c.isRetired() { // readAlone may have found out
		err = c.sendRequest(ctx, r, limit)
	}
	if err == nil {
		return call, nil
	}
	if call.readsAlone {
		defer c.stopReading() // after the call was removed
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.calls, call.id)
	switch {
	case errors.Is(err, dcb.ErrInvalid):
		return nil, err
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	c.retired = true
	return nil, errBusy
}

// sendRequest queues a request. One that is large gets a message of its own, which is encoded outside of
// the queue's lock.
func (c *clientConn) sendRequest(ctx context.Context, r *request, limit int) error {
	size := r.size()
	if size < messageBytes && (limit == 0 || size <= limit) {
		return c.queue.putBelow(ctx, queueBytes, r.append)
	}
	message := r.append(make([]byte, headerBytes, headerBytes+size))
	size = len(message) - headerBytes
	if limit > 0 && size > limit {
		return &dcb.InvalidError{
			Field: "call", Limit: limit,
			Problem: fmt.Sprintf("has an encoded size of %d bytes; the limit of the server is %d", size, limit),
		}
	}
	return c.queue.putMessage(ctx, message)
}

// wait returns the next response to a call, or the error that it consists of. IsLost reports that the
// connection was lost first, for the reason err. The call also ends with closed, and with ctx, which
// cancels it on the server.
func (c *clientConn) wait(ctx context.Context, closed <-chan struct{}, call *clientCall) (a response, isLost bool, err error) {
	for {
		a, ok, lost := c.take(call)
		switch {
		case ok && a.kind == errorResponse:
			return response{}, false, a.err.Err()
		case ok:
			return a, false, nil
		case lost != nil:
			// A server that is stopping has answered every call that it started.
			return response{}, !errors.Is(lost, wire.ErrStopping), lost
		}
		if call.readsAlone {
			call.readsAlone = false
			c.readUntil(ctx, call)
			c.stopReading()
			continue
		}
		select {
		case <-call.ready:
		case <-ctx.Done():
			c.giveUp(call)
			return response{}, false, ctx.Err()
		case <-closed:
			return response{}, false, dcb.ErrClosed
		}
	}
}

// take removes the oldest response of a call. A lost connection ends a call after its last response.
func (c *clientConn) take(call *clientCall) (a response, ok bool, lost error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(call.responses) > 0 {
		a = call.responses[0]
		call.responses[0] = response{}
		call.responses = call.responses[1:]
		return a, true, nil
	}
	return response{}, false, c.lost
}

// giveUp cancels a call on the server. Its id stays in use until the server has answered.
func (c *clientConn) giveUp(call *clientCall) {
	c.mu.Lock()
	_, isUnderWay := c.calls[call.id]
	c.mu.Unlock()
	if isUnderWay {
		_ = c.queue.put((&request{id: call.id, kind: cancelRequest}).append) // a lost connection cancels it, too
	}
}

// addCredit lets the server send more events.
func (c *clientConn) addCredit(call *clientCall, bytes int64) {
	_ = c.queue.put((&request{id: call.id, kind: creditRequest, credit: uint64(bytes)}).append)
}

// keepAlive sends a Ping on a silent connection, and closes a dead one.
func (c *clientConn) keepAlive(interval time.Duration) {
	ticker := time.NewTicker(interval / ticks)
	defer ticker.Stop()
	var idle idleCounter
	for {
		select {
		case <-c.done:
			return
		case <-ticker.C:
		}
		needsPing, isDead := idle.tick(c.conn)
		if isDead {
			_ = c.conn.Close() // the read loop finds out
			return
		}
		if needsPing {
			go func() { _ = c.queue.put((&request{kind: pingRequest}).append) }() // writing may block
		}
	}
}

// explain returns what the end of the connection means for the calls under way.
func (c *clientConn) explain(err error) error {
	c.mu.Lock()
	goodbye := c.goodbye
	c.mu.Unlock()
	if goodbye != nil {
		return goodbye
	}
	if foreign, ok := errors.AsType[*foreignError](err); ok {
		return notOurs(c.address, foreign)
	}
	if isAlert(err) {
		return tlsError(c.address, err) // TLS 1.3 refuses a client's certificate after the handshake
	}
	return unavailable(err)
}

// deliver hands a response to its call.
func (c *clientConn) deliver(a *response) {
	c.mu.Lock()
	call := c.calls[a.id]
	retires := false
	if a.id == 0 {
		switch a.kind {
		case goAwayResponse:
			retires = true
		case errorResponse:
			c.retired, c.goodbye = true, a.err.Err()
		default: // a Ping
		}
	}
	if call == nil {
		c.mu.Unlock()
		if retires {
			c.stopTaking()
		}
		return
	}
	if a.kind != eventsResponse || a.last {
		delete(c.calls, a.id)
	}
	call.responses = append(call.responses, *a)
	isDone := c.isLeaving && len(c.calls) == 0
	c.mu.Unlock()
	call.wake()
	if isDone {
		_ = c.conn.Close()
	}
}

// stopTaking makes the connection take no new calls. The calls under way continue.
func (c *clientConn) stopTaking() {
	c.mu.Lock()
	c.retired = true
	c.mu.Unlock()
	c.forget(c)
}

// retire makes the connection take no new calls, and close after the last one under way.
func (c *clientConn) retire() {
	c.stopTaking()
	c.mu.Lock()
	c.isLeaving = true
	isDone := len(c.calls) == 0
	c.mu.Unlock()
	if isDone {
		_ = c.conn.Close()
	}
}

func (call *clientCall) wake() {
	select {
	case call.ready <- struct{}{}:
	default: // it has not taken the previous wake-up yet
	}
}

// lose ends all calls: no more responses arrive.
func (c *clientConn) lose(err error) {
	c.mu.Lock()
	isFirst := c.lost == nil
	c.retired = true
	if isFirst {
		c.lost = err
		close(c.done)
	}
	calls := c.calls
	c.calls = make(map[uint64]*clientCall)
	c.mu.Unlock()
	c.queue.fail(err)
	_ = c.conn.Close()
	for _, call := range calls {
		call.wake()
	}
	c.forget(c)
}

// close ends the connection from this side.
func (c *clientConn) close() { c.lose(dcb.ErrClosed) }
