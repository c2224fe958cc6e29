package dcb_test

import (
	"context"
	"errors"
	"io"
	"iter"
	"testing"
	"testing/synctest"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/memstore"
)

// count drains an iterator, and fails the test if it continues after an error.
func count(t *testing.T, events iter.Seq2[dcb.SequencedEvent, error]) (n int, last error) {
	t.Helper()
	for _, err := range events {
		if last != nil {
			t.Fatalf("the iterator continues after the error %v", last)
		}
		if last = err; err == nil {
			n++
		}
	}
	return n, last
}

func TestStreamFollowAndSubscribeDoNothingBeforeTheFirstPull(t *testing.T) {
	u := newUnpaged(t, 10, 0)
	stream := dcb.Stream(t.Context(), u, dcb.All(), dcb.ReadOptions{})
	follow := dcb.Follow(t.Context(), u, dcb.All(), 0)
	subscribe := dcb.Subscribe(t.Context(), u, dcb.All(), 0)
	if len(u.reads) > 0 || u.heads > 0 {
		t.Errorf("%d reads and %d calls of Head before the first pull", len(u.reads), u.heads)
	}
	pullOnce(t, stream)
	pullOnce(t, follow)
	pullOnce(t, subscribe)
	if len(u.reads) != 3 {
		t.Errorf("%d reads for three first pulls", len(u.reads))
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
	u := newUnpaged(t, 1000, 0)
	if n, err := count(t, dcb.Stream(t.Context(), u, dcb.All(), dcb.ReadOptions{Limit: 300})); n != 300 || err != nil {
		t.Errorf("Stream with Limit 300 yielded %d events and error %v", n, err)
	}
	asked := 0
	for _, opts := range u.reads {
		asked += opts.Limit
	}
	if asked != 300 {
		t.Errorf("asked for %d events: %+v", asked, u.reads)
	}
}

func TestStreamAndSubscribeYieldAnErrorOnceAndLast(t *testing.T) {
	for name, iterate := range map[string]func(s dcb.Store) iter.Seq2[dcb.SequencedEvent, error]{
		"Stream": func(s dcb.Store) iter.Seq2[dcb.SequencedEvent, error] {
			return dcb.Stream(t.Context(), s, dcb.All(), dcb.ReadOptions{})
		},
		"Subscribe": func(s dcb.Store) iter.Seq2[dcb.SequencedEvent, error] {
			return dcb.Subscribe(t.Context(), s, dcb.All(), 0)
		},
	} {
		u := newUnpaged(t, 1000, 0)
		u.failFrom = 2
		if n, err := count(t, iterate(u)); n != u.reads[0].Limit || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s yielded %d events and error %v, want one page and the store's error", name, n, err)
		}
	}
}

func TestStreamAndSubscribeUseTheOptionalInterfaces(t *testing.T) {
	inner := memstore.New(nil)
	if got := firstPosition(t, dcb.Stream(t.Context(), streaming{inner, 42}, dcb.All(), dcb.ReadOptions{})); got != 42 {
		t.Errorf("Stream of a Streamer begins with %d, want 42", got)
	}
	if got := firstPosition(t, dcb.Subscribe(t.Context(), following{inner, 43}, dcb.All(), 0)); got != 43 {
		t.Errorf("Subscribe to a Follower begins with %d, want 43", got)
	}
}

func TestFollowYieldsOneBatchAtOnceAndOnePerRiseOfTheHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		s := memstore.New(nil)
		batches := make(chan dcb.ReadResult)
		ended := make(chan error)
		go func() {
			for batch, err := range dcb.Follow(ctx, s, dcb.Query{{Types: []string{"T"}}}, 0) {
				if err != nil {
					ended <- err
					return
				}
				batches <- batch
			}
		}()
		if first := <-batches; len(first.Events) != 0 || first.Head != 0 || first.More {
			t.Errorf("the first batch of an empty store is %+v, want a zero one", first)
		}
		appendEvents(t, s, 2, 0)
		if batch := <-batches; len(batch.Events) != 2 || batch.Head != 2 || batch.More {
			t.Errorf("after an append: %d events, head %d, more %v; want 2, 2, false", len(batch.Events), batch.Head, batch.More)
		}
		if _, err := s.Append(ctx, []dcb.Event{{Type: "other"}}, nil); err != nil {
			t.Fatal(err)
		}
		if batch := <-batches; len(batch.Events) != 0 || batch.Head != 3 {
			t.Errorf("after an append that does not match: %d events, head %d; want 0, 3", len(batch.Events), batch.Head)
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Follow ended with %v, want context.Canceled", err)
		}
	})
}

func TestFollowPagesDoesNotUseAFollower(t *testing.T) {
	inner := memstore.New(nil)
	appendEvents(t, inner, 3, 100)
	for batch, err := range dcb.FollowPages(t.Context(), following{inner, 43}, dcb.All(), 0, 100) {
		if err != nil || batch.Events[0].Position != 1 {
			t.Errorf("FollowPages began with position %d, %v; want 1", batch.Events[0].Position, err)
		}
		break
	}
}
