package dcbnet

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/auth"
	"github.com/dcbstore/dcb/internal/wire"
)

// serverConn is the server's side of a connection.
//
// One goroutine runs run, and one at a time reads requests (readLoop). A call runs in its own
// goroutine, or in the reading one if it is alone, and queues its response itself. A call that
// takes longer than handOffAfter in the reading goroutine hands the read loop to a new goroutine.
type serverConn struct {
	server  *Server
	network net.Conn // below TLS
	cancel  context.CancelFunc
	conn    *messageConn
	queue   *sendQueue

	isGreeted bool // the Hello has arrived; guarded by server.mu

	handOff func() // runs the read loop in place of a goroutine that is busy with a call

	// State of the read loop, which one goroutine at a time runs.
	hasHello bool
	secret   string // the client's key

	permissions atomic.Uint32

	mu       sync.Mutex // guards what follows
	key      string     // the name of the client's key
	calls    map[uint64]*serverCall
	stopping bool
	working  sync.WaitGroup // calls that use the store; added to only while not stopping
	all      sync.WaitGroup // calls without a queued response; added to only while not stopping
}

// serverCall is a call under way.
type serverCall struct {
	cancel    context.CancelFunc
	credit    *credit // of a call that sends events
	isEndless bool
}

// handOffAfter is the time that the reading goroutine spends on a call before another takes over
// the read loop. Nearly all appends take less.
const handOffAfter = time.Millisecond

// errHandedOff: another goroutine runs the read loop now.
var errHandedOff = errors.New("dcbnet: the read loop was handed off")

func newServerConn(s *Server, network net.Conn, cancel context.CancelFunc) *serverConn {
	c := &serverConn{server: s, network: network, cancel: cancel, calls: make(map[uint64]*serverCall)}
	conn := network
	if s.opts.TLS != nil {
		conn = tls.Server(network, s.opts.TLS)
	}
	c.conn = newMessageConn(conn, messageBytes)
	c.queue = newSendQueue(c.conn.send, c.isIdle)
	return c
}

// serve serves the connection until it ends, and closes it.
func (c *serverConn) serve(ctx context.Context) {
	defer c.network.Close()
	if c.network.SetDeadline(time.Now().Add(helloTime)) != nil { // cleared by greet
		return
	}
	if err := c.handshake(ctx); err != nil {
		c.refuseHandshake(err)
		return
	}
	err := c.run(ctx)
	if err == nil {
		err = wire.ErrStopping // or the client has closed the connection, and does not read this
	}
	c.sayGoodbye(err)
}

// handshake makes the TLS handshake, if there is TLS.
func (c *serverConn) handshake(ctx context.Context) error {
	if secure, ok := c.conn.Conn.(*tls.Conn); ok {
		return secure.HandshakeContext(ctx)
	}
	return nil
}

// refuseHandshake ends a connection whose TLS handshake failed. Package tls has sent an alert
// already. A client without TLS cannot read an alert, but it can read a response without TLS.
func (c *serverConn) refuseHandshake(err error) {
	c.server.opts.Log.Warn("TLS handshake failed", "remote", c.network.RemoteAddr().String(), "cause", err.Error())
	c.conn.Conn = c.network
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		c.sayGoodbye(invalid("connection", "is not encrypted; this port expects TLS"))
		return
	}
	c.conn.closeGently(c.server.opts.closeTime)
}

// sayGoodbye sends the reason that the connection ends as its last response, and closes it.
func (c *serverConn) sayGoodbye(reason error) {
	if c.conn.SetDeadline(time.Now().Add(c.server.opts.closeTime)) != nil {
		return
	}
	message := buffers.get()
	*message = (&response{kind: errorResponse, err: wire.Describe(reason)}).append(*message)
	if c.conn.send(message) == nil {
		c.conn.closeGently(c.server.opts.closeTime)
	}
}

// run returns nil when the server is stopping and every call is answered, and otherwise the
// reason that the connection ends.
func (c *serverConn) run(ctx context.Context) error {
	// The context of the calls. The queue fails before it ends, so that no call sends what it ends
	// with.
	calls, cancel := context.WithCancel(ctx)
	defer func() {
		c.queue.fail(context.Canceled)
		cancel()
		c.refuseCalls()
		c.working.Wait()
	}()

	greeted := make(chan struct{})
	ended := make(chan error, 2)
	closeOnHello := greeted // greeted is set to nil below
	c.handOff = func() { c.readLoop(calls, closeOnHello, ended) }
	go c.readLoop(calls, closeOnHello, ended)

	stopping, changed := c.server.stopping, c.server.opts.Keys.Changed()
	ticker := time.NewTicker(c.server.opts.keepalive / ticks)
	defer ticker.Stop()
	var idle idleCounter
	for {
		select {
		case err := <-ended:
			return err
		case <-greeted:
			greeted = nil
			if err := c.checkKey(); err != nil { // the keys may have changed since the Hello
				return err
			}
		case <-changed:
			changed = c.server.opts.Keys.Changed() // before the check, so that no change is missed
			if greeted == nil {
				if err := c.checkKey(); err != nil {
					return err
				}
			}
		case <-ticker.C:
			if greeted != nil {
				continue // the deadline of the Hello ends the connection
			}
			needsPing, isDead := idle.tick(c.conn)
			if isDead {
				return fmt.Errorf("%w: nothing arrived for %v", wire.ErrLimit, 2*c.server.opts.keepalive)
			}
			if needsPing {
				go func() { _ = c.queue.put((&response{kind: pingResponse}).append) }() // writing may block
			}
		case <-stopping:
			stopping = nil
			go func() {
				c.respond(&response{kind: goAwayResponse})
				ended <- c.finish(ctx)
			}()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// readLoop reads requests until the connection ends, or until a call takes long and another
// goroutine takes over.
func (c *serverConn) readLoop(ctx context.Context, greeted chan<- struct{}, ended chan<- error) {
	err := c.read(ctx, greeted)
	if !errors.Is(err, errHandedOff) {
		ended <- err
	}
}

func (c *serverConn) read(ctx context.Context, greeted chan<- struct{}) error {
	var requests []*request
	for {
		if !c.hasHello {
			if err := c.conn.checkFirst(); err != nil {
				return c.explainFirst(err)
			}
		}
		message, err := c.conn.receive()
		if err != nil {
			return malformed(err)
		}
		requests = requests[:0]
		err = readRequests(message, func(r *request) error {
			requests = append(requests, r)
			return nil
		})
		if err != nil {
			return malformed(err)
		}
		if !c.hasHello && len(requests) > 0 {
			c.hasHello = true
			if err := c.greet(requests[0]); err != nil {
				c.server.opts.Observe(ctx, Call{Protocol: protocol, Method: "Hello", Err: err})
				return err
			}
			close(greeted)
			requests = requests[1:]
		}
		alone := len(requests) == 1 && c.isIdle() && !c.conn.hasBuffered()
		for _, r := range requests {
			if err := c.start(ctx, r, alone); err != nil {
				return err
			}
		}
		clear(requests)
	}
}

// explainFirst returns the reason for a connection without a first message.
func (c *serverConn) explainFirst(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("%w: no Hello within %v", wire.ErrLimit, helloTime)
	}
	if foreign, ok := errors.AsType[*foreignError](err); ok {
		c.server.opts.Log.Warn("connection refused: wrong protocol",
			"remote", c.network.RemoteAddr().String(), "protocol", foreign.protocol)
	}
	return malformed(err)
}

// greet answers the first request of a connection.
func (c *serverConn) greet(r *request) error {
	switch {
	case r.kind != helloRequest:
		return invalid("call", "is not a Hello; the first request must be one")
	case r.hello.version != protocolVersion:
		return invalid("version", fmt.Sprintf("is %d; this server speaks version %d", r.hello.version, protocolVersion))
	case r.hello.store != "":
		return invalid("store", "is set; this server has one store, without a name")
	}
	c.secret = strings.Clone(r.hello.key)
	if err := c.checkKey(); err != nil {
		return err
	}
	if !c.server.greet(c) {
		return wire.ErrStopping
	}
	if err := c.network.SetDeadline(time.Time{}); err != nil {
		return err
	}
	limits := c.server.opts.Limits
	c.conn.setLimit(limits.MessageBytes)
	c.respond(&response{id: r.id, kind: welcomeResponse, welcome: welcome{uint64(limits.Calls), uint64(limits.MessageBytes)}})
	return nil
}

// checkKey looks up the permissions of the client's key. It ends Waits and subscriptions if the
// key has lost the permission to read.
func (c *serverConn) checkKey() error {
	name, permissions, err := c.server.opts.Keys.Find(c.secret)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.key = name
	c.mu.Unlock()
	before := auth.Permission(c.permissions.Swap(uint32(permissions)))
	if before&auth.Read != 0 && permissions&auth.Read == 0 {
		c.cancelEndless()
	}
	return nil
}

// start starts the call of a request. An error ends the connection. A call that is alone runs in
// this goroutine, which saves a hand-over; if it takes long, another goroutine takes over the
// read loop, and the error is errHandedOff.
func (c *serverConn) start(ctx context.Context, r *request, alone bool) error {
	switch r.kind {
	case appendRequest, readRequest, headRequest, waitRequest, subscribeRequest:
	case cancelRequest, creditRequest:
		c.adjust(r)
		return nil
	case pingRequest:
		return nil
	case helloRequest:
		return invalid("call", "is a second Hello; a connection has one")
	default:
		c.fail(r.id, invalid("call", "is unknown to this server"))
		return nil
	}
	call := &serverCall{isEndless: r.isEndless()}
	if call.isEndless {
		r.detach()
	}
	if r.kind == readRequest || r.kind == subscribeRequest {
		call.credit = newCredit(r.credit)
	}
	if call.isEndless {
		ctx, call.cancel = context.WithCancel(ctx)
	} else {
		ctx, call.cancel = context.WithTimeout(ctx, c.server.opts.Limits.CallTime)
	}
	err := c.add(r.id, call)
	if err != nil {
		call.cancel()
		if errors.Is(err, dcb.ErrInvalid) {
			return err
		}
		c.fail(r.id, err)
		return nil
	}
	if !alone || call.isEndless {
		go c.serveCall(ctx, r, call)
		return nil
	}
	// Each call has its own timer: the goroutine that takes over may be busy with another call by
	// the time that this one ends.
	busy := time.AfterFunc(handOffAfter, c.handOff)
	c.serveCall(ctx, r, call)
	if !busy.Stop() {
		return errHandedOff
	}
	return nil
}

// add adds a call. ErrInvalid reports a violation of the protocol, other errors answer the call.
func (c *serverConn) add(id uint64, call *serverCall) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.stopping:
		return wire.ErrStopping
	case c.calls[id] != nil:
		return invalid("id", fmt.Sprintf("is %d, like another request under way", id))
	case len(c.calls) >= c.server.opts.Limits.Calls:
		return fmt.Errorf("%w: %d calls are under way on this connection", wire.ErrLimit, len(c.calls))
	}
	c.calls[id] = call
	c.all.Add(1)
	c.working.Add(1)
	return nil
}

// isIdle reports whether no call is under way.
func (c *serverConn) isIdle() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.calls) == 0
}

func (c *serverConn) remove(id uint64, call *serverCall) {
	call.cancel()
	c.mu.Lock()
	delete(c.calls, id)
	c.mu.Unlock()
}

// adjust carries out a Cancel or a Credit. It ignores them if the call has been answered.
func (c *serverConn) adjust(r *request) {
	c.mu.Lock()
	call := c.calls[r.id]
	c.mu.Unlock()
	switch {
	case call == nil:
	case r.kind == cancelRequest:
		call.cancel()
	case call.credit != nil:
		call.credit.add(r.credit)
	}
}

// protocol is the name of the protocol in reports of calls.
const protocol = "dcbnet"

// serveCall runs a call, queues its response and reports it.
func (c *serverConn) serveCall(ctx context.Context, r *request, call *serverCall) {
	defer c.all.Done()
	began := time.Now()
	if add := c.server.opts.Traceparent; add != nil && r.traceparent != "" {
		ctx = add(ctx, r.traceparent)
	}
	a, err := c.runCall(ctx, r, call)
	c.working.Done()
	if err != nil {
		err = c.explain(ctx, r, err)
	}
	duration := time.Since(began)
	if err != nil {
		a = response{id: r.id, kind: errorResponse, err: wire.Describe(err)}
	}
	c.complete(call, &a)
	c.server.opts.Observe(ctx, Call{Protocol: protocol, Method: r.method(), Key: c.keyName(), Duration: duration, Err: err})
}

func (c *serverConn) runCall(ctx context.Context, r *request, call *serverCall) (response, error) {
	needed := auth.Read
	if r.kind == appendRequest {
		needed = auth.Append
	}
	if auth.Permission(c.permissions.Load())&needed == 0 {
		return response{}, auth.ErrPermission
	}
	store := c.server.store
	a := response{id: r.id, kind: positionResponse}
	var err error
	switch r.kind {
	case appendRequest:
		if r.condition != nil {
			err = c.server.opts.Limits.CheckQuery(r.condition.FailIfEventsMatch)
		}
		if err == nil {
			a.position, err = store.Append(ctx, r.events, r.condition)
		}
	case headRequest:
		a.position, err = store.Head(ctx)
	case waitRequest:
		a.position, err = store.Wait(ctx, r.opts.After)
	case readRequest:
		return c.readEvents(ctx, r, call.credit)
	case subscribeRequest:
		return a, c.subscribe(ctx, r, call.credit)
	default:
		panic("dcbnet: a call that start does not accept")
	}
	return a, err
}

// explain returns the error that a client gets for a call that ended with err. It replaces a
// context error if the server, and not the client, ended the call.
func (c *serverConn) explain(ctx context.Context, r *request, err error) error {
	c.mu.Lock()
	stopping := c.stopping
	c.mu.Unlock()
	switch {
	case ctx.Err() == nil:
		return err
	case errors.Is(err, context.DeadlineExceeded) && r.kind == appendRequest:
		return outcomeUnknown(fmt.Errorf("the append took longer than the server's limit of %v", c.server.opts.Limits.CallTime))
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: the call took longer than %v", wire.ErrLimit, c.server.opts.Limits.CallTime)
	case errors.Is(err, context.Canceled) && r.isEndless() && auth.Permission(c.permissions.Load())&auth.Read == 0:
		return auth.ErrPermission
	case errors.Is(err, context.Canceled) && r.isEndless() && stopping:
		return wire.ErrStopping
	}
	return err
}

func (c *serverConn) keyName() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.key
}

// complete queues the response of a call. The call counts as under way until then, so a client
// that does not read its responses cannot start new calls without end.
func (c *serverConn) complete(call *serverCall, a *response) {
	limit := 2 * queueBytes
	if a.kind == eventsResponse {
		limit = queueBytes
	}
	err := c.queue.putBelow(context.Background(), limit, func(b []byte) []byte {
		c.remove(a.id, call) // first: a client that has the response may use the id again
		return a.append(b)
	})
	if err != nil { // the connection is lost, and run returns
		c.remove(a.id, call)
	}
}

// respond queues a response that ends no call.
func (c *serverConn) respond(a *response) {
	_ = c.queue.putBelow(context.Background(), 2*queueBytes, a.append) // an error as in complete
}

func (c *serverConn) fail(id uint64, err error) {
	c.respond(&response{id: id, kind: errorResponse, err: wire.Describe(err)})
}

// refuseCalls makes add refuse further calls.
func (c *serverConn) refuseCalls() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopping = true
}

func (c *serverConn) cancelEndless() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, call := range c.calls {
		if call.isEndless {
			call.cancel()
		}
	}
}

// finish ends the connection in order: it refuses new calls, ends Waits and subscriptions, and
// returns when all calls are answered.
func (c *serverConn) finish(ctx context.Context) error {
	c.refuseCalls()
	c.cancelEndless()
	c.all.Wait()
	return c.queue.drain(ctx)
}
