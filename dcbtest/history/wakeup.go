package history

import (
	"context"
	"sync"

	"github.com/dcbstore/dcb"
)

// wakeUpRounds is the number of rounds of checkWakeUps.
const wakeUpRounds = 20

// checkWakeUps reveals lost wake-ups. In each round all callers wait for the same append, which is
// made while they begin to wait, and no other append follows that could wake them instead.
func (r *run) checkWakeUps(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	appender := r.newCaller(r.Callers)
	for round := range wakeUpRounds {
		head := r.Do(ctx, Operation{Method: Head, Handle: r.handle(round)})
		if !head.succeeded() || !r.wakeUpAll(ctx, cancel, appender, head.Position) {
			return
		}
	}
}

// wakeUpAll runs one round and reports whether the next one makes sense.
func (r *run) wakeUpAll(ctx context.Context, cancel context.CancelFunc, appender *caller, head dcb.Position) bool {
	var waiting sync.WaitGroup
	waits := make([]Operation, r.Callers)
	for i := range waits {
		waiting.Go(func() {
			waits[i] = r.Do(ctx, Operation{Method: Wait, Caller: i, Handle: r.handle(i), After: head})
		})
	}
	ok := appender.appendUntilRecorded(ctx)
	if !ok {
		cancel()
	}
	waiting.Wait()
	for i := range waits {
		ok = ok && !waits[i].Hung
	}
	return ok
}

// appendUntilRecorded appends one event. On a store that may fail it tries until the event is
// recorded or HangTimeout is over. It reports whether the event is recorded.
func (c *caller) appendUntilRecorded(ctx context.Context) bool {
	o := c.newAppend(nil)
	o.Caller, o.Handle = c.id, c.random.IntN(len(c.Handles))
	c.addIDs(o.Events)
	for end := c.now() + c.hangTimeout; ; {
		attempt := c.Do(ctx, o)
		if attempt.succeeded() {
			return true
		}
		if attempt.Hung || !c.MayFail || c.now() > end || !c.pause(ctx) {
			return false
		}
	}
}
