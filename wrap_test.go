package dcb_test

import (
	"context"
	"iter"
	"testing"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/memstore"
)

// plain is a store without optional interfaces.
type plain struct{ dcb.Store }

// streaming implements Streamer: its only event has the position.
type streaming struct {
	dcb.Store
	position dcb.Position
}

func (s streaming) Stream(context.Context, dcb.Query, dcb.ReadOptions) iter.Seq2[dcb.SequencedEvent, error] {
	return func(yield func(dcb.SequencedEvent, error) bool) {
		yield(dcb.SequencedEvent{Position: s.position}, nil)
	}
}

// following implements Follower: its only batch has one event with the position.
type following struct {
	dcb.Store
	position dcb.Position
}

func (f following) Follow(context.Context, dcb.Query, dcb.Position) iter.Seq2[dcb.ReadResult, error] {
	return func(yield func(dcb.ReadResult, error) bool) {
		yield(dcb.ReadResult{Events: []dcb.SequencedEvent{{Position: f.position}}}, nil)
	}
}

func firstPosition(t *testing.T, events iter.Seq2[dcb.SequencedEvent, error]) dcb.Position {
	t.Helper()
	for e, err := range events {
		if err != nil {
			t.Fatal(err)
		}
		return e.Position
	}
	return 0
}

func TestWrapAddsWhatOuterLacks(t *testing.T) {
	inner := memstore.New(nil)
	appendEvents(t, inner, 3, 10)
	outer := plain{inner}
	wrapped := dcb.Wrap(outer, streaming{inner, 42})
	if got := firstPosition(t, dcb.Stream(t.Context(), wrapped, dcb.All(), dcb.ReadOptions{})); got != 42 {
		t.Errorf("Stream of a wrapped Streamer begins with %d, want inner's 42", got)
	}
	wrapped = dcb.Wrap(outer, following{inner, 43})
	if got := firstPosition(t, dcb.Subscribe(t.Context(), wrapped, dcb.All(), 0)); got != 43 {
		t.Errorf("Subscribe to a wrapped Follower begins with %d, want inner's 43", got)
	}
	page, err := dcb.ReadPage(t.Context(), dcb.Wrap(outer, inner), dcb.All(), dcb.ReadOptions{}, 1)
	if err != nil || len(page.Events) != 1 {
		t.Errorf("ReadPage of a wrapped Pager returned %d events, %v; want 1", len(page.Events), err)
	}
}

func TestWrapKeepsWhatOuterHas(t *testing.T) {
	inner := memstore.New(nil)
	wrapped := dcb.Wrap(streaming{inner, 1}, streaming{following{inner, 43}, 2})
	if got := firstPosition(t, dcb.Stream(t.Context(), wrapped, dcb.All(), dcb.ReadOptions{})); got != 1 {
		t.Errorf("Stream begins with %d, want outer's 1", got)
	}
}

func TestWrapReturnsOuterIfThereIsNothingToAdd(t *testing.T) {
	inner := memstore.New(nil)
	for _, outer := range []dcb.Store{plain{inner}, streaming{inner, 1}} {
		if got := dcb.Wrap(outer, plain{inner}); got != outer {
			t.Errorf("Wrap(%T, plain) = %T, want outer itself", outer, got)
		}
	}
}

func TestWrapWorksWithoutAnOptionalInterfaceOfEither(t *testing.T) {
	inner := memstore.New(nil)
	appendEvents(t, inner, 3, 10)
	wrapped := dcb.Wrap(plain{inner}, streaming{inner, 42}) // neither is a Follower or a Pager
	if got := firstPosition(t, dcb.Subscribe(t.Context(), wrapped, dcb.All(), 1)); got != 2 {
		t.Errorf("Subscribe after 1 begins with %d, want 2", got)
	}
	page, err := dcb.ReadPage(t.Context(), wrapped, dcb.All(), dcb.ReadOptions{Limit: 2}, 1)
	if err != nil || len(page.Events) != 2 || !page.More {
		t.Errorf("ReadPage returned %d events, more %v, %v; want 2, true", len(page.Events), page.More, err)
	}
	wrapped = dcb.Wrap(plain{inner}, following{inner, 43}) // neither is a Streamer
	if got := firstPosition(t, dcb.Stream(t.Context(), wrapped, dcb.All(), dcb.ReadOptions{Backwards: true})); got != 3 {
		t.Errorf("Stream backwards begins with %d, want 3", got)
	}
}
