package dcb_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
)

func full() dcb.Event {
	return dcb.Event{Type: "T", Tags: []string{"x", "y"}, Data: []byte("data"), ID: uuid.UUID{1}, Metadata: map[string]string{"k": "v"}}
}

func TestSameComparesEveryField(t *testing.T) {
	for name, change := range map[string]func(e *dcb.Event){
		"type":                                  func(e *dcb.Event) { e.Type = "t" },
		"another tag":                           func(e *dcb.Event) { e.Tags[0] = "X" },
		"a tag less":                            func(e *dcb.Event) { e.Tags = e.Tags[:1] },
		"a tag more":                            func(e *dcb.Event) { e.Tags = append(e.Tags, "z") },
		"data":                                  func(e *dcb.Event) { e.Data[0] = 'D' },
		"no data":                               func(e *dcb.Event) { e.Data = nil },
		"ID":                                    func(e *dcb.Event) { e.ID[15] = 1 },
		"metadata":                              func(e *dcb.Event) { e.Metadata["k"] = "w" },
		"a key more":                            func(e *dcb.Event) { e.Metadata["l"] = "" },
		"no metadata":                           func(e *dcb.Event) { e.Metadata = nil },
		"tags repeated, one instead of another": func(e *dcb.Event) { e.Tags = []string{"x", "x"} },
	} {
		a, b := full(), full()
		if !a.Same(b) {
			t.Errorf("two equal events are not the same")
		}
		if change(&b); a.Same(b) || b.Same(a) {
			t.Errorf("events with a different %s are the same", name)
		}
	}
}

func TestSameTakesTagsForASetAndNilForEmpty(t *testing.T) {
	a, b := full(), full()
	b.Tags = []string{"y", "x", "y", "y"}
	if !a.Same(b) || !b.Same(a) {
		t.Error("the order and the number of equal tags make a difference")
	}
	if !slices.Equal(b.Tags, []string{"y", "x", "y", "y"}) {
		t.Errorf("Same changed the tags to %v", b.Tags)
	}
	empty := dcb.Event{Type: "T", Tags: []string{}, Data: []byte{}, Metadata: map[string]string{}}
	if !empty.Same(dcb.Event{Type: "T"}) {
		t.Error("nil and empty make a difference")
	}
}

func TestCloneSharesNoMemory(t *testing.T) {
	original := dcb.SequencedEvent{Event: full(), Position: 7}
	clone := original.Clone()
	if !clone.Same(original.Event) || clone.Position != 7 {
		t.Errorf("the clone is %+v", clone)
	}
	clone.Tags[0], clone.Data[0], clone.Metadata["k"] = "changed", 'X', "changed"
	if !original.Same(full()) {
		t.Errorf("changing the clone changed the original: %+v", original)
	}
}

func TestUniqueTagsKeepsTheFirstMentionOfEachOfManyTags(t *testing.T) {
	var tags, want []string
	for i := range 100 {
		tag := fmt.Sprint("tag:", i*37%100)
		tags, want = append(tags, tag), append(want, tag)
	}
	if got := dcb.UniqueTags(tags); !slices.Equal(got, want) {
		t.Errorf("UniqueTags changed a set: %v", got)
	}
	if got := dcb.UniqueTags(append(tags, tags[3], tags[99])); !slices.Equal(got, want) {
		t.Errorf("UniqueTags is %v, want %v", got, want)
	}
}

func TestUniqueTagsKeepsTheFirstMentionOfEach(t *testing.T) {
	for _, x := range []struct{ tags, want []string }{
		{nil, nil},
		{[]string{"a"}, []string{"a"}},
		{[]string{"b", "a"}, []string{"b", "a"}},
		{[]string{"a", "a"}, []string{"a"}},
		{[]string{"b", "a", "b", "c", "a", "d"}, []string{"b", "a", "c", "d"}},
	} {
		given := slices.Clone(x.tags)
		if got := dcb.UniqueTags(given); !slices.Equal(got, x.want) {
			t.Errorf("UniqueTags(%v) is %v, want %v", x.tags, got, x.want)
		}
		if !slices.Equal(given, x.tags) {
			t.Errorf("UniqueTags changed %v to %v", x.tags, given)
		}
	}
}
