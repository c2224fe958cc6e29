package dcbgrpc

import (
	"context"
	"sync"
)

// The windows of this package's client: how many bytes of events one read or subscription may have sent and not yet looked at.
const clientWindow = 2 << 20

// pieceBytes is about how large a piece of events is.
const pieceBytes = 128 << 10

// pieceCost is how much of the window a piece takes: its bytes, and something for itself, so that pieces without events are bounded, too.
func pieceCost(bytes int) int64 { return int64(bytes) + 64 }

// window is what a client has granted a read or a subscription.
type window struct {
	mu      sync.Mutex // guards left
	left    int64
	granted chan struct{} // has room for one; something was granted
}

func newWindow(bytes uint64) *window {
	w := &window{granted: make(chan struct{}, 1)}
	w.grant(bytes)
	return w
}

// grant adds to the window, which never is more than what is sensible: a number on the wire may be anything.
func (w *window) grant(bytes uint64) {
	w.mu.Lock()
	w.left = min(w.left+int64(min(bytes, 1<<40)), 1<<40)
	w.mu.Unlock()
	select {
	case w.granted <- struct{}{}:
	default:
	}
}

// take uses up what a piece costs.
func (w *window) take(cost int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left -= cost
}

func (w *window) isOpen() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.left > 0
}

// wait returns when a piece may be sent.
func (w *window) wait(ctx context.Context) error {
	for !w.isOpen() {
		select {
		case <-w.granted:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
