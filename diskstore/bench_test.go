package diskstore_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/diskstore"
)

// benchEvents is the number of events in the large store, unless DCB_BENCH_EVENTS is set.
const benchEvents = 1_000_000

// BenchmarkQuery reads from a large store in memory: 20 types, ten events per tag, far apart,
// and two tags that many events have.
func BenchmarkQuery(b *testing.B) {
	events := intFromEnv(b, "DCB_BENCH_EVENTS", benchEvents)
	s := largeStore(b, events)
	random := rand.New(rand.NewPCG(1, 2))
	tag := func() string { return fmt.Sprint("tag", random.IntN(events/10)) }
	for _, c := range []struct {
		name  string
		query func() dcb.Query
		opts  dcb.ReadOptions
		found int
	}{
		{"one tag, 10 events", func() dcb.Query { return dcb.Query{{Tags: []string{tag()}}} }, dcb.ReadOptions{}, 10},
		{"tag and types", func() dcb.Query {
			return dcb.Query{{Types: []string{"Type0", "Type1", "Type2", "Type3", "Type4", "Type5", "Type6", "Type7", "Type8", "Type9"}, Tags: []string{tag()}}}
		}, dcb.ReadOptions{}, -1},
		{"two items", func() dcb.Query { return dcb.Query{{Tags: []string{tag()}}, {Tags: []string{tag()}}} }, dcb.ReadOptions{}, -1},
		{"a rare tag and a common one", func() dcb.Query { return dcb.Query{{Tags: []string{tag(), "hot"}}} }, dcb.ReadOptions{}, -1},
		{"two common tags, newest", func() dcb.Query { return dcb.Query{{Tags: []string{"hot", "warm"}}} }, dcb.ReadOptions{Backwards: true, Limit: 1}, 1},
		{"a tag that no event has", func() dcb.Query { return dcb.Query{{Tags: []string{"none" + tag()}}} }, dcb.ReadOptions{}, 0},
		{"a type, newest", func() dcb.Query { return dcb.Query{{Types: []string{"Type7"}}} }, dcb.ReadOptions{Backwards: true, Limit: 1}, 1},
		{"a type, oldest 10", func() dcb.Query { return dcb.Query{{Types: []string{"Type7"}}} }, dcb.ReadOptions{Limit: 10}, 10},
		{"all, newest", dcb.All, dcb.ReadOptions{Backwards: true, Limit: 1}, 1},
		{"after the head", func() dcb.Query { return dcb.Query{{Tags: []string{tag()}}} }, dcb.ReadOptions{After: dcb.Position(events)}, 0},
		{"in the tail index", func() dcb.Query { return dcb.Query{{Types: []string{"Type7"}, Tags: []string{tag()}}} }, dcb.ReadOptions{After: dcb.Position(events - 100)}, -1},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				result, err := s.Read(b.Context(), c.query(), c.opts)
				if err != nil || c.found >= 0 && len(result.Events) != c.found {
					b.Fatalf("Read returned %d events, %v, want %d", len(result.Events), err, c.found)
				}
			}
		})
	}
}

// BenchmarkCondition checks the condition of an append that fails, so that nothing is written.
func BenchmarkCondition(b *testing.B) {
	events := intFromEnv(b, "DCB_BENCH_EVENTS", benchEvents)
	s := largeStore(b, events)
	for name, after := range map[string]int{"in the tail index": events - 100, "in all events": 0} {
		b.Run(name, func(b *testing.B) {
			condition := &dcb.AppendCondition{FailIfEventsMatch: dcb.Query{{Types: []string{"Type7"}, Tags: []string{"hot"}}}, After: dcb.Position(after)}
			one := []dcb.Event{{Type: "Type7", Tags: []string{"hot"}, Data: make([]byte, 256)}}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Append(b.Context(), one, condition); !errors.Is(err, dcb.ErrConflict) {
					b.Fatal(err)
				}
			}
		})
	}
}

// largeStore returns a store with the given number of events.
func largeStore(b *testing.B, events int) *diskstore.Store {
	b.Helper()
	s := open(b, b.TempDir(), nil)
	data := make([]byte, 256)
	var batch []dcb.Event
	for i := range events {
		tags := []string{fmt.Sprint("tag", i%(events/10))}
		if i%100 == 7 {
			tags = append(tags, "hot")
		}
		if i%3 == 0 {
			tags = append(tags, "warm")
		}
		batch = append(batch, dcb.Event{Type: fmt.Sprint("Type", i%20), Tags: tags, Data: data})
		if len(batch) == 10_000 || i == events-1 {
			if _, err := s.Append(b.Context(), batch, nil); err != nil {
				b.Fatal(err)
			}
			batch = batch[:0]
		}
	}
	return s
}
