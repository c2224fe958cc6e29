package dcbnet

import (
	"context"
	"runtime"
	"sync"
)

const (
	// messageBytes is about the maximum size of a message. A request or response that is larger by
	// itself gets a message of its own.
	messageBytes = 128 << 10
	// queueBytes is the amount of queued data above which requests and pieces of events wait. Short
	// responses wait only above twice as much, so that they do not queue with pieces of events.
	queueBytes = 2 << 20
	// promptBytes is an amount of data that the kernel takes without blocking, if the data sent
	// before has arrived.
	promptBytes = 16 << 10
)

// sendQueue gathers what many goroutines send on one connection into messages. A goroutine that
// adds something and finds nobody sending becomes the sender, and sends until the queue is empty.
// No timer delays anything.
//
// Buffers in the queue begin with the header of a message, whose length the sender fills in.
type sendQueue struct {
	// send writes a message and takes over its buffer. Only one goroutine at a time calls it.
	send func(message *[]byte) error
	// isAlone reports whether the call that adds something is the only one under way on the
	// connection. Then no other call can add to the message, so its goroutine sends at once. It is
	// called with mu held.
	isAlone func() bool
	// inBackground makes a new goroutine the sender. A client needs it: a caller has a deadline, and
	// writing to a connection does not.
	inBackground bool

	mu       sync.Mutex // guards what follows
	changed  sync.Cond  // signalled when data leaves the queue, and when it fails
	messages []*[]byte  // oldest first; add appends to the last one
	limit    int        // maximum bytes of a message that the peer takes; 0: not known
	bytes    int        // sum of the messages
	sending  bool       // a goroutine is the sender
	err      error      // why the queue failed; nothing is sent after that
}

func newSendQueue(send func(message *[]byte) error, isAlone func() bool) *sendQueue {
	q := &sendQueue{send: send, isAlone: isAlone}
	q.changed.L = &q.mu
	return q
}

// put queues what add appends to a message. An error means that the queue had failed and nothing
// is sent. A later failure shows on the other direction of the connection.
func (q *sendQueue) put(add func(b []byte) []byte) error {
	q.mu.Lock()
	if q.err != nil {
		defer q.mu.Unlock()
		return q.err
	}
	q.add(add)
	q.unlockAndSend()
	return nil
}

// putBelow is put as soon as fewer than limit bytes are queued. An error, such as ctx's, means
// that nothing is sent.
func (q *sendQueue) putBelow(ctx context.Context, limit int, add func(b []byte) []byte) error {
	q.mu.Lock()
	if err := q.await(ctx, func() bool { return q.bytes < limit }); err != nil {
		defer q.mu.Unlock()
		return err
	}
	q.add(add)
	q.unlockAndSend()
	return nil
}

// putMessage queues a complete message, as soon as fewer than queueBytes are queued. It takes
// over the buffer, which begins with a header.
func (q *sendQueue) putMessage(ctx context.Context, message []byte) error {
	q.mu.Lock()
	if err := q.await(ctx, func() bool { return q.bytes < queueBytes }); err != nil {
		defer q.mu.Unlock()
		return err
	}
	q.messages = append(q.messages, &message)
	q.bytes += len(message)
	q.unlockAndSend()
	return nil
}

// add appends to the last message, or to a new one if the last would become too large. The caller
// holds mu.
func (q *sendQueue) add(add func(b []byte) []byte) {
	last := len(q.messages) - 1
	if last < 0 || len(*q.messages[last]) >= messageBytes {
		q.messages = append(q.messages, buffers.get())
		last++
	}
	before := len(*q.messages[last])
	b := add(*q.messages[last])
	*q.messages[last] = b
	q.bytes += len(b) - before
	if q.limit > 0 && len(b)-headerBytes > q.limit && before > headerBytes {
		*q.messages[last] = b[:before]
		moved := buffers.get()
		*moved = append(*moved, b[before:]...)
		q.messages = append(q.messages, moved)
	}
}

// setLimit sets the maximum size of a message.
func (q *sendQueue) setLimit(bytes int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.limit = bytes
}

// unlockAndSend releases mu, and sends unless another goroutine does.
func (q *sendQueue) unlockAndSend() {
	if q.sending {
		q.mu.Unlock()
		return
	}
	q.sending = true
	alone := q.bytes < promptBytes && q.isAlone()
	q.mu.Unlock()
	switch {
	case alone:
		q.sendAll()
	case q.inBackground:
		go q.gatherAndSend()
	default:
		q.gatherAndSend()
	}
}

// gatherAndSend lets the goroutines that are ready to run add to the message before it is sent.
// After a group commit, for example, many have a response.
func (q *sendQueue) gatherAndSend() {
	runtime.Gosched()
	q.sendAll()
}

func (q *sendQueue) sendAll() {
	for message := q.take(); message != nil; message = q.take() {
		if err := q.send(message); err != nil {
			q.fail(err)
			return
		}
	}
}

// take removes the oldest message. It returns nil if there is none, and the caller is no longer
// the sender.
func (q *sendQueue) take() *[]byte {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.messages) == 0 || q.err != nil {
		q.sending = false
		q.changed.Broadcast()
		return nil
	}
	message := q.messages[0]
	q.messages[0] = nil
	q.messages = q.messages[1:]
	q.bytes -= len(*message)
	q.changed.Broadcast()
	return message
}

// fail makes every later put return err, unless the queue has failed before.
func (q *sendQueue) fail(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err == nil {
		q.err = err
	}
	q.sending = false
	q.messages = nil
	q.changed.Broadcast()
}

// drain returns when everything is sent.
func (q *sendQueue) drain(ctx context.Context) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.await(ctx, func() bool { return len(q.messages) == 0 && !q.sending })
}

// await waits for condition. It returns an error if ctx ends or the queue fails first. The caller
// holds mu, and condition is called with mu held.
func (q *sendQueue) await(ctx context.Context, condition func() bool) error {
	if condition() || q.err != nil {
		return q.err
	}
	defer context.AfterFunc(ctx, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.changed.Broadcast()
	})()
	for !condition() && q.err == nil && ctx.Err() == nil {
		q.changed.Wait()
	}
	if q.err != nil {
		return q.err
	}
	return ctx.Err()
}

// buffers holds the buffers of messages between uses.
var buffers bufferPool

type bufferPool struct{ pool sync.Pool }

// get returns a buffer that contains only the space for a header.
func (p *bufferPool) get() *[]byte {
	if b, ok := p.pool.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, headerBytes, 4096)
	return &b
}

// put takes a buffer back. Large ones are left to the garbage collector.
func (p *bufferPool) put(b *[]byte) {
	if cap(*b) > 2*messageBytes {
		return
	}
	*b = (*b)[:headerBytes]
	p.pool.Put(b)
}
