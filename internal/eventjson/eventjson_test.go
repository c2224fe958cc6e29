package eventjson_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/eventjson"
)

func written(t interface{ Fatal(...any) }, e dcb.SequencedEvent) string {
	var out bytes.Buffer
	if err := eventjson.Write(&out, eventjson.Of(&e)); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestWriteWritesMembersInOrder(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 2, 4, 4, 5, 678_900_000, time.FixedZone("", 3600))
	for _, c := range []struct {
		event dcb.Event
		want  string
	}{
		{
			dcb.Event{Type: "A<b>", Tags: []string{"x", "y"}, Data: []byte("{\n}"), ID: uuid.UUID{15: 1}, Metadata: map[string]string{"b": "2", "a": "1"}},
			`{"position":7,"recordedAt":"2026-01-02T03:04:05.678900Z","type":"A<b>","tags":["x","y"],"data":"{\n}",` +
				`"id":"00000000-0000-0000-0000-000000000001","metadata":{"a":"1","b":"2"}}`,
		},
		{
			dcb.Event{Type: "B", Data: []byte{0xff}},
			`{"position":7,"recordedAt":"2026-01-02T03:04:05.678900Z","type":"B","tags":[],"dataBase64":"/w=="}`,
		},
	} {
		got := written(t, dcb.SequencedEvent{Event: c.event, Position: 7, RecordedAt: at})
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("Write (-want +got):\n%s", diff)
		}
	}
}

func TestUnmarshalReadsWhatWriteWrote(t *testing.T) {
	t.Parallel()
	name := rapid.StringOfN(rapid.RuneFrom([]rune("aB \"\\é\u2028<\n\x00")), 1, 8, -1)
	rapid.Check(t, func(t *rapid.T) {
		want := dcb.SequencedEvent{
			Event: dcb.Event{
				Type:     name.Draw(t, "type"),
				Tags:     rapid.SliceOfN(name, 1, 3).Draw(t, "tags"),
				Data:     rapid.SliceOfN(rapid.Byte(), 1, 6).Draw(t, "data"),
				ID:       uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id")),
				Metadata: rapid.MapOfN(name, name, 1, 2).Draw(t, "metadata"),
			},
			Position:   dcb.Position(rapid.Uint64().Draw(t, "position")),
			RecordedAt: time.UnixMicro(rapid.Int64Range(0, 1<<52).Draw(t, "time")).UTC(),
		}
		text := written(t, want)
		var in eventjson.SequencedEvent
		if err := eventjson.Unmarshal([]byte(text), &in); err != nil {
			t.Fatalf("Unmarshal(%s) = %v", text, err)
		}
		event, err := in.Event.Event()
		got := dcb.SequencedEvent{Event: event, Position: in.Position, RecordedAt: time.Time(in.RecordedAt)}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Fatalf("Unmarshal(%s): %v (-want +got):\n%s", text, err, diff)
		}
	})
}

// request has a member of each kind.
type request struct {
	Events    eventjson.Events `json:"events"`
	Condition *struct {
		FailIfEventsMatch *eventjson.Query `json:"failIfEventsMatch"`
		After             eventjson.Whole  `json:"after"`
	} `json:"condition"`
	Backwards bool `json:"backwards"`
}

func TestUnmarshalNamesThePlace(t *testing.T) {
	t.Parallel()
	event := func(text string) string { return `{"events":[{"type":"A"},` + text + `]}` }
	after := func(text string) string { return `{"condition":{"failIfEventsMatch":{},"after":` + text + `}}` }
	const notWhole = "/condition/after is not a whole number from 0 to 18446744073709551615"
	for text, want := range map[string]string{
		"":            " is not JSON: it ends too early, at byte 0",
		" null ":      " is null; it must be an object",
		event("null"): "/events/1 is null; it must be an object",
		`{"condition":{"failIfEventsMatch":{"items":[null]}}}`: "/condition/failIfEventsMatch/items/0 is null",
		"[]":                                        " is an array; it must be an object",
		"17":                                        " is a number; it must be an object",
		"{":                                         " is not JSON: it ends too early",
		"{} x":                                      " is not JSON: invalid character 'x' after",
		"{}{}":                                      " is not JSON: invalid character '{' after",
		"\ufeff{}":                                  " is not JSON: ",
		"{}\x00":                                    " is not JSON: ",
		`{"events":{}}`:                             "/events is an object; it must be an array",
		`{"event":[]}`:                              "/event is unknown; known members are events, condition, backwards",
		`{"Events":[]}`:                             "/Events is unknown",
		`{"events":[],"events":[]}`:                 "/events occurs twice",
		`{"events":[],"events":null}`:               "/events occurs twice",
		`{"backwards":1}`:                           "/backwards is a number; it must be true or false",
		`{"events":[{"type":"A"},]}`:                "is not JSON: invalid character ','",
		`{"events":[{"type":"A"}`:                   "is not JSON: it ends too early",
		event(`{"type":17}`):                        "/events/1/type is a number; it must be a string",
		event(`{"type":"a` + "\x01" + `"}`):         "/events/1/type is not JSON: ",
		event(`{"type":"\ud800"}`):                  "/events/1/type is not JSON: invalid surrogate pair",
		event(`{"type":"\ud800\u0041"}`):            "/events/1/type is not JSON: invalid surrogate pair",
		event(`{"type":"\udc00"}`):                  "/events/1/type is not JSON: invalid surrogate pair",
		event(`{"type":"\u00g0"}`):                  "/events/1/type is not JSON: invalid escape sequence",
		event(`{"type":"\x"}`):                      "/events/1/type is not JSON: invalid escape sequence",
		event("{\"type\":\"\xff\"}"):                "/events/1/type is not JSON: invalid UTF-8",
		event(`{"type":"A","tags":"x"}`):            "/events/1/tags is a string; it must be an array",
		event(`{"type":"A","tags":["x",{}]}`):       "/events/1/tags/1 is an object; it must be a string",
		event(`{"type":"A","data":{"a":1}}`):        "/events/1/data is an object; it must be a string",
		event(`{"type":"A","dataBase64":"YQ="}`):    "/events/1/dataBase64 is not base64",
		event(`{"type":"A","dataBase64":"YR=="}`):   "/events/1/dataBase64 is not base64",
		event(`{"type":"A","dataBase64":"Y\nQ=="}`): "/events/1/dataBase64 is not base64",
		event(`{"type":"A","dataBase64":7}`):        "/events/1/dataBase64 is a number; it must be a string",
		event(`{"type":"A","id":"17"}`):             "/events/1/id is not a UUID",
		event(`{"type":"A","id":"{01890a5d-ac96-774b-bcce-b302099a8057}"}`): "/events/1/id is not a UUID",
		event(`{"type":"A","id":17}`):                                       "/events/1/id is a number; it must be a string",
		event(`{"type":"A","metadata":{"k/~":1}}`):                          "/events/1/metadata/k~1~0 is a number; it must be a string",
		event(`{"type":"A","metadata":{"k":"1","\u006b":"2"}}`):             "/events/1/metadata/k occurs twice",
		event(`{"type":"A","metadata":[]}`):                                 "/events/1/metadata is an array; it must be an object",
		event(`{"type":"A","position":1}`):                                  "/events/1/position is unknown; known members are type, tags, data, dataBase64, id, metadata",
		`{"condition":{"failIfEventsMatch":{"items":[{"tag":[]}]}}}`:        "/condition/failIfEventsMatch/items/0/tag is unknown; known members are types, tags",
		`{"condition":{"failIfEventsMatch":{"items":[{"tags":["a",1]}]}}}`:  "/condition/failIfEventsMatch/items/0/tags/1 is a number; it must be a string",
		after(`"7"`):                            "/condition/after is a string; it must be a whole number",
		after(`-1`):                             notWhole,
		after(`1.5`):                            notWhole,
		after(`1e3`):                            notWhole,
		after(`18446744073709551616`):           notWhole,
		after(`01`):                             "is not JSON",
		strings.Repeat(`[`, 1_000_000):          " is an array; it must be an object",
		`{"events":` + strings.Repeat(`[`, 1e6): "/events/0 is an array; it must be an object",
		`{"events":[` + strings.Repeat("{},", dcb.MaxEvents) + "{}]}":                                        "/events has more than 65536 events",
		`{"` + strings.Repeat("é", 1000) + `":1}`:                                                            "é… is unknown",
		event(`{"metadata":{` + manyEntries(dcb.MaxMetadata+1) + `}}`):                                       "/events/1/metadata has more than 64 entries",
		`{"condition":{"failIfEventsMatch":{"items":[` + strings.Repeat("{},", dcb.MaxQueryItems) + `{}]}}}`: "/items has more than 65536 items",
	} {
		err := eventjson.Unmarshal([]byte(text), new(request))
		invalid, ok := errors.AsType[*dcb.InvalidError](err)
		if !ok {
			t.Errorf("Unmarshal(%.80s) = %v, want an InvalidError", text, err)
			continue
		}
		if got := invalid.Field + " " + invalid.Problem; !strings.Contains(got, want) || !utf8.ValidString(got) {
			t.Errorf("Unmarshal(%.80s) = %q, want %q in it", text, got, want)
		}
	}
}

func manyEntries(n int) string {
	var entries []string
	for i := range n {
		entries = append(entries, `"`+strings.Repeat("k", i)+`":""`)
	}
	return strings.Join(entries, ",")
}

func TestUnmarshalTakesNullAsAbsent(t *testing.T) {
	t.Parallel()
	text := `{"events":[{"type":"A","tags":null,"data":null,"dataBase64":null,"id":null,"metadata":null}],"condition":null,"backwards":null}`
	var got request
	if err := eventjson.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(request{Events: eventjson.Events{{Type: "A"}}}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestEventRefusesDataTwice(t *testing.T) {
	t.Parallel()
	text := ""
	event := eventjson.Event{Type: "A", Data: &text, DataBase64: []byte{}}
	if _, err := event.Event(); !errors.Is(err, dcb.ErrInvalid) {
		t.Errorf("Event() = %v, want an InvalidError", err)
	}
}

func TestParseWholeAllowsAFractionOfZeros(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]eventjson.Whole{"0": 0, "17": 17, "17.0": 17, "17.000": 17, "18446744073709551615": 1<<64 - 1} {
		if got, err := eventjson.ParseWhole(text); got != want || err != nil {
			t.Errorf("ParseWhole(%s) = %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "-1", "+1", "1.", ".0", "1.5", "1e1", "0x1", "1_0", " 1", "18446744073709551616"} {
		if got, err := eventjson.ParseWhole(text); !errors.Is(err, dcb.ErrInvalid) {
			t.Errorf("ParseWhole(%q) = %d, %v, want an error", text, got, err)
		}
	}
}

// FuzzUnmarshal compares strings with what encoding/json reads, which accepts more.
func FuzzUnmarshal(f *testing.F) {
	for _, seed := range []string{`"a"`, `"\ud83d\ude00"`, `"\ud83d"`, `"\u00E9\/\b"`, "\"\xff\"", `"\u0000"`, `"` + "\u2028" + `"`, `"\uD83D\uDE00x\\"`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var got, want string
		err := eventjson.Unmarshal(text, &got)
		wantErr := json.Unmarshal(text, &want)
		switch {
		case err == nil && (wantErr != nil || got != want):
			t.Errorf("Unmarshal(%q) = %q; encoding/json reads %q, %v", text, got, want, wantErr)
		case err != nil && wantErr == nil && !strings.ContainsRune(want, utf8.RuneError):
			t.Errorf("Unmarshal(%q) = %v; encoding/json reads %q", text, err, want)
		}
	})
}
