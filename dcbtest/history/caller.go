package history

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
)

// recentPositions bounds how far below the head callers read. With unbounded reads the time of a
// run grows with the square of its length.
const recentPositions = 200

// caller makes random calls, one step after another.
type caller struct {
	*run
	id      int
	random  *rand.Rand
	appends int           // made so far; part of the data of the next one
	seen    dcb.Position  // the highest position that a call of this caller returned
	sent    [][]dcb.Event // the events of earlier appends with IDs, for retries and stolen IDs
}

func (r *run) newCaller(id int) *caller {
	random := rand.New(rand.NewPCG(r.Seed, uint64(r.before)<<16|uint64(id)))
	return &caller{run: r, id: id, random: random, seen: r.before}
}

// makeSteps makes steps until Steps or Duration is over, ctx has ended, or the store cannot go on.
func (c *caller) makeSteps(ctx context.Context) {
	end := c.began.Add(c.Duration)
	for step := 0; ctx.Err() == nil; step++ {
		if c.Duration > 0 && time.Now().After(end) || c.Duration <= 0 && step >= c.Steps {
			return
		}
		o := c.step(ctx)
		if o.Hung || errors.Is(o.Err, dcb.ErrClosed) || errors.Is(o.Err, dcb.ErrCorrupt) {
			return // every later call would fail too, and each hang takes HangTimeout
		}
		if errors.Is(o.Err, dcb.ErrUnavailable) && !c.pause(ctx) {
			return
		}
	}
}

// step makes one call or a few, and returns the last.
func (c *caller) step(ctx context.Context) Operation {
	switch n := c.random.IntN(100); {
	case n < 25:
		return c.readAndAppend(ctx)
	case n < 40:
		return c.do(ctx, c.newAppend(nil))
	case n < 50:
		return c.do(ctx, c.newAppend(&dcb.AppendCondition{FailIfEventsMatch: c.query(), After: c.anyPosition()}))
	case n < 56:
		return c.reserve(ctx)
	case n < 68:
		return c.retry(ctx)
	case n < 72:
		return c.stealID(ctx)
	case n < 88:
		return c.do(ctx, Operation{Method: Read, Query: c.query(), Options: c.readOptions()})
	case n < 93:
		return c.do(ctx, Operation{Method: Head})
	case n < 98:
		return c.waitAndAppend(ctx)
	default:
		return c.cancelWait(ctx)
	}
}

// do makes a call. It cancels one in twenty at a random moment.
func (c *caller) do(ctx context.Context, o Operation) Operation {
	if c.random.IntN(20) == 0 {
		var cancel context.CancelFunc
		// From 1 µs, when nothing has begun, to 5 ms, when most calls are over.
		ctx, cancel = context.WithTimeout(ctx, time.Duration(1000*math.Pow(5000, c.random.Float64())))
		defer cancel()
	}
	return c.observe(c.Do(ctx, c.address(o)))
}

// address sets the caller and the handle of o. One call in eight uses any handle, which must show
// what the caller has seen through its own.
func (c *caller) address(o Operation) Operation {
	o.Caller, o.Handle = c.id, c.handle(c.id)
	if c.random.IntN(8) == 0 {
		o.Handle = c.random.IntN(len(c.Handles))
	}
	return o
}

// observe raises c.seen to the position that o returned.
func (c *caller) observe(o Operation) Operation {
	if o.succeeded() {
		c.seen = max(c.seen, o.Position, o.Result.Head)
	}
	return o
}

// readAndAppend reads, and appends on the condition that the read would return the same now.
func (c *caller) readAndAppend(ctx context.Context) Operation {
	read := c.do(ctx, Operation{Method: Read, Query: c.query(), Options: dcb.ReadOptions{After: c.recentPosition()}})
	if !read.succeeded() {
		return read
	}
	return c.do(ctx, c.newAppend(&dcb.AppendCondition{FailIfEventsMatch: read.Query, After: read.Result.Head}))
}

// reserve appends an event with a tag that no other caller uses, on the condition that the tag is
// new. Only an earlier reservation of this caller can conflict with it.
func (c *caller) reserve(ctx context.Context) Operation {
	o := c.newAppend(nil)
	tag := fmt.Sprintf("reserved:%d:%d:%d", c.before, c.id, c.random.IntN(1+c.appends))
	o.Events[0].Tags = append(o.Events[0].Tags, tag)
	o.Condition = &dcb.AppendCondition{FailIfEventsMatch: dcb.Query{{Tags: []string{tag}}}}
	return c.do(ctx, o)
}

// retry sends one append several times, one after another or all at once, with the same condition
// or with different ones. The append may be an earlier one.
func (c *caller) retry(ctx context.Context) Operation {
	o := c.newAppend(c.condition())
	if c.random.IntN(4) == 0 && len(c.sent) > 0 {
		o.Events = c.sent[c.random.IntN(len(c.sent))]
	} else {
		c.addIDs(o.Events)
		c.sent = append(c.sent, o.Events)
	}
	if c.random.IntN(2) == 0 {
		c.do(ctx, o)
		if c.random.IntN(2) == 0 {
			o.Condition = c.condition()
		}
		return c.do(ctx, o)
	}
	return c.sendAtOnce(ctx, o)
}

// sendAtOnce sends one append two or three times at once.
func (c *caller) sendAtOnce(ctx context.Context, o Operation) Operation {
	operations := make([]Operation, 2+c.random.IntN(2))
	var calls sync.WaitGroup
	for i := range operations {
		attempt := o
		attempt.Caller, attempt.Handle = c.id, c.random.IntN(len(c.Handles))
		if c.random.IntN(3) == 0 {
			attempt.Condition = c.condition()
		}
		calls.Go(func() { operations[i] = c.Do(ctx, attempt) })
	}
	calls.Wait()
	for i := range operations {
		if c.observe(operations[i]); operations[i].Hung {
			return operations[i]
		}
	}
	return operations[0]
}

// stealID appends new events, one of which has the ID of an event of an earlier append.
func (c *caller) stealID(ctx context.Context) Operation {
	o := c.newAppend(c.condition())
	c.addIDs(o.Events)
	if len(c.sent) > 0 {
		from := c.sent[c.random.IntN(len(c.sent))]
		o.Events[c.random.IntN(len(o.Events))].ID = from[c.random.IntN(len(from))].ID
	}
	return c.do(ctx, o)
}

// waitAndAppend waits for a position that its own append reaches. The wait ends however the two
// calls overlap.
func (c *caller) waitAndAppend(ctx context.Context) Operation {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	wait := c.address(Operation{Method: Wait, After: c.seen})
	if c.random.IntN(4) == 0 {
		wait.After = c.recentPosition()
	}
	waited := make(chan Operation, 1)
	go func() { waited <- c.Do(ctx, wait) }()
	appended := c.Do(ctx, c.address(c.newAppend(nil)))
	if !appended.succeeded() {
		cancel()
	}
	wait = <-waited
	c.observe(appended)
	return c.observe(wait)
}

// cancelWait waits for a position far beyond the head and cancels the wait within a millisecond.
func (c *caller) cancelWait(ctx context.Context) Operation {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(c.random.IntN(1_000_000)))
	defer cancel()
	return c.observe(c.Do(ctx, c.address(Operation{Method: Wait, After: c.seen + 1_000_000})))
}

// newAppend returns an append of new events. The data of each is unique: the head before the run,
// the caller, the number of the append, and the number of the event in it.
func (c *caller) newAppend(condition *dcb.AppendCondition) Operation {
	c.appends++
	events := make([]dcb.Event, 1+min(c.random.IntN(c.MaxEvents), c.random.IntN(c.MaxEvents)))
	for i := range events {
		events[i] = dcb.Event{Type: c.eventType(), Data: fmt.Appendf(nil, "%d/%d/%d/%d", c.before, c.id, c.appends, i)}
		for range c.random.IntN(3) {
			events[i].Tags = append(events[i].Tags, c.tag()) // the same tag twice is legal
		}
		if c.random.IntN(8) == 0 {
			events[i].Metadata = map[string]string{"caller": fmt.Sprint(c.id)}
		}
	}
	if c.random.IntN(3) == 0 {
		c.addIDs(events)
	}
	return Operation{Method: Append, Events: events, Condition: condition}
}

// addIDs gives a random ID to each event without one.
func (c *caller) addIDs(events []dcb.Event) {
	for i := range events {
		if events[i].ID != uuid.Nil {
			continue
		}
		for j := range events[i].ID {
			events[i].ID[j] = byte(c.random.Uint32())
		}
	}
}

func (c *caller) eventType() string { return fmt.Sprintf("Type%d", c.random.IntN(c.Types)) }

// tag returns tags with low numbers more often, so that some are hot.
func (c *caller) tag() string {
	return fmt.Sprintf("tag:%d", min(c.random.IntN(c.Tags), c.random.IntN(c.Tags)))
}

func (c *caller) query() dcb.Query {
	if c.random.IntN(12) == 0 {
		return dcb.All()
	}
	q := make(dcb.Query, 1+c.random.IntN(2))
	for i := range q {
		for range c.random.IntN(3) {
			q[i].Types = append(q[i].Types, c.eventType())
		}
		for range c.random.IntN(3) {
			q[i].Tags = append(q[i].Tags, c.tag())
		}
		if len(q[i].Types) == 0 && len(q[i].Tags) == 0 {
			q[i].Tags = []string{c.tag()}
		}
	}
	return q
}

// condition returns no condition, one that holds until the next append, or one that may have failed
// long ago.
func (c *caller) condition() *dcb.AppendCondition {
	switch c.random.IntN(3) {
	case 0:
		return nil
	case 1:
		return &dcb.AppendCondition{FailIfEventsMatch: c.query(), After: c.seen}
	default:
		return &dcb.AppendCondition{FailIfEventsMatch: c.query(), After: c.anyPosition()}
	}
}

// recentPosition returns a position at most recentPositions below the highest one seen.
func (c *caller) recentPosition() dcb.Position {
	return c.seen - min(c.seen, dcb.Position(c.random.IntN(recentPositions)))
}

// anyPosition returns 0, any position seen, the highest one, one beyond it, or one shortly below
// it.
func (c *caller) anyPosition() dcb.Position {
	switch c.random.IntN(5) {
	case 0:
		return 0
	case 1:
		return dcb.Position(c.random.Uint64N(uint64(c.seen) + 1))
	case 2:
		return c.seen
	case 3:
		return c.seen + dcb.Position(c.random.IntN(20))
	default:
		return c.seen - min(c.seen, dcb.Position(c.random.IntN(10)))
	}
}

// readOptions returns bounds near the head and small limits, also with a narrow range of
// positions, in which the limit is often exactly enough.
func (c *caller) readOptions() dcb.ReadOptions {
	opts := dcb.ReadOptions{After: c.recentPosition(), Backwards: c.random.IntN(3) == 0}
	if c.random.IntN(3) == 0 {
		opts.Before = opts.After + dcb.Position(c.random.IntN(2*recentPositions))
	}
	if c.random.IntN(2) == 0 {
		opts.Limit = 1 + c.random.IntN(8)
		switch c.random.IntN(3) {
		case 0:
			opts.After = c.anyPosition()
		case 1:
			opts.Before = opts.After + 1 + dcb.Position(c.random.IntN(4*opts.Limit))
		}
	}
	return opts
}
