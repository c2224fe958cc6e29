package dcbgrpc

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/dcbstore/dcb/internal/wire"
)

// sniffTime is how long a connection may take to show by its first bytes what it wants.
const sniffTime = 20 * time.Second

// lastWords is how long a client may take to hear why its session is over.
const lastWords = time.Second

// splitter is a listener of the connections that want gRPC. Those that want a bare session are served by the server itself.
type splitter struct {
	net.Listener
	server *Server
	forRPC chan net.Conn
	closed chan struct{}
	close  sync.Once
	failed error // of accepting; set before closed is closed
}

func (s *Server) split(listener net.Listener) *splitter {
	p := &splitter{Listener: listener, server: s, forRPC: make(chan net.Conn), closed: make(chan struct{})}
	go p.acceptAll()
	return p
}

func (p *splitter) acceptAll() {
	for {
		conn, err := p.Listener.Accept()
		if temporary, ok := errors.AsType[net.Error](err); ok && temporary.Temporary() { //nolint:staticcheck // what gRPC and net/http go by, too
			select {
			case <-time.After(10 * time.Millisecond): // no descriptors, for example: some will be given back
			case <-p.closed:
			}
			continue
		}
		if err != nil {
			p.end(err)
			return
		}
		go p.sniff(conn)
	}
}

func (p *splitter) end(err error) {
	p.close.Do(func() {
		p.failed = err
		close(p.closed)
	})
}

// Accept returns the next connection that wants gRPC.
func (p *splitter) Accept() (net.Conn, error) {
	select {
	case conn := <-p.forRPC:
		return conn, nil
	case <-p.closed:
		return nil, p.failed
	}
}

// Close closes the listener below.
func (p *splitter) Close() error {
	p.end(net.ErrClosed)
	return p.Listener.Close()
}

// sniff looks what a connection wants.
func (p *splitter) sniff(conn net.Conn) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if !p.server.enter(conn, cancel) {
		_ = conn.Close() // it comes too late
		return
	}
	defer p.server.leave(conn)
	in := bufio.NewReaderSize(conn, 64<<10)
	err := conn.SetReadDeadline(time.Now().Add(sniffTime))
	isBare := false
	if err == nil {
		isBare, err = wantsBare(in)
	}
	if err == nil {
		err = conn.SetReadDeadline(time.Time{})
	}
	switch {
	case err != nil:
		_ = conn.Close() // it said nothing, or too late
	case isBare:
		if !p.server.settle(conn) {
			_ = conn.Close()
			return
		}
		p.server.serveBare(ctx, conn, in)
	default:
		select {
		case p.forRPC <- &sniffed{Conn: conn, in: in}:
		case <-p.closed:
			_ = conn.Close()
		}
	}
}

// wantsBare reports whether a connection begins with bareHello, and takes that off.
func wantsBare(in *bufio.Reader) (bool, error) {
	for i := range len(bareHello) {
		begin, err := in.Peek(i + 1)
		if err != nil {
			return false, err
		}
		if begin[i] != bareHello[i] {
			return false, nil
		}
	}
	_, err := in.Discard(len(bareHello))
	return true, err
}

// sniffed is a connection whose first bytes were looked at.
type sniffed struct {
	net.Conn
	in *bufio.Reader // until it is empty, for that is all it has
}

// Read reads what was looked at, and then the connection itself.
func (c *sniffed) Read(p []byte) (int, error) {
	if c.in == nil {
		return c.Conn.Read(p)
	}
	n, err := c.in.Read(p[:min(len(p), c.in.Buffered())])
	if c.in.Buffered() == 0 {
		c.in = nil
	}
	return n, err
}

// serveBare serves a session by a connection, and closes it.
func (s *Server) serveBare(ctx context.Context, conn net.Conn, in *bufio.Reader) {
	defer conn.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if _, err := io.WriteString(conn, bareHello); err != nil {
		return
	}
	b := newBare(ctx, conn, in, frameBytes) // which is enough for a Hello
	go b.keepAlive(ctx, s.opts.Keepalive)
	err := s.session(b)
	if err == nil {
		err = wire.ErrStopping // or the client itself is done, and does not care
	}
	b.end(err, s.opts.lastWords)
}

// end says why the session is over, and sees to it that the client can hear that: a connection that is closed while there is something to read
// is reset, and takes with it what was not read at the other end.
func (b *bare) end(err error, lastWords time.Duration) {
	if b.conn.SetDeadline(time.Now().Add(lastWords)) != nil {
		return
	}
	last := &answer{kind: fieldError, err: toMessage(err)}
	body := last.append(nil)
	if b.write(uint32(len(body)), body) != nil {
		return
	}
	if half, ok := b.conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		b.receiving.Lock() // who receives has until the deadline, too
		defer b.receiving.Unlock()
		_, _ = io.Copy(io.Discard, b.in) // until the client closes, or the deadline
	}
}

// guest is a connection that is no gRPC's, or not yet.
type guest struct {
	cancel  context.CancelFunc // ends what is done for it
	settled bool               // it has said that it wants a bare session
}

// enter notes a connection; not if the server is stopping.
func (s *Server) enter(conn net.Conn, cancel context.CancelFunc) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isStopping {
		return false
	}
	s.guests[conn] = &guest{cancel: cancel}
	s.connected.Add(1)
	return true
}

// settle notes that a connection is a session from now on, which a stop lets end in good order; not if the server is stopping.
func (s *Server) settle(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.guests[conn].settled = true
	return !s.isStopping
}

func (s *Server) leave(conn net.Conn) {
	s.mu.Lock()
	delete(s.guests, conn)
	s.mu.Unlock()
	s.connected.Done()
}

// beginStop lets nobody in any more, and tells those who are.
func (s *Server) beginStop() {
	s.health.Shutdown()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isStopping {
		return
	}
	s.isStopping = true
	close(s.stopping)
	for conn, guest := range s.guests {
		if !guest.settled {
			_ = conn.Close() // it has said nothing, and would be waited for
		}
	}
}

// cut ends the connections that are no gRPC's.
func (s *Server) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn, guest := range s.guests {
		_ = conn.Close() // first: that this ends a call is not what its caller is told, who is to know that nobody knows
		guest.cancel()
	}
}
