package dcbgrpc

import (
	"context"
	"runtime"
	"sync"

	"google.golang.org/grpc/mem"
)

// frameBytes is about how large a frame gets. What is larger by itself has one of its own.
const frameBytes = 128 << 10

// outboxBytes is how much may wait to be sent before those who have more must wait, too.
const outboxBytes = 2 << 20

// outbox gathers what many goroutines send on one stream. Whoever puts something in and finds nobody sending sends, and goes on for
// as long as others put more in; nobody waits for company.
type outbox struct {
	send func(f *frame) error // never called twice at a time

	mu      sync.Mutex // guards what follows
	room    sync.Cond  // signalled when there is less in it, and when it failed
	frames  []*[]byte  // to be sent, oldest first; the last may grow
	bytes   int        // in frames
	sending bool
	err     error // of send: nothing is sent any more
}

func newOutbox(send func(f *frame) error) *outbox {
	o := &outbox{send: send}
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
	last := len(o.frames) - 1
	if last < 0 || len(*o.frames[last]) >= frameBytes {
		o.frames = append(o.frames, buffers.get())
		last++
	}
	before := len(*o.frames[last])
	*o.frames[last] = add(*o.frames[last])
	o.bytes += len(*o.frames[last]) - before
	o.unlockAndSend()
	return nil
}

// putFrame is put for a frame that is made already.
func (o *outbox) putFrame(b []byte) error {
	o.mu.Lock()
	if o.err != nil {
		defer o.mu.Unlock()
		return o.err
	}
	o.frames = append(o.frames, &b)
	o.bytes += len(b)
	o.unlockAndSend()
	return nil
}

func (o *outbox) unlockAndSend() {
	if o.sending {
		o.mu.Unlock()
		return
	}
	o.sending = true
	o.mu.Unlock()
	// Others who are ready to run may have something for this frame: those that one commit answered, for example.
	runtime.Gosched()
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

// wait returns when what waits to be sent is little enough for more, or with an error when ctx ends or the outbox failed.
func (o *outbox) wait(ctx context.Context) error {
	return o.waitUntil(ctx, func() bool { return o.bytes < outboxBytes })
}

// drain returns when everything is sent.
func (o *outbox) drain(ctx context.Context) error {
	return o.waitUntil(ctx, func() bool { return len(o.frames) == 0 && !o.sending })
}

func (o *outbox) waitUntil(ctx context.Context, condition func() bool) error {
	o.mu.Lock()
	defer o.mu.Unlock()
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
