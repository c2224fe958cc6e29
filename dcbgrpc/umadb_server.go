package dcbgrpc

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/auth"
	"github.com/dcbstore/dcb/internal/proto/umadbv1"
	"github.com/dcbstore/dcb/internal/wire"
)

// wireUmaDB is what observers call this protocol.
const wireUmaDB = "umadb"

// umadbServer answers UmaDB's protocol. It has no interceptors: what is done for every call is few lines, and a chain of them costs more
// than they do.
type umadbServer struct {
	umadbv1.UnimplementedDCBServer
	server *Server
}

// umadbCall is a call under way.
type umadbCall struct {
	server *Server
	method string
	key    string
	began  time.Time
}

// admit begins a call, if its key has the right to make it. The call is there in any case.
func (u *umadbServer) admit(ctx context.Context, method string, right auth.Permission) (umadbCall, error) {
	call := umadbCall{server: u.server, method: method, began: time.Now()}
	var err error
	call.key, err = u.server.opts.Keys.Check(secretOf(ctx, u.server.opts.Keys), right)
	return call, err
}

// secretOf returns the key that a call was made with; if none is asked for, it does not look.
func secretOf(ctx context.Context, keys *auth.Keys) string {
	if keys == nil {
		return ""
	}
	values := metadata.ValueFromIncomingContext(ctx, "authorization")
	if len(values) != 1 {
		return ""
	}
	return auth.Bearer(values[0])
}

// done ends a call: it is told of, and err becomes what the caller is told, with its detail by setTrailer.
func (c *umadbCall) done(ctx context.Context, err error, setTrailer func(metadata.MD)) error {
	c.server.opts.Observe(ctx, wire.Call{Protocol: wireUmaDB, Method: c.method, Key: c.key, Duration: time.Since(c.began), Err: err})
	if err == nil {
		return nil
	}
	setTrailer(detailOf(err))
	return toStatus(err)
}

// unary carries out a call that has one answer.
func (u *umadbServer) unary(ctx context.Context, method string, right auth.Permission, do func(ctx context.Context) error) error {
	call, err := u.admit(ctx, method, right)
	if err == nil {
		bounded, cancel := context.WithTimeout(ctx, u.server.opts.Limits.CallTime)
		err = do(bounded)
		cancel()
	}
	return call.done(ctx, err, func(detail metadata.MD) { _ = grpc.SetTrailer(ctx, detail) }) // fails only outside of calls
}

// Append implements the protocol.
func (u *umadbServer) Append(ctx context.Context, in *umadbv1.AppendRequest) (*umadbv1.AppendResponse, error) {
	var position dcb.Position
	err := u.unary(ctx, "Append", auth.Append, func(ctx context.Context) (err error) {
		position, err = u.append(ctx, in)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &umadbv1.AppendResponse{Position: uint64(position)}, nil
}

func (u *umadbServer) append(ctx context.Context, in *umadbv1.AppendRequest) (dcb.Position, error) {
	events, err := eventsOf(in.GetEvents())
	if err != nil {
		return 0, err
	}
	condition, err := u.conditionOf(in.GetCondition())
	if err != nil {
		return 0, err
	}
	switch {
	case in.GetTrackingInfo() != nil:
		return u.appendTracked(ctx, events, condition, in.GetTrackingInfo())
	case len(events) == 0:
		return 0, u.checkOnly(ctx, condition)
	}
	return u.server.store.Append(ctx, events, condition)
}

// checkOnly answers an append without events: it fails if its condition does, and records nothing.
func (u *umadbServer) checkOnly(ctx context.Context, condition *dcb.AppendCondition) error {
	if condition == nil {
		return nil
	}
	return u.check(ctx, condition, 0)
}

// check returns the conflict if an event after the condition's After, and up to head, matches the condition. A head of 0 is no bound.
func (u *umadbServer) check(ctx context.Context, condition *dcb.AppendCondition, head dcb.Position) error {
	opts := dcb.ReadOptions{After: condition.After, Limit: 1}
	if head > 0 {
		opts.Before = head + 1
	}
	result, err := u.server.store.Read(ctx, condition.FailIfEventsMatch, opts)
	if err != nil {
		return err
	}
	if len(result.Events) > 0 {
		return conflictAt(result.Events[0].Position)
	}
	return nil
}

// Head implements the protocol.
func (u *umadbServer) Head(ctx context.Context, _ *umadbv1.HeadRequest) (*umadbv1.HeadResponse, error) {
	var head dcb.Position
	err := u.unary(ctx, "Head", auth.Read, func(ctx context.Context) (err error) {
		head, err = u.server.store.Head(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &umadbv1.HeadResponse{Position: unlessZero(head)}, nil
}

// GetTrackingInfo implements the protocol.
func (u *umadbServer) GetTrackingInfo(ctx context.Context, in *umadbv1.TrackingRequest) (*umadbv1.TrackingResponse, error) {
	var recorded tracked
	err := u.unary(ctx, "GetTrackingInfo", auth.Read, func(ctx context.Context) (err error) {
		if err = checkSource("source", in.GetSource()); err == nil {
			recorded, err = u.tracked(ctx, in.GetSource())
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	answer := &umadbv1.TrackingResponse{}
	if recorded.found {
		answer.Position = &recorded.position
	}
	return answer, nil
}

func unlessZero(position dcb.Position) *uint64 {
	if position == 0 {
		return nil
	}
	number := uint64(position)
	return &number
}
