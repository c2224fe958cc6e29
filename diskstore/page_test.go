package diskstore_test

import (
	"testing"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/diskstore"
)

func TestAPageEndsWithTheEventThatFillsIt(t *testing.T) {
	t.Parallel()
	store, err := diskstore.Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	var events []dcb.Event
	for range 10 {
		events = append(events, dcb.Event{Type: "T", Tags: []string{"x"}, Data: make([]byte, 98)}) // 100 bytes
	}
	if _, err := store.Append(t.Context(), events, nil); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name        string
		opts        dcb.ReadOptions
		bytes       int
		first, last dcb.Position
		head        dcb.Position
		more        bool
	}{
		{"a byte is an event", dcb.ReadOptions{}, 1, 1, 1, 1, true},
		{"a full one", dcb.ReadOptions{}, 300, 1, 3, 3, true},
		{"one begun", dcb.ReadOptions{}, 301, 1, 4, 4, true},
		{"behind others", dcb.ReadOptions{After: 7}, 200, 8, 9, 9, true},
		{"all there is", dcb.ReadOptions{}, 1000, 1, 10, 10, false},
		{"the limit comes first", dcb.ReadOptions{Limit: 2}, 300, 1, 2, 2, true},
		{"before others", dcb.ReadOptions{Before: 4}, 300, 1, 3, 10, false},
		{"backwards", dcb.ReadOptions{Backwards: true}, 300, 10, 8, 10, true},
	} {
		page, more, err := dcb.ReadPage(t.Context(), store, dcb.All(), c.opts, c.bytes)
		if err != nil {
			t.Fatal(err)
		}
		got := page.Events
		if len(got) == 0 || got[0].Position != c.first || got[len(got)-1].Position != c.last || page.Head != c.head || more != c.more {
			t.Errorf("%s: %d events, head %d, more %v: %v", c.name, len(got), page.Head, more, got)
		}
	}
}
