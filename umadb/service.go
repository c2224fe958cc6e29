package umadb

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/auth"
	"github.com/dcbstore/dcb/internal/wire"
	"github.com/dcbstore/dcb/umadb/internal/umadbv1"
)

// protocol is the name of the protocol in reports of calls.
const protocol = "umadb"

// service implements the rpcs. It uses no interceptors: a chain of them costs more than the few
// lines that every call needs.
type service struct {
	umadbv1.UnimplementedDCBServer
	server *Server
}

// activeCall is a call under way.
type activeCall struct {
	server *Server
	method string
	key    string // its name
	began  time.Time
}

// begin starts a call, and returns an error if its key does not have the permission. The call is
// valid in both cases.
func (s *service) begin(ctx context.Context, method string, needed auth.Permission) (activeCall, error) {
	call := activeCall{server: s.server, method: method, began: time.Now()}
	var err error
	call.key, err = s.server.opts.Keys.Check(secretOf(ctx, s.server.opts.Keys), needed)
	return call, err
}

// secretOf returns the key that a call carries, or "" if it carries none or the server needs
// none.
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

// end ends a call with err. It reports the call, and returns the status for the caller, whose
// detail it passes to setTrailer.
func (c *activeCall) end(ctx context.Context, err error, setTrailer func(metadata.MD)) error {
	c.server.opts.Observe(ctx, Call{
		Protocol: protocol, Method: c.method, Key: c.key, Duration: time.Since(c.began), Err: err,
	})
	if err == nil {
		return nil
	}
	setTrailer(detailOf(err))
	return toStatus(err)
}

// unary runs a call that has one response, within Limits.CallTime.
func (s *service) unary(
	ctx context.Context, method string, needed auth.Permission, run func(ctx context.Context) error,
) error {
	call, err := s.begin(ctx, method, needed)
	if err == nil {
		limited, cancel := context.WithTimeout(ctx, s.server.opts.Limits.CallTime)
		err = run(limited)
		cancel()
	}
	return call.end(ctx, err, func(detail metadata.MD) { _ = grpc.SetTrailer(ctx, detail) }) // fails only outside of calls
}

// Append implements the rpc.
func (s *service) Append(ctx context.Context, in *umadbv1.AppendRequest) (*umadbv1.AppendResponse, error) {
	var position dcb.Position
	err := s.unary(ctx, "Append", auth.Append, func(ctx context.Context) (err error) {
		position, err = s.append(ctx, in)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &umadbv1.AppendResponse{Position: uint64(position)}, nil
}

func (s *service) append(ctx context.Context, in *umadbv1.AppendRequest) (dcb.Position, error) {
	events, err := fromEvents(in.GetEvents())
	if err != nil {
		return 0, err
	}
	condition, err := s.fromCondition(in.GetCondition())
	if err != nil {
		return 0, err
	}
	switch {
	case in.GetTrackingInfo() != nil:
		return s.appendTracked(ctx, events, condition, in.GetTrackingInfo())
	case len(events) == 0 && condition == nil:
		return 0, nil
	case len(events) == 0: // only checks the condition
		return 0, s.check(ctx, condition, 0)
	}
	return s.server.store.Append(ctx, events, condition)
}

// check returns a conflict if an event after condition.After, and up to head, matches the
// condition. A head of 0 is no bound.
func (s *service) check(ctx context.Context, condition *dcb.AppendCondition, head dcb.Position) error {
	opts := dcb.ReadOptions{After: condition.After, Limit: 1}
	if head > 0 {
		opts.Before = head + 1
	}
	result, err := s.server.store.Read(ctx, condition.FailIfEventsMatch, opts)
	if err != nil {
		return err
	}
	if len(result.Events) > 0 {
		return conflictAt(result.Events[0].Position)
	}
	return nil
}

// Head implements the rpc.
func (s *service) Head(ctx context.Context, _ *umadbv1.HeadRequest) (*umadbv1.HeadResponse, error) {
	var head dcb.Position
	err := s.unary(ctx, "Head", auth.Read, func(ctx context.Context) (err error) {
		head, err = s.server.store.Head(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	response := &umadbv1.HeadResponse{}
	if head > 0 {
		response.Position = new(uint64(head))
	}
	return response, nil
}

// GetTrackingInfo implements the rpc.
func (s *service) GetTrackingInfo(
	ctx context.Context, in *umadbv1.TrackingRequest,
) (*umadbv1.TrackingResponse, error) {
	var stored trackedPosition
	err := s.unary(ctx, "GetTrackingInfo", auth.Read, func(ctx context.Context) (err error) {
		if err = checkSource("source", in.GetSource()); err == nil {
			stored, err = s.lastTracked(ctx, in.GetSource())
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	response := &umadbv1.TrackingResponse{}
	if stored.found {
		response.Position = &stored.position
	}
	return response, nil
}

// watch ends a subscription when the server stops, or when its key loses the permission to read.
func (s *Server) watch(ctx context.Context, secret string, end context.CancelCauseFunc) {
	for {
		changed := s.opts.Keys.Changed()
		if _, err := s.opts.Keys.Check(secret, auth.Read); err != nil {
			end(err)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-s.stopping:
			end(wire.ErrStopping)
			return
		case <-changed:
		}
	}
}
