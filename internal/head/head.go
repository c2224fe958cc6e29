// Package head publishes the head of a store within its process. Readers load it without a lock,
// and callers of Wait sleep until it rises.
package head

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/dcbstore/dcb"
)

// Watch is a head that never falls. Several goroutines may call its methods at once. The zero value
// is a head at 0.
type Watch struct {
	position atomic.Uint64
	closed   atomic.Bool

	mu      sync.Mutex    // guards changed; a reader locks it only to wait
	changed chan struct{} // nil if no goroutine waits
}

// Load returns the head, or [dcb.ErrClosed].
func (w *Watch) Load() (dcb.Position, error) {
	if w.closed.Load() {
		return 0, dcb.ErrClosed
	}
	return dcb.Position(w.position.Load()), nil
}

// Raise publishes position and wakes the goroutines that wait for it. It does nothing if the head
// is not lower.
func (w *Watch) Raise(position dcb.Position) {
	for {
		old := w.position.Load()
		if uint64(position) <= old {
			return
		}
		if w.position.CompareAndSwap(old, uint64(position)) {
			break
		}
	}
	w.Wake()
}

// Close ends every Wait, and every later call of Wait and Load, with [dcb.ErrClosed]. It reports
// whether the watch was open.
func (w *Watch) Close() bool {
	open := !w.closed.Swap(true)
	w.Wake()
	return open
}

// Wait returns the head as soon as it is greater than after. It ends earlier with the error of ctx,
// or with [dcb.ErrClosed].
func (w *Watch) Wait(ctx context.Context, after dcb.Position) (dcb.Position, error) {
	for {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		changed := w.Changed() // before Load, so that a rise after Load closes it
		head, err := w.Load()
		if err != nil || head > after {
			return head, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// Changed returns a channel that is closed when the head next rises, or when Wake or Close is
// called. It is closed already if the watch is closed.
func (w *Watch) Changed() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed.Load() {
		return closedChannel()
	}
	if w.changed == nil {
		w.changed = make(chan struct{})
	}
	return w.changed
}

// Wake closes the channel that Changed returned although the head has not risen. A store calls it
// when something else happened that a waiting goroutine must check.
func (w *Watch) Wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.changed != nil {
		close(w.changed)
		w.changed = nil
	}
}

func closedChannel() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}
