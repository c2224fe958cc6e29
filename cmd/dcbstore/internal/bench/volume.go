package bench

import (
	"context"
	"io"
	"runtime"
	"time"

	"github.com/dcbstore/dcb"
)

// Store is what [Settings.Volume] opens and closes.
type Store interface {
	dcb.Store
	io.Closer
}

// Volume measures how a store does at growing numbers of events, s.Steps. Each step is told as soon as it is done: appends with their
// latencies, decisions (the speedrun), the time to open it (if lasts says that it can be opened again), its size on disk and the memory of this process.
func (s Settings) Volume(ctx context.Context, open func(context.Context) (Store, error), lasts bool, each func(Result) error) (err error) {
	store, err := open(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if store == nil { // it was closed, and could not be opened again
			return
		}
		if closed := store.Close(); err == nil {
			err = closed
		}
	}()
	steps := s.Steps
	if len(steps) == 0 {
		steps = volumeSteps(s.Events)
	}
	tags := max(steps[len(steps)-1]/eventsPerTag, 1)
	for _, events := range steps {
		head, err := store.Head(ctx)
		if err != nil {
			return err
		}
		todo := span{int(head), events}
		if err := fillTags(ctx, store, todo, tags, s.Size, s.Filling); err != nil {
			return err
		}
		result := Result{Workload: "volume", Store: s.Store, Clients: s.Clients, Batch: s.Batch, Size: s.Size}
		if lasts {
			if store, err = s.reopen(ctx, store, open, &result); err != nil {
				return err
			}
		}
		if err := s.volumeStep(ctx, store, &result); err != nil {
			return err
		}
		if err := each(result); err != nil || result.Interrupted {
			return err
		}
	}
	return nil
}

// reopen closes and opens the store, and tells result how large it was meanwhile and how long it took to open. It returns the store that is open, if
// one is.
func (s Settings) reopen(ctx context.Context, store Store, open func(context.Context) (Store, error), result *Result) (Store, error) {
	head, err := store.Head(ctx)
	if err != nil {
		return store, err
	}
	if err := store.Close(); err != nil {
		return nil, err
	}
	if s.OnDisk != nil {
		bytes, err := s.OnDisk()
		if err != nil {
			return nil, err
		}
		result.occupies(bytes, uint64(head))
	}
	start := time.Now()
	opened, err := open(ctx)
	if err != nil {
		return nil, err
	}
	seconds := rounded(time.Since(start).Seconds(), 6)
	result.OpenSeconds = &seconds
	return opened, nil
}

func (s Settings) volumeStep(ctx context.Context, store dcb.Store, result *Result) error {
	before, err := store.Head(ctx)
	if err != nil {
		return err
	}
	appends, err := Measure(ctx, s.load(s.Clients), Append(store, s.Batch, s.Size))
	if err != nil {
		return err
	}
	decisions, err := Measure(ctx, s.load(s.Clients), Speedrun(store))
	if err != nil {
		return err
	}
	after, err := store.Head(context.WithoutCancel(ctx))
	if err != nil {
		return err
	}
	result.EventsAtStart, result.EventsAtEnd = uint64(before), uint64(after)
	result.Figures = appends.Figures()
	decided := decisions.Figures()
	result.Decisions = &decided
	result.MemoryBytes, result.ResidentBytes = memoryInUse(), residentBytes()
	result.Interrupted = ctx.Err() != nil
	return nil
}

// volumeSteps returns 0, the powers of ten from a million that are below events, and events.
func volumeSteps(events int) []int {
	steps := []int{0}
	for step := 1_000_000; step < events; step *= 10 {
		steps = append(steps, step)
	}
	return append(steps, events)
}

func memoryInUse() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
