package decidetest

import (
	"context"
	"fmt"
	"sort"
	"sync"
	"time"

	"github.com/dcbstore/dcb"
)

// clock stands still unless it is moved, and knows when each event was recorded by it: whoever recorded it, through whatever store, and
// even if the answer was lost. For between two moves all that is recorded has one time, so a move only has to note how far the store is.
//
// Invariant: neither the positions of the moments fall nor their times, and a time that was told of a position stays its time.
type clock struct {
	mu      sync.Mutex // guards what follows
	now     time.Time
	moments []moment
	told    dcb.Position // the last whose time was told

	before dcb.SequencedEvent // the last that was there before the clock was, whose times are the store's; zero if there was none
}

// moment is the time of the events after a position, up to that of the next moment.
type moment struct {
	after dcb.Position
	at    time.Time
}

// newClock returns a clock at the present time, in whole microseconds, as stores have it. If the clock of the store is ahead of
// ours, which shows in the last event that is there already, it is at the time of that event.
func newClock(before dcb.SequencedEvent) *clock {
	now := time.Now().UTC().Truncate(time.Microsecond)
	if before.RecordedAt.After(now) {
		now = before.RecordedAt
	}
	return &clock{now: now, before: before, moments: []moment{{before.Position, now}}}
}

func (c *clock) time() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// move moves the clock on, when the store is at head.
func (c *clock) move(head dcb.Position, d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	c.begin(head, c.now)
}

// turnBack makes what is recorded after head so old, until the clock is moved, if only by nothing. Now stays what it is.
func (c *clock) turnBack(head dcb.Position, age time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	head = max(head, c.told)
	if last := c.now.Sub(c.of(head)); head > 0 && age > last {
		return fmt.Errorf("an event of %v ago cannot follow one of %v ago, at position %d, for times never fall: "+
			"give the oldest first, or Advance the clock before", age, last, head)
	}
	c.begin(head, c.now.Add(-age))
	return nil
}

func (c *clock) begin(head dcb.Position, at time.Time) {
	c.moments = append(c.moments, moment{max(head, c.told), at})
}

// of returns the time of a position that the clock knows.
func (c *clock) of(position dcb.Position) time.Time {
	next := sort.Search(len(c.moments), func(i int) bool { return c.moments[i].after >= position })
	if next == 0 {
		return c.before.RecordedAt
	}
	return c.moments[next-1].at
}

// set sets the time of an event, unless it was there before the clock.
func (c *clock) set(event *dcb.SequencedEvent) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if event.Position > c.before.Position {
		event.RecordedAt = c.of(event.Position)
		c.told = max(c.told, event.Position)
	}
}

// timed gives the events of a store the times of a clock.
type timed struct {
	dcb.Store
	clock *clock
}

func (s *timed) Read(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
	result, err := s.Store.Read(ctx, q, opts)
	for i := range result.Events {
		s.clock.set(&result.Events[i])
	}
	return result, err
}
