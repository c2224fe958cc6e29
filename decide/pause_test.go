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

// In these tests time passes only where a decision waits, so when it runs says for how long it has waited.

// runsUntil makes one decision, and returns how long after its begin the function ran, each time.
func runsUntil(ctx context.Context, d *decide.Runner, projections ...decide.AnyProjection) (runs []time.Duration, err error) {
	began := time.Now()
	_, err = d.Do(ctx, func() ([]any, error) {
		runs = append(runs, time.Since(began))
		return decide.Events(Opened{"a"}), nil
	}, projections...)
	return runs, err
}

// Those who met once are not to meet again, so each pause is drawn from all that it may be. The first is short, for who was in the way
// is mostly done by then; later ones make room for more and more others.
func TestPausesAreDrawnEvenlyUpToABoundThatGrows(t *testing.T) {
	t.Parallel()
	const attempts, decisions = 20, 200
	most := func(attempt int) time.Duration {
		return min(100*time.Microsecond<<((attempt-1)/2), 10*time.Millisecond)
	}
	for name, c := range map[string]struct {
		inTheWay dcb.Position
		pauses   func(attempt int) bool // the others wait until what is in the way can be seen, as it can here
	}{
		"the store says what is in the way": {1, func(attempt int) bool { return attempt%2 == 0 }},
		"it does not say":                   {0, func(int) bool { return true }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := &spy{Store: memstore.New(nil)}
				record(t, store, Deposited{"a", 1})
				store.append = func([]dcb.Event, *dcb.AppendCondition) (dcb.Position, error) {
					return 0, &dcb.ConflictError{Position: c.inTheWay}
				}
				d := decide.New(store, bank, &decide.Options{Attempts: attempts})
				var quarters [attempts][4]int // how many of the pauses are in which quarter of what they may be
				for range decisions {
					runs, err := runsUntil(t.Context(), d, balance("a"))
					if len(runs) != attempts {
						t.Fatalf("%d runs: %v", len(runs), err)
					}
					for i := 1; i < attempts; i++ {
						switch pause, bound := runs[i]-runs[i-1], most(i); {
						case c.pauses(i) && pause < bound:
							quarters[i][4*pause/bound]++
						case c.pauses(i) || pause > 0:
							t.Errorf("a pause of %v after attempt %d; want less than %v, or none: %t", pause, i, bound, c.pauses(i))
						}
					}
				}
				for i := 1; i < attempts; i++ {
					if c.pauses(i) && slices.Min(quarters[i][:]) < decisions/20 { // of 50 or so; fewer than 10 is not chance
						t.Errorf("pauses after attempt %d, in each quarter of %v: %d", i, most(i), quarters[i])
					}
				}
			})
		})
	}
}

// A store that syncs to a disk knows of an append before anybody may see it. Here that is for as long as c.visible.
func TestAfterAConflictADecisionWaitsUntilItCanBeSeen(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		visible time.Duration
		ends    time.Duration // of the context
		want    []time.Duration
		says    error
	}{
		{"soon", 3 * time.Millisecond, time.Hour, []time.Duration{0, 3 * time.Millisecond}, nil},
		{"late", 9999 * time.Microsecond, time.Hour, []time.Duration{0, 9999 * time.Microsecond}, nil},
		{"too late", time.Minute, time.Hour, []time.Duration{0, 10 * time.Millisecond}, nil},
		{"after the context ended", 3 * time.Millisecond, 2 * time.Millisecond, []time.Duration{0}, context.DeadlineExceeded},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := &spy{Store: memstore.New(nil)}
				record(t, store, Deposited{"a", 1}, Deposited{"a", 1})
				inTheWay, err := bank.Encode(Deposited{"a", 1})
				if err != nil {
					t.Fatal(err)
				}
				store.append = func([]dcb.Event, *dcb.AppendCondition) (dcb.Position, error) {
					store.append = nil
					time.AfterFunc(c.visible, func() { _, _ = store.Store.Append(context.Background(), []dcb.Event{inTheWay}, nil) })
					return 0, &dcb.ConflictError{Position: 3}
				}
				ctx, cancel := context.WithTimeout(t.Context(), c.ends)
				defer cancel()
				runs, err := runsUntil(ctx, decide.New(store, bank, nil), balance("a"))
				if !errors.Is(err, c.says) || errors.Is(err, dcb.ErrConflict) != (c.says != nil) || !slices.Equal(runs, c.want) {
					t.Errorf("it ran after %v: %v; want %v, %v", runs, err, c.want, c.says)
				}
			})
		})
	}
}
