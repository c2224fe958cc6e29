package dcbgrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/auth"
	"github.com/dcbstore/dcb/internal/proto/dcbv1"
	"github.com/dcbstore/dcb/internal/wire"
)

// errBusy: a link takes no more calls. Nothing was sent.
var errBusy = errors.New("dcbgrpc: the session is full or over")

// errNotOurs: whoever answers at the address speaks gRPC, but not dcb's protocol.
var errNotOurs = errors.New("dcbgrpc: the server does not speak dcb's protocol; one that speaks UmaDB's is named dcb+umadb://host:port")

// link is the client's side of a session.
type link struct {
	stream clientStream
	cancel context.CancelFunc
	out    *outbox
	calls  int // that the server takes at once
	bytes  int // that it takes in one message
	forget func(*link)

	mu      sync.Mutex // guards what follows
	lastID  uint64
	pending map[uint64]*pending
	isOver  bool  // it takes no new calls
	lost    error // why no more answers come; nil while they may
	said    error // by the server, why it ends the session
}

// clientStream is the client's side of a stream.
type clientStream interface {
	stream
	Trailer() metadata.MD
}

// pending is a call that is waiting for its answers.
type pending struct {
	id    uint64
	ready chan struct{} // has room for one: there are answers, or the link is lost

	// Guarded by the link's mu.
	answers []answer
}

// newLink opens a session and returns when the server has welcomed it.
func newLink(rpc dcbv1.StoreClient, address string, opts *ClientOptions, forget func(*link)) (*link, error) {
	ctx, cancel := context.WithCancel(context.Background())
	stream, err := openStream(ctx, rpc, address, opts)
	if err != nil {
		cancel()
		return nil, err
	}
	l := &link{stream: stream, cancel: cancel, calls: 1, forget: forget, pending: make(map[uint64]*pending)}
	l.out = newOutbox(func(f *frame) error { return stream.SendMsg(f) }, l.isAlone)
	l.out.aside = true
	greeting, err := l.start(ctx, &request{kind: fieldHello, hello: hello{version: sessionVersion, key: opts.Key}})
	if err != nil {
		cancel()
		return nil, unavailable(err)
	}
	go l.receive()
	a, _, err := l.wait(context.Background(), nil, greeting)
	if err != nil {
		cancel()
		return nil, err
	}
	if a.kind != fieldWelcome || a.welcome.calls == 0 {
		cancel()
		return nil, fmt.Errorf("dcbgrpc: the server does not speak version %d of sessions", sessionVersion)
	}
	bytes := int(min(a.welcome.messageBytes, 1<<40))
	l.out.limit(bytes)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls, l.bytes = int(min(a.welcome.calls, 1<<30)), bytes
	return l, nil
}

// openStream opens a bare stream where that can be had, and otherwise one of gRPC. How long it may take is for the connection's own limits to say, and then for
// the server's patience.
func openStream(ctx context.Context, rpc dcbv1.StoreClient, address string, opts *ClientOptions) (clientStream, error) {
	if opts.TLS == nil && !opts.OverGRPC {
		stream, err := dialBare(ctx, address, opts)
		if !errors.Is(err, errNotBare) {
			return stream, err
		}
	}
	stream, err := rpc.Session(ctx)
	if err != nil {
		return nil, fromStatus(err, nil)
	}
	return stream, nil
}

// isAlone reports whether no more than one call is under way.
func (l *link) isAlone() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.pending) <= 1
}

func (l *link) hasRoom() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.isOver && len(l.pending) < l.calls
}

// ended reports whether the link takes no calls any more.
func (l *link) ended() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.isOver
}

// start sends a request. An error, errBusy for example, says that nothing was sent.
func (l *link) start(ctx context.Context, r *request) (*pending, error) {
	p := &pending{ready: make(chan struct{}, 1)}
	l.mu.Lock()
	if l.isOver || len(l.pending) >= l.calls {
		l.mu.Unlock()
		return nil, errBusy
	}
	l.lastID++
	p.id = l.lastID
	l.pending[p.id] = p
	limit := l.bytes
	l.mu.Unlock()

	r.id = p.id
	var err error
	if size := r.size(); size < frameBytes && (limit == 0 || size <= limit) {
		err = l.out.putInRoom(ctx, outboxBytes, r.append)
	} else {
		b := r.append(make([]byte, 0, size))
		if limit > 0 && len(b) > limit {
			l.drop(p)
			return nil, &dcb.InvalidError{
				Field: "call", Problem: fmt.Sprintf("has %d bytes on the wire; the limit of the server is %d", len(b), limit), Limit: limit,
			}
		}
		err = l.out.putFrame(ctx, b)
	}
	if err != nil && ctx.Err() != nil {
		l.drop(p)
		return nil, ctx.Err()
	}
	if err != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.isOver = true
		delete(l.pending, p.id)
		return nil, errBusy
	}
	return p, nil
}

// wait returns the next answer to a call, or the error that is the answer, or says that the link was lost before there was one, and
// why. Closed ends it, too; so does ctx, and has the call canceled at the server.
func (l *link) wait(ctx context.Context, closed <-chan struct{}, p *pending) (a answer, isLost bool, err error) {
	for {
		a, isThere, lost := l.next(p)
		switch {
		case isThere && a.kind == fieldError:
			return answer{}, false, fromMessage(a.err)
		case isThere:
			return a, false, nil
		case lost != nil:
			return answer{}, !errors.Is(lost, wire.ErrStopping), lost
		}
		select {
		case <-p.ready:
		case <-ctx.Done():
			l.giveUp(p)
			return answer{}, false, ctx.Err()
		case <-closed:
			return answer{}, false, dcb.ErrClosed
		}
	}
}

// next takes an answer that is there. A lost link ends a call once its answers are taken.
func (l *link) next(p *pending) (a answer, isThere bool, lost error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(p.answers) > 0 {
		a = p.answers[0]
		p.answers[0] = answer{}
		p.answers = p.answers[1:]
		return a, true, nil
	}
	return answer{}, false, l.lost
}

// drop forgets a call.
func (l *link) drop(p *pending) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.pending, p.id)
}

// giveUp tells the server that nobody waits for a call any more. Its id stays taken until the server has answered.
func (l *link) giveUp(p *pending) {
	l.mu.Lock()
	_, underWay := l.pending[p.id]
	l.mu.Unlock()
	if underWay {
		_ = l.out.put((&request{id: p.id, kind: fieldCancel}).append) // if the link is lost the server knows
	}
}

// grant lets the server send more.
func (l *link) grant(p *pending, bytes int64) {
	_ = l.out.put((&request{id: p.id, kind: fieldGrant, window: uint64(bytes)}).append)
}

// receive hands out the answers as they come, until there are no more.
func (l *link) receive() {
	for {
		var f frame
		err := l.stream.RecvMsg(&f)
		if err == nil {
			err = readAnswers(&f, l.deliver)
		}
		if err != nil {
			l.lose(l.explain(err))
			return
		}
	}
}

// explain returns what the end of the stream means for the calls that are under way.
func (l *link) explain(err error) error {
	l.mu.Lock()
	said := l.said
	l.mu.Unlock()
	if said != nil {
		return said
	}
	if status.Code(err) == codes.Unimplemented {
		return errNotOurs
	}
	if errors.Is(err, io.EOF) {
		// The server has answered whatever it took, which is what ending well means. What has no answer it never saw.
		return unavailable(wire.ErrStopping)
	}
	err = fromStatus(err, l.stream.Trailer())
	if errors.Is(err, auth.ErrKey) || errors.Is(err, dcb.ErrInvalid) || dcb.Retryable(err) {
		return err
	}
	return unavailable(err)
}

func (l *link) deliver(a *answer) {
	l.mu.Lock()
	p := l.pending[a.id]
	if a.kind == fieldFarewell {
		l.isOver = true
	}
	if a.id == 0 && a.kind == fieldError {
		l.isOver, l.said = true, fromMessage(a.err)
	}
	if p == nil {
		l.mu.Unlock()
		if a.kind == fieldFarewell {
			l.forget(l)
		}
		return
	}
	if a.kind != fieldEvents || a.last {
		delete(l.pending, a.id)
	}
	p.answers = append(p.answers, *a)
	l.mu.Unlock()
	p.wake()
}

func (p *pending) wake() {
	select {
	case p.ready <- struct{}{}:
	default: // it has not looked since it was woken last
	}
}

// lose ends all calls: no more answers come.
func (l *link) lose(err error) {
	l.mu.Lock()
	l.isOver = true
	if l.lost == nil {
		l.lost = err
	}
	waiting := l.pending
	l.pending = make(map[uint64]*pending)
	l.mu.Unlock()
	l.out.fail(err)
	l.cancel()
	for _, p := range waiting {
		p.wake()
	}
	if l.forget != nil {
		l.forget(l)
	}
}

// end ends the session from this side.
func (l *link) end() { l.lose(dcb.ErrClosed) }

// size returns about how many bytes r is on the wire, and no fewer.
func (r *request) size() int {
	size := 96 + len(r.traceparent)
	for i := range r.events {
		size += wire.Size(&r.events[i])
	}
	queries := []dcb.Query{r.query}
	if r.condition != nil {
		queries = append(queries, r.condition.FailIfEventsMatch)
	}
	for _, q := range queries {
		for i := range q {
			size += 8
			for _, text := range q[i].Types {
				size += len(text) + 4
			}
			for _, text := range q[i].Tags {
				size += len(text) + 4
			}
		}
	}
	return size
}
