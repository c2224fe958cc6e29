package dcbgrpc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/auth"
	"github.com/dcbstore/dcb/internal/proto/dcbv1"
	"github.com/dcbstore/dcb/internal/wire"
)

// sessionVersion is the version of the session's protocol.
const sessionVersion = 1

// helloTime is how long a client has for its first request.
const helloTime = 20 * time.Second

type sessionServer struct {
	dcbv1.UnimplementedStoreServer
	server *Server
}

// session is one conversation with a client. One goroutine receives; each call has one of its own, and sends its answer by itself.
type session struct {
	server *Server
	stream stream
	out    *outbox

	standIn func() // receives, in place of who has been busy for too long
	// What follows is of the one goroutine that receives.
	greeted bool

	secret string // the client's key
	key    string // its name
	rights atomic.Uint32

	mu       sync.Mutex // guards what follows
	calls    map[uint64]*serving
	stopping bool
	working  sync.WaitGroup // the calls that use the store; added to only while not stopping
	all      sync.WaitGroup // those that are not answered yet; likewise
}

// serving is a call under way.
type serving struct {
	cancel context.CancelFunc
	window *window // of one that sends events
	stands bool    // it waits or follows, and does so for ever
}

// Session serves one session.
func (s *sessionServer) Session(stream grpc.BidiStreamingServer[dcbv1.Requests, dcbv1.Answers]) error {
	err := s.server.session(stream)
	if err == nil {
		return nil
	}
	stream.SetTrailer(detailOf(err))
	return toStatus(err)
}

func (s *Server) session(stream stream) error {
	c := &session{server: s, stream: stream, calls: make(map[uint64]*serving)}
	c.out = newOutbox(func(f *frame) error { return stream.SendMsg(f) }, c.isIdle)
	return c.run(stream.Context())
}

// run returns when the client is done, or the server is stopping and every call is answered, or with what went wrong.
func (c *session) run(ctx context.Context) error {
	// What ends the calls when this returns. The stream's own context ends only then.
	calls, cancel := context.WithCancel(ctx)
	defer func() {
		c.out.fail(context.Canceled) // first, for what the calls end with now is not theirs; who is just sending gets away when the stream ends
		cancel()
		c.refuseNew()
		c.working.Wait()
	}()

	greeted := make(chan struct{})
	received := make(chan error, 2)
	told := greeted // which is nil as soon as it is closed
	c.standIn = func() { c.receiving(ctx, calls, told, received) }
	go c.receiving(ctx, calls, greeted, received)
	patience := time.NewTimer(helloTime)
	defer patience.Stop()
	stopping, changed := c.server.stopping, c.server.opts.Keys.Changed()
	for {
		select {
		case err := <-received:
			return err
		case <-greeted:
			greeted = nil
			patience.Stop()
			if err := c.setRights(); err != nil { // they may have changed since
				return err
			}
		case <-patience.C:
			return fmt.Errorf("%w: no Hello within %v", wire.ErrLimit, helloTime)
		case <-changed:
			changed = c.server.opts.Keys.Changed() // before looking, so that no change is missed
			if greeted == nil {
				if err := c.setRights(); err != nil {
					return err
				}
			}
		case <-stopping:
			stopping = nil
			go func() {
				c.answer(&answer{kind: fieldFarewell})
				received <- c.finish(ctx)
			}()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// standInAfter is how long who receives may be busy with a call before somebody else receives. Nearly all appends take less.
const standInAfter = time.Millisecond

// errStoodIn: somebody else receives by now.
var errStoodIn = errors.New("dcbgrpc: another goroutine receives")

// receiving is what the one goroutine does that receives.
func (c *session) receiving(ctx, calls context.Context, greeted chan<- struct{}, received chan<- error) {
	err := c.receive(calls, greeted)
	if errors.Is(err, errStoodIn) {
		return
	}
	if err == nil {
		err = c.finish(ctx)
	}
	received <- err
}

// receive starts the calls that come in. It returns nil when the client has no more.
func (c *session) receive(ctx context.Context, greeted chan<- struct{}) error {
	var requests []*request
	for {
		var f frame
		if err := c.stream.RecvMsg(&f); err != nil {
			return endOf(err)
		}
		if !c.greeted && len(*f.bytes) > frameBytes {
			return invalid("message", "is too large to be the first of a session, which has a Hello")
		}
		requests = requests[:0]
		err := readRequests(&f, func(r *request) error {
			requests = append(requests, r)
			return nil
		})
		if err != nil {
			return malformed(err)
		}
		if !c.greeted && len(requests) > 0 {
			c.greeted = true
			if err := c.greet(requests[0]); err != nil {
				return err
			}
			close(greeted)
			requests = requests[1:]
		}
		alone := len(requests) == 1 && c.isIdle() && !c.hasMore()
		for _, r := range requests {
			if err := c.start(ctx, r, alone); err != nil {
				return err
			}
		}
		clear(requests)
	}
}

// hasMore reports whether a further frame has arrived, as far as can be told.
func (c *session) hasMore() bool {
	in, ok := c.stream.(interface{ hasMore() bool })
	return ok && in.hasMore()
}

// greet answers the first request of a session.
func (c *session) greet(r *request) error {
	switch {
	case r.kind != fieldHello:
		return invalid("call", "is no Hello; a session begins with one")
	case r.hello.version != sessionVersion:
		return invalid("version", fmt.Sprintf("is %d; this server speaks %d", r.hello.version, sessionVersion))
	case r.hello.store != "":
		return invalid("store", "names a store; this server keeps one, which has no name")
	}
	c.secret = strings.Clone(r.hello.key)
	if err := c.setRights(); err != nil {
		return err
	}
	limits := c.server.opts.Limits
	if b, ok := c.stream.(*bare); ok {
		b.most = limits.MessageBytes
	}
	c.answer(&answer{id: r.id, kind: fieldWelcome, welcome: welcome{uint64(limits.Calls), uint64(limits.MessageBytes)}})
	return nil
}

// setRights finds out what the client's key allows now.
func (c *session) setRights() error {
	name, rights, err := c.server.opts.Keys.Find(c.secret)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.key = name
	c.mu.Unlock()
	before := auth.Permission(c.rights.Swap(uint32(rights)))
	if before&auth.Read != 0 && rights&auth.Read == 0 {
		c.endStanding()
	}
	return nil
}

// start has a request answered. One that is alone is answered by who received it, which saves handing it over; if that takes
// long, somebody else receives meanwhile, and the error is errStoodIn.
func (c *session) start(ctx context.Context, r *request, alone bool) error {
	switch r.kind {
	case fieldAppend, fieldRead, fieldHead, fieldWait, fieldSubscribe:
	case fieldCancel, fieldGrant:
		c.adjust(r)
		return nil
	case fieldHello:
		return invalid("call", "is a second Hello; a session has one")
	default:
		c.fail(r.id, invalid("call", "is unknown to this server"))
		return nil
	}
	call := &serving{stands: r.kind == fieldWait || r.kind == fieldSubscribe}
	if call.stands {
		r.keep()
	}
	if r.kind == fieldRead || r.kind == fieldSubscribe {
		call.window = newWindow(r.window)
	}
	if call.stands {
		ctx, call.cancel = context.WithCancel(ctx)
	} else {
		ctx, call.cancel = context.WithTimeout(ctx, c.server.opts.Limits.CallTime)
	}
	err := c.add(r.id, call)
	if err != nil {
		call.cancel()
		if errors.Is(err, dcb.ErrInvalid) {
			return err // of the session
		}
		c.fail(r.id, err)
		return nil
	}
	if !alone || call.stands {
		go c.serve(ctx, r, call)
		return nil
	}
	// A timer for each call: who stands in may be busy with another by the time that this one ends.
	busy := time.AfterFunc(standInAfter, c.standIn)
	c.serve(ctx, r, call)
	if !busy.Stop() {
		return errStoodIn
	}
	return nil
}

// add notes a call that begins.
func (c *session) add(id uint64, call *serving) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.stopping:
		return wire.ErrStopping
	case c.calls[id] != nil:
		return invalid("id", fmt.Sprintf("is %d, which another request under way has", id))
	case len(c.calls) >= c.server.opts.Limits.Calls:
		return fmt.Errorf("%w: %d calls are under way in this session", wire.ErrLimit, len(c.calls))
	}
	c.calls[id] = call
	c.all.Add(1)
	c.working.Add(1)
	return nil
}

// isIdle reports whether no call is under way.
func (c *session) isIdle() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.calls) == 0
}

// remove forgets a call that is answered.
func (c *session) remove(id uint64, call *serving) {
	call.cancel()
	c.mu.Lock()
	delete(c.calls, id)
	c.mu.Unlock()
}

// adjust carries out Cancel and Grant. A request that is answered already needs neither.
func (c *session) adjust(r *request) {
	c.mu.Lock()
	call := c.calls[r.id]
	c.mu.Unlock()
	switch {
	case call == nil:
	case r.kind == fieldCancel:
		call.cancel()
	case call.window != nil:
		call.window.grant(r.window)
	}
}

// serve carries out a call and answers it.
func (c *session) serve(ctx context.Context, r *request, call *serving) {
	defer c.all.Done()
	began := time.Now()
	if put := c.server.opts.Traceparent; put != nil && r.traceparent != "" {
		ctx = put(ctx, r.traceparent)
	}
	a, err := c.carryOut(ctx, r, call)
	c.working.Done()
	if err != nil {
		err = c.explain(ctx, r, err)
	}
	duration := time.Since(began)
	if err != nil {
		a = answer{id: r.id, kind: fieldError, err: toMessage(err)}
	}
	c.finally(call, &a)
	c.server.opts.Observe(ctx, wire.Call{Protocol: "session", Method: methodName(r.kind), Key: c.keyName(), Duration: duration, Err: err})
}

func methodName(kind protowire.Number) string {
	switch kind {
	case fieldAppend:
		return "Append"
	case fieldRead:
		return "Read"
	case fieldHead:
		return "Head"
	case fieldWait:
		return "Wait"
	case fieldSubscribe:
		return "Subscribe"
	}
	return "unknown"
}

func (c *session) carryOut(ctx context.Context, r *request, call *serving) (answer, error) {
	needed := auth.Read
	if r.kind == fieldAppend {
		needed = auth.Append
	}
	if auth.Permission(c.rights.Load())&needed == 0 {
		return answer{}, auth.ErrPermission
	}
	store := c.server.store
	a := answer{id: r.id, kind: fieldPosition}
	var err error
	switch r.kind {
	case fieldAppend:
		if r.condition != nil {
			err = c.server.opts.Limits.CheckQuery(r.condition.FailIfEventsMatch)
		}
		if err == nil {
			a.position, err = store.Append(ctx, r.events, r.condition)
		}
	case fieldHead:
		a.position, err = store.Head(ctx)
	case fieldWait:
		a.position, err = store.Wait(ctx, r.opts.After)
	case fieldRead:
		return c.read(ctx, r, call.window)
	case fieldSubscribe:
		return a, c.subscribe(ctx, r, call.window)
	}
	return a, err
}

// explain says err as it is seen from outside: a call that this server broke off was not broken off by its caller.
func (c *session) explain(ctx context.Context, r *request, err error) error {
	c.mu.Lock()
	stopping := c.stopping
	c.mu.Unlock()
	stands := r.kind == fieldWait || r.kind == fieldSubscribe
	switch {
	case ctx.Err() == nil:
		return err
	case errors.Is(err, context.DeadlineExceeded) && r.kind == fieldAppend:
		return outcomeUnknown(fmt.Errorf("the call took longer than the %v that the server gives it", c.server.opts.Limits.CallTime))
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: the call took longer than %v", wire.ErrLimit, c.server.opts.Limits.CallTime)
	case errors.Is(err, context.Canceled) && stands && auth.Permission(c.rights.Load())&auth.Read == 0:
		return auth.ErrPermission
	case errors.Is(err, context.Canceled) && stands && stopping:
		return wire.ErrStopping
	}
	return err
}

func (c *session) keyName() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.key
}

// finally answers a call, which counts among those under way until then: so a client who does not take his answers is asked no more.
func (c *session) finally(call *serving, a *answer) {
	room := 2 * outboxBytes
	if a.kind == fieldEvents {
		room = outboxBytes
	}
	err := c.out.putInRoom(c.stream.Context(), room, func(b []byte) []byte {
		c.remove(a.id, call) // before: who has the answer may use the id again
		return a.append(b)
	})
	if err != nil { // the client is gone, and run finds out
		c.remove(a.id, call)
	}
}

// answer answers what is no call under way.
func (c *session) answer(a *answer) {
	_ = c.out.putInRoom(c.stream.Context(), 2*outboxBytes, a.append) // as in finally
}

func (c *session) fail(id uint64, err error) {
	c.answer(&answer{id: id, kind: fieldError, err: toMessage(err)})
}

// refuseNew makes add refuse whatever still comes in.
func (c *session) refuseNew() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopping = true
}

func (c *session) endStanding() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, call := range c.calls {
		if call.stands {
			call.cancel()
		}
	}
}

// finish ends a session in good order: who waits and follows is sent away, and it returns when all calls are answered.
func (c *session) finish(ctx context.Context) error {
	c.refuseNew()
	c.endStanding()
	c.all.Wait()
	return c.out.drain(ctx)
}
