package eventline_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/cmd/dcbstore/internal/eventline"
)

func readAll(text string) (events []dcb.Event, err error) {
	for event, err := range eventline.Read(strings.NewReader(text)) {
		if err != nil {
			return events, err
		}
		events = append(events, event)
	}
	return events, nil
}

func TestAnEventIsPrintedOnOneLine(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	writer := eventline.NewWriter(&text)
	at := time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC)
	for _, event := range []dcb.Event{
		{Type: "A<b>", Tags: []string{"x", "y"}, Data: []byte("{\n}"), ID: uuid.UUID{15: 1}, Metadata: map[string]string{"b": "2", "a": "1"}},
		{Type: "B", Data: []byte{0xff}},
	} {
		if err := writer.Write(dcb.SequencedEvent{Event: event, Position: 7, RecordedAt: at}); err != nil {
			t.Fatal(err)
		}
	}
	if err := writer.Flush(); err != nil {
		t.Fatal(err)
	}
	want := `{"position":7,"recordedAt":"2026-01-02T03:04:05.678901Z","type":"A<b>","tags":["x","y"],"data":"{\n}",` +
		`"id":"00000000-0000-0000-0000-000000000001","metadata":{"a":"1","b":"2"}}` + "\n" +
		`{"position":7,"recordedAt":"2026-01-02T03:04:05.678901Z","type":"B","tags":[],"dataBase64":"/w=="}` + "\n"
	if diff := cmp.Diff(want, text.String()); diff != "" {
		t.Error(diff)
	}
}

func TestWhatWasPrintedCanBeRead(t *testing.T) {
	t.Parallel()
	name := rapid.StringOfN(rapid.RuneFrom([]rune("aB \"\\é\u2028<\n")), 1, 8, -1)
	rapid.Check(t, func(t *rapid.T) {
		want := dcb.Event{
			Type:     name.Draw(t, "type"),
			Tags:     rapid.SliceOfN(name, 1, 3).Draw(t, "tags"),
			Data:     rapid.SliceOfN(rapid.Byte(), 1, 6).Draw(t, "data"),
			ID:       uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id")),
			Metadata: rapid.MapOfN(name, name, 1, 2).Draw(t, "metadata"),
		}
		var text strings.Builder
		writer := eventline.NewWriter(&text)
		if err := errors.Join(writer.Write(dcb.SequencedEvent{Event: want, Position: 3}), writer.Flush()); err != nil {
			t.Fatal(err)
		}
		got, err := readAll(text.String())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]dcb.Event{want}, got); diff != "" {
			t.Fatalf("%s (-want +got):\n%s", text.String(), diff)
		}
	})
}

func TestEscapedCharactersAreTaken(t *testing.T) {
	t.Parallel()
	events, err := readAll(`{"type":"\u0041\\ud800\n","tags":["\ud83d\ude00"],"data":"\\"}`)
	if err != nil {
		t.Fatal(err)
	}
	want := []dcb.Event{{Type: "A\\ud800\n", Tags: []string{"😀"}, Data: []byte(`\`)}}
	if diff := cmp.Diff(want, events); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestALineThatIsCutOffIsNotJudged(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, begun := range []string{`{"type":"A"}`, `{"ty`, ""} {
		read := 0
		for _, err := range eventline.Read(io.MultiReader(strings.NewReader(`{"type":"A"}`+"\n"+begun), iotest.ErrReader(broken))) {
			if read++; read == 2 && !errors.Is(err, broken) {
				t.Errorf("after %q: %v; want the error of reading", begun, err)
			}
		}
		if read != 2 {
			t.Errorf("after %q: %d pulls; want an event and an error", begun, read)
		}
	}
}

func TestAWrongLineIsNamed(t *testing.T) {
	t.Parallel()
	good := `{"type":"A"}` + "\n\n"
	for text, says := range map[string]string{
		`{"type":"A","tgas":[]}`:                      `line 3: unknown field "tgas"; an event has type, tags`,
		`{"Type":"A"}`:                                `unknown field "Type"`,
		`{"type":"A","data":{"a":1}}`:                 "data cannot be a JSON object",
		`{"type":"A","tags":"x"}`:                     "tags cannot be a JSON string",
		`{"type":"A","data":"a","dataBase64":"YQ=="}`: "both data and dataBase64",
		`{"type":"A","dataBase64":"?"}`:               "line 3: illegal base64",
		`{"type":"A","id":"17"}`:                      "line 3: invalid UUID",
		`{"type":"A"`:                                 "it is not JSON",
		`{"type":"A"} {"type":"B"}`:                   "it is not JSON",
		`["A"]`:                                       "a JSON array, and not an event",
		`null`:                                        "null, and not an event",
		`{"tags":["x"]}`:                              "line 3: Type is empty",
		`{"type":"A","tags":["x",""]}`:                "line 3: Tags[1] is empty",
		"{\"type\":\"\xff\"}":                         "not valid UTF-8",
		`{"type":"A\ud800"}`:                          "half of a character",
		`{"type":"A","tags":["\\\udc00\ud800"]}`:      "half of a character",
		`{"type":"A","data":"\ud800\u0041"}`:          "half of a character",
	} {
		events, err := readAll(good + text)
		if !errors.Is(err, eventline.ErrLine) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v; want it to say %s", text, err, says)
		}
		if len(events) != 1 {
			t.Errorf("%s: %d events before it; want 1", text, len(events))
		}
	}
}
