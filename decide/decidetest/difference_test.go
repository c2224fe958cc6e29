package decidetest_test

import (
	"bytes"
	"encoding/gob"
	"strings"
	"testing"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/decide"
	"github.com/dcbstore/dcb/decide/decidetest"
)

type Packed struct {
	At    time.Time `json:"at"`
	Items []string  `json:"items,omitempty"`
	Notes []string  `json:"notes"`
	By    *string   `json:"by,omitempty"`
	Times int       `json:"times"`
}

// gobs has what is no text.
type gobs struct{}

func (gobs) Marshal(event any) ([]byte, error) {
	var data bytes.Buffer
	err := gob.NewEncoder(&data).Encode(event)
	return data.Bytes(), err
}

func (gobs) Unmarshal(data []byte, event any) error {
	return gob.NewDecoder(bytes.NewReader(data)).Decode(event)
}

// packing returns what a scenario says if one event was recorded and another was wanted.
func packing(t *testing.T, codec *decide.Codec, recorded, want Packed) string {
	t.Helper()
	r := &recorder{TB: t}
	s := decidetest.New(r, codec, nil)
	_, err := decide.New(s.Store, codec, nil).Record(t.Context(), recorded)
	s.When(err).Then(want)
	return r.said.String()
}

func TestAnEventIsComparedAsItIsRecorded(t *testing.T) {
	t.Parallel()
	codec := decide.NewCodec(decide.Type[Packed]("Packed"))
	by, too := "ann", "ann"
	amsterdam := time.FixedZone("CET", 60*60)
	for name, c := range map[string]struct{ recorded, want Packed }{
		"a time with a monotonic clock":   {recorded: Packed{At: time.Now()}},
		"a time in a zone with a name":    {recorded: Packed{At: time.Date(2026, 1, 2, 3, 4, 5, 0, amsterdam)}},
		"an empty slice that is left out": {Packed{}, Packed{Items: []string{}}},
		"a pointer":                       {Packed{By: &by}, Packed{By: &too}},
	} {
		if c.want.At.IsZero() {
			c.want.At = c.recorded.At
		}
		for encoding, codec := range map[string]*decide.Codec{"JSON": codec, "gob": codec.WithEncoding(gobs{})} {
			if said := packing(t, codec, c.recorded, c.want); said != "" {
				t.Errorf("%s, by %s: it says:\n%s", name, encoding, said)
			}
		}
	}
}

func TestADifferenceThatCannotBeSeenIsShownAsRecorded(t *testing.T) {
	t.Parallel()
	codec := decide.NewCodec(decide.Type[Packed]("Packed"))
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("CET", 60*60))
	ann, bob := "ann", "bob"
	for _, c := range []struct {
		name           string
		codec          *decide.Codec
		recorded, want Packed
		says           string
		hides          string
	}{
		{
			"nil and empty", codec,
			Packed{At: at, Notes: []string{}},
			Packed{At: at},
			"        want, as recorded: Packed {\"at\":\"2026-01-02T03:04:05+01:00\",\"notes\":null,\"times\":0}\n" +
				"        got, as recorded:  Packed {\"at\":\"2026-01-02T03:04:05+01:00\",\"notes\":[],\"times\":0}\n",
			"Notes: want",
		},
		{
			"behind a pointer", codec,
			Packed{By: &bob, Times: 1},
			Packed{By: &ann, Times: 2},
			"        Times: want 2, got 1\n" +
				"        want, as recorded: Packed {\"at\":\"0001-01-01T00:00:00Z\",\"notes\":null,\"by\":\"ann\",\"times\":2}\n" +
				"        got, as recorded:  Packed {\"at\":\"0001-01-01T00:00:00Z\",\"notes\":null,\"by\":\"bob\",\"times\":1}\n",
			"By: want",
		},
		{
			"nothing behind a pointer", codec,
			Packed{By: &bob},
			Packed{},
			"        got, as recorded:  Packed {\"at\":\"0001-01-01T00:00:00Z\",\"notes\":null,\"by\":\"bob\",\"times\":0}\n", "By: want",
		},
		{"in what is no text", codec.WithEncoding(gobs{}), Packed{By: &bob}, Packed{By: &ann}, `\x03bob\x00"`, "By: want"},
		{"beside a pointer", codec, Packed{By: &ann, Times: 1}, Packed{By: &ann, Times: 2}, "        Times: want 2, got 1\n", "as recorded"},
		{
			"in a time", codec,
			Packed{At: at},
			Packed{At: at.Add(time.Hour).UTC()},
			"        At: want 2026-01-02 03:04:05 +0000 UTC, got 2026-01-02 03:04:05 +0100 +0100\n", "as recorded",
		},
	} {
		if said := packing(t, c.codec, c.recorded, c.want); !strings.Contains(said, c.says) || strings.Contains(said, c.hides) {
			t.Errorf("%s: want %q, and not %q, in:\n%s", c.name, c.says, c.hides, said)
		}
	}
}

func TestTypesOfOneNameAreToldApart(t *testing.T) {
	t.Parallel()
	theirs := decide.Type[Lost]("LostElsewhere")
	type Lost struct {
		Thing string `json:"thing" dcb:"thing"`
	}
	codec := decide.NewCodec(decide.Type[Lost]("Lost"), theirs)
	r := &recorder{TB: t}
	s := decidetest.New(r, codec, nil)
	_, err := decide.New(s.Store, codec, nil).Record(t.Context(), Lost{"pen"})
	s.When(err).Then(lostElsewhere("pen"))
	const want = "        want, as recorded: LostElsewhere {\"thing\":\"pen\"}\n        got, as recorded:  Lost {\"thing\":\"pen\"}\n"
	if said := r.said.String(); !strings.Contains(said, want) {
		t.Errorf("want %q in:\n%s", want, said)
	}
}

// lostElsewhere is there because the test has a type of the same name.
func lostElsewhere(thing string) Lost { return Lost{thing} }

func TestAnEventThatCannotBeRecordedIsNotWanted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		event any
		says  string
	}{
		"a pointer":       {&Lost{"pen"}, "then: event 2 could not be recorded and read: decide: encode: the event is a pointer, *decidetest_test.Lost; pass the value\n"},
		"an empty tag":    {Lost{}, "then: event 2 could not be recorded and read: decide: encode: Lost: "},
		"an unknown type": {Packed{}, "then: event 2 could not be recorded and read: decide: encode: the event is a decidetest_test.Packed, which is not in the codec; register it with Type\n"},
	} {
		r := &recorder{TB: t}
		if said := r.hear(func(s *decidetest.Scenario) { s.When(nil).Then(Lost{"ink"}, c.event) }); !strings.HasPrefix(said, c.says) {
			t.Errorf("%s: got %q, want %q", name, said, c.says)
		}
	}
}

// Enrolled says in a tag only, which is no more than a hash, whom it is about.
type Enrolled struct {
	Email  hashed   `json:"-" dcb:"email"`
	Course string   `json:"course" dcb:"course"`
	Groups []string `json:"-" dcb:"group,omitempty"`
}

type hashed string

func (h hashed) TagValue() string { return "#" + string(h) }

// Handed has no fields that could be named.
type Handed []*string

func (h Handed) Tags() []string { return []string{"to:" + *h[0]} }

func TestWhatOnlyATagSaysIsCompared(t *testing.T) {
	t.Parallel()
	codec := decide.NewCodec(decide.Type[Enrolled]("Enrolled"), decide.Type[Lost]("Lost"), decide.Type[Handed]("Handed"))
	ann, bob := "ann", "bob"
	const both = "did not record what it should:\n  want: Enrolled{Email: Course:go Groups:[]}\n  got:  Enrolled{Email: Course:go Groups:[]}\n"
	for _, c := range []struct {
		name     string
		recorded any
		want     any
		says     string // "" if they are the same
	}{
		{"the same tags", Enrolled{"ann", "go", nil}, Enrolled{"ann", "go", nil}, ""},
		{"a tag of somebody else", Enrolled{"bob", "go", nil}, Enrolled{"ann", "go", nil}, both + "        tags: missing \"email:#ann\", too much \"email:#bob\"\n"},
		{"a tag too few", Enrolled{"ann", "go", nil}, Enrolled{"ann", "go", []string{"a", "b"}}, both + "        tags: missing \"group:a\", \"group:b\"\n"},
		{"a tag too many", Enrolled{"ann", "go", []string{"a"}}, Enrolled{"ann", "go", nil}, both + "        tags: too much \"group:a\"\n"},
		{"in another order", Enrolled{"ann", "go", []string{"a", "b"}}, Enrolled{"ann", "go", []string{"b", "a"}}, ""},
		{"twice, and then once", Enrolled{"ann", "go", []string{"a", "a"}}, Enrolled{"ann", "go", []string{"a"}}, ""},
		{"once, and then twice", Enrolled{"ann", "go", []string{"a"}}, Enrolled{"ann", "go", []string{"a", "a"}}, ""},
		{
			"a field as well",
			Enrolled{"bob", "c", nil},
			Enrolled{"ann", "go", nil},
			"        Course: want go, got c\n        tags: missing \"email:#ann\", \"course:go\", too much \"email:#bob\", \"course:c\"\n",
		},
		{
			"what cannot be seen as well",
			Handed{&bob},
			Handed{&ann},
			"        got, as recorded:  Handed [\"bob\"]\n        tags: missing \"to:ann\", too much \"to:bob\"\n",
		},
		{"another type, where it goes without saying", Lost{"pen"}, Enrolled{"ann", "go", nil}, "  got:  Lost{Thing:pen}\n\n"},
	} {
		r := &recorder{TB: t}
		s := decidetest.New(r, codec, nil)
		_, err := decide.New(s.Store, codec, nil).Record(t.Context(), c.recorded)
		s.When(err).Then(c.want)
		if said := r.said.String(); !strings.Contains(said, c.says) || c.says == "" && said != "" {
			t.Errorf("%s: want %q in:\n%s", c.name, c.says, said)
		}
	}
}

func TestTheTagOfACommandIsNotTheEventsOwn(t *testing.T) {
	t.Parallel()
	r := &recorder{TB: t}
	if said := r.hear(func(s *decidetest.Scenario) {
		_, err := decide.New(s.Store, codec, nil).Do(t.Context(), func() ([]any, error) {
			return decide.Events(Lost{"pen"}), nil
		}, decide.IdempotencyKey("k1"))
		s.When(err).Then(Lost{"pen"})
		all, err := s.Store.Read(t.Context(), dcb.Query{{Tags: []string{"command:k1"}}}, dcb.ReadOptions{})
		if err != nil || len(all.Events) != 1 {
			t.Errorf("%d events have the tag of the command, %v; want 1", len(all.Events), err)
		}
	}); said != "" {
		t.Errorf("it says:\n%s", said)
	}
}
