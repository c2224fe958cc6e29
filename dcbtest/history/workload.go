package history

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/dcbstore/dcb"
)

// SeedVariable is the environment variable with the seed of a workload whose Seed is 0: a decimal
// number, as a failed run prints it. A seed repeats the choices of the callers. It does not repeat
// how their calls overlap.
const SeedVariable = "DCB_SEED"

// Workload is a number of callers that make random calls on a store at the same time. They append
// without a condition, or with a condition on what they read or on older positions. They send
// appends again, one after another or all at once, cancel calls, read, wait and follow.
//
// Only Handles is required.
type Workload struct {
	// Handles are one store, or several stores on the same events. Callers are assigned to them in
	// turn. No other append may be under way before or during Run. The store may have events.
	Handles []dcb.Store
	// Seed is the seed of all choices. Default 0: the value of DCB_SEED, or else a random seed,
	// which History.Seed holds.
	Seed uint64
	// Callers is the number of callers. Default 8.
	Callers int
	// Steps is the number of steps of each caller. A step is one call or a few. Default 100.
	Steps int
	// Duration is the time after which callers stop, instead of Steps. Default 0: Steps counts.
	Duration time.Duration
	// Tags is the number of different tags. Fewer tags make more conflicts. Default 6.
	Tags int
	// Types is the number of different event types. Default 3.
	Types int
	// MaxEvents is the maximum number of events of an append. Default 4.
	MaxEvents int
	// Followers is the number of followers; the first follows all events. Negative means none.
	// Default 3.
	Followers int
	// MayFail allows calls to end with dcb.ErrUnavailable, because the test disturbs the store.
	// Callers then continue. The store must have recovered at the end, or recover within HangTimeout.
	// Default false.
	MayFail bool
	// HangTimeout is the time after which a call that should have returned counts as hung.
	// Default 1 min.
	HangTimeout time.Duration
}

// Run runs the callers and returns the history when all have ended, or ctx has. The history has no
// Final yet. The error is not about the store's answers: the options are wrong, or the first call
// of Head failed.
func (w Workload) Run(ctx context.Context) (*History, error) {
	w, err := w.withDefaults()
	if err != nil {
		return nil, err
	}
	recorder, err := NewRecorder(ctx, w.Handles, w.HangTimeout)
	if err != nil {
		return nil, err
	}
	r := &run{Workload: w, Recorder: recorder}
	followers := r.startFollowers(ctx)
	var callers sync.WaitGroup
	for i := range w.Callers {
		callers.Go(func() { r.newCaller(i).makeSteps(ctx) })
	}
	callers.Wait()
	r.checkWakeUps(ctx)
	followers.finish(ctx)
	h := r.History()
	h.Seed, h.MayFail = w.Seed, w.MayFail
	return h, nil
}

// withDefaults returns a copy of w with defaults for the fields that are zero.
func (w Workload) withDefaults() (Workload, error) {
	if len(w.Handles) == 0 {
		return w, errors.New("history: Workload.Handles is empty; it needs at least one store")
	}
	if text := os.Getenv(SeedVariable); w.Seed == 0 && text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return w, fmt.Errorf("history: %s: %w", SeedVariable, err)
		}
		w.Seed = seed
	}
	if w.Seed == 0 {
		w.Seed = rand.Uint64()
	}
	if w.Followers == 0 {
		w.Followers = 3
	}
	w.Followers = max(w.Followers, 0)
	for _, field := range []struct {
		name      string
		value     *int
		byDefault int
	}{
		{"Callers", &w.Callers, 8},
		{"Steps", &w.Steps, 100},
		{"Tags", &w.Tags, 6},
		{"Types", &w.Types, 3},
		{"MaxEvents", &w.MaxEvents, 4},
	} {
		if *field.value < 0 {
			return w, fmt.Errorf("history: Workload.%s is %d; it must be at least 1, or 0 for the default", field.name, *field.value)
		}
		if *field.value == 0 {
			*field.value = field.byDefault
		}
	}
	return w, nil
}

// run is one run of a workload.
type run struct {
	Workload
	*Recorder
}

// handle returns the handle with a number, counted around.
func (r *run) handle(number int) int { return number % len(r.Handles) }

// pause waits a moment before a caller repeats a call on a store that cannot answer. It reports
// whether to go on.
func (r *run) pause(ctx context.Context) bool {
	timer := time.NewTimer(5 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
