package observe

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dcbstore/dcb"
)

// followers knows the followers, and reports at each scrape how far they lag. It reports figures
// over all of them, because clients decide how many there are, and the number of series must be
// bounded.
type followers struct {
	store dcb.Store
	now   func() time.Time

	mu   sync.Mutex // guards open, and the fields of a follower that say so
	open map[*follower]struct{}

	up, head, count, furthest, behind, longest *prometheus.Desc
}

// follower is one follower.
type follower struct {
	position atomic.Uint64 // the follower has taken every event up to here

	// stalledAt and since are the position and time at which a scrape first saw it lag there.
	// Guarded by mu.
	stalledAt uint64
	since     time.Time
}

func newFollowers(store dcb.Store) *followers {
	desc := func(name, help string) *prometheus.Desc { return prometheus.NewDesc(name, help, nil, nil) }
	return &followers{
		store: store, now: time.Now, open: make(map[*follower]struct{}),
		up:       desc("dcb_store_up", "1 if the store returned its head for this scrape, 0 if not."),
		head:     desc("dcb_head_position", "The position of the last event."),
		count:    desc("dcb_followers", "Followers."),
		furthest: desc("dcb_follower_lag_max_events", "Greatest lag of a follower behind the head, in positions."),
		behind:   desc("dcb_followers_behind", "Followers that lag behind the head."),
		longest: desc("dcb_follower_stall_max_seconds",
			"Longest time that a lagging follower has not moved, as seen by scrapes."),
	}
}

func (f *followers) enter(after dcb.Position) *follower {
	one := new(follower)
	one.position.Store(uint64(after))
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open[one] = struct{}{}
	return one
}

func (f *followers) leave(one *follower) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.open, one)
}

// Describe implements [prometheus.Collector].
func (f *followers) Describe(to chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{f.up, f.head, f.count, f.furthest, f.behind, f.longest} {
		to <- desc
	}
}

// Collect implements [prometheus.Collector]. If the store does not answer, the metrics of its
// head are absent.
func (f *followers) Collect(to chan<- prometheus.Metric) {
	gauge := func(desc *prometheus.Desc, value float64) {
		to <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value)
	}
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	head, err := f.store.Head(ctx)
	if err != nil {
		gauge(f.up, 0)
		f.mu.Lock()
		defer f.mu.Unlock()
		gauge(f.count, float64(len(f.open)))
		return
	}
	gauge(f.up, 1)
	gauge(f.head, float64(head))
	s := f.lag(uint64(head))
	gauge(f.count, float64(s.count))
	gauge(f.furthest, float64(s.furthest))
	gauge(f.behind, float64(s.behind))
	gauge(f.longest, s.longest.Seconds())
}

// lag summarizes the followers at a scrape.
type lag struct {
	count, behind int
	furthest      uint64
	longest       time.Duration
}

func (f *followers) lag(head uint64) (s lag) {
	now := f.now()
	f.mu.Lock()
	defer f.mu.Unlock()
	s.count = len(f.open)
	for one := range f.open {
		at := one.position.Load()
		if at >= head {
			one.since = time.Time{}
			continue
		}
		s.behind++
		s.furthest = max(s.furthest, head-at)
		if one.since.IsZero() || one.stalledAt != at {
			one.stalledAt, one.since = at, now
		}
		s.longest = max(s.longest, now.Sub(one.since))
	}
	return s
}
