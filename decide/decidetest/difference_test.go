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

// gobs is an encoding whose data is not text.
type gobs struct{}

func (gobs) Marshal(event any) ([]byte, error) {
	var data bytes.Buffer
	err := gob.NewEncoder(&data).Encode(event)
	return data.Bytes(), err
}

func (gobs) Unmarshal(data []byte, event any) error {
	return gob.NewDecoder(bytes.NewReader(data)).Decode(event)
}

// failuresOf returns how Then fails if an event was recorded and another was wanted.
func failuresOf(t *testing.T, codec *decide.Codec, recorded, want Packed) string {
	t.Helper()
	r := &recorder{TB: t}
	s := decidetest.New(r, codec, nil)
	_, err := decide.New(s.Store, codec, nil).Record(t.Context(), recorded)
	s.When(err).Then(want)
	return r.failures.String()
}

func TestThenComparesEventsAfterARoundTrip(t *testing.T) {
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
			if got := failuresOf(t, codec, c.recorded, c.want); got != "" {
				t.Errorf("%s in %s: Then failed with:\n%s", name, encoding, got)
			}
		}
	}
}

func TestThenShowsRecordedDataIfFieldsAreAmbiguous(t *testing.T) {
	t.Parallel()
	codec := decide.NewCodec(decide.Type[Packed]("Packed"))
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("CET", 60*60))
	ann, bob := "ann", "bob"
	for _, c := range []struct {
		name           string
		codec          *decide.Codec
		recorded, want Packed
		text           string // in the failure
		not            string // not in the failure
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
			"through a pointer", codec,
			Packed{By: &bob, Times: 1},
			Packed{By: &ann, Times: 2},
			"        Times: want 2, got 1\n" +
				"        want, as recorded: Packed {\"at\":\"0001-01-01T00:00:00Z\",\"notes\":null,\"by\":\"ann\",\"times\":2}\n" +
				"        got, as recorded:  Packed {\"at\":\"0001-01-01T00:00:00Z\",\"notes\":null,\"by\":\"bob\",\"times\":1}\n",
			"By: want",
		},
		{
			"a nil pointer", codec,
			Packed{By: &bob},
			Packed{},
			"        got, as recorded:  Packed {\"at\":\"0001-01-01T00:00:00Z\",\"notes\":null,\"by\":\"bob\",\"times\":0}\n", "By: want",
		},
		{"data that is not text", codec.WithEncoding(gobs{}), Packed{By: &bob}, Packed{By: &ann}, `\x03bob\x00"`, "By: want"},
		{"beside a pointer", codec, Packed{By: &ann, Times: 1}, Packed{By: &ann, Times: 2}, "        Times: want 2, got 1\n", "as recorded"},
		{
			"in a time", codec,
			Packed{At: at},
			Packed{At: at.Add(time.Hour).UTC()},
			"        At: want 2026-01-02 03:04:05 +0000 UTC, got 2026-01-02 03:04:05 +0100 +0100\n", "as recorded",
		},
	} {
		if got := failuresOf(t, c.codec, c.recorded, c.want); !strings.Contains(got, c.text) || strings.Contains(got, c.not) {
			t.Errorf("%s: want %q but not %q in:\n%s", c.name, c.text, c.not, got)
		}
	}
}

func TestThenDistinguishesTypesOfTheSameName(t *testing.T) {
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
	if got := r.failures.String(); !strings.Contains(got, want) {
		t.Errorf("%q is missing in:\n%s", want, got)
	}
}

// lostElsewhere makes a value of the package's type Lost, which the test shadows.
func lostElsewhere(thing string) Lost { return Lost{thing} }

func TestThenRefusesEventsThatCannotBeEncoded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		event any
		want  string
	}{
		"a pointer":       {&Lost{"pen"}, "the event is a pointer, *decidetest_test.Lost; pass the value\n"},
		"an empty tag":    {Lost{}, "Lost: "},
		"an unknown type": {Packed{}, "the event is a decidetest_test.Packed, which is not in the codec; register it with Type\n"},
	} {
		r := &recorder{TB: t}
		want := "Then: event 2 cannot be encoded and decoded: decide: encode: " + c.want
		if got := r.run(func(s *decidetest.Scenario) { s.When(nil).Then(Lost{"ink"}, c.event) }); !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %q, want the prefix %q", name, got, want)
		}
	}
}

// Enrolled holds the student only in a tag, as a hash.
type Enrolled struct {
	Email  hashed   `json:"-" dcb:"email"`
	Course string   `json:"course" dcb:"course"`
	Groups []string `json:"-" dcb:"group,omitempty"`
}

type hashed string

func (h hashed) TagValue() string { return "#" + string(h) }

// Handed is not a struct, so it has no fields to name.
type Handed []*string

func (h Handed) Tags() []string { return []string{"to:" + *h[0]} }

func TestThenComparesTags(t *testing.T) {
	t.Parallel()
	codec := decide.NewCodec(decide.Type[Enrolled]("Enrolled"), decide.Type[Lost]("Lost"), decide.Type[Handed]("Handed"))
	ann, bob := "ann", "bob"
	const both = "recorded events differ:\n  want: Enrolled{Email: Course:go Groups:[]}\n  got:  Enrolled{Email: Course:go Groups:[]}\n"
	for _, c := range []struct {
		name     string
		recorded any
		want     any
		failure  string // "" if the events are equal
	}{
		{"the same tags", Enrolled{"ann", "go", nil}, Enrolled{"ann", "go", nil}, ""},
		{"another tag", Enrolled{"bob", "go", nil}, Enrolled{"ann", "go", nil}, both + "        tags: missing \"email:#ann\", unexpected \"email:#bob\"\n"},
		{"a tag too few", Enrolled{"ann", "go", nil}, Enrolled{"ann", "go", []string{"a", "b"}}, both + "        tags: missing \"group:a\", \"group:b\"\n"},
		{"a tag too many", Enrolled{"ann", "go", []string{"a"}}, Enrolled{"ann", "go", nil}, both + "        tags: unexpected \"group:a\"\n"},
		{"in another order", Enrolled{"ann", "go", []string{"a", "b"}}, Enrolled{"ann", "go", []string{"b", "a"}}, ""},
		{"a repeated tag recorded", Enrolled{"ann", "go", []string{"a", "a"}}, Enrolled{"ann", "go", []string{"a"}}, ""},
		{"a repeated tag wanted", Enrolled{"ann", "go", []string{"a"}}, Enrolled{"ann", "go", []string{"a", "a"}}, ""},
		{
			"a field and a tag",
			Enrolled{"bob", "c", nil},
			Enrolled{"ann", "go", nil},
			"        Course: want go, got c\n        tags: missing \"email:#ann\", \"course:go\", unexpected \"email:#bob\", \"course:c\"\n",
		},
		{
			"an ambiguous value and a tag",
			Handed{&bob},
			Handed{&ann},
			"        got, as recorded:  Handed [\"bob\"]\n        tags: missing \"to:ann\", unexpected \"to:bob\"\n",
		},
		{"another type, without its tags", Lost{"pen"}, Enrolled{"ann", "go", nil}, "  got:  Lost{Thing:pen}\n\n"},
	} {
		r := &recorder{TB: t}
		s := decidetest.New(r, codec, nil)
		_, err := decide.New(s.Store, codec, nil).Record(t.Context(), c.recorded)
		s.When(err).Then(c.want)
		if got := r.failures.String(); !strings.Contains(got, c.failure) || c.failure == "" && got != "" {
			t.Errorf("%s: want %q in:\n%s", c.name, c.failure, got)
		}
	}
}

func TestThenIgnoresTheTagOfIdempotencyKeys(t *testing.T) {
	t.Parallel()
	r := &recorder{TB: t}
	if got := r.run(func(s *decidetest.Scenario) {
		_, err := decide.New(s.Store, codec, nil).Do(t.Context(), func() ([]any, error) {
			return decide.Events(Lost{"pen"}), nil
		}, decide.IdempotencyKey("k1"))
		s.When(err).Then(Lost{"pen"})
		all, err := s.Store.Read(t.Context(), dcb.Query{{Tags: []string{"command:k1"}}}, dcb.ReadOptions{})
		if err != nil || len(all.Events) != 1 {
			t.Errorf("%d events have the tag of the command (error %v), want 1", len(all.Events), err)
		}
	}); got != "" {
		t.Errorf("the scenario failed with:\n%s", got)
	}
}
