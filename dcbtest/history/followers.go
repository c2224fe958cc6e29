package history

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/dcbstore/dcb"
)

// wakeRounds is how often, at the end of a run, all callers wait for one append. Only then does a lost wake-up show: in the
// midst of things the next append would wake the sleeper.
const wakeRounds = 20

// wakeAll lets all callers wait, and appends once, while they are about to fall asleep.
func (r *recorder) wakeAll(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ringer := r.newCaller(r.Callers)
	for round := range wakeRounds {
		head := r.call(ctx, Operation{Method: Head, Handle: round})
		if head.Err != nil || head.Hung {
			return
		}
		var waiting sync.WaitGroup
		hung := make(chan bool, r.Callers)
		for i := range r.Callers {
			waiting.Go(func() {
				hung <- r.call(ctx, Operation{Method: Wait, Caller: i, Handle: i, After: head.Position}).Hung
			})
		}
		rung := ringer.ring(ctx, round)
		if !rung {
			cancel()
		}
		waiting.Wait()
		for range r.Callers {
			rung = !<-hung && rung
		}
		if !rung {
			return
		}
	}
}

// ring appends an event, as often as it takes if the store may fail, and reports whether it is recorded.
func (c *caller) ring(ctx context.Context, round int) bool {
	bell := c.appending(nil)
	bell.Caller, bell.Handle = c.id, round
	c.identify(bell.Events)
	for end := c.now() + c.Patience; ; {
		rung := c.call(ctx, bell)
		if rung.Err == nil && !rung.Hung {
			return true
		}
		if rung.Hung || !c.MayFail || c.now() > end || !c.pause(ctx) {
			return false
		}
	}
}

// followers follow a store until they have seen all.
type followers struct {
	*recorder
	cancel  context.CancelFunc
	running sync.WaitGroup
	moved   chan struct{} // has something in it when a follower has come further or has ended

	mu  sync.Mutex // guards the fields of all
	all []*follower
}

type follower struct {
	id      int
	query   dcb.Query
	reached dcb.Position
	asked   time.Duration // when it asked for the batch that it waits for
	ended   bool
}

func (r *recorder) startFollowers(ctx context.Context) *followers {
	ctx, cancel := context.WithCancel(ctx)
	f := &followers{recorder: r, cancel: cancel, moved: make(chan struct{}, 1)}
	for i := range r.Followers {
		chooser := r.newCaller(r.Callers + 1 + i)
		one := &follower{id: chooser.id, query: dcb.All(), reached: r.before}
		if i > 0 {
			one.query = chooser.query()
		}
		f.all = append(f.all, one)
		f.running.Go(func() { f.follow(ctx, one) })
	}
	return f
}

// follow follows until it is cancelled. Where the store may fail it goes on from where it was, as a consumer would.
func (f *followers) follow(ctx context.Context, one *follower) {
	defer f.note(func() { one.ended = true })
	for {
		f.note(func() { one.asked = f.now() })
		var ended error
		for batch, err := range dcb.Follow(ctx, f.Handles[one.id%len(f.Handles)], one.query, one.reached) {
			o := f.waitingFor(one)
			o.Result, o.Err, o.End, o.Cancelled = batch, err, f.now(), ctx.Err() != nil
			f.record(o)
			ended = err
			f.note(func() { one.reached, one.asked = max(one.reached, batch.Head), f.now() })
		}
		if !f.MayFail || !errors.Is(ended, dcb.ErrUnavailable) || !f.pause(ctx) {
			return
		}
	}
}

// waitingFor returns the operation that a follower is in the middle of.
func (f *followers) waitingFor(one *follower) Operation {
	f.mu.Lock()
	defer f.mu.Unlock()
	return Operation{
		Method: Follow, Caller: one.id, Handle: one.id % len(f.Handles), Start: one.asked, Query: one.query, After: one.reached,
	}
}

// note changes a follower and tells finish.
func (f *followers) note(change func()) {
	f.mu.Lock()
	change()
	f.mu.Unlock()
	select {
	case f.moved <- struct{}{}:
	default:
	}
}

// finish waits until every follower has come to the highest position that anybody was shown, and ends them. One that does not come there
// hangs.
func (f *followers) finish(ctx context.Context) {
	patience := time.NewTimer(f.Patience)
	defer patience.Stop()
	late := f.late()
	for waiting := true; waiting && len(late) > 0; late = f.late() {
		select {
		case <-f.moved:
		case <-patience.C:
			waiting = false
		case <-ctx.Done():
			waiting = false
		}
	}
	if ctx.Err() == nil {
		for _, one := range late {
			o := f.waitingFor(one)
			o.Hung, o.End = true, f.now()
			f.record(o)
		}
	}
	f.cancel()
	f.leave()
}

// leave waits for the followers to end, which they should at once: one that does not is left behind, as a call that hangs.
func (f *followers) leave() {
	ended := make(chan struct{})
	go func() {
		f.running.Wait()
		close(ended)
	}()
	patience := time.NewTimer(f.Patience)
	defer patience.Stop()
	select {
	case <-ended:
		return
	case <-patience.C:
	}
	for _, one := range f.all {
		if f.isRunning(one) {
			o := f.waitingFor(one)
			o.Hung, o.End = true, f.now()
			f.record(o)
		}
	}
}

func (f *followers) isRunning(one *follower) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !one.ended
}

// late returns the followers that have not come as far as they should.
func (f *followers) late() []*follower {
	f.recorder.mu.Lock()
	highest := f.highest
	f.recorder.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	var late []*follower
	for _, one := range f.all {
		if !one.ended && one.reached < highest {
			late = append(late, one)
		}
	}
	return late
}
