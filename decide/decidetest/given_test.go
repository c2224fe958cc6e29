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

// sold1 is how Sold was recorded until there were prices.
type sold1 struct {
	Thing string `json:"thing"`
}

type Sold struct {
	Thing string `json:"thing" dcb:"thing"`
	Price int    `json:"price"`
}

func TestAnOldVersionIsGivenAsItWasRecorded(t *testing.T) {
	t.Parallel()
	shop := decide.NewCodec(decide.Type[Sold]("Sold", decide.Upcast(func(old sold1) Sold { return Sold{old.Thing, 5} })))
	s := decidetest.New(t, shop, nil)
	old := dcb.Event{Type: "Sold", Tags: []string{"thing:pen"}, Data: []byte(`{"thing":"pen"}`)}
	s.GivenRecorded(old, dcb.Event{Type: "OfAnotherProgram", Data: []byte{0xff}})
	s.Advance(time.Hour)

	d := decide.New(s.Store, shop, nil)
	income := decide.NewProjection(0, decide.On(func(sum int, e Sold) int { return sum + e.Price })).Tagged("thing", "pen")
	_, err := d.Do(t.Context(), func() ([]any, error) {
		return decide.Events(Sold{"pen", income.State() + 1}), nil
	}, income)
	s.When(err).Then(Sold{"pen", 6})

	checkAges(t, s, time.Hour, time.Hour, 0)
	all, err := s.Store.Read(t.Context(), dcb.All(), dcb.ReadOptions{})
	if err != nil || !all.Events[0].Same(old) {
		t.Errorf("recorded is %+v, %v; want it as it was given", all.Events[0].Event, err)
	}
}

func TestWhatIsRecordedPastGivenIsOfTheNextCommandUntilSomethingIsGiven(t *testing.T) {
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
		story func(s *decidetest.Scenario)
		says  string
	}{
		{"counted", func(s *decidetest.Scenario) { lose(s, encoded); s.When(nil).Then(Lost{"pen"}) }, ""},
		{"told", func(s *decidetest.Scenario) { lose(s, encoded); s.When(nil).Then() }, "too much: Lost{Thing:pen}"},
		{"before events that are given", func(s *decidetest.Scenario) { lose(s, encoded); s.Given(Lost{"ink"}).When(nil).Then() }, ""},
		{"before nothing that is given", func(s *decidetest.Scenario) { lose(s, encoded); s.Given().When(nil).Then() }, ""},
		{"before what is given as recorded", func(s *decidetest.Scenario) { lose(s, encoded); s.GivenRecorded(encoded).When(nil).Then() }, ""},
		{
			"not known to the codec", func(s *decidetest.Scenario) { lose(s, dcb.Event{Type: "Foreign"}); s.When(nil).Then() },
			`unknown event type "Foreign" (if it was the test that recorded it, give it by GivenRecorded)`,
		},
	} {
		r := &recorder{TB: t}
		if said := r.hear(c.story); !strings.Contains(said, c.says) || c.says == "" && said != "" {
			t.Errorf("%s: got %q, want %q", c.name, said, c.says)
		}
	}
}

func TestGivenSaysWhereEventsGoThatAreEncodedAlready(t *testing.T) {
	t.Parallel()
	r := &recorder{TB: t}
	said := r.hear(func(s *decidetest.Scenario) { s.Given(dcb.Event{Type: "Lost"}) })
	const want = "given: decide: encode: the event is a dcb.Event, which is not in the codec; register it with Type; GivenRecorded takes events as they are recorded\n"
	if said != want {
		t.Errorf("got %q, want %q", said, want)
	}
}

func TestAnEventIsNotGivenTwice(t *testing.T) {
	t.Parallel()
	pen, ink := dcb.Event{Type: "Lost", Data: []byte(`{"thing":"pen"}`)}, dcb.Event{Type: "Lost", Data: []byte(`{"thing":"ink"}`)}
	named := pen
	named.ID = uuid.UUID{15: 1}
	const twice = "given: the event with the ID 00000000-0000-0000-0000-000000000001 is there already, at position 2, so the store does not record it again\n"
	for _, c := range []struct {
		name  string
		story func(s *decidetest.Scenario)
		says  string
	}{
		{"at once", func(s *decidetest.Scenario) { s.GivenRecorded(ink, named, named) }, twice},
		{"one after the other", func(s *decidetest.Scenario) { s.GivenRecorded(ink, named).GivenRecorded(ink, named) }, twice},
		{"without an ID they are two", func(s *decidetest.Scenario) { s.GivenRecorded(pen, pen) }, ""},
	} {
		r := &recorder{TB: t}
		if said := r.hear(c.story); said != c.says {
			t.Errorf("%s: got %q, want %q", c.name, said, c.says)
		}
	}
}
