package decide_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/decide"
	"github.com/dcbstore/dcb/decide/decidetest"
	"github.com/dcbstore/dcb/memstore"
)

// slow takes as long for an append as a disk does.
type slow struct{ dcb.Store }

func (s slow) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	time.Sleep(time.Millisecond)
	return s.Store.Append(ctx, events, condition)
}

func TestOfManyCallersEachHasItsTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const callers, decisions = 64, 5
		store := decidetest.Count(slow{memstore.New(nil)})
		d := decide.New(store, bank, &decide.Options{Attempts: 10})
		var calls []decidetest.Call
		for i := range callers {
			calls = append(calls, func(ctx context.Context) error {
				for range decisions {
					// Each has something of its own besides what all have, so no two boundaries are the same.
					if _, err := d.Do(ctx, always(Deposited{"hot", 1}), balance("hot"), balance(strconv.Itoa(i))); err != nil {
						return err
					}
				}
				return nil
			})
		}
		for _, err := range decidetest.Race(t.Context(), calls...) {
			if err != nil {
				t.Error(err)
			}
		}
		if appends := store.Appends.Load(); appends > 2*callers*decisions {
			t.Errorf("%d appends for %d decisions", appends, callers*decisions)
		}
	})
}

// It is a mistake to decide within a decision, but not one that hangs.
func TestADecisionWithinADecisionEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &spy{Store: memstore.New(nil)}
		rivals(store, 4)
		d, inner := decide.New(store, bank, nil), 0
		_, err := d.Do(t.Context(), func() ([]any, error) {
			if inner++; inner == 4 {
				if _, err := d.Do(t.Context(), always(Opened{"a"}), balance("a")); err != nil {
					t.Error(err)
				}
			}
			return decide.Events(Opened{"a"}), nil
		}, balance("a"))
		if err != nil {
			t.Error(err)
		}
	})
}

// holdLane has a decision about what is deposited lose until it is in a lane, and stay there until the returned function is called.
func holdLane(d *decide.Runner, store *spy, projection decide.AnyProjection) (leave func()) {
	holds, left, runs := make(chan struct{}), make(chan struct{}), 0
	rivals(store, 2)
	go func() {
		_, _ = d.Do(context.Background(), func() ([]any, error) {
			if runs++; runs == 3 {
				close(holds)
				<-left
			}
			return decide.Events(Deposited{"a", 1}), nil
		}, projection)
	}()
	<-holds
	store.append = nil
	return func() { close(left) }
}

func TestALaneHoldsUpOnlyWhoLooksAtTheSame(t *testing.T) {
	t.Parallel()
	for name, projection := range map[string]func() *decide.Projection[int]{
		"tags":  func() *decide.Projection[int] { return balance("a") },
		"types": deposits,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := &spy{Store: memstore.New(nil)}
				d := decide.New(store, bank, nil)
				leave := holdLane(d, store, projection())
				began := time.Now()
				openings := decide.NewProjection(0, decide.On(func(n int, _ Opened) int { return n + 1 }))
				if _, err := d.Do(t.Context(), always(Opened{"z"}), openings, balance("b")); err != nil || time.Since(began) > 0 {
					t.Errorf("who looks at something else: after %v, %v", time.Since(began), err)
				}
				if _, err := d.Do(t.Context(), always(), projection()); err != nil || time.Since(began) != time.Second {
					t.Errorf("who looks at the same: after %v, %v; want the longest turn", time.Since(began), err)
				}
				leave()
			})
		})
	}
}

func TestWhoseContextEndsInALaneIsToldOfHisConflicts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &spy{Store: memstore.New(nil)}
		d := decide.New(store, bank, nil)
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		var leave func()
		began := time.Now()
		_, err := d.Do(ctx, func() ([]any, error) {
			if leave == nil { // this decision began before there was a lane
				leave = holdLane(d, store, balance("a"))
				rivals(store, 2)
			}
			return decide.Events(Opened{"b"}), nil
		}, balance("a"))
		if !errors.Is(err, dcb.ErrConflict) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "after 2 attempts") {
			t.Errorf("%v; want the end of the context, and the last conflict", err)
		}
		if waited := time.Since(began); waited != 500*time.Millisecond {
			t.Errorf("it waited for %v", waited)
		}
		leave()
	})
}

func TestWhoWaitedForHisTurnBeginsWhereTheOthersLeftOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &spy{Store: memstore.New(nil)}
		d, cached := decide.New(store, bank, nil), decide.Cached(1, balance)
		leave := holdLane(d, store, balance("a"))
		for range 100 {
			record(t, store.Store, Deposited{"a", 1})
		}
		var after []dcb.Position
		store.read = func(_ dcb.Query, opts dcb.ReadOptions) { after = append(after, opts.After) }
		done := make(chan error)
		go func() {
			_, err := d.Do(context.Background(), always(), cached("a"))
			done <- err
		}()
		synctest.Wait() // until it waits for its turn
		if _, err := d.Read(t.Context(), cached("a")); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		if want := []dcb.Position{0, 102}; !slices.Equal(after, want) {
			t.Errorf("reads after positions %d; want %d", after, want)
		}
		leave()
	})
}

// What stands in the way of a decision can nearly always be seen at once, and then there is nothing to wait for.
func TestAConflictThatCanBeSeenCostsNoTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &spy{Store: memstore.New(nil)}
		store.append = func([]dcb.Event, *dcb.AppendCondition) (dcb.Position, error) {
			store.append = nil
			return 0, &dcb.ConflictError{Position: record(t, store.Store, Deposited{"a", 1})}
		}
		began := time.Now()
		if _, err := decide.New(store, bank, nil).Do(t.Context(), always(Opened{"a"}), balance("a")); err != nil || time.Since(began) > 0 {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}
