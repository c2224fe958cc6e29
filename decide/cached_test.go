package decide_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/decide"
	"github.com/dcbstore/dcb/decide/decidetest"
	"github.com/dcbstore/dcb/memstore"
)

func TestCachedKeepsTheMostRecentlyUsedKeys(t *testing.T) {
	t.Parallel()
	counting := decidetest.Count(memstore.New(nil))
	for _, account := range []string{"a", "b", "c"} {
		record(t, counting, Deposited{account, 1})
	}
	runner, cached := decide.New(counting, bank, nil), decide.Cached(2, balance)
	for _, step := range []struct {
		account string
		reads   int64 // of events
	}{{"a", 1}, {"b", 1}, {"a", 0}, {"c", 1}, {"a", 0}, {"b", 1}, {"c", 1}, {"c", 0}} {
		before := counting.Events.Load()
		projection := cached(step.account)
		if _, err := runner.Read(t.Context(), projection); err != nil || projection.State() != 1 {
			t.Errorf("account %s: the state is %d (error %v), want 1", step.account, projection.State(), err)
		}
		if got := counting.Events.Load() - before; got != step.reads {
			t.Errorf("account %s: Read read %d events, want %d", step.account, got, step.reads)
		}
	}
}

func TestCachedKeepsStatesPerRunner(t *testing.T) {
	t.Parallel()
	cached := decide.Cached(2, balance)
	for i := range 4 {
		store := memstore.New(nil)
		record(t, store, Deposited{"a", i})
		projection := cached("a")
		if _, err := decide.New(store, bank, nil).Read(t.Context(), projection); err != nil || projection.State() != i {
			t.Errorf("store %d: the state is %d (error %v), want %d", i, projection.State(), err, i)
		}
	}
}

func TestCachedResetsIfTheStoreWasReplaced(t *testing.T) {
	t.Parallel()
	full, short := memstore.New(nil), memstore.New(nil)
	record(t, full, Deposited{"a", 1}, Deposited{"a", 1}, Deposited{"a", 1})
	record(t, short, Deposited{"a", 50})
	store := &spy{Store: full}
	runner, cached, kept := decide.New(store, bank, nil), decide.Cached(2, balance), balance("a")
	if _, err := runner.Read(t.Context(), cached("a"), kept); err != nil {
		t.Fatal(err)
	}
	store.Store = short // like a restored backup
	projection := cached("a")
	if _, err := runner.Read(t.Context(), projection, opened("a")); err != nil || projection.State() != 50 {
		t.Errorf("the state of a cached projection is %d (error %v), want 50", projection.State(), err)
	}
	if _, err := runner.Read(t.Context(), kept); !failsWith(err, "ends at position 1") {
		t.Errorf("Read of a projection that was used before = %v, want an error that names position 1", err)
	}
}

// accounts is a state that its handlers change.
type accounts map[string]int

func (a accounts) Clone() accounts { return maps.Clone(a) }

func allBalances(string) *decide.Projection[accounts] {
	return decide.NewProjection(accounts{}, decide.On(func(a accounts, e Deposited) accounts {
		a[e.Account] += e.Amount
		return a
	}))
}

func TestCachedRequiresCloneForMutableStates(t *testing.T) {
	t.Parallel()
	type holder struct{ List []int }
	for text, call := range map[string]func(){
		"map[string]int":        func() { decide.Cached(1, func(int) *decide.Projection[map[string]int] { return nil }) },
		"*int":                  func() { decide.Cached(1, func(int) *decide.Projection[*int] { return nil }) },
		"holder":                func() { decide.Cached(1, func(int) *decide.Projection[holder] { return nil }) },
		"[2]interface":          func() { decide.Cached(1, func(int) *decide.Projection[[2]any] { return nil }) },
		"it must be at least 1": func() { decide.Cached(0, balance) },
	} {
		if reason := panics(call); reason == nil || !strings.Contains(fmt.Sprint(reason), text) {
			t.Errorf("Cached panicked with %v, want a text with %q", reason, text)
		}
	}
	decide.Cached(1, allBalances)
}

func TestCachedAcceptsTimes(t *testing.T) {
	t.Parallel()
	decide.Cached(1, func(string) *decide.Projection[time.Time] { return nil }) // without a panic
}

func TestCachedCopiesItsStates(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	runner, cached := decide.New(store, bank, nil), decide.Cached(1, allBalances)
	for i := range 5 {
		record(t, store, Deposited{"a", 1})
		projection := cached("all")
		_, err := runner.Do(t.Context(), func() ([]any, error) {
			if projection.State()["a"] != i+1 || len(projection.State()) != 1 {
				t.Errorf("round %d: the state is %v", i, projection.State())
			}
			// A decision must not change a state; if it does, no other decision may notice.
			projection.State()["a"], projection.State()["b"] = -100, -100
			return nil, nil
		}, projection)
		if err != nil {
			t.Error(err)
		}
	}
}

func TestCachedSurvivesAPanickingHandler(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	record(t, store, Deposited{"a", 1})
	explode := false
	runner, cached := decide.New(store, bank, nil), decide.Cached(1, func(string) *decide.Projection[accounts] {
		return decide.NewProjection(accounts{}, decide.On(func(a accounts, e Deposited) accounts {
			a[e.Account] += e.Amount
			if explode {
				panic("handler")
			}
			return a
		}))
	})
	if _, err := runner.Read(t.Context(), cached("all")); err != nil {
		t.Fatal(err)
	}
	record(t, store, Deposited{"a", 10})
	explode = true
	if panics(func() { _, _ = runner.Read(t.Context(), cached("all")) }) == nil {
		t.Error("Read swallowed the panic of a handler")
	}
	explode = false
	projection := cached("all")
	if _, err := runner.Read(t.Context(), projection); err != nil || projection.State()["a"] != 11 {
		t.Errorf("the state is %v (error %v), want 11", projection.State(), err)
	}
}

func TestCachedIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	const callers, decisions = 32, 5
	store := memstore.New(nil)
	runner := decide.New(store, bank, &decide.Options{Attempts: callers * decisions}) // no caller can lose that often
	cachedSums, cachedAll := decide.Cached(2, balance), decide.Cached(1, allBalances)
	var calls []decidetest.Command
	for i := range callers {
		calls = append(calls, func(ctx context.Context) error {
			for range decisions {
				account := fmt.Sprint(i % 4) // more keys than the cache keeps
				sum, all := cachedSums(account), cachedAll("all")
				_, err := runner.Do(ctx, func() ([]any, error) {
					if sum.State() != all.State()[account] {
						t.Errorf("account %s: the two projections hold %d and %d", account, sum.State(), all.State()[account])
					}
					return decide.Events(Deposited{account, 1}), nil
				}, sum, all)
				if err != nil {
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
	all := cachedAll("all")
	if _, err := runner.Read(t.Context(), all); err != nil || !maps.Equal(all.State(), accounts{"0": 40, "1": 40, "2": 40, "3": 40}) {
		t.Errorf("the state is %v (error %v), want 40 for each account", all.State(), err)
	}
}

// late calls after once, when the next read has finished.
type late struct {
	dcb.Store
	after func()
}

func (l *late) Read(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
	result, err := l.Store.Read(ctx, q, opts)
	if after := l.after; after != nil {
		l.after = nil
		after()
	}
	return result, err
}

func TestCachedNeverStoresAnOlderState(t *testing.T) {
	t.Parallel()
	store := &late{Store: memstore.New(nil)}
	counting := decidetest.Count(store)
	runner, cached := decide.New(counting, bank, nil), decide.Cached(1, balance)
	record(t, store.Store, Deposited{"a", 1})
	store.after = func() { // a faster caller reads one more event
		record(t, store.Store, Deposited{"a", 1})
		if _, err := runner.Read(t.Context(), cached("a")); err != nil {
			t.Error(err)
		}
	}
	slow := cached("a")
	if _, err := runner.Read(t.Context(), slow); err != nil || slow.State() != 1 {
		t.Errorf("the slow projection holds %d (error %v), want 1", slow.State(), err)
	}
	before, next := counting.Events.Load(), cached("a")
	if _, err := runner.Read(t.Context(), next); err != nil || next.State() != 2 || counting.Events.Load() != before {
		t.Errorf("the next projection holds %d (error %v) after %d events were read again, want 2 after none",
			next.State(), err, counting.Events.Load()-before)
	}
}

// cloneable is an interface whose values have a method Clone.
type cloneable interface{ Clone() cloneable }

func TestCachedAcceptsAnInterfaceWithClone(t *testing.T) {
	t.Parallel()
	runner := decide.New(memstore.New(nil), bank, nil)
	cached := decide.Cached(1, func(int) *decide.Projection[cloneable] {
		return decide.NewProjection(cloneable(nil), decide.On(func(c cloneable, _ Opened) cloneable { return c }))
	})
	for range 2 {
		if _, err := runner.Read(t.Context(), cached(1)); err != nil {
			t.Error(err)
		}
	}
}

// This projection changes its initial state and then, while it waits in a queue, loads a cached
// state. So it cannot be set back to the initial state.
func TestCachedDoesNotResetAChangedInitialState(t *testing.T) {
	t.Parallel()
	full, short := memstore.New(nil), memstore.New(nil)
	record(t, full, Deposited{"a", 1}, Deposited{"a", 1}, Deposited{"a", 1})
	store := &spy{Store: full}
	runner, cached := decide.New(store, bank, nil), decide.Cached(2, allBalances)
	projection := cached("x")
	if _, err := runner.Read(t.Context(), projection); err != nil {
		t.Fatal(err)
	}
	record(t, short, Deposited{"a", 1})
	synctest.Test(t, func(t *testing.T) {
		leave := holdQueue(runner, store, allBalances("x")) // records two more events in full
		if _, err := runner.Read(t.Context(), cached("x")); err != nil {
			t.Fatal(err)
		}
		store.Store = short
		_, err := runner.Do(t.Context(), always(), projection) // waits in the queue and then loads the cached state
		if !failsWith(err, "ends at position 1") {
			t.Errorf("Do(…) = %v with state %v, want an error that names position 1", err, projection.State())
		}
		store.Store = full
		leave()
	})
}
