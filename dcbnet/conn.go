package dcbnet

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A message on a connection, in both directions:
//
//	┌──────────────────────────────┬──────────────────────────────────┐
//	│ length of the message, 4, BE │ protobuf: Requests or Responses  │
//	└──────────────────────────────┴──────────────────────────────────┘
const headerBytes = 4

// ALPN is the name of the protocol in TLS handshakes.
const ALPN = "dcb/1"

const (
	// readBuffer is the size of a connection's read buffer.
	readBuffer = 64 << 10
	// firstGrowth is the memory for a message before more of it than this has arrived. A large
	// length alone must not make the receiver allocate.
	firstGrowth = 1 << 20
	// keepalive is the silence after which a side sends a Ping. A side that has received nothing for
	// twice as long closes the connection. It is fixed by the protocol: each side relies on the
	// other's Pings.
	keepalive = 10 * time.Second
	// ticks is the number of checks in one keepalive interval.
	ticks = 2
)

// messageConn sends and receives messages on a connection.
type messageConn struct {
	net.Conn

	raw syscall.RawConn // of the TCP connection or UNIX socket; nil for other connections

	reading    sync.Mutex // guards what follows; a new goroutine may take over reading
	in         *bufio.Reader
	limit      int // maximum bytes of a received message
	header     [headerBytes]byte
	headerRead int    // bytes of header that have been read
	body       []byte // of a message whose header has been read; nil before
	bodyRead   int    // bytes of body that have been read

	received, sent atomic.Bool // since the last tick

	writing sync.Mutex // held during a Write
}

func newMessageConn(conn net.Conn, limit int) *messageConn {
	c := &messageConn{Conn: conn, limit: limit}
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	if network, ok := conn.(syscall.Conn); ok {
		c.raw, _ = network.SyscallConn() // nil after an error
	}
	c.in = bufio.NewReaderSize(activity{c}, readBuffer)
	return c
}

// activity reads from a connection and records that something arrived. A large message on a slow
// network is activity, too.
type activity struct{ c *messageConn }

func (a activity) Read(p []byte) (int, error) {
	n, err := a.c.Conn.Read(p)
	if n > 0 {
		a.c.received.Store(true)
	}
	return n, err
}

// setLimit sets the maximum size of received messages.
func (c *messageConn) setLimit(bytes int) {
	c.reading.Lock()
	defer c.reading.Unlock()
	c.limit = bytes
}

// send writes a message, whose header it fills in. It reuses the buffer afterwards. One Write
// makes a small message one system call and one packet.
func (c *messageConn) send(message *[]byte) error {
	defer buffers.put(message)
	b := *message
	binary.BigEndian.PutUint32(b, uint32(len(b)-headerBytes))
	c.writing.Lock()
	defer c.writing.Unlock()
	c.sent.Store(true)
	_, err := c.Write(b)
	return err
}

// receive returns the next message, in memory of its own. After a timeout it can be called again: the
// connection keeps the part of a message that has arrived.
func (c *messageConn) receive() ([]byte, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	n, err := io.ReadFull(c.in, c.header[c.headerRead:])
	if c.headerRead += n; err != nil {
		return nil, lost(err)
	}
	length := binary.BigEndian.Uint32(c.header[:])
	if uint64(length) > uint64(c.limit) {
		return nil, fmt.Errorf("%w: it has %d bytes; the limit is %d", errTooLarge, length, c.limit)
	}
	if err := c.receiveBody(int(length)); err != nil {
		return nil, lost(err)
	}
	body := c.body
	c.headerRead, c.body, c.bodyRead = 0, nil, 0
	return body, nil
}

// receiveBody reads the body, of length bytes. It grows the buffer of a large message as its content
// arrives.
func (c *messageConn) receiveBody(length int) error {
	if c.body == nil {
		c.body = make([]byte, min(length, firstGrowth))
	}
	for {
		n, err := io.ReadFull(c.in, c.body[c.bodyRead:])
		if c.bodyRead += n; err != nil || c.bodyRead == length {
			return err
		}
		grown := make([]byte, min(length, 2*len(c.body)))
		copy(grown, c.body)
		c.body = grown
	}
}

// checkFirst checks the beginning of the first message without consuming it. It returns a
// foreignError if this cannot be a message of dcb's protocol: every message begins with the tag
// 0x0a after its length, and the first one is small.
func (c *messageConn) checkFirst() error {
	c.reading.Lock()
	defer c.reading.Unlock()
	header, err := c.in.Peek(headerBytes)
	if err != nil {
		return lost(err)
	}
	if length := binary.BigEndian.Uint32(header); length == 0 || length > messageBytes {
		return &foreignError{protocolOf(header)}
	}
	first, err := c.in.Peek(headerBytes + 1)
	if err != nil {
		return lost(err)
	}
	if first[headerBytes] != 0x0a {
		return &foreignError{protocolOf(header)}
	}
	return nil
}

// closeGently closes the connection after the other side had time to receive what was sent.
// Closing a connection with unread data resets it, and a reset discards what the other side has
// not read yet. So it ends the sending direction first, and reads until the other side closes.
func (c *messageConn) closeGently(limit time.Duration) {
	defer c.Close()
	if c.SetDeadline(time.Now().Add(limit)) != nil {
		return
	}
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		c.reading.Lock() // a goroutine in receive returns at the deadline at the latest
		defer c.reading.Unlock()
		_, _ = io.Copy(io.Discard, c.in)
	}
}

// canPeek reports whether isReadable works for the connection.
func (c *messageConn) canPeek() bool { return canPeek && c.raw != nil }

// isReadable reports, without waiting, whether a part of a message has arrived or the connection has
// ended. The caller must be the only reader.
func (c *messageConn) isReadable() bool { return c.in.Buffered() > 0 || isReadable(c.raw) }

// hasBuffered reports whether a part of the next message has been read already.
func (c *messageConn) hasBuffered() bool { return c.in.Buffered() > 0 }

// lost returns the error for a connection whose other side closed it or went away. A message says
// that it ends in order, so it is never io.EOF.
func lost(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("the connection was lost: %w", err)
}

// idleCounter decides at each tick whether a connection needs a Ping or is dead.
type idleCounter struct{ silent int }

func (i *idleCounter) tick(c *messageConn) (needsPing, isDead bool) {
	if c.received.Swap(false) {
		i.silent = 0
	} else {
		i.silent++
	}
	return !c.sent.Swap(false), i.silent >= 2*ticks
}
