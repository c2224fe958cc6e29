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

// DCB_HISTORIES=1000 go test -race -run WorkloadRunOnMemstore ./dcbtest/history runs that many
// workloads instead of a few.
func TestWorkloadRunOnMemstore(t *testing.T) {
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
		h := runWorkload(t, Workload{Handles: []dcb.Store{store, store, store}, Callers: 2 + i%8, Tags: 1 + i%6, MaxEvents: 1 + i%5})
		if err := h.Verify(t.Context(), store); err != nil {
			t.Error(err)
		}
	}
}

func TestWorkloadRunOnAStoreWithEvents(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	for range 3 {
		h := runWorkload(t, Workload{Handles: []dcb.Store{store}, Seed: 1, Callers: 4, Duration: 20 * time.Millisecond})
		if err := h.Verify(t.Context(), store); err != nil {
			t.Error(err)
		}
	}
}

func TestWorkloadRunMakesCallsOfEveryKind(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	h := runWorkload(t, Workload{Handles: []dcb.Store{store}, Steps: 400, Followers: 5}) // each follower gets at least one batch
	count := make(map[string]int)
	note := func(kind string, is bool) {
		if is {
			count[kind]++
		}
	}
	acknowledgedBefore := make(map[string]bool)
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
			note("acknowledged with a condition", o.Condition != nil)
			data := string(o.Events[0].Data)
			note("acknowledged again", acknowledgedBefore[data])
			acknowledgedBefore[data] = true
		case o.Err == nil && o.Method == Read:
			note("read with More", o.Result.More)
			note("full read without More", isFull(o) && !o.Result.More)
			note("backward read", o.Options.Backwards)
			note("read with events", len(o.Result.Events) > 0)
		}
	}
	for _, kind := range []string{
		"Append", "Read", "Head", "Wait", "Follow", "cancelled", "conflict", "duplicate", "acknowledged with a condition",
		"acknowledged again", "read with More", "full read without More", "backward read", "read with events",
	} {
		if count[kind] < 3 {
			t.Errorf("Run made %d calls of the kind %q in %d, want at least 3", count[kind], kind, len(h.Operations))
		}
	}
}

func TestWorkloadRunTakesTheSeedFromTheEnvironment(t *testing.T) {
	t.Setenv(SeedVariable, "7")
	if h := runWorkload(t, Workload{Handles: []dcb.Store{memstore.New(nil)}, Steps: 1}); h.Seed != 7 {
		t.Errorf("Seed = %d, want 7", h.Seed)
	}
	t.Setenv(SeedVariable, "seven")
	if _, err := (Workload{Handles: []dcb.Store{memstore.New(nil)}}).Run(t.Context()); err == nil {
		t.Errorf("Run with %s=seven = nil, want an error", SeedVariable)
	}
}

func TestWorkloadRunRefusesWrongOptions(t *testing.T) {
	t.Parallel()
	handles := []dcb.Store{memstore.New(nil)}
	for want, w := range map[string]Workload{
		"history: Workload.Handles is empty; it needs at least one store":                {},
		"history: Workload.Tags is -1; it must be at least 1, or 0 for the default":      {Handles: handles, Tags: -1},
		"history: Workload.MaxEvents is -5; it must be at least 1, or 0 for the default": {Handles: handles, MaxEvents: -5},
	} {
		if _, err := w.Run(t.Context()); err == nil || err.Error() != want {
			t.Errorf("Run() = %v, want %s", err, want)
		}
	}
}

func runWorkload(t *testing.T, w Workload) *History {
	t.Helper()
	h, err := w.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// unreliable is a store with a bad connection: some calls do not arrive, and some answers are lost.
type unreliable struct {
	*simpleStore
	calls *atomic.Uint64
	lies  bool // about an append whose answer is lost: that it is not recorded
}

func (s unreliable) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	switch s.calls.Add(1) % 6 {
	case 0:
		return 0, &dcb.UnavailableError{Cause: errors.New("connection refused")}
	case 1:
		return 0, &dcb.UnavailableError{OutcomeUnknown: true, Cause: errors.New("connection lost while sending")}
	case 2:
		if _, err := s.simpleStore.Append(ctx, events, condition); err != nil {
			return 0, err
		}
		return 0, &dcb.UnavailableError{OutcomeUnknown: !s.lies, Cause: errors.New("connection lost while receiving")}
	}
	return s.simpleStore.Append(ctx, events, condition)
}

func (s unreliable) Read(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
	if s.calls.Add(1)%6 == 0 {
		return dcb.ReadResult{}, &dcb.UnavailableError{Cause: errors.New("connection lost")}
	}
	return s.simpleStore.Read(ctx, q, opts)
}

func TestWorkloadRunOnAStoreThatMayFail(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		mayFail  bool
		lies     bool
		loseLast bool // event, at a recovery after the run
		want     Rule // "" if the history is correct
	}{
		{name: "answers are lost", mayFail: true},
		{name: "answers are lost without MayFail", want: RuleError},
		{name: "a recorded append is reported as not recorded", mayFail: true, lies: true, want: RuleRejected},
		{name: "the last append is lost", mayFail: true, loseLast: true, want: RuleLost},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			shared := newSimpleStore()
			store := unreliable{shared, new(atomic.Uint64), test.lies}
			h := runWorkload(t, Workload{Handles: []dcb.Store{store, store}, Seed: 1, Steps: 30, MaxEvents: 1, MayFail: test.mayFail})
			if test.loseLast {
				shared.events = shared.events[:len(shared.events)-1]
				shared.head = dcb.Position(len(shared.events))
			}
			if err := h.ReadFinal(t.Context(), shared); err != nil {
				t.Fatal(err)
			}
			violations := h.Check()
			if test.want == "" && len(violations) > 0 || test.want != "" && !hasRule(violations, test.want) {
				t.Errorf("Check() = %v, want rule %q", violations, test.want)
			}
		})
	}
}

func hasRule(violations []Violation, rule Rule) bool {
	for _, v := range violations {
		if v.Rule == rule {
			return true
		}
	}
	return false
}

// neverAppends never returns from Append, even after its context has ended.
type neverAppends struct {
	*simpleStore
	end chan struct{}
}

func (s neverAppends) Append(context.Context, []dcb.Event, *dcb.AppendCondition) (dcb.Position, error) {
	<-s.end
	return 0, dcb.ErrClosed
}

func TestWorkloadRunReturnsAlthoughACallHangs(t *testing.T) {
	t.Parallel()
	store := neverAppends{newSimpleStore(), make(chan struct{})}
	defer close(store.end)
	h := runWorkload(t, Workload{Handles: []dcb.Store{store}, HangTimeout: 20 * time.Millisecond, Followers: -1})
	if err := h.ReadFinal(t.Context(), store); err != nil {
		t.Fatal(err)
	}
	if violations := h.Check(); !hasRule(violations, RuleHang) {
		t.Errorf("Check() = %v, want rule %q", violations, RuleHang)
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
