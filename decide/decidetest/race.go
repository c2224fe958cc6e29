package decidetest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/dcbstore/dcb"
)

// Call is a command that races with others.
type Call func(ctx context.Context) error

// Race starts all calls at once and returns their errors, in the order of the calls.
func Race(ctx context.Context, calls ...Call) []error {
	start, errs := make(chan struct{}), make([]error, len(calls))
	var running sync.WaitGroup
	for i, call := range calls {
		running.Go(func() {
			<-start
			errs[i] = call(ctx)
		})
	}
	close(start)
	running.Wait()
	return errs
}

// CheckWinners races the calls, and fails the test unless so many of them succeed and all others end with the error refused: for the last
// seat, for one student on two courses, for whatever there is only so much of.
func CheckWinners(t testing.TB, winners int, refused error, calls ...Call) {
	t.Helper()
	succeeded := 0
	for i, err := range Race(t.Context(), calls...) {
		switch {
		case err == nil:
			succeeded++
		case !errors.Is(err, refused):
			t.Errorf("call %d: %v; want success, or %v", i, err, refused)
		}
	}
	if succeeded != winners {
		t.Errorf("%d of %d calls succeeded; want %d", succeeded, len(calls), winners)
	}
}

// CheckGapless races so many calls, and fails the test unless they return the numbers from first on, each once: for invoices, and for
// whatever else is counted without a gap.
func CheckGapless(t testing.TB, first, calls int, next func(ctx context.Context) (int, error)) {
	t.Helper()
	numbers, all := make([]int, calls), make([]Call, calls)
	for i := range all {
		all[i] = func(ctx context.Context) (err error) {
			numbers[i], err = next(ctx)
			return err
		}
	}
	for i, err := range Race(t.Context(), all...) {
		if err != nil {
			t.Errorf("call %d: %v", i, err)
		}
	}
	slices.Sort(numbers)
	for i, number := range numbers {
		if number != first+i {
			t.Errorf("the numbers are %v; want each from %d to %d once", numbers, first, first+calls-1)
			return
		}
	}
}

// CheckOnce races the calls, which all send the same command with the same key, on whatever handles of one store. It fails the test unless all of
// them return the same position.
func CheckOnce(t testing.TB, calls ...func(ctx context.Context) (dcb.Position, error)) {
	t.Helper()
	positions, all := make([]dcb.Position, len(calls)), make([]Call, len(calls))
	for i, call := range calls {
		all[i] = func(ctx context.Context) (err error) {
			positions[i], err = call(ctx)
			return err
		}
	}
	for i, err := range Race(t.Context(), all...) {
		if err != nil {
			t.Errorf("call %d: %v", i, err)
		}
	}
	if len(slices.Compact(slices.Clone(positions))) != 1 || positions[0] == 0 {
		t.Errorf("one command was answered with the positions %v; want one and the same", positions)
	}
}

// CheckUnrelated races the calls, which concern different things, and fails the test unless all succeed and not one of their appends meets a
// conflict. The application must be opened on store: if nothing is appended to that, nothing was checked, and the test fails too.
func CheckUnrelated(t testing.TB, store *Counting, calls ...Call) {
	t.Helper()
	appends, conflicts := store.Appends.Load(), store.Conflicts.Load()
	failed := false
	for i, err := range Race(t.Context(), calls...) {
		if err != nil {
			t.Errorf("call %d: %v", i, err)
			failed = true
		}
	}
	if met := store.Conflicts.Load() - conflicts; met != 0 {
		t.Errorf("calls that do not concern each other met in %d conflicts", met)
	}
	if !failed && store.Appends.Load() == appends {
		t.Errorf("the calls appended nothing to the store whose conflicts are counted; is the application opened on it?")
	}
}

// Counting counts what is done with a store.
type Counting struct {
	dcb.Store

	Reads     atomic.Int64 // calls of Read
	Events    atomic.Int64 // that were read
	Appends   atomic.Int64 // calls of Append
	Conflicts atomic.Int64 // of those, how many failed with dcb.ErrConflict
}

// Count returns store with counters, which begin at zero.
func Count(store dcb.Store) *Counting { return &Counting{Store: store} }

// Read implements dcb.Store.
func (c *Counting) Read(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
	result, err := c.Store.Read(ctx, q, opts)
	c.Reads.Add(1)
	c.Events.Add(int64(len(result.Events)))
	return result, err
}

// Append implements dcb.Store.
func (c *Counting) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	position, err := c.Store.Append(ctx, events, condition)
	c.Appends.Add(1)
	if errors.Is(err, dcb.ErrConflict) {
		c.Conflicts.Add(1)
	}
	return position, err
}
