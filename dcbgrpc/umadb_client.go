package dcbgrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/auth"
	"github.com/dcbstore/dcb/internal/proto/dcbv1"
	"github.com/dcbstore/dcb/internal/proto/umadbv1"
	"github.com/dcbstore/dcb/internal/wire"
)

// UmaDBClient is a store that a server keeps which speaks UmaDB's protocol: dcb's own, or any other. It makes a new connection when the one it has is lost:
// what only looks is asked again, and so is an append whose events all have IDs, if the server is dcb's. Other servers do not promise
// to record such an append once, and then it ends, as one without IDs does, with a [*dcb.UnavailableError] that has OutcomeUnknown.
//
// With dcb's server it keeps all of the contract. With another one, that one's rules hold where the protocol says nothing: RecordedAt is the zero
// time, IDs may be recorded twice, and limits may be others.
//
// Besides the errors of [dcb.Store] a call may end with auth.ErrKey or auth.ErrPermission.
type UmaDBClient struct {
	opts  ClientOptions
	conn  *grpc.ClientConn
	rpc   umadbv1.DCBClient
	calls []grpc.CallOption // of every call

	closed chan struct{} // by Close
	close  sync.Once
}

var (
	_ dcb.Store    = (*UmaDBClient)(nil)
	_ dcb.Streamer = (*UmaDBClient)(nil)
)

// DialUmaDB connects to the server at address, as host:port. It tries once, until ctx ends; later calls try longer. Errors:
// ErrUnavailable, auth.ErrKey, an option that is out of bounds.
func DialUmaDB(ctx context.Context, address string, options *ClientOptions) (*UmaDBClient, error) {
	opts, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	conn, err := connect(address, &opts)
	if err != nil {
		return nil, err
	}
	c := &UmaDBClient{opts: opts, conn: conn, rpc: umadbv1.NewDCBClient(conn), closed: make(chan struct{})}
	if opts.Key != "" {
		c.calls = []grpc.CallOption{grpc.PerRPCCredentials(bearer{"authorization": "Bearer " + opts.Key})}
	}
	// A key that may only append is not refused.
	if _, err := c.head(ctx); err != nil && !errors.Is(err, auth.ErrPermission) {
		_ = c.Close()
		return nil, fmt.Errorf("dcbgrpc: %s: %w", address, err)
	}
	return c, nil
}

// bearer is what each call says of who makes it.
type bearer map[string]string

// GetRequestMetadata returns it.
func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return b, nil
}

// RequireTransportSecurity returns false: whoever gives a key and no TLS wants it so.
func (b bearer) RequireTransportSecurity() bool { return false }

// Close ends the connection. Calls under way end with ErrClosed; whether an append among them was recorded is then unknown.
func (c *UmaDBClient) Close() error {
	c.close.Do(func() {
		close(c.closed)
		_ = c.conn.Close() // fails only if it is closed
	})
	return nil
}

func (c *UmaDBClient) isClosed() bool {
	select {
	case <-c.closed:
		return true
	default:
		return false
	}
}

// options returns those of a call, and where to find afterwards what came with its status.
func (c *UmaDBClient) options(more ...grpc.CallOption) (options []grpc.CallOption, trailer *metadata.MD) {
	trailer = new(metadata.MD)
	options = make([]grpc.CallOption, 0, len(c.calls)+len(more)+1)
	return append(append(append(options, c.calls...), more...), grpc.Trailer(trailer)), trailer
}

// Append records events, as [dcb.Store] says.
func (c *UmaDBClient) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	if err := dcb.ValidateAppend(events, condition); err != nil {
		return 0, err
	}
	request := appendRequest(events, condition)
	canRepeat := !slices.ContainsFunc(events, func(e dcb.Event) bool { return e.ID == uuid.Nil })
	mayBeDone := false // by the server, without our knowing
	for t := newRetry(c.opts.RetryFor); ; {
		position, isLost, err := c.appendOnce(ctx, request, mayBeDone)
		mayBeDone = mayBeDone || isLost
		switch {
		case err == nil:
			return position, nil
		case errors.Is(err, dcb.ErrConflict):
			return 0, c.located(ctx, err, condition)
		case dcb.Retryable(err) && (canRepeat || !mayBeDone) && !errors.Is(err, errForeign):
			if err = t.again(ctx, c.closed, err); err == nil {
				continue
			}
		}
		if mayBeDone && dcb.Retryable(err) {
			return 0, outcomeUnknown(err)
		}
		return 0, err
	}
}

var errForeign = errors.New("the server does not promise to record it once, so it was not sent again")

// appendOnce sends an append. It is lost if it may have come to the server, who did not say what became of it. One that is repeated
// is sent only to a server that keeps IDs apart.
func (c *UmaDBClient) appendOnce(ctx context.Context, request *umadbv1.AppendRequest, isRepeated bool) (_ dcb.Position, isLost bool, err error) {
	if isRepeated {
		if err := c.mustBeOurs(ctx); err != nil {
			return 0, false, err
		}
	}
	var to peer.Peer // set when the call was given to a connection
	options, trailer := c.options(grpc.Peer(&to))
	answer, err := c.rpc.Append(ctx, request, options...)
	if err == nil {
		return dcb.Position(answer.GetPosition()), false, nil
	}
	said, err := c.failure(ctx, err, *trailer)
	return 0, !said && to.Addr != nil, err
}

// mustBeOurs returns an error unless the server is known to be dcb's. Only that one has this service.
func (c *UmaDBClient) mustBeOurs(ctx context.Context) error {
	options, trailer := c.options()
	_, err := healthv1.NewHealthClient(c.conn).Check(ctx, &healthv1.HealthCheckRequest{Service: dcbv1.Store_ServiceDesc.ServiceName}, options...)
	switch status.Code(err) {
	case codes.OK:
		return nil
	case codes.NotFound, codes.Unimplemented:
		return unavailable(errForeign)
	}
	_, err = c.failure(ctx, err, *trailer)
	return err
}

// located returns a conflict with its position, for which another server than dcb's has no place: that of any event which the condition
// finds.
func (c *UmaDBClient) located(ctx context.Context, conflict error, condition *dcb.AppendCondition) error {
	var at *dcb.ConflictError
	if !errors.As(conflict, &at) || at.Position != 0 || condition == nil {
		return conflict
	}
	result, err := c.Read(ctx, condition.FailIfEventsMatch, dcb.ReadOptions{After: condition.After, Limit: 1})
	if err == nil && len(result.Events) > 0 {
		return conflictAt(result.Events[0].Position)
	}
	return conflict // it is one in any case
}

// Head returns the position of the last event, as [dcb.Store] says.
func (c *UmaDBClient) Head(ctx context.Context) (head dcb.Position, err error) {
	err = c.trying(ctx, func() error {
		head, err = c.head(ctx)
		return err
	})
	return head, err
}

func (c *UmaDBClient) head(ctx context.Context) (dcb.Position, error) {
	options, trailer := c.options()
	answer, err := c.rpc.Head(ctx, &umadbv1.HeadRequest{}, options...)
	if err != nil {
		_, err = c.failure(ctx, err, *trailer)
		return 0, err
	}
	return dcb.Position(answer.GetPosition()), nil
}

// trying makes a call that only looks, again and again while the server cannot be reached.
func (c *UmaDBClient) trying(ctx context.Context, call func() error) error {
	for t := newRetry(c.opts.RetryFor); ; {
		err := call()
		if err == nil || !dcb.Retryable(err) {
			return err
		}
		if err := t.again(ctx, c.closed, err); err != nil {
			return err
		}
	}
}

// Wait returns the head when it is greater than after, as [dcb.Store] says.
func (c *UmaDBClient) Wait(ctx context.Context, after dcb.Position) (dcb.Position, error) {
	for t := newRetry(c.opts.RetryFor); ; t.reached() {
		head, err := c.Head(ctx)
		if err != nil || head > after {
			return head, err
		}
		if after == math.MaxUint64 { // to a server it would mean that nothing is wanted
			select {
			case <-ctx.Done():
				return 0, ctx.Err()
			case <-c.closed:
				return 0, dcb.ErrClosed
			}
		}
		if head, err = c.headAfter(ctx, after); err == nil {
			return head, nil
		}
		if dcb.Retryable(err) {
			err = t.again(ctx, c.closed, err)
		}
		if err != nil {
			return 0, err
		}
	}
}

// headAfter returns the head once an event after a position is recorded. What a server sends may be ahead of the head that it says, and asking
// it on and on would not help.
func (c *UmaDBClient) headAfter(ctx context.Context, after dcb.Position) (dcb.Position, error) {
	if err := c.oneAfter(ctx, after); err != nil {
		return 0, err
	}
	head, err := c.head(ctx)
	if err == nil && head <= after {
		err = unavailable(errBehind)
	}
	return head, err
}

// oneAfter returns when an event after a position is recorded.
func (c *UmaDBClient) oneAfter(ctx context.Context, after dcb.Position) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	one, position := uint32(1), uint64(after)
	options, trailer := c.options()
	stream, err := c.rpc.Subscribe(ctx, &umadbv1.SubscribeRequest{After: &position, BatchSize: &one}, options...)
	if err == nil {
		_, err = stream.Recv()
	}
	if err == nil {
		return nil
	}
	if stream != nil {
		*trailer = stream.Trailer()
	}
	_, err = c.failure(ctx, err, *trailer)
	return err
}

func appendRequest(events []dcb.Event, condition *dcb.AppendCondition) *umadbv1.AppendRequest {
	request := &umadbv1.AppendRequest{Events: make([]*umadbv1.Event, len(events))}
	for i := range events {
		request.Events[i] = eventToUmaDB(&events[i])
	}
	if condition != nil {
		after := uint64(condition.After)
		request.Condition = &umadbv1.AppendCondition{FailIfEventsMatch: queryToUmaDB(condition.FailIfEventsMatch), After: &after}
	}
	return request
}

func eventToUmaDB(e *dcb.Event) *umadbv1.Event {
	out := &umadbv1.Event{EventType: e.Type, Tags: dcb.UniqueTags(e.Tags), Data: e.Data}
	if e.ID != uuid.Nil {
		out.Uuid = e.ID.String()
	}
	for key, value := range e.Metadata {
		out.Metadata = append(out.Metadata, &umadbv1.MetadataEntry{Key: key, Value: value})
	}
	return out
}

func queryToUmaDB(q dcb.Query) *umadbv1.Query {
	items := make([]*umadbv1.QueryItem, len(q))
	for i := range q {
		items[i] = &umadbv1.QueryItem{Types: q[i].Types, Tags: q[i].Tags}
	}
	return &umadbv1.Query{Items: items}
}

// failure returns what a call ended with that failed with err, after whether that is what the server said of it.
func (c *UmaDBClient) failure(ctx context.Context, err error, trailer metadata.MD) (said bool, _ error) {
	code := status.Code(err)
	said, err = c.explain(ctx, err, trailer)
	ended := code == codes.Canceled || code == codes.DeadlineExceeded || errors.Is(err, context.DeadlineExceeded)
	if deadline, ok := ctx.Deadline(); ok && ended && time.Until(deadline) < time.Second {
		// The server was told the deadline, and its clock was ahead by a little: it says so, or resets the stream. The caller's error is that
		// of his own context.
		<-ctx.Done()
		return false, ctx.Err()
	}
	return said, err
}

func (c *UmaDBClient) explain(ctx context.Context, err error, trailer metadata.MD) (said bool, _ error) {
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
	err = fromUmaDBStatus(err)
	return !dcb.Retryable(err), err // what is unavailable says nothing of the call, whoever it was that gave up on it
}
