package decide_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/decide"
	"github.com/dcbstore/dcb/memstore"
)

// In these tests time passes only while a decision waits, so the times of the runs show the
// waits.

// runsUntil makes one decision. It returns the times at which its function ran, from the start
// on.
func runsUntil(ctx context.Context, runner *decide.Runner, projections ...decide.AnyProjection) (runs []time.Duration, err error) {
	began := time.Now()
	_, err = runner.Do(ctx, func() ([]any, error) {
		runs = append(runs, time.Since(began))
		return decide.Events(Opened{"a"}), nil
	}, projections...)
	return runs, err
}

// Waits are spread evenly, so that callers that conflicted once do not conflict again. The bound
// grows, so that more and more callers fit in.
func TestDoBacksOffWithFullJitter(t *testing.T) {
	t.Parallel()
	const attempts, decisions = 20, 200
	bound := func(attempt int) time.Duration {
		return min(100*time.Microsecond<<((attempt-1)/2), 10*time.Millisecond)
	}
	for name, c := range map[string]struct {
		position dcb.Position
		waits    func(attempt int) bool // the other attempts wait for the conflicting event, which is visible here
	}{
		"the conflict has a position": {1, func(attempt int) bool { return attempt%2 == 0 }},
		"the conflict has none":       {0, func(int) bool { return true }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := &spy{Store: memstore.New(nil)}
				record(t, store, Deposited{"a", 1})
				store.append = func([]dcb.Event, *dcb.AppendCondition) (dcb.Position, error) {
					return 0, &dcb.ConflictError{Position: c.position}
				}
				runner := decide.New(store, bank, &decide.Options{Attempts: attempts})
				var quarters [attempts][4]int // the number of waits in each quarter of the bound
				for range decisions {
					runs, err := runsUntil(t.Context(), runner, balance("a"))
					if len(runs) != attempts {
						t.Fatalf("the function ran %d times (error %v), want %d", len(runs), err, attempts)
					}
					for i := 1; i < attempts; i++ {
						switch wait := runs[i] - runs[i-1]; {
						case c.waits(i) && wait < bound(i):
							quarters[i][4*wait/bound(i)]++
						case c.waits(i) || wait > 0:
							t.Errorf("the wait after attempt %d is %v, want less than %v, or none: %t", i, wait, bound(i), !c.waits(i))
						}
					}
				}
				for i := 1; i < attempts; i++ {
					if c.waits(i) && slices.Min(quarters[i][:]) < decisions/20 { // about 50 are expected; fewer than 10 is not chance
						t.Errorf("the waits after attempt %d fall into the quarters of %v as %d, want them spread evenly", i, bound(i), quarters[i])
					}
				}
			})
		})
	}
}

// A store that syncs to a disk checks conditions against an event before readers can see it, here
// for the time visible.
func TestDoWaitsUntilTheConflictIsVisible(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		visible time.Duration
		timeout time.Duration // of the context
		want    []time.Duration
		err     error
	}{
		{"visible soon", 3 * time.Millisecond, time.Hour, []time.Duration{0, 3 * time.Millisecond}, nil},
		{"visible late", 9999 * time.Microsecond, time.Hour, []time.Duration{0, 9999 * time.Microsecond}, nil},
		{"visible too late", time.Minute, time.Hour, []time.Duration{0, 10 * time.Millisecond}, nil},
		{"visible after the context ended", 3 * time.Millisecond, 2 * time.Millisecond, []time.Duration{0}, context.DeadlineExceeded},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := &spy{Store: memstore.New(nil)}
				record(t, store, Deposited{"a", 1}, Deposited{"a", 1})
				conflicting, err := bank.Encode(Deposited{"a", 1})
				if err != nil {
					t.Fatal(err)
				}
				store.append = func([]dcb.Event, *dcb.AppendCondition) (dcb.Position, error) {
					store.append = nil
					time.AfterFunc(c.visible, func() { _, _ = store.Store.Append(context.Background(), []dcb.Event{conflicting}, nil) })
					return 0, &dcb.ConflictError{Position: 3}
				}
				ctx, cancel := context.WithTimeout(t.Context(), c.timeout)
				defer cancel()
				runs, err := runsUntil(ctx, decide.New(store, bank, nil), balance("a"))
				if !errors.Is(err, c.err) || errors.Is(err, dcb.ErrConflict) != (c.err != nil) || !slices.Equal(runs, c.want) {
					t.Errorf("Do(…) = %v with runs after %v, want %v with runs after %v", err, runs, c.err, c.want)
				}
			})
		})
	}
}

// A conflicting event is nearly always visible already. Then the decision does not wait.
func TestDoRetriesAtOnceIfTheConflictIsVisible(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &spy{Store: memstore.New(nil)}
		store.append = func([]dcb.Event, *dcb.AppendCondition) (dcb.Position, error) {
			store.append = nil
			return 0, &dcb.ConflictError{Position: record(t, store.Store, Deposited{"a", 1})}
		}
		began := time.Now()
		if _, err := decide.New(store, bank, nil).Do(t.Context(), always(Opened{"a"}), balance("a")); err != nil || time.Since(began) > 0 {
			t.Errorf("Do(…) = %v after %v, want no wait", err, time.Since(began))
		}
	})
}
