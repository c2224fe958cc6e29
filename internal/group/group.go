// Package group makes one commit out of the calls that wait for one: the idea that all durable stores share. What a commit
// costs (a sync, a round trip) is paid once for all of them, and no timer makes anyone wait for company.
//
// A caller that finds no commit under way makes one by itself, in its own goroutine, so that a single caller pays for no
// hand-over. Those who come meanwhile are the next batch.
package group

import (
	"context"
	"runtime"
	"slices"
	"sync"

	"github.com/dcbstore/dcb"
)

// Committer gathers values of type T into batches. Make one with New.
type Committer[T any] struct {
	commit func(ctx context.Context, batch []T)
	fits   func(batch []T, next T) bool

	mu         sync.Mutex // guards what follows
	committing bool
	closed     bool
	waiting    []*call[T]
	idle       sync.Cond // signalled when committing becomes false
}

type call[T any] struct {
	value T
	done  chan struct{}
}

// New returns a committer. Commit carries out a batch and leaves each value's result with the value; it is never called twice at a time. Its
// context is that of the caller in whose goroutine it is, whose value is then all of the batch, and otherwise never ends. Fits says whether next may join batch, which
// has at least one value; who does not fit, and who came later, is for the next batch.
func New[T any](commit func(ctx context.Context, batch []T), fits func(batch []T, next T) bool) *Committer[T] {
	c := &Committer[T]{commit: commit, fits: fits}
	c.idle.L = &c.mu
	return c
}

// Do has value committed. An error says that it was not: dcb.ErrClosed, or the context's if that ended before a commit took
// the value. If the context ends later Do returns its error and started, and the commit goes on; value must then be
// left alone.
func (c *Committer[T]) Do(ctx context.Context, value T) (started bool, err error) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return false, dcb.ErrClosed
	}
	if !c.committing {
		c.committing = true
		c.mu.Unlock()
		defer c.handOver() // also if commit panics: whoever recovers from that must not leave the others waiting for ever
		c.commit(ctx, []T{value})
		return true, nil
	}
	mine := &call[T]{value, make(chan struct{})}
	c.waiting = append(c.waiting, mine)
	c.mu.Unlock()

	select {
	case <-mine.done:
		return true, nil
	case <-ctx.Done():
		return !c.withdraw(mine), ctx.Err()
	}
}

// Close waits for the commits of those who came before, and refuses whoever comes after.
func (c *Committer[T]) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for c.committing {
		c.idle.Wait()
	}
}

// handOver ends a commit made by a caller. If others came meanwhile a goroutine carries on, so that the caller need not.
func (c *Committer[T]) handOver() {
	if batch := c.next(); batch != nil {
		go c.drain(batch)
	}
}

func (c *Committer[T]) drain(batch []*call[T]) {
	for ; batch != nil; batch = c.next() {
		values := make([]T, len(batch))
		for i, call := range batch {
			values[i] = call.value
		}
		c.commit(context.Background(), values)
		for _, call := range batch {
			close(call.done)
		}
		// Those just answered may want to append again: let them, so that they join the next batch and do not just miss it.
		runtime.Gosched()
	}
}

// next takes the next batch from those waiting, or nil if nobody is, which ends committing.
func (c *Committer[T]) next() []*call[T] {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.waiting) == 0 {
		c.committing = false
		c.idle.Broadcast()
		return nil
	}
	values := []T{c.waiting[0].value}
	for _, call := range c.waiting[1:] {
		if !c.fits(values, call.value) {
			break
		}
		values = append(values, call.value)
	}
	batch := slices.Clone(c.waiting[:len(values)])
	c.waiting = slices.Delete(c.waiting, 0, len(values))
	return batch
}

// withdraw takes mine back if no commit has taken it yet.
func (c *Committer[T]) withdraw(mine *call[T]) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.Index(c.waiting, mine)
	if i < 0 {
		return false
	}
	c.waiting = slices.Delete(c.waiting, i, i+1)
	return true
}
