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

// observed is a store that keeps what is asked of it, and whose reads fail from a certain one on.
type observed struct {
	*memstore.Store
	asked    []dcb.ReadOptions
	failFrom int
}

func (o *observed) Read(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
	o.asked = append(o.asked, opts)
	if o.failFrom > 0 && len(o.asked) >= o.failFrom {
		return dcb.ReadResult{}, io.ErrUnexpectedEOF
	}
	return o.Store.Read(ctx, q, opts)
}

func observe(t *testing.T, events, size int) *observed {
	t.Helper()
	o := &observed{Store: memstore.New(nil)}
	batch := make([]dcb.Event, events)
	for i := range batch {
		batch[i] = dcb.Event{Type: "T", Data: make([]byte, size)}
	}
	if _, err := o.Append(t.Context(), batch, nil); err != nil {
		t.Fatal(err)
	}
	return o
}

func count(t *testing.T, stream iter.Seq2[dcb.SequencedEvent, error]) (n int, last error) {
	t.Helper()
	for _, err := range stream {
		if last != nil {
			t.Fatalf("the iterator goes on after the error %v", last)
		}
		if last = err; err == nil {
			n++
		}
	}
	return n, last
}

func TestStreamReadsSmallEventsInPagesThatGrow(t *testing.T) {
	o := observe(t, 20_000, 10)
	if n, err := count(t, dcb.Stream(t.Context(), o, dcb.All(), dcb.ReadOptions{})); n != 20_000 || err != nil {
		t.Errorf("streamed %d events and error %v", n, err)
	}
	if len(o.asked) > 10 {
		t.Errorf("20,000 small events took %d reads", len(o.asked))
	}
	for i := 1; i < len(o.asked); i++ {
		if o.asked[i].Limit < o.asked[i-1].Limit {
			t.Errorf("the pages shrink: %d after %d", o.asked[i].Limit, o.asked[i-1].Limit)
		}
	}
}

func TestStreamReadsLargeEventsInPagesThatShrink(t *testing.T) {
	o := observe(t, 800, 64<<10)
	if n, err := count(t, dcb.Stream(t.Context(), o, dcb.All(), dcb.ReadOptions{})); n != 800 || err != nil {
		t.Errorf("streamed %d events and error %v", n, err)
	}
	if last := o.asked[len(o.asked)-1].Limit; last > 100 {
		t.Errorf("a page of events of 64 KiB has %d of them", last)
	}
}

func TestNothingIsAskedOfTheStoreBeforeTheFirstPull(t *testing.T) {
	o := observe(t, 10, 0)
	stream := dcb.Stream(t.Context(), o, dcb.All(), dcb.ReadOptions{})
	follow := dcb.Follow(t.Context(), o, dcb.All(), 0)
	subscribe := dcb.Subscribe(t.Context(), o, dcb.All(), 0)
	if len(o.asked) > 0 {
		t.Errorf("%d reads before the first pull", len(o.asked))
	}
	pullOnce(t, stream)
	pullOnce(t, follow)
	pullOnce(t, subscribe)
	if len(o.asked) != 3 {
		t.Errorf("%d reads for three first pulls", len(o.asked))
	}
}

func pullOnce[V any](t *testing.T, seq iter.Seq2[V, error]) {
	t.Helper()
	for _, err := range seq {
		if err != nil {
			t.Error(err)
		}
		break
	}
}

func TestStreamAsksForNoMoreThanItsLimit(t *testing.T) {
	o := observe(t, 1000, 0)
	if n, err := count(t, dcb.Stream(t.Context(), o, dcb.All(), dcb.ReadOptions{Limit: 300})); n != 300 || err != nil {
		t.Errorf("streamed %d events and error %v", n, err)
	}
	asked := 0
	for _, opts := range o.asked {
		asked += opts.Limit
	}
	if asked != 300 {
		t.Errorf("asked for %d events: %+v", asked, o.asked)
	}
}

func TestAnErrorOfTheStoreComesOnceAndLast(t *testing.T) {
	for name, iterate := range map[string]func(s dcb.Store) iter.Seq2[dcb.SequencedEvent, error]{
		"Stream": func(s dcb.Store) iter.Seq2[dcb.SequencedEvent, error] {
			return dcb.Stream(t.Context(), s, dcb.All(), dcb.ReadOptions{})
		},
		"Subscribe": func(s dcb.Store) iter.Seq2[dcb.SequencedEvent, error] {
			return dcb.Subscribe(t.Context(), s, dcb.All(), 0)
		},
	} {
		o := observe(t, 1000, 0)
		o.failFrom = 2
		if n, err := count(t, iterate(o)); n != o.asked[0].Limit || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s yielded %d events and error %v, want one page and the store's error", name, n, err)
		}
	}
}

// better is a store with iterators of its own.
type better struct{ *memstore.Store }

func (better) Stream(context.Context, dcb.Query, dcb.ReadOptions) iter.Seq2[dcb.SequencedEvent, error] {
	return func(yield func(dcb.SequencedEvent, error) bool) { yield(dcb.SequencedEvent{Position: 42}, nil) }
}

func (better) Follow(context.Context, dcb.Query, dcb.Position) iter.Seq2[dcb.ReadResult, error] {
	return func(yield func(dcb.ReadResult, error) bool) {
		yield(dcb.ReadResult{Events: []dcb.SequencedEvent{{Position: 43}}}, nil)
	}
}

func TestAStoreThatCanDoBetterIsAskedTo(t *testing.T) {
	s := better{memstore.New(nil)}
	for e, err := range dcb.Stream(t.Context(), s, dcb.All(), dcb.ReadOptions{}) {
		if e.Position != 42 || err != nil {
			t.Errorf("Stream yielded position %d, %v", e.Position, err)
		}
	}
	for e, err := range dcb.Subscribe(t.Context(), s, dcb.All(), 0) {
		if e.Position != 43 || err != nil {
			t.Errorf("Subscribe yielded position %d, %v", e.Position, err)
		}
	}
}

func TestStreamCountsTagsAndMetadataToo(t *testing.T) {
	o := &observed{Store: memstore.New(nil)}
	value := strings.Repeat("x", dcb.MaxMetadataValueBytes)
	for range 300 {
		if _, err := o.Append(t.Context(), []dcb.Event{{Type: "T", Metadata: map[string]string{"a": value, "b": value, "c": value, "d": value}}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := count(t, dcb.Stream(t.Context(), o, dcb.All(), dcb.ReadOptions{})); n != 300 || err != nil {
		t.Errorf("streamed %d events and error %v", n, err)
	}
	// 64 of them are more than a quarter of what a page may hold.
	for _, asked := range o.asked {
		if asked.Limit > 64 {
			t.Errorf("asked for %d events of 16 KiB each", asked.Limit)
		}
	}
}

// paged is a store that counts bytes, and keeps how many the largest page had.
type paged struct {
	*memstore.Store
	largest int
}

// ReadPage takes events one by one until there are enough bytes.
func (p *paged) ReadPage(ctx context.Context, q dcb.Query, opts dcb.ReadOptions, bytes int) (page dcb.ReadResult, more bool, err error) {
	all, err := p.Read(ctx, q, opts)
	if err != nil {
		return dcb.ReadResult{}, false, err
	}
	size := 0
	for i, event := range all.Events {
		if size >= bytes {
			p.largest = max(p.largest, size)
			return dcb.ReadResult{Events: all.Events[:i], Head: all.Events[i-1].Position}, true, nil
		}
		size += len(event.Data)
	}
	p.largest = max(p.largest, size)
	return all, opts.Limit > 0 && len(all.Events) == opts.Limit, nil
}

func TestAPagerBoundsPagesWhenLargeEventsFollowSmallOnes(t *testing.T) {
	const large = 1 << 20
	p := &paged{Store: memstore.New(nil)}
	small := make([]dcb.Event, 1000)
	for i := range small {
		small[i] = dcb.Event{Type: "T"}
	}
	for _, batch := range [][]dcb.Event{small, slices.Repeat([]dcb.Event{{Type: "T", Data: make([]byte, large)}}, 30)} {
		if _, err := p.Append(t.Context(), batch, nil); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := count(t, dcb.Stream(t.Context(), p, dcb.All(), dcb.ReadOptions{})); n != 1030 || err != nil {
		t.Errorf("streamed %d events and error %v", n, err)
	}
	followed := 0
	for batch, err := range dcb.Follow(t.Context(), p, dcb.All(), 0) {
		if err != nil {
			t.Fatal(err)
		}
		if followed += len(batch.Events); followed == 1030 {
			break
		}
	}
	if p.largest > 4<<20 {
		t.Errorf("a page has %d bytes", p.largest)
	}
}
