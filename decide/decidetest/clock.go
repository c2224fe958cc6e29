package decidetest

import (
	"context"
	"sync"
	"time"

	"github.com/dcbstore/dcb"
)

// clock stands still unless it is moved, and remembers when events were recorded by it.
type clock struct {
	mu       sync.Mutex // guards what follows
	now      time.Time
	recorded map[dcb.Position]time.Time
}

// newClock returns a clock at the present time, in whole microseconds, as stores have it.
func newClock() *clock {
	return &clock{now: time.Now().UTC().Truncate(time.Microsecond), recorded: make(map[dcb.Position]time.Time)}
}

func (c *clock) time() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// note remembers the time of events. An append that was sent twice was recorded the first time.
func (c *clock) note(first, last dcb.Position, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for position := first; position <= last; position++ {
		if _, ok := c.recorded[position]; !ok {
			c.recorded[position] = at
		}
	}
}

// set sets the time of an event that was noted, and of one that is recorded at this moment.
func (c *clock) set(event *dcb.SequencedEvent) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, ok := c.recorded[event.Position]
	if !ok {
		at = c.now
	}
	event.RecordedAt = at
}

// timed gives the events of a store the times of a clock: those at which they were appended through it.
type timed struct {
	dcb.Store
	clock *clock
}

func (s *timed) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	now := s.clock.time()
	last, err := s.Store.Append(ctx, events, condition)
	if err == nil {
		s.clock.note(last-dcb.Position(len(events))+1, last, now)
	}
	return last, err
}

func (s *timed) Read(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
	result, err := s.Store.Read(ctx, q, opts)
	for i := range result.Events {
		s.clock.set(&result.Events[i])
	}
	return result, err
}
