package dcb_test

import (
	"context"
	"errors"
	"io"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/memstore"
)

// unpaged is a store without optional interfaces. It records the options of its reads, and its
// reads fail from the failFrom-th on.
type unpaged struct {
	dcb.Store
	reads    []dcb.ReadOptions
	heads    int
	failFrom int
}

func (u *unpaged) Read(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
	u.reads = append(u.reads, opts)
	if u.failFrom > 0 && len(u.reads) >= u.failFrom {
		return dcb.ReadResult{}, io.ErrUnexpectedEOF
	}
	return u.Store.Read(ctx, q, opts)
}

func (u *unpaged) Head(ctx context.Context) (dcb.Position, error) {
	u.heads++
	return u.Store.Head(ctx)
}

// newUnpaged returns an unpaged store with n events of size bytes of data.
func newUnpaged(t *testing.T, n, size int) *unpaged {
	t.Helper()
	u := &unpaged{Store: memstore.New(nil)}
	appendEvents(t, u, n, size)
	return u
}

func appendEvents(t *testing.T, s dcb.Store, n, size int) {
	t.Helper()
	batch := make([]dcb.Event, n)
	for i := range batch {
		batch[i] = dcb.Event{Type: "T", Data: make([]byte, size)}
	}
	for part := range slices.Chunk(batch, 1000) {
		if _, err := s.Append(t.Context(), part, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// collect merges pages into one result.
func collect(t *testing.T, pages iter.Seq2[dcb.ReadResult, error]) (whole dcb.ReadResult) {
	t.Helper()
	for page, err := range pages {
		if err != nil {
			t.Fatal(err)
		}
		whole.Events = append(whole.Events, page.Events...)
		whole.Head, whole.More = page.Head, page.More
	}
	return whole
}

func positions(events []dcb.SequencedEvent) []dcb.Position {
	got := make([]dcb.Position, len(events))
	for i := range events {
		got[i] = events[i].Position
	}
	return got
}

func TestPagesTogetherAreTheResultOfOneRead(t *testing.T) {
	for name, store := range map[string]dcb.Store{"pager": memstore.New(nil), "no pager": &unpaged{Store: memstore.New(nil)}} {
		appendEvents(t, store, 1000, 100)
		for _, opts := range []dcb.ReadOptions{
			{},
			{Limit: 1},
			{Limit: 64},
			{Limit: 65},
			{Limit: 999},
			{Limit: 1000},
			{Limit: 2000},
			{After: 10, Before: 900},
			{After: 10, Before: 900, Limit: 889},
			{After: 10, Before: 900, Limit: 888},
			{After: 1000},
			{After: 2000},
			{Before: 2000},
			{Before: 1},
		} {
			for _, backwards := range []bool{false, true} {
				opts.Backwards = backwards
				want, err := store.Read(t.Context(), dcb.All(), opts)
				if err != nil {
					t.Fatal(err)
				}
				got := collect(t, dcb.Pages(t.Context(), store, dcb.All(), opts, dcb.PageOptions{Bytes: 5000}))
				if got.Head != want.Head || got.More != want.More || !slices.Equal(positions(got.Events), positions(want.Events)) {
					t.Errorf("%s: Pages(%+v): %d events, head %d, more %v; Read returns %d, %d, %v",
						name, opts, len(got.Events), got.Head, got.More, len(want.Events), want.Head, want.More)
				}
			}
		}
	}
}

func TestPagesStateHeadAndMoreOfEachPage(t *testing.T) {
	u := newUnpaged(t, 200, 0)
	var last dcb.ReadResult
	for page, err := range dcb.Pages(t.Context(), u, dcb.All(), dcb.ReadOptions{}, dcb.PageOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		if newest := page.Events[len(page.Events)-1].Position; page.Head != newest {
			t.Errorf("forward page has head %d, want %d, the position of its last event", page.Head, newest)
		}
		last = page
	}
	if last.More || last.Head != 200 {
		t.Errorf("last page has head %d and more %v, want 200 and false", last.Head, last.More)
	}
	opts := dcb.ReadOptions{Backwards: true, Before: 150}
	for page, err := range dcb.Pages(t.Context(), u, dcb.All(), opts, dcb.PageOptions{}) {
		if err != nil || page.Head != 149 {
			t.Errorf("backward page has head %d, error %v; want 149 in every page", page.Head, err)
		}
	}
}

func TestPagesEndAtTheHeadOfTheFirstPage(t *testing.T) {
	u := newUnpaged(t, 100, 0)
	read := 0
	for page, err := range dcb.Pages(t.Context(), u, dcb.All(), dcb.ReadOptions{}, dcb.PageOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		read += len(page.Events)
		appendEvents(t, u, 100, 0)
	}
	if read != 100 {
		t.Errorf("Pages yielded %d events, want the 100 recorded before the first page", read)
	}
}

func TestPagesAskForTheHeadOnlyIfThereIsASecondPage(t *testing.T) {
	u := newUnpaged(t, 65, 0)
	for _, c := range []struct {
		opts  dcb.ReadOptions
		heads int
	}{
		{dcb.ReadOptions{Limit: 64}, 0},
		{dcb.ReadOptions{After: 1}, 0},
		{dcb.ReadOptions{Backwards: true}, 0},
		{dcb.ReadOptions{}, 1},
	} {
		u.heads = 0
		collect(t, dcb.Pages(t.Context(), u, dcb.All(), c.opts, dcb.PageOptions{}))
		if u.heads != c.heads {
			t.Errorf("Pages(%+v) called Head %d times, want %d", c.opts, u.heads, c.heads)
		}
	}
}

func TestPagesCallOnHeadOnceBeforeTheFirstPage(t *testing.T) {
	u := newUnpaged(t, 200, 0)
	for _, c := range []struct {
		opts dcb.ReadOptions
		head dcb.Position
	}{
		{dcb.ReadOptions{}, 200},
		{dcb.ReadOptions{Before: 100}, 99},
		{dcb.ReadOptions{After: 190}, 200},
		{dcb.ReadOptions{Backwards: true}, 200},
		{dcb.ReadOptions{Limit: 100}, 200}, // the limit ends the read at 100
		{dcb.ReadOptions{Limit: 10}, 10},   // one page: its head is known
	} {
		var heads []dcb.Position
		page := dcb.PageOptions{OnHead: func(head dcb.Position) { heads = append(heads, head) }}
		for _, err := range dcb.Pages(t.Context(), u, dcb.All(), c.opts, page) {
			if err != nil || len(heads) != 1 {
				t.Fatalf("Pages(%+v): error %v, OnHead called with %v", c.opts, err, heads)
			}
		}
		if heads[0] != c.head {
			t.Errorf("Pages(%+v) called OnHead(%d), want %d", c.opts, heads[0], c.head)
		}
	}
}

func TestPagesRefuseAnInvalidReadOnThePull(t *testing.T) {
	for _, err := range dcb.Pages(t.Context(), memstore.New(nil), nil, dcb.ReadOptions{}, dcb.PageOptions{}) {
		if !errors.Is(err, dcb.ErrInvalidQuery) {
			t.Errorf("Pages of an empty query = %v, want ErrInvalidQuery", err)
		}
	}
}

// endless is a store whose reads return More without an event.
type endless struct{ dcb.Store }

func (endless) Read(context.Context, dcb.Query, dcb.ReadOptions) (dcb.ReadResult, error) {
	return dcb.ReadResult{More: true}, nil
}

func TestPagesEndIfAStoreReturnsMoreWithoutAnEvent(t *testing.T) {
	count := 0
	for _, err := range dcb.Pages(t.Context(), endless{memstore.New(nil)}, dcb.All(), dcb.ReadOptions{}, dcb.PageOptions{}) {
		if count++; err == nil || count > 1 {
			t.Fatalf("pull %d: error %v", count, err)
		}
	}
}

func TestPagesOfSmallEventsGrow(t *testing.T) {
	u := newUnpaged(t, 20_000, 10)
	collect(t, dcb.Pages(t.Context(), u, dcb.All(), dcb.ReadOptions{}, dcb.PageOptions{}))
	if len(u.reads) > 5 {
		t.Errorf("20,000 small events took %d reads", len(u.reads))
	}
}

func TestPagesOfLargeEventsShrink(t *testing.T) {
	u := newUnpaged(t, 800, 64<<10)
	collect(t, dcb.Pages(t.Context(), u, dcb.All(), dcb.ReadOptions{}, dcb.PageOptions{Bytes: 1 << 20}))
	if last := u.reads[len(u.reads)-1].Limit; last > 16 {
		t.Errorf("a page of 1 MiB asks for %d events of 64 KiB", last)
	}
}

func TestPagesCountTagsAndMetadata(t *testing.T) {
	u := &unpaged{Store: memstore.New(nil)}
	value := strings.Repeat("x", dcb.MaxMetadataValueBytes)
	event := dcb.Event{Type: "T", Metadata: map[string]string{"a": value, "b": value, "c": value, "d": value}}
	if _, err := u.Append(t.Context(), slices.Repeat([]dcb.Event{event}, 300), nil); err != nil {
		t.Fatal(err)
	}
	collect(t, dcb.Pages(t.Context(), u, dcb.All(), dcb.ReadOptions{}, dcb.PageOptions{Bytes: 1 << 20}))
	for _, opts := range u.reads {
		if opts.Limit > 64 {
			t.Errorf("a page of 1 MiB asks for %d events of 16 KiB", opts.Limit)
		}
	}
}

func TestPagesOfAPagerAreBoundedWhenLargeEventsFollowSmallOnes(t *testing.T) {
	const large, bytes = 1 << 20, 4 << 20
	s := memstore.New(nil)
	appendEvents(t, s, 1000, 0)
	appendEvents(t, s, 30, large)
	for name, pages := range map[string]iter.Seq2[dcb.ReadResult, error]{
		"Pages":  dcb.Pages(t.Context(), s, dcb.All(), dcb.ReadOptions{}, dcb.PageOptions{Bytes: bytes}),
		"Follow": dcb.FollowPages(t.Context(), s, dcb.All(), 0, bytes),
	} {
		read := 0
		for page, err := range pages {
			if err != nil {
				t.Fatal(err)
			}
			size := 0
			for i := range page.Events {
				size += page.Events[i].Size()
			}
			if size > bytes+large {
				t.Errorf("%s: a page has %d bytes", name, size)
			}
			if read += len(page.Events); read == 1030 {
				break
			}
		}
	}
}

func TestReadPageUsesThePager(t *testing.T) {
	s := memstore.New(nil)
	appendEvents(t, s, 10, 99) // 100 bytes with the type
	for _, c := range []struct {
		name   string
		store  dcb.Store
		opts   dcb.ReadOptions
		bytes  int
		events int
		head   dcb.Position
		more   bool
	}{
		{"a byte is an event", s, dcb.ReadOptions{}, 1, 1, 1, true},
		{"no bytes are an event", s, dcb.ReadOptions{}, 0, 1, 1, true},
		{"exactly full", s, dcb.ReadOptions{}, 300, 3, 3, true},
		{"the event that exceeds it belongs to it", s, dcb.ReadOptions{}, 301, 4, 4, true},
		{"all events fill it", s, dcb.ReadOptions{}, 1000, 10, 10, false},
		{"Limit comes first", s, dcb.ReadOptions{Limit: 2}, 300, 2, 2, true},
		{"Before leaves out the rest", s, dcb.ReadOptions{Before: 4}, 300, 3, 3, false},
		{"backwards", s, dcb.ReadOptions{Backwards: true}, 300, 3, 10, true},
		{"no pager", &unpaged{Store: s}, dcb.ReadOptions{Limit: 5}, 100, 5, 5, true},
		{"no pager, exactly Limit", &unpaged{Store: s}, dcb.ReadOptions{Limit: 10}, 100, 10, 10, false},
	} {
		page, err := dcb.ReadPage(t.Context(), c.store, dcb.All(), c.opts, c.bytes)
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Events) != c.events || page.Head != c.head || page.More != c.more {
			t.Errorf("%s: ReadPage returned %d events, head %d, more %v; want %d, %d, %v",
				c.name, len(page.Events), page.Head, page.More, c.events, c.head, c.more)
		}
	}
}
