// Package bench measures a store: the workloads that docs/benchmarks.md reports, and the
// course-subscription speedrun.
//
// Every workload is measured in the same way. Each of the clients repeats one operation until the
// time is up. The next operation starts when the one before ends, so the latencies add up to the
// whole duration. [Measure] is that loop. The workloads define the operation.
package bench

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Operation is what a client repeats. It returns the number of events that it appended or read.
type Operation func(ctx context.Context) (events int, err error)

// Load configures [Measure].
type Load struct {
	// Clients is the number of clients that work concurrently. Default 1.
	Clients int
	// Duration is how long they work. Operations under way at its end are finished. Required.
	Duration time.Duration
	// Watch is called every Every while the clients work. Default nil: not called.
	Watch func(Progress)
	// Every is the interval between calls of Watch. Default 1 s.
	Every time.Duration
	// Round is the number of operations of one client that count as one round. Default 1.
	Round int
}

// Progress counts what all clients have done since the start.
type Progress struct {
	Elapsed time.Duration
	Ops     int64
	Events  int64
	Rounds  int64 // complete ones only
}

// Tally is the outcome of [Measure].
type Tally struct {
	Progress
	Clients   int
	latencies *hdrhistogram.Histogram
	longest   time.Duration
	cpu       time.Duration // processor time of this process; 0 if unknown
}

// Measure runs load.Clients clients. Each repeats the operation that newClient returns for its
// number, which starts at 0. A context that ends stops the clients; it is no error, and the
// finished operations count. The first error of an operation stops all clients, and Measure
// returns it.
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

// watch calls load.Watch periodically until the caller calls stop.
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

// meter counts and times the operations of one client. Any goroutine may read the counters while
// the client works. The latencies belong to the client's goroutine until it ends.
type meter struct {
	latencies *hdrhistogram.Histogram
	longest   time.Duration
	ops       atomic.Int64
	events    atomic.Int64
}

func newMeter() *meter { return &meter{latencies: newHistogram()} }

// newHistogram returns a histogram of nanoseconds up to an hour, with two significant digits. It
// takes 40 kB, so that each of a thousand clients can have its own.
func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, int64(time.Hour), 2)
}

// work repeats op until the time is up, ctx ends or op fails. It runs op at least once.
func (m *meter) work(ctx context.Context, start time.Time, duration time.Duration, op Operation) error {
	started := time.Since(start)
	for more := true; more; more = started < duration && ctx.Err() == nil {
		events, err := op(ctx)
		if err != nil {
			return err
		}
		ended := time.Since(start)
		m.record(ended-started, events)
		started = ended
	}
	return nil
}

func (m *meter) record(took time.Duration, events int) {
	m.longest = max(m.longest, took)
	// RecordValue fails only above an hour, and longest has the exact value then.
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
