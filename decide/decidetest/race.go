package decidetest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/dcbstore/dcb"
)

// Command runs a command of the application and returns its error.
type Command func(ctx context.Context) error

// Race starts all commands at once. It returns their errors in the order of the commands.
func Race(ctx context.Context, commands ...Command) []error {
	start, errs := make(chan struct{}), make([]error, len(commands))
	var running sync.WaitGroup
	for i, command := range commands {
		running.Go(func() {
			<-start
			errs[i] = command(ctx)
		})
	}
	close(start)
	running.Wait()
	return errs
}

// CheckWinners runs the commands at once. It fails the test unless exactly winners of them
// succeed and all others return the error refused. It is for limited things, such as the last
// seat of a course.
func CheckWinners(t testing.TB, winners int, refused error, commands ...Command) {
	t.Helper()
	succeeded := 0
	for i, err := range Race(t.Context(), commands...) {
		switch {
		case err == nil:
			succeeded++
		case !errors.Is(err, refused):
			t.Errorf("command %d returned %v, want success or %v", i+1, err, refused)
		}
	}
	if succeeded != winners {
		t.Errorf("%d of %d commands succeeded, want %d", succeeded, len(commands), winners)
	}
}

// CheckGapless calls next commands times at once. It fails the test unless the calls return the
// numbers from first on, each number once. It is for numbers without gaps, such as invoice
// numbers.
func CheckGapless(t testing.TB, first, commands int, next func(ctx context.Context) (int, error)) {
	t.Helper()
	numbers, all := make([]int, commands), make([]Command, commands)
	for i := range all {
		all[i] = func(ctx context.Context) (err error) {
			numbers[i], err = next(ctx)
			return err
		}
	}
	checkSuccess(t, Race(t.Context(), all...))
	slices.Sort(numbers)
	for i, number := range numbers {
		if number != first+i {
			t.Errorf("the numbers are %v, want each number from %d to %d once", numbers, first, first+commands-1)
			return
		}
	}
}

// CheckIdempotent runs the calls at once. All of them send one command with one idempotency key,
// possibly through different handles of one store. It fails the test unless all return the same
// position.
func CheckIdempotent(t testing.TB, calls ...func(ctx context.Context) (dcb.Position, error)) {
	t.Helper()
	positions, all := make([]dcb.Position, len(calls)), make([]Command, len(calls))
	for i, call := range calls {
		all[i] = func(ctx context.Context) (err error) {
			positions[i], err = call(ctx)
			return err
		}
	}
	checkSuccess(t, Race(t.Context(), all...))
	if len(slices.Compact(slices.Clone(positions))) != 1 || positions[0] == 0 {
		t.Errorf("one command returned the positions %v, want the same position from each call", positions)
	}
}

// CheckUnrelated runs the commands, which concern different things, at once. It fails the test
// unless all succeed and no append conflicts. The application must be opened on store: if the
// commands append nothing to it, the test fails too.
func CheckUnrelated(t testing.TB, store *Counting, commands ...Command) {
	t.Helper()
	appends, conflicts := store.Appends.Load(), store.Conflicts.Load()
	succeeded := checkSuccess(t, Race(t.Context(), commands...))
	if n := store.Conflicts.Load() - conflicts; n != 0 {
		t.Errorf("unrelated commands had %d conflicts, want 0", n)
	}
	if succeeded && store.Appends.Load() == appends {
		t.Errorf("the commands appended nothing to the counted store; open the application on it")
	}
}

// checkSuccess fails the test for each error, and reports whether there was none.
func checkSuccess(t testing.TB, errs []error) bool {
	t.Helper()
	succeeded := true
	for i, err := range errs {
		if err != nil {
			t.Errorf("command %d: %v", i+1, err)
			succeeded = false
		}
	}
	return succeeded
}
