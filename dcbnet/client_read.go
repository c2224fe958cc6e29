package dcbnet

import (
	"context"
	"errors"
	"os"
	"time"
)

// One goroutine at a time reads from a connection: the one that has put a value into the channel
// reading. It delivers every response that it reads to the call that the response belongs to.
//
// While several calls are under way, and while the connection is idle, that is the read loop. A
// call that is alone reads its own response, in its caller's goroutine. So the caller does not
// wait for the read loop to wake up, and then for itself to be woken up by the read loop. On
// loopback that takes about a fifth of a round trip.
//
// The rules that keep somebody reading:
//
//   - A call registers itself in calls before it tries to become the reader. If another goroutine
//     reads, that one delivers its response.
//   - A caller that stops reading gives up reading first, and checks calls afterwards. If calls are
//     left, it wakes the read loop.
//   - The read loop gives up reading only when no call is under way. It reads again when it is
//     woken, and when no call has started for idleTime.

// idleTime is how long nobody reads before the read loop takes over. Until then a GOAWAY waits
// for the next call, which looks for it before it sends its request.
const idleTime = 50 * time.Millisecond

// drainTime limits how long a caller reads what arrived before its request.
const drainTime = time.Millisecond

// tryReading makes the caller the reader, if nobody is.
func (c *clientConn) tryReading() bool {
	select {
	case c.reading <- struct{}{}:
		return true
	default:
		return false
	}
}

// stopReading ends the caller's role as the reader.
func (c *clientConn) stopReading() {
	<-c.reading
	c.mu.Lock()
	isNeeded := len(c.calls) > 0
	c.mu.Unlock()
	if isNeeded {
		c.wakeReadLoop()
	}
}

func (c *clientConn) wakeReadLoop() {
	select {
	case c.wake <- struct{}{}:
	default: // it has not taken the previous wake-up yet
	}
}

// readAlone makes the caller the reader for a call that is alone, and reads what has arrived already.
// After a GOAWAY or the end of the connection, the request is not sent.
func (c *clientConn) readAlone() bool {
	if !c.conn.canPeek() || !c.isAlone() || !c.tryReading() {
		return false
	}
	for c.conn.isReadable() {
		_ = c.conn.SetReadDeadline(time.Now().Add(drainTime))
		err := c.readMessage()
		_ = c.conn.SetReadDeadline(time.Time{})
		if err == nil {
			continue
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) { // then it is the beginning of a message; the read loop continues
			c.lose(c.explain(err))
		}
		c.stopReading()
		return false
	}
	return true
}

// readUntil reads until there is a response to call, the connection is lost, or ctx ends.
func (c *clientConn) readUntil(ctx context.Context, call *clientCall) {
	if ctx.Done() != nil {
		interrupted := make(chan struct{})
		stop := context.AfterFunc(ctx, func() {
			_ = c.conn.SetReadDeadline(time.Unix(1, 0))
			close(interrupted)
		})
		defer func() {
			if !stop() {
				<-interrupted
				_ = c.conn.SetReadDeadline(time.Time{})
			}
		}()
	}
	for {
		err := c.readMessage()
		if err != nil && ctx.Err() == nil {
			c.lose(c.explain(err))
		}
		if err != nil {
			return
		}
		select {
		case <-call.ready:
			return
		default: // it was a response to another call, or a Pong
		}
	}
}

// readMessage reads one message and delivers its responses.
func (c *clientConn) readMessage() error {
	message, err := c.conn.receive()
	if err != nil {
		return err
	}
	return readResponses(message, c.deliver)
}

// readLoop is the reader whenever no caller is, until the connection is lost. At first it has the
// role.
func (c *clientConn) readLoop() {
	err := c.conn.checkFirst()
	for err == nil {
		if err = c.readMessage(); err == nil && c.conn.canPeek() && c.isIdle() {
			<-c.reading
			if !c.awaitReading() {
				return
			}
		}
	}
	c.lose(c.explain(err))
}

// awaitReading returns when the read loop is the reader again. It returns false if the connection
// is lost.
func (c *clientConn) awaitReading() bool {
	ticker := time.NewTicker(idleTime)
	defer ticker.Stop()
	lastID := c.lastStarted()
	for {
		select {
		case <-c.done:
			return false
		case <-c.wake:
			if c.tryReading() {
				return true
			}
		case <-ticker.C:
			id := c.lastStarted()
			if id == lastID && c.tryReading() {
				return true
			}
			lastID = id
		}
	}
}

// isIdle reports whether no call is under way.
func (c *clientConn) isIdle() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.calls) == 0
}

// lastStarted returns the id of the last call that was started.
func (c *clientConn) lastStarted() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lastID
}
