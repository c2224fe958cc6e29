package diskstore

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// Metrics counts what a store has done since it was opened.
type Metrics struct {
	Appends    int64     // recorded appends
	Events     int64     // recorded events
	Conflicts  int64     // appends that failed with a conflict
	Groups     int64     // groups of appends, each written with one write
	GroupTime  Histogram // from the write of a group until its head is published
	GroupSizes Sizes     // in appends
	Syncs      int64     // of the log
	SyncTime   Histogram // of one sync
	Reads      int64
	EventsRead int64
	Lookups    int64 // lookups of a query in one index, in memory or in a file
	Merges     int64 // merges of index files
	Rebuilds   int64 // index files that were damaged and rebuilt while the store was open
}

// Histogram counts durations. Counts[0] counts durations below 1 microsecond, and Counts[i]
// those from 2^(i-1) to below 2^i microseconds. The last count has all longer durations. Sum is
// their total.
type Histogram struct {
	Counts [24]int64
	Sum    time.Duration
}

// Sizes counts numbers. Sizes[0] counts 0 and 1, and Sizes[i] the numbers above 2^(i-1) up to
// 2^i. The last count has all larger numbers.
type Sizes [16]int64

// counters are the live values of [Metrics].
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

// Metrics returns what the store has done since it was opened. It also works after Close.
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
