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

// How far callers look back: reads of more than that would make long histories grow with the square of their length.
const lookBack = 200

// caller makes calls at random, one step after the other.
type caller struct {
	*recorder
	id     int
	random *rand.Rand
	serial int
	seen   dcb.Position  // the highest position that this caller was shown
	sent   [][]dcb.Event // appends with IDs, to be sent again or to take IDs from
}

func (r *recorder) newCaller(id int) *caller {
	random := rand.New(rand.NewPCG(r.Seed, uint64(r.before)<<16|uint64(id)))
	return &caller{recorder: r, id: id, random: random, seen: r.before}
}

func (c *caller) run(ctx context.Context) {
	end := c.began.Add(c.Duration)
	for step := 0; ctx.Err() == nil; step++ {
		if c.Duration > 0 && time.Now().After(end) || c.Duration <= 0 && step >= c.Steps {
			return
		}
		o := c.step(ctx)
		if o.Hung || errors.Is(o.Err, dcb.ErrClosed) || errors.Is(o.Err, dcb.ErrCorrupt) {
			return // nothing else would come of it, and a hang costs all the patience there is
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
		return c.decide(ctx)
	case n < 40:
		return c.do(ctx, c.appending(nil))
	case n < 50:
		return c.do(ctx, c.appending(&dcb.AppendCondition{FailIfEventsMatch: c.query(), After: c.anyPosition()}))
	case n < 56:
		return c.reserve(ctx)
	case n < 68:
		return c.retry(ctx)
	case n < 72:
		return c.steal(ctx)
	case n < 88:
		return c.do(ctx, Operation{Method: Read, Query: c.query(), Options: c.readOptions()})
	case n < 93:
		return c.do(ctx, Operation{Method: Head})
	case n < 98:
		return c.waitAndAppend(ctx)
	default:
		return c.waitInVain(ctx)
	}
}

// do makes a call, some with a context that ends at a random moment, and looks at what it shows.
func (c *caller) do(ctx context.Context, o Operation) Operation {
	if c.random.IntN(20) == 0 {
		var cancel context.CancelFunc
		// From a microsecond, before anything is under way, to some milliseconds, when most is over.
		ctx, cancel = context.WithTimeout(ctx, time.Duration(1000*math.Pow(5000, c.random.Float64())))
		defer cancel()
	}
	return c.look(c.call(ctx, c.mine(o)))
}

func (c *caller) mine(o Operation) Operation {
	o.Caller, o.Handle = c.id, c.id
	if c.random.IntN(8) == 0 {
		o.Handle = c.random.IntN(len(c.Handles)) // a caller may use any handle, and must find there what it knows
	}
	return o
}

func (c *caller) look(o Operation) Operation {
	if o.Err == nil && !o.Hung {
		c.seen = max(c.seen, o.Position, o.Result.Head)
	}
	return o
}

// decide reads, and appends unless anything else was recorded that it would have read.
func (c *caller) decide(ctx context.Context) Operation {
	read := c.do(ctx, Operation{Method: Read, Query: c.query(), Options: dcb.ReadOptions{After: c.recent()}})
	if read.Err != nil || read.Hung {
		return read
	}
	return c.do(ctx, c.appending(&dcb.AppendCondition{FailIfEventsMatch: read.Query, After: read.Result.Head}))
}

// reserve appends an event with a tag that nobody else uses, unless the tag was used before: nobody can be in the way, but an earlier
// reservation of its own.
func (c *caller) reserve(ctx context.Context) Operation {
	o := c.appending(nil)
	tag := fmt.Sprintf("reserved:%d:%d:%d", c.before, c.id, c.random.IntN(1+c.serial))
	o.Events[0].Tags = append(o.Events[0].Tags, tag)
	o.Condition = &dcb.AppendCondition{FailIfEventsMatch: dcb.Query{{Tags: []string{tag}}}}
	return c.do(ctx, o)
}

// retry sends an append several times, one after the other or all at once, under the same condition or others; it may be an
// append of long ago.
func (c *caller) retry(ctx context.Context) Operation {
	o := c.appending(c.condition())
	if c.random.IntN(4) == 0 && len(c.sent) > 0 {
		o.Events = c.sent[c.random.IntN(len(c.sent))]
	} else {
		c.identify(o.Events)
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

// sendAtOnce lets several callers send the same append.
func (c *caller) sendAtOnce(ctx context.Context, o Operation) Operation {
	operations := make([]Operation, 2+c.random.IntN(2))
	var calls sync.WaitGroup
	for i := range operations {
		same := o
		same.Caller, same.Handle = c.id, c.random.IntN(len(c.Handles))
		if c.random.IntN(3) == 0 {
			same.Condition = c.condition()
		}
		calls.Go(func() { operations[i] = c.call(ctx, same) })
	}
	calls.Wait()
	for i := range operations {
		if c.look(operations[i]); operations[i].Hung {
			return operations[i]
		}
	}
	return operations[0]
}

// steal appends new events, one of which has the ID of another.
func (c *caller) steal(ctx context.Context) Operation {
	o := c.appending(c.condition())
	c.identify(o.Events)
	if len(c.sent) > 0 {
		from := c.sent[c.random.IntN(len(c.sent))]
		o.Events[c.random.IntN(len(o.Events))].ID = from[c.random.IntN(len(from))].ID
	}
	return c.do(ctx, o)
}

// waitAndAppend waits for what it then appends itself: however the two meet, the wait ends.
func (c *caller) waitAndAppend(ctx context.Context) Operation {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	wait := c.mine(Operation{Method: Wait, After: c.seen})
	if c.random.IntN(4) == 0 {
		wait.After = c.recent()
	}
	waited := make(chan Operation, 1)
	go func() { waited <- c.call(ctx, wait) }()
	appended := c.call(ctx, c.mine(c.appending(nil)))
	if appended.Err != nil || appended.Hung {
		cancel()
	}
	wait = <-waited
	c.look(appended)
	return c.look(wait)
}

// waitInVain waits for a position that nobody will reach soon, and gives up.
func (c *caller) waitInVain(ctx context.Context) Operation {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(c.random.IntN(1_000_000)))
	defer cancel()
	return c.look(c.call(ctx, c.mine(Operation{Method: Wait, After: c.seen + 1_000_000})))
}

// appending returns an append of new events.
func (c *caller) appending(condition *dcb.AppendCondition) Operation {
	c.serial++
	events := make([]dcb.Event, 1+min(c.random.IntN(c.MaxEvents), c.random.IntN(c.MaxEvents)))
	for i := range events {
		// The data says who sent the event: the workload, the caller, the caller's how many-th append, the event in it.
		events[i] = dcb.Event{Type: c.eventType(), Data: fmt.Appendf(nil, "%d/%d/%d/%d", c.before, c.id, c.serial, i)}
		for range c.random.IntN(3) {
			events[i].Tags = append(events[i].Tags, c.tag()) // perhaps twice the same
		}
		if c.random.IntN(8) == 0 {
			events[i].Metadata = map[string]string{"caller": fmt.Sprint(c.id)}
		}
	}
	if c.random.IntN(3) == 0 {
		c.identify(events)
	}
	return Operation{Method: Append, Events: events, Condition: condition}
}

func (c *caller) identify(events []dcb.Event) {
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

// tag prefers some tags to others, so that there are hot ones.
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

// condition returns none, one that holds at least until somebody appends something, or one that may have failed long ago.
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

// recent returns a position not far below what the caller has seen.
func (c *caller) recent() dcb.Position {
	return c.seen - min(c.seen, dcb.Position(c.random.IntN(lookBack)))
}

// anyPosition returns 0, one from long ago or a moment ago, the last one known, or one beyond the head.
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

func (c *caller) readOptions() dcb.ReadOptions {
	opts := dcb.ReadOptions{After: c.recent(), Backwards: c.random.IntN(3) == 0}
	if c.random.IntN(3) == 0 {
		opts.Before = opts.After + dcb.Position(c.random.IntN(2*lookBack))
	}
	if c.random.IntN(2) == 0 {
		opts.Limit = 1 + c.random.IntN(8)
		if c.random.IntN(2) == 0 {
			opts.After = c.anyPosition()
		}
	}
	return opts
}
