package observe

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dcbstore/dcb"
)

// followers knows who follows, and tells at each scrape how far behind they are. It is told as figures over all of them, not as one of each: how
// many there are is up to the callers, and the number of series is not.
type followers struct {
	store dcb.Store
	now   func() time.Time

	mu   sync.Mutex // guards what is in the map, and of each its standing
	open map[*follower]struct{}

	up, head, count, furthest, behind, longest *prometheus.Desc
}

// follower is one who follows.
type follower struct {
	position atomic.Uint64 // all up to here was taken

	// standing and since are where a scrape saw it behind the head first, and when.
	standing uint64
	since    time.Time
}

func newFollowers(store dcb.Store) *followers {
	desc := func(name, help string) *prometheus.Desc { return prometheus.NewDesc(name, help, nil, nil) }
	return &followers{
		store: store, now: time.Now, open: make(map[*follower]struct{}),
		up:       desc("dcb_store_up", "Whether the store answers: 1, or 0 if it did not say its head when it was asked for this."),
		head:     desc("dcb_head_position", "The position of the last event."),
		count:    desc("dcb_followers", "Who follows now."),
		furthest: desc("dcb_follower_lag_max_events", "How many positions the follower that is furthest behind is behind the head."),
		behind:   desc("dcb_followers_behind", "Followers that are behind the head."),
		longest: desc("dcb_follower_stall_max_seconds",
			"How long a follower that is behind the head has not moved, as far as scrapes have seen; the longest of all."),
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

// Describe is part of prometheus.Collector.
func (f *followers) Describe(to chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{f.up, f.head, f.count, f.furthest, f.behind, f.longest} {
		to <- desc
	}
}

// Collect is part of prometheus.Collector. Where the store does not answer nothing is said of its head, rather than something wrong.
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
	s := f.look(uint64(head))
	gauge(f.count, float64(s.count))
	gauge(f.furthest, float64(s.furthest))
	gauge(f.behind, float64(s.behind))
	gauge(f.longest, s.longest.Seconds())
}

// sight is what a scrape sees of all followers.
type sight struct {
	count, behind int
	furthest      uint64
	longest       time.Duration
}

func (f *followers) look(head uint64) (s sight) {
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
		if one.since.IsZero() || one.standing != at {
			one.standing, one.since = at, now
		}
		s.longest = max(s.longest, now.Sub(one.since))
	}
	return s
}
