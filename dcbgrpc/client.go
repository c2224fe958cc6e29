package dcbgrpc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/proto/dcbv1"
)

// ClientOptions say how a client reaches its server. Nil and the zero value mean the defaults.
type ClientOptions struct {
	// Key is what the client shows. Default: none.
	Key string
	// TLS is how the connection is encrypted. Default nil: not at all.
	TLS *tls.Config
	// RetryFor is how long a call goes on trying to reach the server, since it could not for the first time. Default: 30 s.
	RetryFor time.Duration
	// Keepalive is after how much silence a call under way asks the connection for a sign of life, and how long that may take. Default: 20 s;
	// servers may not like less than 10 s.
	Keepalive time.Duration
	// MessageBytes is how large an answer may be. Default: 128 MiB.
	MessageBytes int
	// Dial makes a connection. Default: TCP.
	Dial func(ctx context.Context, address string) (net.Conn, error)
	// OverGRPC has sessions go over gRPC also where the server offers them without, as it does where there is no TLS: for what is in between and
	// knows nothing else. Only of [Dial]. Default: not.
	OverGRPC bool
	// Traceparent returns the trace that a call belongs to, as the W3C writes it, from the call's context. Default nil: none.
	Traceparent func(ctx context.Context) string

	connectTime time.Duration // 0: the constant; longer for tests that are not let run for a while
}

// connectTime is how long a connection may take to be made, and then a server to say that it knows bare sessions.
const connectTime = 5 * time.Second

func (o *ClientOptions) withDefaults() (ClientOptions, error) {
	var opts ClientOptions
	if o != nil {
		opts = *o
	}
	for _, field := range []struct {
		name      string
		value     *time.Duration
		byDefault time.Duration
	}{{"RetryFor", &opts.RetryFor, 30 * time.Second}, {"Keepalive", &opts.Keepalive, 20 * time.Second}} {
		if *field.value < 0 {
			return opts, fmt.Errorf("dcbgrpc: ClientOptions.%s is %v; it is positive, or 0 for %v", field.name, *field.value, field.byDefault)
		}
		if *field.value == 0 {
			*field.value = field.byDefault
		}
	}
	if opts.MessageBytes < 0 {
		return opts, fmt.Errorf("dcbgrpc: ClientOptions.MessageBytes is %d; it is positive, or 0 for 128 MiB", opts.MessageBytes)
	}
	if opts.MessageBytes == 0 {
		opts.MessageBytes = 128 << 20
	}
	if opts.connectTime == 0 {
		opts.connectTime = connectTime
	}
	return opts, nil
}

// connect prepares a connection; it is made when it is needed, and again when it is lost.
func connect(address string, opts *ClientOptions) (*grpc.ClientConn, error) {
	secured := insecure.NewCredentials()
	if opts.TLS != nil {
		secured = credentials.NewTLS(opts.TLS)
	}
	dialing := []grpc.DialOption{
		grpc.WithTransportCredentials(secured),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(codec{}), grpc.MaxCallRecvMsgSize(opts.MessageBytes), grpc.MaxCallSendMsgSize(1<<30)),
		grpc.WithInitialWindowSize(streamWindow),
		grpc.WithInitialConnWindowSize(connectionWindow),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: opts.Keepalive, Timeout: opts.Keepalive}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: opts.connectTime,
		}),
		grpc.WithDisableServiceConfig(),
	}
	target := "passthrough:///" + address
	if opts.Dial != nil {
		dialing = append(dialing, grpc.WithContextDialer(opts.Dial))
	} else {
		target = "dns:///" + address
	}
	conn, err := grpc.NewClient(target, dialing...)
	if err != nil {
		return nil, fmt.Errorf("dcbgrpc: %q is no address of a server: %w", address, err)
	}
	return conn, nil
}

// Client is a store that a server keeps. It speaks dcb's own protocol, over one connection that all calls share, and makes a new one when it is
// lost: what only looks is asked again, and so is an append whose events all have IDs. An append without IDs that may have
// been recorded ends with a [*dcb.UnavailableError] that has OutcomeUnknown.
//
// Besides the errors of [dcb.Store] a call may end with auth.ErrKey or auth.ErrPermission.
type Client struct {
	address string
	opts    ClientOptions
	conn    *grpc.ClientConn // what is not bare goes by it
	rpc     dcbv1.StoreClient

	closed chan struct{} // by Close

	mu      sync.Mutex // guards what follows
	links   []*link    // with the server, oldest first; another is made when all are busy
	opening *opening   // the link that is being made; nil: none
	isShut  bool
}

// opening is a link that is being made, which several calls wait for.
type opening struct {
	done chan struct{} // closed when link and err are set
	link *link
	err  error
}

var (
	_ dcb.Store    = (*Client)(nil)
	_ dcb.Streamer = (*Client)(nil)
	_ dcb.Follower = (*Client)(nil)
)

// Dial connects to the server at address, as host:port. It tries once, until ctx ends; later calls try longer. Errors:
// ErrUnavailable, auth.ErrKey, an option that is out of bounds.
func Dial(ctx context.Context, address string, options *ClientOptions) (*Client, error) {
	opts, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	conn, err := connect(address, &opts)
	if err != nil {
		return nil, err
	}
	c := &Client{address: address, opts: opts, conn: conn, rpc: dcbv1.NewStoreClient(conn), closed: make(chan struct{})}
	if _, err := c.link(ctx); err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("dcbgrpc: %s: %w", address, err)
	}
	return c, nil
}

// Close ends the connection. Calls under way end with ErrClosed; whether an append among them was recorded is then unknown.
func (c *Client) Close() error {
	c.mu.Lock()
	if c.isShut {
		c.mu.Unlock()
		return nil
	}
	c.isShut = true
	close(c.closed)
	links := c.links
	c.links = nil
	c.mu.Unlock()
	for _, l := range links {
		l.end()
	}
	return c.conn.Close()
}

// link returns a link that has room for a call, and makes one if there is none.
func (c *Client) link(ctx context.Context) (*link, error) {
	for {
		l, o, err := c.find()
		if l != nil || err != nil {
			return l, err
		}
		// A server may have no room for another session. Then there is some in those that there are, sooner or later.
		again := time.NewTimer(busyPause)
		select {
		case <-o.done:
			again.Stop()
			return o.link, o.err
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

// busyPause is how long a call waits for a new link before it looks whether one that there is has room by now.
const busyPause = 20 * time.Millisecond

// find returns a link that has room for a call, or the opening of another.
func (c *Client) find() (*link, *opening, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isShut {
		return nil, nil, dcb.ErrClosed
	}
	for _, l := range c.links {
		if l.hasRoom() {
			return l, nil, nil
		}
	}
	if c.opening == nil {
		c.opening = &opening{done: make(chan struct{})}
		go c.open(c.opening)
	}
	return nil, c.opening, nil
}

// open makes a link. It is not the caller's context that limits it, since others wait for it, too.
func (c *Client) open(o *opening) {
	o.link, o.err = newLink(c.rpc, c.address, &c.opts, c.forget)
	if dcb.Retryable(o.err) {
		o.err = &unreached{o.err}
	}
	c.mu.Lock()
	isLate := o.err == nil && c.isShut
	c.opening = nil
	if o.err == nil && !isLate && !o.link.ended() { // one that is over was forgotten before it was known
		c.links = append(c.links, o.link)
	}
	c.mu.Unlock()
	if isLate {
		o.link.end() // which takes mu
		o.link, o.err = nil, dcb.ErrClosed
	}
	close(o.done)
}

// forget takes a link away that takes no more calls.
func (c *Client) forget(gone *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, l := range c.links {
		if l == gone {
			c.links = append(c.links[:i:i], c.links[i+1:]...)
			return
		}
	}
}

// start sends a request by a link that has room.
func (c *Client) start(ctx context.Context, r *request) (*link, *pending, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	if c.opts.Traceparent != nil {
		r.traceparent = c.opts.Traceparent(ctx)
	}
	for range 3 {
		l, err := c.link(ctx)
		if err != nil {
			return nil, nil, err
		}
		p, err := l.start(ctx, r)
		if err == nil {
			return l, p, nil
		}
		if !errors.Is(err, errBusy) {
			return nil, nil, err
		}
	}
	return nil, nil, &unreached{unavailable(errBusy)} // others were quicker, or sessions end as soon as they begin
}

// errUnreached: there is no link, so nothing was sent.
var errUnreached = errors.New("dcbgrpc: the server cannot be reached")

// unreached is an error that is errUnreached, too.
type unreached struct{ error }

func (u *unreached) Is(target error) bool { return target == errUnreached }

func (u *unreached) Unwrap() error { return u.error }

// retry says how long to go on after the connection failed, and waits a little between.
type retry struct {
	goOn  time.Duration
	until time.Time // since the first failure; zero before it
	pause time.Duration
}

func newRetry(goOn time.Duration) retry { return retry{goOn: goOn, pause: 10 * time.Millisecond} }

// reached notes that the server was there, so that the next failure is the first again. Pauses do not become shorter by that.
func (t *retry) reached() { t.until = time.Time{} }

func (c *Client) newRetry() retry { return newRetry(c.opts.RetryFor) }

func (c *Client) again(ctx context.Context, t *retry, err error) error {
	return t.again(ctx, c.closed, err)
}

// again waits, and returns nil if it is worth trying again after err, or else the error to end with. The last pause ends when the time is over: however long pauses
// have become, something is tried after the first failure, and nothing after that time.
func (t *retry) again(ctx context.Context, closed <-chan struct{}, err error) error {
	now := time.Now()
	if t.until.IsZero() {
		t.until = now.Add(t.goOn)
	}
	left := t.until.Sub(now)
	if left <= 0 {
		return err
	}
	pause := min(left, t.pause/2+rand.N(t.pause)) //nolint:gosec // spreads callers, and hides nothing
	t.pause = min(2*t.pause, time.Second)
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-closed:
		return dcb.ErrClosed
	}
}
