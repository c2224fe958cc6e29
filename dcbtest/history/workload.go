package history

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/dcbstore/dcb"
)

// SeedVariable is the environment variable that holds the seed of a workload which names none: a decimal number, as
// a failed run prints it. A seed repeats what the callers choose, not how they meet.
const SeedVariable = "DCB_SEED"

// Workload is many callers who use a store at random, all at once: they append under conditions made of what they have read, of
// something older or of nothing, send appends again, also all together, give up waiting, read, wait and follow. Only Handles is
// required.
type Workload struct {
	// Handles are one store, or several on the same events; callers are dealt out to them in turn. Nobody else may append
	// meanwhile, nor may an append of before still be under way. Events that are there already are left alone.
	Handles []dcb.Store
	// Seed is what all choices come from. Default 0: that of DCB_SEED, or else a new one; History.Seed tells.
	Seed uint64
	// Callers is how many there are. Default 8.
	Callers int
	// Steps is how many decisions, reads and so on each caller makes; a step is one call or a few. Default 100.
	Steps int
	// Duration is for how long callers go on, instead of Steps. Default 0: Steps counts.
	Duration time.Duration
	// Tags and Types are how many different ones the callers share: the fewer, the more conflicts. Default 6 and 3.
	Tags, Types int
	// MaxEvents is the greatest number of events of an append. Default 4.
	MaxEvents int
	// Followers is how many follow the store meanwhile, the first of them everything. Default 3; negative for none.
	Followers int
	// MayFail says that the store is disturbed meanwhile, so that calls may end with dcb.ErrUnavailable; callers carry on. At the end of
	// the run the store must be well again, or be so within Patience. Default false.
	MayFail bool
	// Patience is how long a call may take that should return; one that takes longer hangs. Default 1 min.
	Patience time.Duration
}

// Run lets the callers loose, and returns what they did when all are done, or ctx has ended. The history still lacks Final.
// The error says only that the run could not begin.
func (w Workload) Run(ctx context.Context) (*History, error) {
	if err := w.complete(); err != nil {
		return nil, err
	}
	before, err := w.Handles[0].Head(ctx)
	if err != nil {
		return nil, fmt.Errorf("history: head before a history: %w", err)
	}
	r := &recorder{Workload: w, began: time.Now(), before: before}
	followers := r.startFollowers(ctx)
	var callers sync.WaitGroup
	for i := range w.Callers {
		callers.Go(func() { r.newCaller(i).run(ctx) })
	}
	callers.Wait()
	r.wakeAll(ctx)
	followers.finish(ctx)
	return r.history(), nil
}

// complete sets what is left to default.
func (w *Workload) complete() error {
	if len(w.Handles) == 0 {
		return errors.New("history: a workload needs at least one store in Handles")
	}
	if text := os.Getenv(SeedVariable); w.Seed == 0 && text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return fmt.Errorf("history: %s: %w", SeedVariable, err)
		}
		w.Seed = seed
	}
	if w.Seed == 0 {
		w.Seed = rand.Uint64()
	}
	w.Callers = defaulted(w.Callers, 8)
	w.Steps = defaulted(w.Steps, 100)
	w.Tags = defaulted(w.Tags, 6)
	w.Types = defaulted(w.Types, 3)
	w.MaxEvents = defaulted(w.MaxEvents, 4)
	w.Followers = max(defaulted(w.Followers, 3), 0)
	w.Patience = defaulted(w.Patience, time.Minute)
	return nil
}

func defaulted[N cmp.Ordered](value, byDefault N) N {
	var zero N
	if value == zero {
		return byDefault
	}
	return value
}

// recorder makes calls and keeps what came of them.
type recorder struct {
	Workload
	began  time.Time
	before dcb.Position

	mu         sync.Mutex // guards operations and highest
	operations []Operation
	highest    dcb.Position // of all that was shown to anybody
}

func (r *recorder) now() time.Duration { return time.Since(r.began) }

// call makes the call that o describes and records it. A call that does not return in time is recorded as hung and left behind.
func (r *recorder) call(ctx context.Context, o Operation) Operation {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	o.Handle %= len(r.Handles)
	o.Start = r.now()
	asked, returned := o, make(chan Operation, 1)
	go func() { returned <- r.made(ctx, asked) }()
	patience := time.NewTimer(r.Patience)
	defer patience.Stop()
	select {
	case o = <-returned:
	case <-patience.C:
		o.Hung, o.End = true, r.now()
	}
	r.record(o)
	return o
}

func (r *recorder) made(ctx context.Context, o Operation) Operation {
	store := r.Handles[o.Handle]
	o.Start = r.now()
	switch o.Method {
	case Append:
		o.Position, o.Err = store.Append(ctx, o.Events, o.Condition)
	case Read:
		o.Result, o.Err = store.Read(ctx, o.Query, o.Options)
	case Head:
		o.Position, o.Err = store.Head(ctx)
	case Wait:
		o.Position, o.Err = store.Wait(ctx, o.After)
	case Follow:
		panic("history: batches are recorded by their follower")
	}
	o.End = r.now()
	o.Cancelled = ctx.Err() != nil
	return o
}

func (r *recorder) record(o Operation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.operations = append(r.operations, o)
	if o.Err == nil && !o.Hung {
		r.highest = max(r.highest, o.Position, o.Result.Head)
	}
}

// history returns what was recorded, in the order in which it began.
func (r *recorder) history() *History {
	r.mu.Lock()
	defer r.mu.Unlock()
	operations := slices.Clone(r.operations)
	slices.SortStableFunc(operations, func(a, b Operation) int { return cmp.Compare(a.Start, b.Start) })
	return &History{Seed: r.Seed, Before: r.before, MayFail: r.MayFail, Operations: operations}
}

// pause keeps a caller from asking a store that cannot answer over and over. It reports whether to go on.
func (r *recorder) pause(ctx context.Context) bool {
	timer := time.NewTimer(5 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
