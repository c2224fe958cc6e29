package memstore_test

import (
	"errors"
	"testing"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/dcbtest"
	"github.com/dcbstore/dcb/internal/modeltest"
	"github.com/dcbstore/dcb/memstore"
)

func open(testing.TB) dcb.Store { return memstore.New(nil) }

func TestStorePassesTheKit(t *testing.T) { dcbtest.Run(t, open) }

func TestStoreBehavesLikeTheModel(t *testing.T) { modeltest.Check(t, open) }

func TestStoreCloseTwiceReturnsNil(t *testing.T) {
	s := memstore.New(nil)
	for i := range 2 {
		if err := s.Close(); err != nil {
			t.Errorf("Close %d = %v, want nil", i+1, err)
		}
	}
	if _, err := s.Head(t.Context()); !errors.Is(err, dcb.ErrClosed) {
		t.Errorf("Head after Close = %v, want ErrClosed", err)
	}
}

func TestStoreAppendTakesRecordedAtFromOptionsNow(t *testing.T) {
	now := time.Date(2026, 12, 1, 8, 30, 0, 123_456_789, time.FixedZone("", 3600))
	s := memstore.New(&memstore.Options{Now: func() time.Time { return now }})
	for _, step := range []time.Duration{0, -time.Hour, time.Second} {
		now = now.Add(step)
		if _, err := s.Append(t.Context(), []dcb.Event{{Type: "T"}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	result, err := s.Read(t.Context(), dcb.All(), dcb.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	first := time.Date(2026, 12, 1, 7, 30, 0, 123_456_000, time.UTC)
	for i, want := range []time.Time{first, first, first} {
		if got := result.Events[i].RecordedAt; !got.Equal(want) {
			t.Errorf("position %d: RecordedAt = %v, want %v: in whole microseconds, and it never falls", i+1, got, want)
		}
	}
}

func BenchmarkStore(b *testing.B) { dcbtest.Benchmark(b, open) }
