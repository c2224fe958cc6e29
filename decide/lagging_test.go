package decide_test

import (
	"context"
	"slices"
	"testing"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/decide"
	"github.com/dcbstore/dcb/memstore"
)

// The head of a store never falls. If it does all the same, because the store was restored or a
// copy that lags answers, a decision must not be made on half of the events.

// lagging answers the reads whose numbers, from 1, are in ends as if the store ended at the given
// position.
type lagging struct {
	dcb.Store
	reads int
	ends  map[int]dcb.Position
}

func (l *lagging) Read(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
	l.reads++
	end, ok := l.ends[l.reads]
	if !ok {
		return l.Store.Read(ctx, q, opts)
	}
	if opts.Before == 0 || opts.Before > end+1 {
		opts.Before = end + 1
	}
	result, err := l.Store.Read(ctx, q, opts)
	result.Head = end
	return result, err
}

func TestDoUsesTheLowestHeadOfItsReads(t *testing.T) {
	t.Parallel()
	store := &lagging{Store: memstore.New(nil), ends: map[int]dcb.Position{2: 2}}
	record(t, store.Store, Opened{"a"}, Deposited{"a", 1}, Deposited{"a", 2})
	runner, last, runs := decide.New(store, bank, nil), lastDeposit(), 0
	_, err := runner.Do(t.Context(), func() ([]any, error) {
		runs++
		return decide.Events(Deposited{"a", last.State() + 1}), nil
	}, opened("a"), last)
	if err != nil || runs != 2 || last.State() != 2 {
		t.Errorf("Do(…) = %v after %d runs with state %d, want a conflict and a second run with state 2", err, runs, last.State())
	}
}

func TestCachedSurvivesALaggingRead(t *testing.T) {
	t.Parallel()
	store := &lagging{Store: memstore.New(nil), ends: map[int]dcb.Position{}}
	for range 300 {
		record(t, store.Store, Deposited{"a", 1})
	}
	runner, cached := decide.New(store, bank, nil), decide.Cached(2, balance)
	if _, err := runner.Read(t.Context(), cached("a")); err != nil {
		t.Fatal(err)
	}
	record(t, store.Store, Transferred{"a", "b", 300})
	store.ends[3] = 300 // the second read of the decision below
	a := cached("a")
	_, err := runner.Do(t.Context(), func() ([]any, error) {
		if a.State() < 300 {
			return nil, errBroken
		}
		return decide.Events(Transferred{"a", "c", 300}), nil
	}, opened("x"), a)
	if err == nil {
		t.Error("Do recorded an event although its state lacked the last one")
	}
	for _, projection := range []*decide.Projection[int]{balance("a"), cached("a")} {
		if _, err := runner.Read(t.Context(), projection); err != nil || projection.State() != 0 {
			t.Errorf("the balance is %d (error %v), want 0", projection.State(), err)
		}
	}
}

func TestDoFailsIfTheHeadFalls(t *testing.T) {
	t.Parallel()
	for name, reads := range map[string]int{"the read after a conflict": 2, "its second page": 3} {
		store := &lagging{Store: memstore.New(nil), ends: map[int]dcb.Position{reads: 5}}
		for range 10 {
			record(t, store.Store, Deposited{"a", 1})
		}
		a, runs := balance("a"), 0
		_, err := decide.New(store, bank, nil).Do(t.Context(), func() ([]any, error) {
			runs++
			for range 1500 { // more than one page
				record(t, store.Store, Deposited{"a", 1})
			}
			return decide.Events(Opened{"a"}), nil
		}, a)
		if !failsWith(err, "ends at position 5") || runs != 1 {
			t.Errorf("%s: Do(…) = %v after %d runs, want an error that names position 5", name, err, runs)
		}
	}
}

func TestAppendRefusesProjectionsThatWereNotRead(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	runner, cached := decide.New(store, bank, nil), decide.Cached(10, balance)
	record(t, store, Deposited{"a", 100})
	if _, err := runner.Read(t.Context(), cached("a")); err != nil {
		t.Fatal(err)
	}
	_, err := runner.Append(t.Context(), decide.Events(Transferred{"a", "b", 80}), cached("a"))
	if !failsWith(err, "call Read first") {
		t.Errorf("Append with a cached projection that was not read = %v", err)
	}
	a := balance("a")
	if _, err := runner.Read(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	events := decide.Events(Transferred{"a", "b", a.State()})
	record(t, store, Transferred{"a", "c", 100})
	if _, err := store.Append(t.Context(), []dcb.Event{{Type: "Opened", Tags: []string{"account:z"}, Data: []byte("{")}}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := runner.Read(t.Context(), a, opened("z")); err == nil {
		t.Fatal("Read decoded an event with invalid data")
	}
	if _, err := runner.Append(t.Context(), events, a); !failsWith(err, "call Read first") {
		t.Errorf("Append with a projection whose last read failed = %v", err)
	}
	if _, err := runner.Read(t.Context(), a); err != nil || a.State() != 0 {
		t.Errorf("the balance is %d (error %v), want 0", a.State(), err)
	}
}

func TestCachedResetsIfTheHeadFallsWithinADecision(t *testing.T) {
	t.Parallel()
	store := &lagging{Store: memstore.New(nil), ends: map[int]dcb.Position{3: 1}}
	record(t, store.Store, Deposited{"a", 1}, Deposited{"a", 1})
	runner, cached := decide.New(store, bank, nil), decide.Cached(1, balance)
	if _, err := runner.Read(t.Context(), cached("a")); err != nil {
		t.Fatal(err)
	}
	var states []int
	a := cached("a")
	_, err := runner.Do(t.Context(), func() ([]any, error) {
		if states = append(states, a.State()); len(states) == 1 {
			record(t, store.Store, Deposited{"a", 1})
		}
		return decide.Events(Opened{"a"}), nil
	}, a)
	if want := []int{2, 3}; err != nil || !slices.Equal(states, want) {
		t.Errorf("Do(…) = %v with states %v, want %v", err, states, want)
	}
}

// An idempotency key can always be reset. A store whose head alternates must not cause a loop.
func TestDoFailsIfTheHeadAlternates(t *testing.T) {
	t.Parallel()
	store := &lagging{Store: memstore.New(nil), ends: make(map[int]dcb.Position)}
	runner := decide.New(store, bank, nil)
	record(t, store.Store, Deposited{"a", 1})
	if _, err := runner.Do(t.Context(), always(Opened{"a"}), decide.IdempotencyKey("k")); err != nil {
		t.Fatal(err)
	}
	for n := range 100 {
		store.ends[2*n+3] = 1
	}
	store.reads = 1
	_, err := runner.Do(t.Context(), always(Opened{"a"}), lastDeposit(), decide.IdempotencyKey("k"))
	if !failsWith(err, "ends at position 1") || store.reads > 5 {
		t.Errorf("Do(…) = %v after %d reads, want an error that names position 1", err, store.reads)
	}
}
