package decide_test

import (
	"context"
	"strconv"
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
