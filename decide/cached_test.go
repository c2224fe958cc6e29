package decide_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/decide"
	"github.com/dcbstore/dcb/decide/decidetest"
	"github.com/dcbstore/dcb/memstore"
)

func TestCachedKeepsWhatWasAskedForLast(t *testing.T) {
	t.Parallel()
	counting := decidetest.Count(memstore.New(nil))
	for _, account := range []string{"a", "b", "c"} {
		record(t, counting, Deposited{account, 1})
	}
	d, cached := decide.New(counting, bank, nil), decide.Cached(2, balance)
	for _, step := range []struct {
		account string
		reads   int64 // events
	}{{"a", 1}, {"b", 1}, {"a", 0}, {"c", 1}, {"a", 0}, {"b", 1}, {"c", 1}, {"c", 0}} {
		before := counting.Events.Load()
		projection := cached(step.account)
		if _, err := d.Read(t.Context(), projection); err != nil || projection.State() != 1 {
			t.Errorf("%s: %d, %v", step.account, projection.State(), err)
		}
		if got := counting.Events.Load() - before; got != step.reads {
			t.Errorf("%s: %d events were read; want %d", step.account, got, step.reads)
		}
	}
}

func TestWhatIsKeptBelongsToItsRunner(t *testing.T) {
	t.Parallel()
	cached := decide.Cached(2, balance)
	for i := range 4 {
		store := memstore.New(nil)
		record(t, store, Deposited{"a", i})
		projection := cached("a")
		if _, err := decide.New(store, bank, nil).Read(t.Context(), projection); err != nil || projection.State() != i {
			t.Errorf("store %d: %d, %v", i, projection.State(), err)
		}
	}
}

func TestAStoreThatIsBehindIsNotBelieved(t *testing.T) {
	t.Parallel()
	full, short := memstore.New(nil), memstore.New(nil)
	record(t, full, Deposited{"a", 1}, Deposited{"a", 1}, Deposited{"a", 1})
	record(t, short, Deposited{"a", 50})
	store := &spy{Store: full}
	d, cached, kept := decide.New(store, bank, nil), decide.Cached(2, balance), balance("a")
	if _, err := d.Read(t.Context(), cached("a"), kept); err != nil {
		t.Fatal(err)
	}
	store.Store = short // as after a backup was restored
	projection := cached("a")
	if _, err := d.Read(t.Context(), projection, opened("a")); err != nil || projection.State() != 50 {
		t.Errorf("a cached projection: %d, %v", projection.State(), err)
	}
	if _, err := d.Read(t.Context(), kept); err == nil || !strings.Contains(err.Error(), "ends at position 1") {
		t.Errorf("a projection that was kept: %v", err)
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

func TestWhatCanBeChangedNeedsClone(t *testing.T) {
	t.Parallel()
	type holder struct{ List []int }
	for says, call := range map[string]func(){
		"map[string]int":       func() { decide.Cached(1, func(int) *decide.Projection[map[string]int] { return nil }) },
		"*int":                 func() { decide.Cached(1, func(int) *decide.Projection[*int] { return nil }) },
		"holder":               func() { decide.Cached(1, func(int) *decide.Projection[holder] { return nil }) },
		"[2]interface":         func() { decide.Cached(1, func(int) *decide.Projection[[2]any] { return nil }) },
		"it must be 1 or more": func() { decide.Cached(0, balance) },
	} {
		if reason := panics(call); reason == nil || !strings.Contains(fmt.Sprint(reason), says) {
			t.Errorf("%v; want it to say %q", reason, says)
		}
	}
	decide.Cached(1, allBalances)
}

func TestNobodyChangesWhatIsKept(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	d, cached := decide.New(store, bank, nil), decide.Cached(1, allBalances)
	for i := range 5 {
		record(t, store, Deposited{"a", 1})
		projection := cached("all")
		_, err := d.Do(t.Context(), func() ([]any, error) {
			if projection.State()["a"] != i+1 || len(projection.State()) != 1 {
				t.Errorf("round %d: %v", i, projection.State())
			}
			projection.State()["a"], projection.State()["b"] = -100, -100 // it should not, but nobody else is to suffer
			return nil, nil
		}, projection)
		if err != nil {
			t.Error(err)
		}
	}
}

func TestAPanicLeavesWhatIsKeptAlone(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	record(t, store, Deposited{"a", 1})
	explode := false
	d, cached := decide.New(store, bank, nil), decide.Cached(1, func(string) *decide.Projection[accounts] {
		return decide.NewProjection(accounts{}, decide.On(func(a accounts, e Deposited) accounts {
			a[e.Account] += e.Amount
			if explode {
				panic("handler")
			}
			return a
		}))
	})
	if _, err := d.Read(t.Context(), cached("all")); err != nil {
		t.Fatal(err)
	}
	record(t, store, Deposited{"a", 10})
	explode = true
	if panics(func() { _, _ = d.Read(t.Context(), cached("all")) }) == nil {
		t.Error("a panic did not come through")
	}
	explode = false
	projection := cached("all")
	if _, err := d.Read(t.Context(), projection); err != nil || projection.State()["a"] != 11 {
		t.Errorf("%v, %v", projection.State(), err)
	}
}

func TestCachedServesManyGoroutines(t *testing.T) {
	t.Parallel()
	const callers, decisions = 32, 5
	store := memstore.New(nil)
	d := decide.New(store, bank, &decide.Options{Attempts: callers * decisions}) // so often nobody can lose
	cachedSums, cachedAll := decide.Cached(2, balance), decide.Cached(1, allBalances)
	var calls []decidetest.Call
	for i := range callers {
		calls = append(calls, func(ctx context.Context) error {
			for range decisions {
				account := fmt.Sprint(i % 4) // more than are kept
				sum, all := cachedSums(account), cachedAll("all")
				_, err := d.Do(ctx, func() ([]any, error) {
					if sum.State() != all.State()[account] {
						t.Errorf("account %s: %d and %d", account, sum.State(), all.State()[account])
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
	if _, err := d.Read(t.Context(), all); err != nil || !maps.Equal(all.State(), accounts{"0": 40, "1": 40, "2": 40, "3": 40}) {
		t.Errorf("%v, %v", all.State(), err)
	}
}

// late has something happen after a read, once.
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

func TestWhatIsKeptNeverGrowsOlder(t *testing.T) {
	t.Parallel()
	store := &late{Store: memstore.New(nil)}
	counting := decidetest.Count(store)
	d, cached := decide.New(counting, bank, nil), decide.Cached(1, balance)
	record(t, store.Store, Deposited{"a", 1})
	store.after = func() { // somebody else is faster, and sees more
		record(t, store.Store, Deposited{"a", 1})
		if _, err := d.Read(t.Context(), cached("a")); err != nil {
			t.Error(err)
		}
	}
	slow := cached("a")
	if _, err := d.Read(t.Context(), slow); err != nil || slow.State() != 1 {
		t.Errorf("%d, %v", slow.State(), err)
	}
	before, next := counting.Events.Load(), cached("a")
	if _, err := d.Read(t.Context(), next); err != nil || next.State() != 2 || counting.Events.Load() != before {
		t.Errorf("%d, %v, after reading %d events again", next.State(), err, counting.Events.Load()-before)
	}
}

// cloneable is an interface, whose values copy themselves.
type cloneable interface{ Clone() cloneable }

func TestAnInterfaceWithCloneCanBeKept(t *testing.T) {
	t.Parallel()
	d := decide.New(memstore.New(nil), bank, nil)
	cached := decide.Cached(1, func(int) *decide.Projection[cloneable] {
		return decide.NewProjection(cloneable(nil), decide.On(func(c cloneable, _ Opened) cloneable { return c }))
	})
	for range 2 {
		if _, err := d.Read(t.Context(), cached(1)); err != nil {
			t.Error(err)
		}
	}
}

// A projection that changed its initial state before it was brought forward by what another left, while it waited for its turn, cannot begin anew.
func TestAProjectionThatChangedItsInitialStateIsNotMadeNew(t *testing.T) {
	t.Parallel()
	full, short := memstore.New(nil), memstore.New(nil)
	record(t, full, Deposited{"a", 1}, Deposited{"a", 1}, Deposited{"a", 1})
	store := &spy{Store: full}
	d, cached := decide.New(store, bank, nil), decide.Cached(2, allBalances)
	v := cached("x")
	if _, err := d.Read(t.Context(), v); err != nil {
		t.Fatal(err)
	}
	record(t, short, Deposited{"a", 1})
	synctest.Test(t, func(t *testing.T) {
		leave := holdLane(d, store, allBalances("x")) // records more in full
		if _, err := d.Read(t.Context(), cached("x")); err != nil {
			t.Fatal(err)
		}
		store.Store = short
		_, err := d.Do(t.Context(), always(), v) // waits in the lane, and is brought to what was kept meanwhile
		if err == nil || !strings.Contains(err.Error(), "ends at position 1") {
			t.Errorf("%v, %v", v.State(), err)
		}
		store.Store = full
		leave()
	})
}
