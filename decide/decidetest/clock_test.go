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

// ages returns the ages of the events in a scenario's store. It fails the test if an age is
// greater than the one before it.
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
			t.Errorf("the event at position %d is %v old, but the one before it only %v", event.Position, old[i], old[i-1])
		}
	}
	return old
}

func checkAges(t *testing.T, s *decidetest.Scenario, want ...time.Duration) {
	t.Helper()
	if got := ages(t, s); !slices.Equal(got, want) {
		t.Errorf("the ages of the events are %v, want %v", got, want)
	}
}

func TestGivenAgoSetsTheAgeOfEvents(t *testing.T) {
	t.Parallel()
	s := decidetest.New(t, codec, nil)
	began := s.Now()
	s.GivenAgo(3*time.Hour, Lost{"a"}, Lost{"b"}).GivenAgo(time.Hour, Lost{"c"}).Given(Lost{"d"})
	s.Advance(time.Minute)
	s.When(record(t, s.Store, Lost{"e"})).Then(Lost{"e"})
	checkAges(t, s, 3*time.Hour+time.Minute, 3*time.Hour+time.Minute, time.Hour+time.Minute, time.Minute, 0)
	if s.Now() != began.Add(time.Minute) {
		t.Errorf("the clock moved from %v to %v, want one minute", began, s.Now())
	}
}

func TestGivenAgoAndAdvanceRefuseFallingTimes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		steps func(s *decidetest.Scenario)
		want  string
	}{
		{
			"older than a given event", func(s *decidetest.Scenario) { s.Given(Lost{"a"}).GivenAgo(time.Hour, Lost{"b"}) },
			"Given: an event from 1h0m0s ago cannot follow the event at position 1 from 0s ago, because times never fall; " +
				"give the oldest events first, or call Advance in between\n",
		},
		{
			"older than an event of a command", func(s *decidetest.Scenario) {
				s.When(record(t, s.Store, Lost{"a"})).Then(Lost{"a"})
				s.Advance(time.Minute)
				s.GivenAgo(time.Hour, Lost{"b"})
			},
			"Given: an event from 1h0m0s ago cannot follow the event at position 1 from 1m0s ago, because times never fall; " +
				"give the oldest events first, or call Advance in between\n",
		},
		{
			"in the future", func(s *decidetest.Scenario) { s.GivenAgo(-time.Hour, Lost{"a"}) },
			"GivenAgo(-1h0m0s): the events are in the future; use Advance to move the clock\n",
		},
		{
			"clock moved back", func(s *decidetest.Scenario) { s.Advance(-time.Hour) },
			"Advance(-1h0m0s): the clock cannot go back; use GivenAgo for earlier events\n",
		},
		{"equally old", func(s *decidetest.Scenario) { s.GivenAgo(time.Hour, Lost{"a"}).GivenAgo(time.Hour, Lost{"b"}) }, ""},
		{"after an Advance", func(s *decidetest.Scenario) {
			s.Given(Lost{"a"})
			s.Advance(time.Hour)
			s.GivenAgo(time.Hour, Lost{"b"})
		}, ""},
		{"no events", func(s *decidetest.Scenario) { s.Given(Lost{"a"}).GivenAgo(time.Hour) }, ""},
	} {
		r := &recorder{TB: t}
		if got := r.run(c.steps); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestNewKeepsTheTimesOfEarlierEvents(t *testing.T) {
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
		t.Errorf("the event recorded one hour before the scenario is %v old after two more hours", old)
	}
	if got := (&recorder{TB: t}).runOn(store, func(s *decidetest.Scenario) { s.GivenAgo(24*time.Hour, Lost{"c"}) }); got == "" {
		t.Error("GivenAgo accepted an event older than one from before the scenario")
	}
}

func TestNewStartsAtTheTimeOfTheLastEvent(t *testing.T) {
	t.Parallel()
	store := memstore.New(&memstore.Options{Now: func() time.Time { return time.Now().Add(time.Hour) }})
	if err := record(t, store, Lost{"a"}); err != nil {
		t.Fatal(err)
	}
	checkAges(t, decidetest.New(t, codec, store).Given(Lost{"b"}), 0, 0)
}

// losing appends events but loses the answers.
type losing struct{ dcb.Store }

func (s losing) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	if _, err := s.Store.Append(ctx, events, condition); err != nil {
		return 0, err
	}
	return 0, errors.New("the answer was lost")
}

func TestAdvanceAgesEventsHoweverTheyWereRecorded(t *testing.T) {
	t.Parallel()
	for name, recording := range map[string]func(inner, outer dcb.Store) dcb.Store{
		"through the scenario's store": func(_, outer dcb.Store) dcb.Store { return outer },
		"through the inner store":      func(inner, _ dcb.Store) dcb.Store { return inner },
		"with a lost answer":           func(_, outer dcb.Store) dcb.Store { return losing{outer} },
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

// racing calls between once, after Head has read the head and before it returns.
type racing struct {
	dcb.Store
	between func()
}

func (s *racing) Head(ctx context.Context) (dcb.Position, error) {
	head, err := s.Store.Head(ctx)
	if between := s.between; between != nil {
		s.between = nil
		between()
	}
	return head, err
}

func TestAdvanceNeverChangesATimeThatWasRead(t *testing.T) {
	t.Parallel()
	store := &racing{Store: memstore.New(nil)}
	s := decidetest.New(t, codec, store)
	store.between = func() {
		_ = record(t, s.Store, Lost{"a"})
		checkAges(t, s, 0)
	}
	s.Advance(time.Hour)
	checkAges(t, s, time.Hour)
}
