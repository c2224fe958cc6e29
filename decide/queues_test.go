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

// slow is a store whose appends take as long as on a disk.
type slow struct{ dcb.Store }

func (s slow) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	time.Sleep(time.Millisecond)
	return s.Store.Append(ctx, events, condition)
}

func TestDoGivesEachCallerItsTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const callers, decisions = 64, 5
		store := decidetest.Count(slow{memstore.New(nil)})
		runner := decide.New(store, bank, &decide.Options{Attempts: 10})
		var calls []decidetest.Command
		for i := range callers {
			calls = append(calls, func(ctx context.Context) error {
				for range decisions {
					// The second projection differs between callers, so no two boundaries are equal.
					if _, err := runner.Do(ctx, always(Deposited{"hot", 1}), balance("hot"), balance(strconv.Itoa(i))); err != nil {
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
			t.Errorf("%d decisions made %d appends, want at most 2 for each", callers*decisions, appends)
		}
	})
}

// A decision inside a decision is a mistake, but it must not hang.
func TestDoInsideDoReturns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &spy{Store: memstore.New(nil)}
		rivals(store, 4)
		runner, inner := decide.New(store, bank, nil), 0
		_, err := runner.Do(t.Context(), func() ([]any, error) {
			if inner++; inner == 4 {
				if _, err := runner.Do(t.Context(), always(Opened{"a"}), balance("a")); err != nil {
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

// holdQueue makes a decision with projection conflict until it is at the front of a queue. It
// stays there until leave is called.
func holdQueue(runner *decide.Runner, store *spy, projection decide.AnyProjection) (leave func()) {
	holds, left, runs := make(chan struct{}), make(chan struct{}), 0
	rivals(store, 2)
	go func() {
		_, _ = runner.Do(context.Background(), func() ([]any, error) {
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

func TestDoWaitsOnlyInQueuesOfItsTags(t *testing.T) {
	t.Parallel()
	for name, projection := range map[string]func() *decide.Projection[int]{
		"tags":  func() *decide.Projection[int] { return balance("a") },
		"types": deposits,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := &spy{Store: memstore.New(nil)}
				runner := decide.New(store, bank, nil)
				leave := holdQueue(runner, store, projection())
				began := time.Now()
				openings := decide.NewProjection(0, decide.On(func(n int, _ Opened) int { return n + 1 }))
				if _, err := runner.Do(t.Context(), always(Opened{"z"}), openings, balance("b")); err != nil || time.Since(began) > 0 {
					t.Errorf("Do with other tags took %v (error %v), want no time", time.Since(began), err)
				}
				if _, err := runner.Do(t.Context(), always(), projection()); err != nil || time.Since(began) != time.Second {
					t.Errorf("Do with the same tags took %v (error %v), want the longest wait of a queue", time.Since(began), err)
				}
				leave()
			})
		})
	}
}

func TestDoReportsTheConflictIfItsContextEndsInAQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &spy{Store: memstore.New(nil)}
		runner := decide.New(store, bank, nil)
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		var leave func()
		began := time.Now()
		_, err := runner.Do(ctx, func() ([]any, error) {
			if leave == nil { // the first run, before there is a queue
				leave = holdQueue(runner, store, balance("a"))
				rivals(store, 2)
			}
			return decide.Events(Opened{"b"}), nil
		}, balance("a"))
		if !errors.Is(err, dcb.ErrConflict) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "after 2 attempts") {
			t.Errorf("Do(…) = %v, want the context's error and the last conflict", err)
		}
		if waited := time.Since(began); waited != 500*time.Millisecond {
			t.Errorf("Do returned after %v, want the deadline of 500ms", waited)
		}
		leave()
	})
}

func TestDoLoadsCachedStatesAfterQueueing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &spy{Store: memstore.New(nil)}
		runner, cached := decide.New(store, bank, nil), decide.Cached(1, balance)
		leave := holdQueue(runner, store, balance("a"))
		for range 100 {
			record(t, store.Store, Deposited{"a", 1})
		}
		var after []dcb.Position
		store.read = func(_ dcb.Query, opts dcb.ReadOptions) { after = append(after, opts.After) }
		done := make(chan error)
		go func() {
			_, err := runner.Do(context.Background(), always(), cached("a"))
			done <- err
		}()
		synctest.Wait() // until the decision waits in the queue
		if _, err := runner.Read(t.Context(), cached("a")); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		if want := []dcb.Position{0, 102}; !slices.Equal(after, want) {
			t.Errorf("reads begin after the positions %d, want %d", after, want)
		}
		leave()
	})
}
