package bench

import (
	"context"
	"io"
	"runtime"
	"time"

	"github.com/dcbstore/dcb"
)

// Store is a store that [Settings.Volume] can close and open again.
type Store interface {
	dcb.Store
	io.Closer
}

// Volume measures a store at growing numbers of events, s.Steps. It calls report at the end of
// each step. A step measures appends, decisions (the speedrun), the size of the store on disk and
// the memory of this process. If the store is durable, Volume opens it again before each step,
// and the report has the time that took.
func (s Settings) Volume(
	ctx context.Context, open func(context.Context) (Store, error), durable bool, report func(Result) error,
) (err error) {
	store, err := open(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if store == nil { // reopen closed it and failed
			return
		}
		if closeErr := store.Close(); err == nil {
			err = closeErr
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
		if durable {
			if store, err = s.reopen(ctx, store, open, &result); err != nil {
				return err
			}
		}
		if err := s.volumeStep(ctx, store, &result); err != nil {
			return err
		}
		if err := report(result); err != nil || result.Interrupted {
			return err
		}
	}
	return nil
}

// reopen closes the store and opens it again. It sets the size on disk and the time to open in
// result. It returns the store that is open now; nil if none is.
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
		result.setBytesOnDisk(bytes, uint64(head))
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

// volumeSteps returns 0, the powers of ten from a million to below events, and events.
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
