package decide_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/decide"
	"github.com/dcbstore/dcb/memstore"
)

// A store never ends before what was read of it. One that does all the same, because it was restored, or answers from a copy that
// lags, must not make a decision on half of what it looks at.

// lagging answers the reads whose number is in ends as if the store ended at that position.
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

func TestTheSecondReadOfADecisionDecidesOnItsHead(t *testing.T) {
	t.Parallel()
	store := &lagging{Store: memstore.New(nil), ends: map[int]dcb.Position{2: 2}}
	record(t, store.Store, Opened{"a"}, Deposited{"a", 1}, Deposited{"a", 2})
	d, last, runs := decide.New(store, bank, nil), lastDeposit(), 0
	_, err := d.Do(t.Context(), func() ([]any, error) {
		runs++
		return decide.Events(Deposited{"a", last.State() + 1}), nil
	}, opened("a"), last)
	if err != nil || runs != 2 || last.State() != 2 {
		t.Errorf("after %d runs, and deposits of %d: %v; want a conflict, and a run that sees both", runs, last.State(), err)
	}
}

func TestACopyThatLagsSpoilsNothingThatIsKept(t *testing.T) {
	t.Parallel()
	store := &lagging{Store: memstore.New(nil), ends: map[int]dcb.Position{}}
	for range 300 {
		record(t, store.Store, Deposited{"a", 1})
	}
	d, cached := decide.New(store, bank, nil), decide.Cached(2, balance)
	if _, err := d.Read(t.Context(), cached("a")); err != nil {
		t.Fatal(err)
	}
	record(t, store.Store, Transferred{"a", "b", 300})
	store.ends[3] = 300 // the second read of the decision
	a := cached("a")
	_, err := d.Do(t.Context(), func() ([]any, error) {
		if a.State() < 300 {
			return nil, errBroken
		}
		return decide.Events(Transferred{"a", "c", 300}), nil
	}, opened("x"), a)
	if err == nil {
		t.Error("recorded on a state that lacks the last event")
	}
	for _, projection := range []*decide.Projection[int]{balance("a"), cached("a")} {
		if _, err := d.Read(t.Context(), projection); err != nil || projection.State() != 0 {
			t.Errorf("the balance is %d, %v; want 0", projection.State(), err)
		}
	}
}

func TestAStoreThatFallsBackWithinADecisionEndsIt(t *testing.T) {
	t.Parallel()
	for name, reads := range map[string]int{"the read after a conflict": 2, "its second page": 3} {
		store := &lagging{Store: memstore.New(nil), ends: map[int]dcb.Position{reads: 5}}
		for range 10 {
			record(t, store.Store, Deposited{"a", 1})
		}
		a, runs := balance("a"), 0
		_, err := decide.New(store, bank, nil).Do(t.Context(), func() ([]any, error) {
			runs++
			for range 1500 { // more than a page
				record(t, store.Store, Deposited{"a", 1})
			}
			return decide.Events(Opened{"a"}), nil
		}, a)
		if err == nil || !strings.Contains(err.Error(), "ends at position 5") || runs != 1 {
			t.Errorf("%s: after %d runs: %v", name, runs, err)
		}
	}
}

func TestAppendKnowsNothingThatItsCallerDidNotRead(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	d, cached := decide.New(store, bank, nil), decide.Cached(10, balance)
	record(t, store, Deposited{"a", 100})
	if _, err := d.Read(t.Context(), cached("a")); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Append(t.Context(), decide.Events(Transferred{"a", "b", 80}), cached("a")); err == nil || !strings.Contains(err.Error(), "call Read first") {
		t.Errorf("a cached projection that was not read: %v", err)
	}
	a := balance("a")
	if _, err := d.Read(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	events := decide.Events(Transferred{"a", "b", a.State()})
	record(t, store, Transferred{"a", "c", 100})
	if _, err := store.Append(t.Context(), []dcb.Event{{Type: "Opened", Tags: []string{"account:z"}, Data: []byte("{")}}, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Read(t.Context(), a, opened("z")); err == nil {
		t.Fatal("an event that cannot be decoded was read")
	}
	if _, err := d.Append(t.Context(), events, a); err == nil || !strings.Contains(err.Error(), "call Read first") {
		t.Errorf("a projection whose last read failed: %v", err)
	}
	if _, err := d.Read(t.Context(), a); err != nil || a.State() != 0 {
		t.Errorf("the balance is %d, %v; want 0", a.State(), err)
	}
}

func TestACachedProjectionBeginsAnewWhenTheStoreFellBackWithinADecision(t *testing.T) {
	t.Parallel()
	store := &lagging{Store: memstore.New(nil), ends: map[int]dcb.Position{3: 1}}
	record(t, store.Store, Deposited{"a", 1}, Deposited{"a", 1})
	d, cached := decide.New(store, bank, nil), decide.Cached(1, balance)
	if _, err := d.Read(t.Context(), cached("a")); err != nil {
		t.Fatal(err)
	}
	var states []int
	a := cached("a")
	_, err := d.Do(t.Context(), func() ([]any, error) {
		if states = append(states, a.State()); len(states) == 1 {
			record(t, store.Store, Deposited{"a", 1})
		}
		return decide.Events(Opened{"a"}), nil
	}, a)
	if want := []int{2, 3}; err != nil || !slices.Equal(states, want) {
		t.Errorf("states %v, %v; want %v", states, err, want)
	}
}

// A key looks at nothing that is kept, and can begin anew as often as it likes; but not for ever, while a store answers now so and now so.
func TestAStoreThatAnswersByTurnsEndsADecision(t *testing.T) {
	t.Parallel()
	store := &lagging{Store: memstore.New(nil), ends: make(map[int]dcb.Position)}
	d := decide.New(store, bank, nil)
	record(t, store.Store, Deposited{"a", 1})
	if _, err := d.Do(t.Context(), always(Opened{"a"}), decide.IdempotencyKey("k")); err != nil {
		t.Fatal(err)
	}
	for n := range 100 {
		store.ends[2*n+3] = 1
	}
	store.reads = 1
	_, err := d.Do(t.Context(), always(Opened{"a"}), lastDeposit(), decide.IdempotencyKey("k"))
	if err == nil || !strings.Contains(err.Error(), "ends at position 1") || store.reads > 5 {
		t.Errorf("after %d reads: %v", store.reads, err)
	}
}
