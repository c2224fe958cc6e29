package dcbgrpc

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/metadata"
)

// A session can also be had without gRPC around it, at the same address: gRPC adds some 50 µs to a round trip on loopback, which is as much as
// everything else together. The messages are the same. A connection begins with bareHello in both directions, and is then frames:
//
//	┌─────────────────────┬─────────────────────┐
//	│ length, 4 bytes, BE │ Requests or Answers │
//	└─────────────────────┴─────────────────────┘
//
// The lengths ping and pong stand for themselves: who has heard nothing for a while asks whether anybody is there. The server's last
// answer, with the id 0, says why the session is over; a connection that ends without was cut.
const bareHello = "DCB/1\r\n\x00"

const (
	ping = 1<<31 | 1
	pong = 1<<31 | 2
)

// firstGrowth is how much room is made for a frame before more than its length has arrived.
const firstGrowth = 1 << 20

// stream is what carries the frames of a session: one of gRPC, or a bare connection. Send and receive are each called by one goroutine at a time.
type stream interface {
	SendMsg(frame any) error
	RecvMsg(frame any) error
	Context() context.Context
}

var errTooLarge = errors.New("a message is too large")

// bare is a stream on a connection of its own.
type bare struct {
	ctx  context.Context //nolint:containedctx // as a stream of gRPC has it
	conn net.Conn

	receiving sync.Mutex // guards what follows
	in        *bufio.Reader
	most      int // bytes of a frame that comes in

	heard atomic.Bool // anything, since it was last asked

	writing sync.Mutex // guards out
	out     []byte
}

func newBare(ctx context.Context, conn net.Conn, in *bufio.Reader, most int) *bare {
	return &bare{ctx: ctx, conn: conn, in: in, most: most}
}

// Context is that of the connection.
func (b *bare) Context() context.Context { return b.ctx }

// Trailer is nothing: what there is to say is said by an answer.
func (b *bare) Trailer() metadata.MD { return nil }

// SendMsg sends a frame, and takes its buffer back.
func (b *bare) SendMsg(message any) error {
	f := message.(*frame)
	defer buffers.Put(f.bytes)
	return b.write(uint32(len(*f.bytes)), *f.bytes)
}

// write writes in one piece, so that a small frame is one call of the system, and one packet.
func (b *bare) write(head uint32, body []byte) error {
	b.writing.Lock()
	defer b.writing.Unlock()
	b.out = binary.BigEndian.AppendUint32(b.out[:0], head)
	b.out = append(b.out, body...)
	_, err := b.conn.Write(b.out)
	if cap(b.out) > 2*frameBytes {
		b.out = nil
	}
	return err
}

// RecvMsg receives the next frame, in memory of its own.
func (b *bare) RecvMsg(message any) error {
	b.receiving.Lock()
	defer b.receiving.Unlock()
	for {
		var head [4]byte
		if _, err := io.ReadFull(b.in, head[:]); err != nil {
			return b.cut(err)
		}
		b.heard.Store(true)
		switch length := binary.BigEndian.Uint32(head[:]); {
		case length == ping:
			go func() { _ = b.write(pong, nil) }() // not here: nobody who receives may wait for somebody who does not
		case length == pong:
		case int64(length) > int64(b.most):
			return fmt.Errorf("%w: it has %d bytes; the limit is %d", errTooLarge, length, b.most)
		default:
			bytes, err := b.body(int(length))
			if err != nil {
				return b.cut(err)
			}
			message.(*frame).bytes = &bytes
			return nil
		}
	}
}

func (b *bare) hasMore() bool { return b.in.Buffered() > 0 }

// body reads so many bytes. For many of them room is made as they come: a length alone is easily said.
func (b *bare) body(length int) ([]byte, error) {
	bytes := make([]byte, min(length, firstGrowth))
	read := 0
	for {
		n, err := io.ReadFull(b.in, bytes[read:])
		read += n
		if err != nil || read == length {
			return bytes, err
		}
		grown := make([]byte, min(length, 2*len(bytes)))
		copy(grown, bytes)
		bytes = grown
	}
}

// cut returns the error of a connection that ended. It is never io.EOF, which would say that it ended well.
func (b *bare) cut(err error) error { return fmt.Errorf("the connection was cut: %w", noEOF(err)) }

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// keepAlive closes the connection if nothing is heard by it in a round and nothing follows a ping in the next, until ctx ends.
func (b *bare) keepAlive(ctx context.Context, round time.Duration) {
	ticker := time.NewTicker(round)
	defer ticker.Stop()
	asked := false
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		switch {
		case b.heard.Swap(false):
			asked = false
		case asked:
			_ = b.conn.Close() // whoever receives finds out
			return
		default:
			asked = true
			go func() { _ = b.write(ping, nil) }() // it may have to wait, and this must not
		}
	}
}

// errNotBare: whoever answers does not know sessions without gRPC.
var errNotBare = errors.New("dcbgrpc: no session without gRPC is to be had")

// dialBare opens a connection for a bare session, which lasts until ctx ends.
func dialBare(ctx context.Context, address string, opts *ClientOptions) (*bare, error) {
	dial := opts.Dial
	if dial == nil {
		dial = func(ctx context.Context, address string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", address)
		}
	}
	within, cancel := context.WithTimeout(ctx, helloTime)
	defer cancel()
	conn, err := dial(within, address)
	if err != nil {
		return nil, unavailable(err)
	}
	in := bufio.NewReaderSize(conn, 64<<10)
	if err := shakeHands(conn, in, opts.connectTime); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("%w: %w", errNotBare, err)
	}
	context.AfterFunc(ctx, func() { _ = conn.Close() })
	b := newBare(ctx, conn, in, opts.MessageBytes)
	go b.keepAlive(ctx, opts.Keepalive)
	return b, nil
}

func shakeHands(conn net.Conn, in io.Reader, within time.Duration) error {
	if err := conn.SetDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, bareHello); err != nil {
		return err
	}
	said := make([]byte, len(bareHello))
	if _, err := io.ReadFull(in, said); err != nil {
		return noEOF(err)
	}
	if string(said) != bareHello {
		return errors.New("the answer is another protocol's")
	}
	return conn.SetDeadline(time.Time{})
}
