// Package head publishes the head of a store within its process: readers load it without a lock, and callers of Wait
// sleep until it rises. Every store whose appends pass through its own process uses it.
package head

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/dcbstore/dcb"
)

// Watch is a head that only rises, until it is closed. The zero value is a head at 0.
type Watch struct {
	position atomic.Uint64
	closed   atomic.Bool

	mu    sync.Mutex    // guards risen; taken by a reader only to wait
	risen chan struct{} // closed when the head rises or the watch is closed; nil while nobody waits
}

// Load returns the head and whether the watch is still open (nil) or not (dcb.ErrClosed).
func (w *Watch) Load() (dcb.Position, error) {
	if w.closed.Load() {
		return 0, dcb.ErrClosed
	}
	return dcb.Position(w.position.Load()), nil
}

// Raise publishes position, unless the head is there already, and wakes who waits for it.
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
	w.wake()
}

// Nudge closes the channel that Risen returned although the head has not risen, for those who must know that something else has happened.
func (w *Watch) Nudge() { w.wake() }

// Close ends every Wait, and every later call, with dcb.ErrClosed. It reports whether the watch was open.
func (w *Watch) Close() bool {
	open := !w.closed.Swap(true)
	w.wake()
	return open
}

// Wait returns the head once it is greater than after, or the error of ctx, or dcb.ErrClosed.
func (w *Watch) Wait(ctx context.Context, after dcb.Position) (dcb.Position, error) {
	for {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		risen := w.Risen() // asked for before looking, so that no rise falls between the two
		head, err := w.Load()
		if err != nil || head > after {
			return head, err
		}
		select {
		case <-risen:
		case <-ctx.Done():
		}
	}
}

// Risen returns a channel that is closed when the head next rises, or the watch is nudged or closed.
func (w *Watch) Risen() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed.Load() {
		return closedChannel()
	}
	if w.risen == nil {
		w.risen = make(chan struct{})
	}
	return w.risen
}

func (w *Watch) wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.risen != nil {
		close(w.risen)
		w.risen = nil
	}
}

func closedChannel() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}
