// Package group is group commit: callers that wait for a commit share the next one, and with it the
// cost of a round trip or a sync. No timer delays a caller.
//
// A caller that finds no commit under way commits alone, in its own goroutine, so a single caller
// pays for no hand-over. The callers that arrive meanwhile form the next batch.
package group

import (
	"context"
	"runtime"
	"slices"
	"sync"

	"github.com/dcbstore/dcb"
)

// Committer commits values of type T in batches. [New] returns one. Several goroutines may call its
// methods at once.
type Committer[T any] struct {
	commit func(ctx context.Context, batch []T)
	fits   func(batch []T, next T) bool

	mu         sync.Mutex // guards the fields below
	committing bool
	closed     bool
	waiting    []*request[T] // in the order of their arrival
	idle       sync.Cond     // signalled when committing becomes false
}

// request is a value that waits for its commit.
type request[T any] struct {
	value T
	done  chan struct{} // closed after the commit
}

// New returns a Committer.
//
// It calls commit for each batch, never twice at a time. Commit stores the result of each value in
// the value. The context of a batch of one value may be its caller's; otherwise the context never
// ends.
//
// Fits reports whether next may join batch, which is not empty. A value that does not fit, and the
// values after it, wait for a later batch.
func New[T any](commit func(ctx context.Context, batch []T), fits func(batch []T, next T) bool) *Committer[T] {
	c := &Committer[T]{commit: commit, fits: fits}
	c.idle.L = &c.mu
	return c
}

// Do commits value, in a batch with others. It returns nil after the commit.
//
// If started is false, value was not and will not be committed: the error is [dcb.ErrClosed], or
// the error of ctx, which ended before a commit began. If ctx ends during the commit, Do returns
// true and the error of ctx while the commit continues, so the caller must no longer use value.
func (c *Committer[T]) Do(ctx context.Context, value T) (started bool, err error) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return false, dcb.ErrClosed
	}
	if !c.committing {
		c.committing = true
		c.mu.Unlock()
		defer c.handOver() // also if commit panics, so that a recovered panic does not block the others
		c.commit(ctx, []T{value})
		return true, nil
	}
	r := &request[T]{value, make(chan struct{})}
	c.waiting = append(c.waiting, r)
	c.mu.Unlock()

	select {
	case <-r.done:
		return true, nil
	case <-ctx.Done():
		return !c.withdraw(r), ctx.Err()
	}
}

// Close waits for the commits of earlier callers. Later callers get [dcb.ErrClosed].
func (c *Committer[T]) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for c.committing {
		c.idle.Wait()
	}
}

// handOver lets a new goroutine commit the values that arrived meanwhile, so that the caller can
// return.
func (c *Committer[T]) handOver() {
	if batch := c.takeBatch(); batch != nil {
		go c.commitAll(batch)
	}
}

// commitAll commits batch and further batches until no value waits.
func (c *Committer[T]) commitAll(batch []*request[T]) {
	for ; batch != nil; batch = c.takeBatch() {
		values := make([]T, len(batch))
		for i, r := range batch {
			values[i] = r.value
		}
		c.commit(context.Background(), values)
		for _, r := range batch {
			close(r.done)
		}
		// The callers of this batch may call again at once. Let them run, so that they join the next
		// batch instead of just missing it.
		runtime.Gosched()
	}
}

// takeBatch removes the next batch from waiting. If no value waits, it ends committing and returns
// nil.
func (c *Committer[T]) takeBatch() []*request[T] {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.waiting) == 0 {
		c.committing = false
		c.idle.Broadcast()
		return nil
	}
	values := []T{c.waiting[0].value}
	for _, r := range c.waiting[1:] {
		if !c.fits(values, r.value) {
			break
		}
		values = append(values, r.value)
	}
	batch := slices.Clone(c.waiting[:len(values)])
	c.waiting = slices.Delete(c.waiting, 0, len(values))
	return batch
}

// withdraw removes r from waiting. It returns false if a commit has taken r.
func (c *Committer[T]) withdraw(r *request[T]) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.Index(c.waiting, r)
	if i < 0 {
		return false
	}
	c.waiting = slices.Delete(c.waiting, i, i+1)
	return true
}
