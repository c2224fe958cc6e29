package umadb

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/dcbstore/dcb"
)

// BenchmarkAppend measures conditional appends of one event over TCP, client and server together.
func BenchmarkAppend(b *testing.B) {
	for _, kind := range []string{"memory", "disk"} {
		for _, callers := range []int{1, 64} {
			b.Run(fmt.Sprintf("%s/callers=%d", kind, callers), func(b *testing.B) {
				c := serveTCP(b, storeKinds[kind](b), ServerOptions{}).client(b)
				data := make([]byte, 256)
				var all sync.WaitGroup
				var left atomic.Int64
				left.Store(int64(b.N))
				b.ReportAllocs()
				b.ResetTimer()
				for caller := range callers {
					all.Go(func() {
						for i := 0; left.Add(-1) >= 0; i++ {
							tag := []string{fmt.Sprintf("%d:%d", caller, i/10)}
							q := dcb.Query{{Types: []string{"Benched"}, Tags: tag}}
							result, err := c.Append(b.Context(), []dcb.Event{{Type: "Benched", Tags: tag, Data: data}},
								&dcb.AppendCondition{FailIfEventsMatch: q, After: 1 << 60})
							if err != nil {
								b.Errorf("Append = %d, %v", result, err)
								return
							}
						}
					})
				}
				all.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
			})
		}
	}
}

// BenchmarkScan measures reading all events over TCP, client and server together.
func BenchmarkScan(b *testing.B) {
	const events = 50_000
	store := storeKinds["memory"](b)
	batch := make([]dcb.Event, 1000)
	for i := range batch {
		batch[i] = dcb.Event{Type: "Benched", Tags: []string{fmt.Sprintf("tag:%d", i)}, Data: make([]byte, 256)}
	}
	for range events / len(batch) {
		if _, err := store.Append(b.Context(), batch, nil); err != nil {
			b.Fatal(err)
		}
	}
	c := serveTCP(b, store, ServerOptions{}).client(b)
	b.ReportAllocs()
	for b.Loop() {
		for _, err := range c.Stream(b.Context(), dcb.All(), dcb.ReadOptions{}) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(events*b.N)/b.Elapsed().Seconds(), "events/s")
}
