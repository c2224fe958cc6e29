package dcbgrpc

import (
	"context"
	"runtime"
	"sync"

	"google.golang.org/grpc/mem"
)

// frameBytes is about how large a frame gets. What is larger by itself has one of its own.
const frameBytes = 128 << 10

// outboxBytes is how much may wait to be sent before those who have more must wait, too. Short answers may still be put before twice as much,
// so that they need not queue with those who send events.
const outboxBytes = 2 << 20

// littleBytes is how little a stream always takes at once, if what was sent before has arrived.
const littleBytes = 16 << 10

// outbox gathers what many goroutines send on one stream. Whoever puts something in and finds nobody sending sends, and goes on for
// as long as others put more in; nobody waits for company.
type outbox struct {
	send func(f *frame) error // never called twice at a time
	// alone reports whether no call but the one that puts something in is under way, so that nobody has anything to add, and
	// sending a little does not have to wait either. It is called with mu held.
	alone func() bool
	// aside has a goroutine of its own send: whoever puts something in has a deadline, and sending has none.
	aside bool

	mu      sync.Mutex // guards what follows
	room    sync.Cond  // signalled when there is less in it, and when it failed
	frames  []*[]byte  // to be sent, oldest first; the last may grow
	most    int        // bytes that the peer takes in a frame; 0: any number
	bytes   int        // in frames
	sending bool
	err     error // of send: nothing is sent any more
}

func newOutbox(send func(f *frame) error, alone func() bool) *outbox {
	o := &outbox{send: send, alone: alone}
	o.room.L = &o.mu
	return o
}

// put has what add appends to a frame sent, soon. An error says that the outbox failed before, and nothing is sent. If it fails
// later, the stream's other direction tells.
func (o *outbox) put(add func(b []byte) []byte) error {
	o.mu.Lock()
	if o.err != nil {
		defer o.mu.Unlock()
		return o.err
	}
	o.add(add)
	o.unlockAndSend()
	return nil
}

// putInRoom is put as soon as fewer bytes than room wait to be sent. An error, ctx's for example, says that nothing is sent.
func (o *outbox) putInRoom(ctx context.Context, room int, add func(b []byte) []byte) error {
	o.mu.Lock()
	if err := o.await(ctx, func() bool { return o.bytes < room }); err != nil {
		defer o.mu.Unlock()
		return err
	}
	o.add(add)
	o.unlockAndSend()
	return nil
}

// putFrame is putInRoom for a frame that is made already, with the room of outboxBytes.
func (o *outbox) putFrame(ctx context.Context, b []byte) error {
	o.mu.Lock()
	if err := o.await(ctx, func() bool { return o.bytes < outboxBytes }); err != nil {
		defer o.mu.Unlock()
		return err
	}
	o.frames = append(o.frames, &b)
	o.bytes += len(b)
	o.unlockAndSend()
	return nil
}

// add puts what add appends into the last frame, or into a new one where that would be too large. The caller holds mu.
func (o *outbox) add(add func(b []byte) []byte) {
	last := len(o.frames) - 1
	if last < 0 || len(*o.frames[last]) >= frameBytes {
		o.frames = append(o.frames, buffers.get())
		last++
	}
	before := len(*o.frames[last])
	b := add(*o.frames[last])
	*o.frames[last] = b
	o.bytes += len(b) - before
	if o.most > 0 && len(b) > o.most && before > 0 {
		*o.frames[last] = b[:before]
		moved := buffers.get()
		*moved = append(*moved, b[before:]...)
		o.frames = append(o.frames, moved)
	}
}

// limit has frames stay under what the peer takes.
func (o *outbox) limit(bytes int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.most = bytes
}

func (o *outbox) unlockAndSend() {
	if o.sending {
		o.mu.Unlock()
		return
	}
	o.sending = true
	alone := o.bytes < littleBytes && o.alone()
	o.mu.Unlock()
	switch {
	case alone:
		o.sendAll()
	case o.aside:
		go o.gatherAndSend()
	default:
		o.gatherAndSend()
	}
}

// gatherAndSend sends when others who are ready to run have had a chance to put something into the same frame: those that one
// commit answered, for example.
func (o *outbox) gatherAndSend() {
	runtime.Gosched()
	o.sendAll()
}

func (o *outbox) sendAll() {
	for b := o.take(); b != nil; b = o.take() {
		if err := o.send(&frame{b}); err != nil {
			o.fail(err)
			return
		}
	}
}

// take returns the next frame, or nil if there is none, which ends sending.
func (o *outbox) take() *[]byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.frames) == 0 || o.err != nil {
		o.sending = false
		o.room.Broadcast()
		return nil
	}
	b := o.frames[0]
	o.frames[0] = nil
	o.frames = o.frames[1:]
	o.bytes -= len(*b)
	o.room.Broadcast()
	return b
}

// fail makes put fail from now on.
func (o *outbox) fail(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		o.err = err
	}
	o.sending = false
	o.frames = nil
	o.room.Broadcast()
}

// drain returns when everything is sent.
func (o *outbox) drain(ctx context.Context) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.await(ctx, func() bool { return len(o.frames) == 0 && !o.sending })
}

// await returns when the condition holds, or with an error when ctx ends or the outbox failed. The caller holds mu.
func (o *outbox) await(ctx context.Context, condition func() bool) error {
	if condition() || o.err != nil {
		return o.err
	}
	defer context.AfterFunc(ctx, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.room.Broadcast()
	})()
	for !condition() && o.err == nil && ctx.Err() == nil {
		o.room.Wait()
	}
	if o.err != nil {
		return o.err
	}
	return ctx.Err()
}

// buffers are those of frames, used again when gRPC is done with them.
var buffers bufferPool

type bufferPool struct{ pool sync.Pool }

func (p *bufferPool) get() *[]byte {
	if b, ok := p.pool.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, 0, 4096)
	return &b
}

// Get is for gRPC, which asks a pool of its own for buffers.
func (p *bufferPool) Get(length int) *[]byte { return mem.DefaultBufferPool().Get(length) }

// Put takes a buffer back. Large ones are left to the collector.
func (p *bufferPool) Put(b *[]byte) {
	if cap(*b) > 2*frameBytes {
		return
	}
	*b = (*b)[:0]
	p.pool.Put(b)
}
