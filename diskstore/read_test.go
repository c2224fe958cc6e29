package diskstore_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/diskstore"
	"github.com/dcbstore/dcb/internal/vfs"
)

func TestStoreReadPageBounds(t *testing.T) {
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
		{"one byte is one event", dcb.ReadOptions{}, 1, 1, 1, 1, true},
		{"three whole events", dcb.ReadOptions{}, 300, 1, 3, 3, true},
		{"one byte of a fourth event", dcb.ReadOptions{}, 301, 1, 4, 4, true},
		{"after others", dcb.ReadOptions{After: 7}, 200, 8, 9, 9, true},
		{"all events", dcb.ReadOptions{}, 1000, 1, 10, 10, false},
		{"the limit is less", dcb.ReadOptions{Limit: 2}, 300, 1, 2, 2, true},
		{"before others", dcb.ReadOptions{Before: 4}, 300, 1, 3, 3, false},
		{"backwards", dcb.ReadOptions{Backwards: true}, 300, 10, 8, 10, true},
	} {
		page, err := dcb.ReadPage(t.Context(), store, dcb.All(), c.opts, c.bytes)
		if err != nil {
			t.Fatal(err)
		}
		got := page.Events
		if len(got) == 0 || got[0].Position != c.first || got[len(got)-1].Position != c.last || page.Head != c.head || page.More != c.more {
			t.Errorf("%s: ReadPage = %d events, head %d, more %v: %v", c.name, len(got), page.Head, page.More, got)
		}
	}
}

func TestReadAndAppendEndWithContext(t *testing.T) {
	t.Parallel()
	s := open(t, dir, diskstore.Options{}.On(vfs.NewMem()))
	for range 20 {
		var events []dcb.Event
		for i := range 10_000 {
			events = append(events, dcb.Event{Type: "T", Tags: []string{[]string{"even", "odd"}[i%2]}})
		}
		if _, err := s.Append(t.Context(), events, nil); err != nil {
			t.Fatal(err)
		}
	}
	q := dcb.Query{{Tags: []string{"even", "odd"}}}
	ctx := &cancelOnThirdErr{Context: t.Context(), calls: new(atomic.Int64)}
	if _, err := s.Read(ctx, q, dcb.ReadOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Read = %v, want context.Canceled", err)
	}
	ctx.calls.Store(0)
	if _, err := s.Append(ctx, []dcb.Event{{Type: "T"}}, &dcb.AppendCondition{FailIfEventsMatch: q}); !errors.Is(err, context.Canceled) {
		t.Errorf("Append = %v, want context.Canceled", err)
	}
}

// cancelOnThirdErr is a context that is cancelled from the third call of Err on.
type cancelOnThirdErr struct {
	context.Context //nolint:containedctx // it is one
	calls           *atomic.Int64
}

func (c *cancelOnThirdErr) Err() error {
	if c.calls.Add(1) > 2 {
		return context.Canceled
	}
	return nil
}

// mapHookFS is a file system that calls onMap after a file was mapped.
type mapHookFS struct {
	vfs.FS
	onMap func()
}

type mapHookFile struct {
	vfs.File
	onMap func()
}

func (m mapHookFS) Open(name string) (vfs.File, error) {
	file, err := m.FS.Open(name)
	return mapHookFile{file, m.onMap}, err
}

func (f mapHookFile) Map() (vfs.Mapping, error) {
	mapping, err := f.File.Map()
	f.onMap()
	return mapping, err
}

func TestReadWhileSegmentGrows(t *testing.T) {
	t.Parallel()
	var s *diskstore.Store
	grown := 0
	files := mapHookFS{FS: vfs.NewMem()}
	files.onMap = func() {
		if s == nil || grown > 0 {
			return
		}
		for grown = 1; grown < 20; grown++ {
			if _, err := s.Append(t.Context(), []dcb.Event{{Type: "T", Data: make([]byte, 100_000)}}, nil); err != nil {
				t.Error(err)
			}
		}
	}
	s = open(t, dir, diskstore.Options{}.On(&files))
	if _, err := s.Append(t.Context(), []dcb.Event{{Type: "First"}}, nil); err != nil {
		t.Fatal(err)
	}
	mustFinish(t, "reading", func() {
		if result, err := s.Read(t.Context(), dcb.Query{{Types: []string{"First"}}}, dcb.ReadOptions{}); err != nil || len(result.Events) != 1 || grown != 20 {
			t.Errorf("Read = %d events, %v, while the segment grew %d times; want 1 and 20", len(result.Events), err, grown)
		}
	})
}
