package eventline_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

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

func TestReadReadsWhatWriteWrote(t *testing.T) {
	t.Parallel()
	want := []dcb.Event{{Type: "A<b>", Tags: []string{"x"}, Data: []byte("{\n}")}, {Type: "B", Tags: []string{"y"}, Data: []byte{0xff}}}
	var text strings.Builder
	writer := eventline.NewWriter(&text)
	for i, event := range want {
		if err := writer.Write(dcb.SequencedEvent{Event: event, Position: dcb.Position(i + 1), RecordedAt: time.Unix(1, 0)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := writer.Flush(); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(text.String(), "\n"); got != len(want) {
		t.Errorf("Write wrote %d lines, want %d", got, len(want))
	}
	got, err := readAll(text.String())
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("Read: %v (-want +got):\n%s", err, diff)
	}
}

func TestReadStopsAtAReadErrorInsideALine(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, begun := range []string{`{"type":"A"}`, `{"ty`, ""} {
		pulls := 0
		for _, err := range eventline.Read(io.MultiReader(strings.NewReader(`{"type":"A"}`+"\n"+begun), iotest.ErrReader(broken))) {
			if pulls++; pulls == 2 && !errors.Is(err, broken) {
				t.Errorf("after %q: error %v, want the read error", begun, err)
			}
		}
		if pulls != 2 {
			t.Errorf("after %q: %d pulls, want an event and an error", begun, pulls)
		}
	}
}

func TestReadNamesAWrongLine(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"type":"A","tgas":[]}`:                      `line 3: /tgas is unknown; known members are position, recordedAt, type, tags`,
		`{"type":"A","data":{"a":1}}`:                 "line 3: /data is an object; it must be a string",
		`{"type":"A","data":"a","dataBase64":"YQ=="}`: "line 3: dataBase64 is given together with data",
		`{"type":"A"`:                                 "line 3: it is not JSON",
		`["A"]`:                                       "line 3: it is an array; it must be an object",
		`null`:                                        "line 3: it is null; it must be an object",
		`{"tags":["x"]}`:                              "line 3: Type is empty",
		`{"type":"A","tags":["x",""]}`:                "line 3: Tags[1] is empty",
	} {
		events, err := readAll(`{"type":"A","position":7,"recordedAt":"2026-12-01T08:30:00.038190Z"}` + "\n\n" + text)
		if !errors.Is(err, eventline.ErrLine) || !strings.Contains(err.Error(), want) {
			t.Errorf("Read(%s) = %v, want %q in it", text, err, want)
		}
		if len(events) != 1 {
			t.Errorf("Read(%s) yielded %d events before the error, want 1", text, len(events))
		}
	}
}
