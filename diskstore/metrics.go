package diskstore

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// Metrics is what a store has done since it was opened.
type Metrics struct {
	Appends    int64 // that were recorded
	Events     int64 // that were recorded
	Conflicts  int64 // appends that an event stood in the way of
	Groups     int64 // appends written together: one write each
	GroupTime  Histogram
	GroupSizes Sizes // of the groups, in appends
	Syncs      int64
	SyncTime   Histogram
	Reads      int64
	EventsRead int64
	Lookups    int64 // of a query in one index, in memory or in a file
	Merges     int64 // of index files
	Rebuilds   int64 // of index files that were damaged
}

// Histogram counts durations: Counts[i] are those below 2^i microseconds that no count before it has; the last has all the rest.
type Histogram struct {
	Counts [24]int64
	Sum    time.Duration
}

// Sizes counts numbers: [i] are those up to 2^i that no count before it has; the last has all the rest.
type Sizes [16]int64

// metrics are counted where they happen.
type counters struct {
	appends, events, conflicts, groups, syncs, reads, eventsRead, lookups, merges, rebuilds atomic.Int64

	groupTime, syncTime histogram
	groupSizes          [len(Sizes{})]atomic.Int64
}

type histogram struct {
	counts [len(Histogram{}.Counts)]atomic.Int64
	sum    atomic.Int64
}

func (h *histogram) observe(d time.Duration) {
	h.counts[min(bits.Len64(uint64(d.Microseconds())), len(h.counts)-1)].Add(1)
	h.sum.Add(int64(d))
}

func (h *histogram) load() (loaded Histogram) {
	for i := range h.counts {
		loaded.Counts[i] = h.counts[i].Load()
	}
	loaded.Sum = time.Duration(h.sum.Load())
	return loaded
}

func (c *counters) observeGroup(group []*appendRequest, took time.Duration) {
	c.groups.Add(1)
	c.groupTime.observe(took)
	c.groupSizes[min(bits.Len(uint(len(group)-1)), len(c.groupSizes)-1)].Add(1)
	c.appends.Add(int64(len(group)))
	c.events.Add(int64(group[len(group)-1].last() - group[0].first + 1))
}

func (c *counters) observeSync(took time.Duration) {
	c.syncs.Add(1)
	c.syncTime.observe(took)
}

// Metrics returns what the store has done since it was opened. It may be called at any time, also when the store is closed.
func (s *Store) Metrics() Metrics {
	c := &s.counters
	var sizes Sizes
	for i := range sizes {
		sizes[i] = c.groupSizes[i].Load()
	}
	return Metrics{
		Appends: c.appends.Load(), Events: c.events.Load(), Conflicts: c.conflicts.Load(),
		Groups: c.groups.Load(), GroupTime: c.groupTime.load(), GroupSizes: sizes,
		Syncs: c.syncs.Load(), SyncTime: c.syncTime.load(),
		Reads: c.reads.Load(), EventsRead: c.eventsRead.Load(), Lookups: c.lookups.Load(),
		Merges: c.merges.Load(), Rebuilds: c.rebuilds.Load(),
	}
}
