package umadb

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/auth"
	"github.com/dcbstore/dcb/internal/wire"
	"github.com/dcbstore/dcb/umadb/internal/umadbv1"
)

// ClientOptions are the options of [Dial]. Nil and the zero value mean the defaults.
type ClientOptions struct {
	// Key is sent with every call. Default: none.
	Key string
	// TLS encrypts the connection. Default nil: no encryption.
	TLS *tls.Config
	// RetryFor is how long a call is repeated after the first failure to reach the server. Default
	// 30 s.
	RetryFor time.Duration
	// Keepalive is the silence after which the client pings the connection during a call, and the
	// time that a ping may take. Servers may refuse less than 10 s. Default 20 s.
	Keepalive time.Duration
	// MessageBytes is the maximum size of a response. Default 128 MiB.
	MessageBytes int
	// Dial makes a connection. Default: TCP.
	Dial func(ctx context.Context, address string) (net.Conn, error)

	connectTime time.Duration // 0: the constant; longer in tests on loaded machines
}

// connectTime bounds the time for making a connection.
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
	}{{"RetryFor", &opts.RetryFor, 30 * time.Second}, {"Keepalive", &opts.Keepalive, defaultKeepalive}} {
		if *field.value < 0 {
			return opts, fmt.Errorf("umadb: ClientOptions.%s is %v; it must be positive, or 0 for %v",
				field.name, *field.value, field.byDefault)
		}
		if *field.value == 0 {
			*field.value = field.byDefault
		}
	}
	if opts.MessageBytes < 0 {
		return opts, fmt.Errorf("umadb: ClientOptions.MessageBytes is %d; it must be positive, or 0 for 128 MiB", opts.MessageBytes)
	}
	if opts.MessageBytes == 0 {
		opts.MessageBytes = 128 << 20
	}
	if opts.connectTime == 0 {
		opts.connectTime = connectTime
	}
	return opts, nil
}

// connect prepares a connection. gRPC makes it at the first call, and again after it is lost.
func connect(address string, opts *ClientOptions) (*grpc.ClientConn, error) {
	transport := insecure.NewCredentials()
	if opts.TLS != nil {
		transport = credentials.NewTLS(opts.TLS)
	}
	dialing := []grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithDefaultCallOptions(
			grpc.ForceCodecV2(codec{}), grpc.MaxCallRecvMsgSize(opts.MessageBytes), grpc.MaxCallSendMsgSize(1<<30),
		),
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
		return nil, fmt.Errorf("umadb: dial %q: %w", address, err)
	}
	return conn, nil
}

// Client is a store on a server that speaks UmaDB's protocol. Its methods may be called by many
// goroutines at once.
//
// After a lost connection it makes a new one and repeats reads. It repeats an append only if all
// its events have IDs and the server is dcb's; other servers may record a repeated append twice.
// Otherwise the append ends with a [*dcb.UnavailableError] that has OutcomeUnknown.
//
// With dcb's server it keeps all of the contract. With another server RecordedAt is the zero
// time, limits may differ, and IDs are perhaps not unique. Calls may also end with [auth.ErrKey] or
// [auth.ErrPermission].
type Client struct {
	opts  ClientOptions
	conn  *grpc.ClientConn
	rpc   umadbv1.DCBClient
	calls []grpc.CallOption // options of every call

	closed chan struct{} // closed by Close
	close  sync.Once
}

var (
	_ dcb.Store    = (*Client)(nil)
	_ dcb.Streamer = (*Client)(nil)
)

// Dial connects to the server at address, as host:port. It tries once, until ctx ends; later
// calls retry. Errors: [dcb.ErrUnavailable], [auth.ErrKey], or an option that is out of bounds.
func Dial(ctx context.Context, address string, options *ClientOptions) (*Client, error) {
	opts, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	conn, err := connect(address, &opts)
	if err != nil {
		return nil, err
	}
	c := &Client{opts: opts, conn: conn, rpc: umadbv1.NewDCBClient(conn), closed: make(chan struct{})}
	if opts.Key != "" {
		c.calls = []grpc.CallOption{grpc.PerRPCCredentials(bearer{"authorization": "Bearer " + opts.Key})}
	}
	// ErrPermission is a success: the key may permit appends alone.
	if _, err := c.headOnce(ctx); err != nil && !errors.Is(err, auth.ErrPermission) {
		_ = c.Close()
		return nil, fmt.Errorf("umadb: dial %s: %w", address, err)
	}
	return c, nil
}

// bearer is the metadata that carries the key of each call.
type bearer map[string]string

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return b, nil
}

// RequireTransportSecurity returns false: options with a key and without TLS are allowed.
func (b bearer) RequireTransportSecurity() bool { return false }

// Close ends the connection. Calls under way end with [dcb.ErrClosed]; whether an append among
// them was recorded is then unknown. A second Close returns nil.
func (c *Client) Close() error {
	c.close.Do(func() {
		close(c.closed)
		_ = c.conn.Close() // fails only if it is closed already
	})
	return nil
}

func (c *Client) isClosed() bool {
	select {
	case <-c.closed:
		return true
	default:
		return false
	}
}

// callOptions returns the options of a call, and where gRPC will store its trailer.
func (c *Client) callOptions(more ...grpc.CallOption) (options []grpc.CallOption, trailer *metadata.MD) {
	trailer = new(metadata.MD)
	options = make([]grpc.CallOption, 0, len(c.calls)+len(more)+1)
	return append(append(append(options, c.calls...), more...), grpc.Trailer(trailer)), trailer
}

// Append implements [dcb.Store].
func (c *Client) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	if err := dcb.ValidateAppend(events, condition); err != nil {
		return 0, err
	}
	request := toAppend(events, condition)
	canRepeat := !slices.ContainsFunc(events, func(e dcb.Event) bool { return e.ID == uuid.Nil })
	mayBeDone := false // an attempt may have reached the server without an answer
	for retry := wire.NewRetry(c.opts.RetryFor); ; {
		position, isLost, err := c.appendOnce(ctx, request, mayBeDone)
		mayBeDone = mayBeDone || isLost
		switch {
		case err == nil:
			return position, nil
		case errors.Is(err, dcb.ErrConflict):
			return 0, c.locate(ctx, err, condition)
		case dcb.Retryable(err) && (canRepeat || !mayBeDone) && !errors.Is(err, errForeign):
			if err = retry.Pause(ctx, c.closed, err); err == nil {
				continue
			}
		}
		if mayBeDone && dcb.Retryable(err) {
			return 0, outcomeUnknown(err)
		}
		return 0, err
	}
}

// appendOnce sends an append once. IsLost reports that it may have reached the server, which did
// not answer. A repetition is sent only to a server that keeps IDs unique.
func (c *Client) appendOnce(
	ctx context.Context, request *umadbv1.AppendRequest, isRepetition bool,
) (_ dcb.Position, isLost bool, err error) {
	if isRepetition {
		if err := c.requireOwnServer(ctx); err != nil {
			return 0, false, err
		}
	}
	var to peer.Peer // set when gRPC passed the call to a connection
	options, trailer := c.callOptions(grpc.Peer(&to))
	response, err := c.rpc.Append(ctx, request, options...)
	if err == nil {
		return dcb.Position(response.GetPosition()), false, nil
	}
	answered, err := c.failure(ctx, err, *trailer)
	return 0, !answered && to.Addr != nil, err
}

// requireOwnServer returns an error unless the server is known to be dcb's.
func (c *Client) requireOwnServer(ctx context.Context) error {
	options, trailer := c.callOptions()
	_, err := healthv1.NewHealthClient(c.conn).Check(ctx, &healthv1.HealthCheckRequest{Service: ownService}, options...)
	switch status.Code(err) {
	case codes.OK:
		return nil
	case codes.NotFound, codes.Unimplemented:
		return unavailable(errForeign)
	}
	_, err = c.failure(ctx, err, *trailer)
	return err
}

// locate adds the position of a conflicting event to a conflict. Only dcb's server sends it; for
// other servers locate reads an event that matches the condition.
func (c *Client) locate(ctx context.Context, conflict error, condition *dcb.AppendCondition) error {
	known, ok := errors.AsType[*dcb.ConflictError](conflict)
	if !ok || known.Position != 0 || condition == nil {
		return conflict
	}
	result, err := c.Read(ctx, condition.FailIfEventsMatch, dcb.ReadOptions{After: condition.After, Limit: 1})
	if err == nil && len(result.Events) > 0 {
		return conflictAt(result.Events[0].Position)
	}
	return conflict
}

// failure returns the error for a call that gRPC ended with err. Answered reports that the server
// itself sent the error.
func (c *Client) failure(ctx context.Context, err error, trailer metadata.MD) (answered bool, _ error) {
	code := status.Code(err)
	answered, err = c.explain(ctx, err, trailer)
	isEnded := code == codes.Canceled || code == codes.DeadlineExceeded || errors.Is(err, context.DeadlineExceeded)
	if deadline, ok := ctx.Deadline(); ok && isEnded && time.Until(deadline) < time.Second {
		// gRPC sends the deadline to the server, whose timer may fire a little earlier. The caller gets
		// the error of its own context.
		<-ctx.Done()
		return false, ctx.Err()
	}
	return answered, err
}

func (c *Client) explain(ctx context.Context, err error, trailer metadata.MD) (answered bool, _ error) {
	if details := trailer.Get(errorDetails); len(details) == 1 {
		detail := &umadbv1.ErrorResponse{}
		if proto.Unmarshal([]byte(details[0]), detail) == nil {
			return wire.Code(detail.GetDcb().GetCode()) != wire.Unknown, fromDetail(detail)
		}
	}
	switch {
	case c.isClosed():
		return false, dcb.ErrClosed
	case ctx.Err() != nil:
		return false, ctx.Err()
	case errors.Is(err, io.EOF):
		return false, unavailable(errBrokenOff)
	}
	err = fromStatus(err)
	// An unavailable status may come from a proxy, so it does not tell what became of the call.
	return !dcb.Retryable(err), err
}
