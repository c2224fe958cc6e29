package decidetest_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/decide"
	"github.com/dcbstore/dcb/decide/decidetest"
)

// sold1 is version 1 of Sold, without a price.
type sold1 struct {
	Thing string `json:"thing"`
}

type Sold struct {
	Thing string `json:"thing" dcb:"thing"`
	Price int    `json:"price"`
}

func TestGivenRecordedTakesOldVersions(t *testing.T) {
	t.Parallel()
	shop := decide.NewCodec(decide.Type[Sold]("Sold", decide.Upcast(func(old sold1) Sold { return Sold{old.Thing, 5} })))
	s := decidetest.New(t, shop, nil)
	old := dcb.Event{Type: "Sold", Tags: []string{"thing:pen"}, Data: []byte(`{"thing":"pen"}`)}
	s.GivenRecorded(old, dcb.Event{Type: "OfAnotherProgram", Data: []byte{0xff}})
	s.Advance(time.Hour)

	runner := decide.New(s.Store, shop, nil)
	income := decide.NewProjection(0, decide.On(func(sum int, e Sold) int { return sum + e.Price })).Tagged("thing", "pen")
	_, err := runner.Do(t.Context(), func() ([]any, error) {
		return decide.Events(Sold{"pen", income.State() + 1}), nil
	}, income)
	s.When(err).Then(Sold{"pen", 6})

	checkAges(t, s, time.Hour, time.Hour, 0)
	all, err := s.Store.Read(t.Context(), dcb.All(), dcb.ReadOptions{})
	if err != nil || !all.Events[0].Same(old) {
		t.Errorf("the recorded event is %+v (error %v), want it unchanged", all.Events[0].Event, err)
	}
}

func TestThenChecksEventsRecordedSinceGiven(t *testing.T) {
	t.Parallel()
	encoded, err := codec.Encode(Lost{"pen"})
	if err != nil {
		t.Fatal(err)
	}
	lose := func(s *decidetest.Scenario, event dcb.Event) {
		if _, err := s.Store.Append(t.Context(), []dcb.Event{event}, nil); err != nil {
			t.Error(err)
		}
	}
	for _, c := range []struct {
		name  string
		steps func(s *decidetest.Scenario)
		want  string
	}{
		{"wanted", func(s *decidetest.Scenario) { lose(s, encoded); s.When(nil).Then(Lost{"pen"}) }, ""},
		{"not wanted", func(s *decidetest.Scenario) { lose(s, encoded); s.When(nil).Then() }, "unexpected: Lost{Thing:pen}"},
		{"before Given", func(s *decidetest.Scenario) { lose(s, encoded); s.Given(Lost{"ink"}).When(nil).Then() }, ""},
		{"before Given without events", func(s *decidetest.Scenario) { lose(s, encoded); s.Given().When(nil).Then() }, ""},
		{"before GivenRecorded", func(s *decidetest.Scenario) { lose(s, encoded); s.GivenRecorded(encoded).When(nil).Then() }, ""},
		{
			"unknown to the codec", func(s *decidetest.Scenario) { lose(s, dcb.Event{Type: "Foreign"}); s.When(nil).Then() },
			`unknown event type "Foreign" (if the test recorded it, use GivenRecorded)`,
		},
	} {
		r := &recorder{TB: t}
		if got := r.run(c.steps); !strings.Contains(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestGivenRefersEncodedEventsToGivenRecorded(t *testing.T) {
	t.Parallel()
	r := &recorder{TB: t}
	got := r.run(func(s *decidetest.Scenario) { s.Given(dcb.Event{Type: "Lost"}) })
	const want = "Given: event 1: it is a dcb.Event; pass it to GivenRecorded\n"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestGivenRecordedRefusesARepeatedID(t *testing.T) {
	t.Parallel()
	pen, ink := dcb.Event{Type: "Lost", Data: []byte(`{"thing":"pen"}`)}, dcb.Event{Type: "Lost", Data: []byte(`{"thing":"ink"}`)}
	named := pen
	named.ID = uuid.UUID{15: 1}
	const repeated = "Given: the event with the ID 00000000-0000-0000-0000-000000000001 is recorded already, at position 2, " +
		"so the store ignores it; give it another ID\n"
	for _, c := range []struct {
		name  string
		steps func(s *decidetest.Scenario)
		want  string
	}{
		{"in one call", func(s *decidetest.Scenario) { s.GivenRecorded(ink, named, named) }, repeated},
		{"in two calls", func(s *decidetest.Scenario) { s.GivenRecorded(ink, named).GivenRecorded(ink, named) }, repeated},
		{"without IDs", func(s *decidetest.Scenario) { s.GivenRecorded(pen, pen) }, ""},
	} {
		r := &recorder{TB: t}
		if got := r.run(c.steps); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}
