package dcbnet

import (
	"context"
	"sync"
)

const (
	// clientCredit is the credit in bytes that this package's client gives a Read or a Subscribe:
	// what the server may send ahead of the consumer.
	clientCredit = 2 << 20
	// pieceBytes is about the size of a piece of events.
	pieceBytes = 128 << 10
	// maxCredit bounds a credit, because the client's numbers can be anything.
	maxCredit = 1 << 40
)

// pieceCost returns the credit that a piece uses up: its bytes, and a constant that also bounds
// the number of pieces without events.
func pieceCost(bytes int) int64 { return int64(bytes) + 64 }

// credit counts the bytes that a client still accepts for one Read or Subscribe. One goroutine
// sends the pieces and calls wait and use; the goroutine that reads the connection calls add.
type credit struct {
	mu    sync.Mutex // guards left
	left  int64
	added chan struct{} // capacity 1; receives after add
}

func newCredit(bytes uint64) *credit {
	c := &credit{added: make(chan struct{}, 1)}
	c.add(bytes)
	return c
}

func (c *credit) add(bytes uint64) {
	c.mu.Lock()
	c.left = min(c.left+int64(min(bytes, maxCredit)), maxCredit)
	c.mu.Unlock()
	select {
	case c.added <- struct{}{}:
	default:
	}
}

// use subtracts the cost of a piece. The rest may become negative: a piece may be sent while any
// credit is left, so that an event larger than the credit passes.
func (c *credit) use(cost int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left -= cost
}

func (c *credit) isLeft() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.left > 0
}

// wait returns when a piece may be sent.
func (c *credit) wait(ctx context.Context) error {
	for !c.isLeft() {
		select {
		case <-c.added:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
