package history

import (
	"context"
	"errors"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/memstore"
)

// DCB_HISTORIES=1000 go test -race -run Memstore ./dcbtest records that many histories instead of a few.
func TestTheHistoriesOfAMemstoreAreCorrect(t *testing.T) {
	t.Parallel()
	histories := 6
	if text := os.Getenv("DCB_HISTORIES"); text != "" {
		var err error
		if histories, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	for i := range histories {
		store := memstore.New(nil)
		h := record(t, Workload{Handles: []dcb.Store{store, store, store}, Callers: 2 + i%8, Tags: 1 + i%6, MaxEvents: 1 + i%5})
		if err := h.Verify(t.Context(), store); err != nil {
			t.Error(err)
		}
	}
}

func TestAHistoryGoesOnWhereAnotherEnded(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	for range 3 {
		h := record(t, Workload{Handles: []dcb.Store{store}, Seed: 1, Callers: 4, Duration: 20 * time.Millisecond})
		if err := h.Verify(t.Context(), store); err != nil {
			t.Error(err)
		}
	}
}

func TestAWorkloadMakesCallsOfEveryKindAndOutcome(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	h := record(t, Workload{Handles: []dcb.Store{store}, Steps: 200, Followers: 5}) // each gets a batch at least
	count := make(map[string]int)
	note := func(kind string, is bool) {
		if is {
			count[kind]++
		}
	}
	accepted := make(map[string]int)
	for i := range h.Operations {
		o := &h.Operations[i]
		count[string(o.Method)]++
		note("cancelled", o.Cancelled)
		switch {
		case errors.Is(o.Err, dcb.ErrConflict):
			count["conflict"]++
		case errors.Is(o.Err, dcb.ErrDuplicateID):
			count["duplicate"]++
		case o.Err == nil && o.Method == Append:
			note("accepted under a condition", o.Condition != nil)
			accepted[string(o.Events[0].Data)]++
			note("accepted again", accepted[string(o.Events[0].Data)] > 1)
		case o.Err == nil && o.Method == Read:
			note("cut", o.Options.Limit > 0 && len(o.Result.Events) == o.Options.Limit)
			note("backwards", o.Options.Backwards)
			note("something read", len(o.Result.Events) > 0)
		}
	}
	for _, kind := range []string{
		"Append", "Read", "Head", "Wait", "Follow", "cancelled", "conflict", "duplicate", "accepted under a condition", "accepted again",
		"cut", "backwards", "something read",
	} {
		if count[kind] < 5 {
			t.Errorf("%d of %d operations are of the kind %q", count[kind], len(h.Operations), kind)
		}
	}
}

func TestTheSeedIsTakenFromTheEnvironment(t *testing.T) {
	t.Setenv(SeedVariable, "7")
	if h := record(t, Workload{Handles: []dcb.Store{memstore.New(nil)}, Steps: 1}); h.Seed != 7 {
		t.Errorf("the seed is %d, want 7", h.Seed)
	}
	t.Setenv(SeedVariable, "seven")
	if _, err := (Workload{Handles: []dcb.Store{memstore.New(nil)}}).Run(t.Context()); err == nil {
		t.Error("a seed that is no number was accepted")
	}
}

func TestAWorkloadWithoutAStoreIsRefused(t *testing.T) {
	t.Parallel()
	if _, err := (Workload{}).Run(t.Context()); err == nil {
		t.Error("it ran")
	}
}

func record(t *testing.T, w Workload) *History {
	t.Helper()
	h, err := w.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// failing is a store on the other side of a bad connection: some calls do not arrive, and some answers do not.
type failing struct {
	*plain
	calls *atomic.Uint64
	lies  bool // says of an append whose answer was lost that it is not recorded
}

func (s failing) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	switch s.calls.Add(1) % 6 {
	case 0:
		return 0, &dcb.UnavailableError{Cause: errors.New("connection refused")}
	case 1:
		return 0, &dcb.UnavailableError{OutcomeUnknown: true, Cause: errors.New("connection lost while sending")}
	case 2:
		if _, err := s.plain.Append(ctx, events, condition); err != nil {
			return 0, err
		}
		return 0, &dcb.UnavailableError{OutcomeUnknown: !s.lies, Cause: errors.New("connection lost while receiving")}
	}
	return s.plain.Append(ctx, events, condition)
}

func (s failing) Read(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
	if s.calls.Add(1)%6 == 0 {
		return dcb.ReadResult{}, &dcb.UnavailableError{Cause: errors.New("connection lost")}
	}
	return s.plain.Read(ctx, q, opts)
}

func TestAStoreThatMayFailIsJudgedByWhatItAnswered(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		mayFail bool
		lies    bool
		forgets int // acknowledged events lost by the recovery
		want    Rule
	}{
		{name: "the outcome is unknown", mayFail: true},
		{name: "but it may not", want: RuleError},
		{name: "and says that what it recorded is not recorded", mayFail: true, lies: true, want: RuleGhost},
		{name: "and recovers without the last append", mayFail: true, forgets: 1, want: RuleLost},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			shared := newPlain()
			store := failing{shared, new(atomic.Uint64), test.lies}
			h := record(t, Workload{Handles: []dcb.Store{store, store}, Seed: 1, Steps: 30, MaxEvents: 1, MayFail: test.mayFail})
			shared.events = shared.events[:len(shared.events)-test.forgets]
			shared.head = dcb.Position(len(shared.events))
			if err := h.ReadFinal(t.Context(), shared); err != nil {
				t.Fatal(err)
			}
			broken := rulesOf(h.Check())
			if test.want == "" && len(broken) > 0 || test.want != "" && !broken[test.want] {
				t.Errorf("broken are %v, want %q", h.Check(), test.want)
			}
		})
	}
}

func rulesOf(violations []Violation) map[Rule]bool {
	rules := make(map[Rule]bool)
	for _, v := range violations {
		rules[v.Rule] = true
	}
	return rules
}

// deaf never returns from an append, whatever becomes of its context.
type deaf struct {
	*plain
	forever chan struct{}
}

func (s deaf) Append(context.Context, []dcb.Event, *dcb.AppendCondition) (dcb.Position, error) {
	<-s.forever
	return 0, dcb.ErrClosed
}

func TestACallThatHangsIsLeftBehind(t *testing.T) {
	t.Parallel()
	store := deaf{newPlain(), make(chan struct{})}
	defer close(store.forever)
	h := record(t, Workload{Handles: []dcb.Store{store}, Patience: 20 * time.Millisecond, Followers: -1})
	if err := h.ReadFinal(t.Context(), store); err != nil {
		t.Fatal(err)
	}
	if !rulesOf(h.Check())[RuleHang] {
		t.Error("the hang was not found")
	}
}

func BenchmarkCheck(b *testing.B) {
	for _, steps := range []int{200, 2000} {
		b.Run(strconv.Itoa(steps)+" steps", func(b *testing.B) {
			store := memstore.New(nil)
			h, err := Workload{Handles: []dcb.Store{store}, Seed: 1, Steps: steps}.Run(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			if err := h.ReadFinal(b.Context(), store); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if v := h.Check(); len(v) > 0 {
					b.Fatal(v)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(h.Operations)), "ns/operation")
		})
	}
}
