package history

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/dcbstore/dcb"
)

// followers follow the store during a run, until they have seen all of it.
type followers struct {
	*run
	cancel  context.CancelFunc
	running sync.WaitGroup
	changed chan struct{} // holds a value after a follower has changed

	mu  sync.Mutex // guards the fields of each follower
	all []*follower
}

type follower struct {
	id      int
	query   dcb.Query
	reached dcb.Position  // the Head of its last batch
	asked   time.Duration // when it asked for the next batch
	ended   bool
}

func (r *run) startFollowers(ctx context.Context) *followers {
	ctx, cancel := context.WithCancel(ctx)
	fs := &followers{run: r, cancel: cancel, changed: make(chan struct{}, 1)}
	for i := range r.Followers {
		chooser := r.newCaller(r.Callers + 1 + i)
		f := &follower{id: chooser.id, query: dcb.All(), reached: r.before}
		if i > 0 {
			f.query = chooser.query()
		}
		fs.all = append(fs.all, f)
		fs.running.Go(func() { fs.follow(ctx, f) })
	}
	return fs
}

// follow follows until ctx is cancelled. On a store that may fail it resumes from the last Head,
// as a consumer does.
func (fs *followers) follow(ctx context.Context, f *follower) {
	defer fs.change(func() { f.ended = true })
	for {
		fs.change(func() { f.asked = fs.now() })
		var last error
		for batch, err := range fs.Follow(ctx, fs.nextBatch(f)) {
			last = err
			fs.change(func() { f.reached, f.asked = max(f.reached, batch.Head), fs.now() })
		}
		if !fs.MayFail || !errors.Is(last, dcb.ErrUnavailable) || !fs.pause(ctx) {
			return
		}
	}
}

// nextBatch returns the operation that f is in the middle of.
func (fs *followers) nextBatch(f *follower) Operation {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return Operation{Method: Follow, Caller: f.id, Handle: fs.handle(f.id), Start: f.asked, Query: f.query, After: f.reached}
}

// change changes a follower and wakes finish.
func (fs *followers) change(f func()) {
	fs.mu.Lock()
	f()
	fs.mu.Unlock()
	select {
	case fs.changed <- struct{}{}:
	default:
	}
}

// finish waits until every follower has reached the highest position that any call returned, and
// then ends the followers. It records the batch of a follower that does not get there as hung.
func (fs *followers) finish(ctx context.Context) {
	timeout := time.NewTimer(fs.hangTimeout)
	defer timeout.Stop()
	late := fs.late()
	for waiting := true; waiting && len(late) > 0; late = fs.late() {
		select {
		case <-fs.changed:
		case <-timeout.C:
			waiting = false
		case <-ctx.Done():
			waiting = false
		}
	}
	if ctx.Err() == nil {
		fs.recordHung(late)
	}
	fs.cancel()
	fs.awaitEnd()
}

// awaitEnd waits for the followers to end, which they should do at once after cancel. It records
// the batch of a follower that does not as hung.
func (fs *followers) awaitEnd() {
	ended := make(chan struct{})
	go func() {
		fs.running.Wait()
		close(ended)
	}()
	timeout := time.NewTimer(fs.hangTimeout)
	defer timeout.Stop()
	select {
	case <-ended:
	case <-timeout.C:
		fs.recordHung(fs.filter(func(f *follower) bool { return !f.ended }))
	}
}

func (fs *followers) recordHung(hung []*follower) {
	for _, f := range hung {
		o := fs.nextBatch(f)
		o.Hung, o.End = true, fs.now()
		fs.record(o)
	}
}

// late returns the followers that have not reached the highest position that any call returned.
func (fs *followers) late() []*follower {
	highest := fs.highestReturned()
	return fs.filter(func(f *follower) bool { return !f.ended && f.reached < highest })
}

// filter returns the followers for which keep returns true.
func (fs *followers) filter(keep func(f *follower) bool) []*follower {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	var kept []*follower
	for _, f := range fs.all {
		if keep(f) {
			kept = append(kept, f)
		}
	}
	return kept
}
