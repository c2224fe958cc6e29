// Package bench measures a store: the workloads that docs/benchmarks.md reports, and the course-subscription speedrun.
//
// Everything is measured alike: a number of clients each carry out one operation after the other until the time is up, and
// the end of one operation is the beginning of the next, so that no time is left out. [Measure] is that loop; the
// workloads say what an operation is.
package bench

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Operation is what a client does again and again. It returns how many events it appended or read.
type Operation func(ctx context.Context) (events int, err error)

// Load says how an operation is carried out.
type Load struct {
	// Clients work at once. Default 1.
	Clients int
	// Duration is how long they work; operations under way at its end are finished. Required.
	Duration time.Duration
	// Watch, if not nil, is called every Every with what was done so far, and never after the end. Every's default is one second.
	Watch func(Progress)
	Every time.Duration
	// Round is how many operations of one client belong together. Default 1.
	Round int
}

// Progress is what was done since the beginning.
type Progress struct {
	Elapsed time.Duration
	Ops     int64
	Events  int64
	// Rounds are those that were finished.
	Rounds int64
}

// Tally is what was done and how long each operation took.
type Tally struct {
	Progress
	Clients   int
	latencies *hdrhistogram.Histogram
	longest   time.Duration
	cpu       time.Duration // of this process; 0 if it is not known
}

// Measure lets clients work, each on an operation of its own, which newClient returns for each number from 0. When ctx
// ends, so does the work: that is no error, and what was done counts. An error of an operation ends it all.
func Measure(ctx context.Context, load Load, newClient func(n int) Operation) (Tally, error) {
	load.Clients, load.Round = max(load.Clients, 1), max(load.Round, 1)
	working, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	meters := make([]*meter, load.Clients)
	operations := make([]Operation, load.Clients)
	for n := range meters {
		meters[n], operations[n] = newMeter(), newClient(n)
	}
	var clients sync.WaitGroup
	cpu, start := cpuTime(), time.Now()
	for n, m := range meters {
		clients.Go(func() {
			if err := m.work(working, start, load.Duration, operations[n]); err != nil && working.Err() == nil {
				stop(err)
			}
		})
	}
	sum := func() Progress {
		progress := Progress{Elapsed: time.Since(start)}
		for _, m := range meters {
			m.addTo(&progress, int64(load.Round))
		}
		return progress
	}
	finished := watch(load, sum)
	clients.Wait()
	finished()
	tally := Tally{Progress: sum(), Clients: load.Clients, latencies: newHistogram(), cpu: cpuTime() - cpu}
	for _, m := range meters {
		tally.latencies.Merge(m.latencies)
		tally.longest = max(tally.longest, m.longest)
	}
	if ctx.Err() == nil && working.Err() != nil {
		return tally, context.Cause(working)
	}
	return tally, nil
}

// watch calls load.Watch until the function that it returns is called.
func watch(load Load, sum func() Progress) (stop func()) {
	if load.Watch == nil {
		return func() {}
	}
	if load.Every == 0 {
		load.Every = time.Second
	}
	ended := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		ticker := time.NewTicker(load.Every)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				load.Watch(sum())
			case <-ended:
				return
			}
		}
	})
	return func() {
		close(ended)
		watching.Wait()
	}
}

// meter counts and times what one client does.
type meter struct {
	latencies *hdrhistogram.Histogram // of the client alone until it has ended
	longest   time.Duration           // likewise
	ops       atomic.Int64            // may be read at any time
	events    atomic.Int64            // likewise
}

func newMeter() *meter { return &meter{latencies: newHistogram()} }

// newHistogram returns one for nanoseconds up to an hour, to two digits: 40 kB, which a thousand clients can have each.
func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, int64(time.Hour), 2)
}

// work carries out op, at least once, until the time is up, ctx has ended, or op fails.
func (m *meter) work(ctx context.Context, start time.Time, duration time.Duration, op Operation) error {
	begun := time.Since(start)
	for more := true; more; more = begun < duration && ctx.Err() == nil {
		events, err := op(ctx)
		if err != nil {
			return err
		}
		ended := time.Since(start)
		m.record(ended-begun, events)
		begun = ended
	}
	return nil
}

func (m *meter) record(took time.Duration, events int) {
	m.longest = max(m.longest, took)
	// It can only fail for what took more than the hour, and that is the longest already.
	_ = m.latencies.RecordValue(int64(min(max(took, 1), time.Hour)))
	m.ops.Add(1)
	m.events.Add(int64(events))
}

func (m *meter) addTo(progress *Progress, round int64) {
	ops := m.ops.Load()
	progress.Ops += ops
	progress.Rounds += ops / round
	progress.Events += m.events.Load()
}
