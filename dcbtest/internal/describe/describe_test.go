package describe

import (
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
)

func TestDifferenceFindsEachField(t *testing.T) {
	full := func() dcb.Event {
		return dcb.Event{Type: "T", Tags: []string{"x"}, Data: []byte("d"), ID: uuid.UUID{1}, Metadata: map[string]string{"k": "v"}}
	}
	for field, change := range map[string]func(e *dcb.Event){
		"type":     func(e *dcb.Event) { e.Type = "U" },
		"tags":     func(e *dcb.Event) { e.Tags = nil },
		"data":     func(e *dcb.Event) { e.Data = nil },
		"ID":       func(e *dcb.Event) { e.ID = uuid.Nil },
		"metadata": func(e *dcb.Event) { e.Metadata = nil },
	} {
		changed := full()
		change(&changed)
		if got := Difference(changed, full()); !strings.HasPrefix(got, field) {
			t.Errorf("Difference of events with a different %s = %q", field, got)
		}
	}
}

func TestDifferenceIgnoresRepeatedTagsAndEmptyValues(t *testing.T) {
	got := dcb.Event{Type: "T", Tags: []string{"x", "y"}}
	want := dcb.Event{Type: "T", Tags: []string{"x", "y", "x"}, Data: []byte{}, Metadata: map[string]string{}}
	if d := Difference(got, want); d != "" {
		t.Errorf("Difference = %q, want none", d)
	}
}

func TestQueryAndEventsShortenLongValues(t *testing.T) {
	tags := make([]string, 1000)
	for i := range tags {
		tags[i] = strings.Repeat("x", 1000)
	}
	q := make(dcb.Query, 1000)
	events := make([]dcb.Event, 1000)
	for i := range q {
		q[i].Tags, events[i].Tags = tags, tags
	}
	for name, text := range map[string]string{"Query": Query(q), "Events": Events(events)} {
		if len(text) > 500 {
			t.Errorf("%s returned %d bytes", name, len(text))
		}
	}
}
