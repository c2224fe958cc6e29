package dcb_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
)

// fullEvent returns an event with every field set.
func fullEvent() dcb.Event {
	return dcb.Event{
		Type: "T", Tags: []string{"x", "y"}, Data: []byte("data"), ID: uuid.UUID{1}, Metadata: map[string]string{"k": "v"},
	}
}

func TestEventSameComparesEveryField(t *testing.T) {
	for name, change := range map[string]func(e *dcb.Event){
		"type":                       func(e *dcb.Event) { e.Type = "t" },
		"tag":                        func(e *dcb.Event) { e.Tags[0] = "X" },
		"removed tag":                func(e *dcb.Event) { e.Tags = e.Tags[:1] },
		"added tag":                  func(e *dcb.Event) { e.Tags = append(e.Tags, "z") },
		"data":                       func(e *dcb.Event) { e.Data[0] = 'D' },
		"removed data":               func(e *dcb.Event) { e.Data = nil },
		"ID":                         func(e *dcb.Event) { e.ID[15] = 1 },
		"metadata value":             func(e *dcb.Event) { e.Metadata["k"] = "w" },
		"added metadata":             func(e *dcb.Event) { e.Metadata["l"] = "" },
		"removed metadata":           func(e *dcb.Event) { e.Metadata = nil },
		"tag replaced by a repeated": func(e *dcb.Event) { e.Tags = []string{"x", "x"} },
	} {
		a, b := fullEvent(), fullEvent()
		if !a.Same(b) {
			t.Errorf("%+v.Same(%+v) = false, want true", a, b)
		}
		if change(&b); a.Same(b) || b.Same(a) {
			t.Errorf("%s: %+v.Same(%+v) = true, want false", name, a, b)
		}
	}
}

func TestEventSameComparesTagsAsASetAndNilAsEmpty(t *testing.T) {
	a, b := fullEvent(), fullEvent()
	b.Tags = []string{"y", "x", "y", "y"}
	if !a.Same(b) || !b.Same(a) {
		t.Errorf("tags %q and %q are not the same set", a.Tags, b.Tags)
	}
	if !slices.Equal(b.Tags, []string{"y", "x", "y", "y"}) {
		t.Errorf("Same changed the tags to %q", b.Tags)
	}
	empty := dcb.Event{Type: "T", Tags: []string{}, Data: []byte{}, Metadata: map[string]string{}}
	if !empty.Same(dcb.Event{Type: "T"}) {
		t.Error("an event with empty fields is not the same as one with nil fields")
	}
}

func TestEventSizeCountsTypeTagsDataAndMetadata(t *testing.T) {
	if got, want := fullEvent().Size(), len("T"+"x"+"y"+"data"+"k"+"v"); got != want {
		t.Errorf("Size() = %d, want %d", got, want)
	}
}

func TestSequencedEventCloneSharesNoMemory(t *testing.T) {
	original := dcb.SequencedEvent{Event: fullEvent(), Position: 7}
	clone := original.Clone()
	if !clone.Same(original.Event) || clone.Position != 7 {
		t.Errorf("Clone() = %+v, want %+v", clone, original)
	}
	clone.Tags[0], clone.Data[0], clone.Metadata["k"] = "changed", 'X', "changed"
	if !original.Same(fullEvent()) {
		t.Errorf("changing the clone changed the original: %+v", original)
	}
}

func TestUniqueTagsReturnsEachTagOnceInOrder(t *testing.T) {
	var many []string
	for i := range 100 {
		many = append(many, fmt.Sprint("tag:", i*37%100))
	}
	for _, c := range []struct{ tags, want []string }{
		{nil, nil},
		{[]string{"a"}, []string{"a"}},
		{[]string{"b", "a"}, []string{"b", "a"}},
		{[]string{"a", "a"}, []string{"a"}},
		{[]string{"b", "a", "b", "c", "a", "d"}, []string{"b", "a", "c", "d"}},
		{many, many},
		{append(slices.Clone(many), many[3], many[99]), many},
	} {
		given := slices.Clone(c.tags)
		if got := dcb.UniqueTags(given); !slices.Equal(got, c.want) {
			t.Errorf("UniqueTags(%q) = %q, want %q", c.tags, got, c.want)
		}
		if !slices.Equal(given, c.tags) {
			t.Errorf("UniqueTags changed %q to %q", c.tags, given)
		}
	}
}
