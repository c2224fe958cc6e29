package decidetest

import (
	"context"
	"fmt"
	"sort"
	"sync"
	"time"

	"github.com/dcbstore/dcb"
)

// clock is the clock of a scenario. It stands still until it is moved. It determines the time of
// each event, also if the event was recorded past the scenario's store or its answer was lost. All
// events that are recorded between two moves have one time. So the clock keeps, for each move, the
// head of the store and the time from there on.
//
// Invariants: the positions and the times of the periods never fall. After timeOf returned a time
// for a position, that time never changes.
type clock struct {
	mu      sync.Mutex // guards the fields below, except before
	now     time.Time
	periods []period
	stamped dcb.Position // the last position whose time was used

	before dcb.SequencedEvent // the last event before the scenario, or zero; it keeps its time
}

// period is the time of the events after a position, up to the position of the next period.
type period struct {
	after dcb.Position
	at    time.Time
}

// newClock returns a clock at the present time in whole microseconds, the precision of stores. If
// the store's clock is ahead, so that its last event is in the future, the clock starts at the
// time of that event.
func newClock(before dcb.SequencedEvent) *clock {
	now := time.Now().UTC().Truncate(time.Microsecond)
	if before.RecordedAt.After(now) {
		now = before.RecordedAt
	}
	return &clock{now: now, before: before, periods: []period{{before.Position, now}}}
}

func (c *clock) time() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// advance moves the clock forward by d. Events after head have the new time.
func (c *clock) advance(head dcb.Position, d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	c.beginPeriod(head, c.now)
}

// setBack gives events after head a time that is age before now, until the next call of advance.
// It does not change now. It returns an error if the event at head is younger than age.
func (c *clock) setBack(head dcb.Position, age time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	head = max(head, c.stamped)
	if last := c.now.Sub(c.timeOf(head)); head > 0 && age > last {
		return fmt.Errorf("an event from %v ago cannot follow the event at position %d from %v ago, because times never fall; "+
			"give the oldest events first, or call Advance in between", age, head, last)
	}
	c.beginPeriod(head, c.now.Add(-age))
	return nil
}

// beginPeriod sets the time of the events after head. The caller holds mu.
func (c *clock) beginPeriod(head dcb.Position, at time.Time) {
	c.periods = append(c.periods, period{max(head, c.stamped), at})
}

// timeOf returns the time of the event at position. The caller holds mu.
func (c *clock) timeOf(position dcb.Position) time.Time {
	next := sort.Search(len(c.periods), func(i int) bool { return c.periods[i].after >= position })
	if next == 0 {
		return c.before.RecordedAt
	}
	return c.periods[next-1].at
}

// stamp sets the time of an event that was recorded during the scenario.
func (c *clock) stamp(event *dcb.SequencedEvent) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if event.Position > c.before.Position {
		event.RecordedAt = c.timeOf(event.Position)
		c.stamped = max(c.stamped, event.Position)
	}
}

// clockedStore replaces the times of a store's events by the times of a clock.
type clockedStore struct {
	dcb.Store
	clock *clock
}

func (s *clockedStore) Read(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
	result, err := s.Store.Read(ctx, q, opts)
	for i := range result.Events {
		s.clock.stamp(&result.Events[i])
	}
	return result, err
}
