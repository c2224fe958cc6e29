package decidetest_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/decide/decidetest"
	"github.com/dcbstore/dcb/memstore"
)

// ages returns how old the events of a scenario's store are, which must not fall, as those of no store do.
func ages(t *testing.T, s *decidetest.Scenario) []time.Duration {
	t.Helper()
	all, err := s.Store.Read(t.Context(), dcb.All(), dcb.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	old := make([]time.Duration, len(all.Events))
	for i, event := range all.Events {
		old[i] = s.Now().Sub(event.RecordedAt)
		if i > 0 && old[i] > old[i-1] {
			t.Errorf("the event at position %d is %v old, and the one before it %v", event.Position, old[i], old[i-1])
		}
	}
	return old
}

func checkAges(t *testing.T, s *decidetest.Scenario, want ...time.Duration) {
	t.Helper()
	if got := ages(t, s); !slices.Equal(got, want) {
		t.Errorf("the events are %v old; want %v", got, want)
	}
}

func TestGivenEventsHaveTheAgeThatTheyAreGiven(t *testing.T) {
	t.Parallel()
	s := decidetest.New(t, codec, nil)
	began := s.Now()
	s.GivenAgo(3*time.Hour, Lost{"a"}, Lost{"b"}).GivenAgo(time.Hour, Lost{"c"}).Given(Lost{"d"})
	s.Advance(time.Minute)
	s.When(record(t, s.Store, Lost{"e"})).Then(Lost{"e"})
	checkAges(t, s, 3*time.Hour+time.Minute, 3*time.Hour+time.Minute, time.Hour+time.Minute, time.Minute, 0)
	if s.Now() != began.Add(time.Minute) {
		t.Errorf("the clock moved from %v to %v", began, s.Now())
	}
}

func TestTheOldestEventsAreGivenFirst(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		story func(s *decidetest.Scenario)
		says  string
	}{
		{
			"older than what was given", func(s *decidetest.Scenario) { s.Given(Lost{"a"}).GivenAgo(time.Hour, Lost{"b"}) },
			"given: an event of 1h0m0s ago cannot follow one of 0s ago, at position 1, for times never fall: give the oldest first, or Advance the clock before\n",
		},
		{
			"older than what a command recorded", func(s *decidetest.Scenario) {
				s.When(record(t, s.Store, Lost{"a"})).Then(Lost{"a"})
				s.Advance(time.Minute)
				s.GivenAgo(time.Hour, Lost{"b"})
			},
			"given: an event of 1h0m0s ago cannot follow one of 1m0s ago, at position 1, for times never fall: give the oldest first, or Advance the clock before\n",
		},
		{
			"to come", func(s *decidetest.Scenario) { s.GivenAgo(-time.Hour, Lost{"a"}) },
			"given: 1h0m0s ago is still to come; Advance moves the clock on\n",
		},
		{
			"a clock that is moved back", func(s *decidetest.Scenario) { s.Advance(-time.Hour) },
			"advance: -1h0m0s: the clock is never moved back; GivenAgo gives what happened earlier\n",
		},
		{"as old", func(s *decidetest.Scenario) { s.GivenAgo(time.Hour, Lost{"a"}).GivenAgo(time.Hour, Lost{"b"}) }, ""},
		{"after an Advance", func(s *decidetest.Scenario) {
			s.Given(Lost{"a"})
			s.Advance(time.Hour)
			s.GivenAgo(time.Hour, Lost{"b"})
		}, ""},
		{"no events at all", func(s *decidetest.Scenario) { s.Given(Lost{"a"}).GivenAgo(time.Hour) }, ""},
	} {
		r := &recorder{TB: t}
		if said := r.hear(c.story); said != c.says {
			t.Errorf("%s: got %q, want %q", c.name, said, c.says)
		}
	}
}

func TestEventsFromBeforeTheScenarioKeepTheirTimeAndGrowOlder(t *testing.T) {
	t.Parallel()
	store := memstore.New(&memstore.Options{Now: func() time.Time { return time.Now().Add(-time.Hour) }})
	if err := record(t, store, Lost{"a"}); err != nil {
		t.Fatal(err)
	}
	before, err := store.Read(t.Context(), dcb.All(), dcb.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s := decidetest.New(t, codec, store)
	s.Given(Lost{"b"})
	s.Advance(2 * time.Hour)
	checkAges(t, s, s.Now().Sub(before.Events[0].RecordedAt), 2*time.Hour)
	if old := ages(t, s)[0]; old < 3*time.Hour {
		t.Errorf("an event from an hour before the scenario is %v old two hours later", old)
	}
	if said := (&recorder{TB: t}).hearOn(store, func(s *decidetest.Scenario) { s.GivenAgo(24*time.Hour, Lost{"c"}) }); said == "" {
		t.Error("an event can be given that is older than one from before the scenario")
	}
}

func TestAStoreWhoseClockIsAheadSetsTheClock(t *testing.T) {
	t.Parallel()
	store := memstore.New(&memstore.Options{Now: func() time.Time { return time.Now().Add(time.Hour) }})
	if err := record(t, store, Lost{"a"}); err != nil {
		t.Fatal(err)
	}
	checkAges(t, decidetest.New(t, codec, store).Given(Lost{"b"}), 0, 0)
}

// losing records what is appended, and loses the answer.
type losing struct{ dcb.Store }

func (s losing) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	if _, err := s.Store.Append(ctx, events, condition); err != nil {
		return 0, err
	}
	return 0, errors.New("the answer was lost")
}

func TestWhoeverRecordsAnEventItHasTheTimeOfTheClock(t *testing.T) {
	t.Parallel()
	for name, recording := range map[string]func(inner, outer dcb.Store) dcb.Store{
		"through the scenario's store": func(_, outer dcb.Store) dcb.Store { return outer },
		"past it":                      func(inner, _ dcb.Store) dcb.Store { return inner },
		"with an answer that is lost":  func(_, outer dcb.Store) dcb.Store { return losing{outer} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inner := memstore.New(nil)
			s := decidetest.New(t, codec, inner)
			by := recording(inner, s.Store)
			_ = record(t, by, Lost{"a"})
			s.Advance(2 * time.Hour)
			_ = record(t, by, Lost{"b"})
			checkAges(t, s, 2*time.Hour, 0)
			s.Advance(time.Hour)
			checkAges(t, s, 3*time.Hour, time.Hour)
		})
	}
}

// behind runs between once, after it has looked where the store ends, and before it says so.
type behind struct {
	dcb.Store
	between func()
}

func (s *behind) Head(ctx context.Context) (dcb.Position, error) {
	head, err := s.Store.Head(ctx)
	if between := s.between; between != nil {
		s.between = nil
		between()
	}
	return head, err
}

func TestATimeThatWasToldStays(t *testing.T) {
	t.Parallel()
	store := &behind{Store: memstore.New(nil)}
	s := decidetest.New(t, codec, store)
	store.between = func() {
		_ = record(t, s.Store, Lost{"a"})
		checkAges(t, s, 0)
	}
	s.Advance(time.Hour)
	checkAges(t, s, time.Hour)
}
