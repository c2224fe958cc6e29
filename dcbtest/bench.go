package dcbtest

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/dcbstore/dcb"
)

// Sizes of the benchmarks. They are the sizes of dcbstore bench, with fewer events.
const (
	benchData   = 256    // bytes of data per event
	benchEvents = 10_000 // events in the store for select and scan
	benchReuse  = 10     // events with the same tag
)

// Benchmark measures a store: appends, decisions of one caller and of many, conflicts and reads.
// Each benchmark reports events per second beside the usual figures.
func Benchmark(b *testing.B, open func(t testing.TB) dcb.Store) {
	run := func(name string, benchmark func(b *testing.B, s dcb.Store)) {
		b.Run(name, func(b *testing.B) {
			s := open(b)
			if closer, ok := s.(io.Closer); ok {
				defer func() { _ = closer.Close() }()
			}
			benchmark(b, s)
		})
	}
	run("append/batch=1", benchAppend(1))
	run("append/batch=100", benchAppend(100))
	run("decide", benchDecide)
	run("decide/parallel", benchDecideParallel)
	run("decide/hot", benchHot)
	run("conflict", benchConflict)
	run("select", benchSelect)
	run("scan", benchScan)
}

// benchAppend returns a benchmark of unconditional appends of batch events each.
func benchAppend(batch int) func(b *testing.B, s dcb.Store) {
	return func(b *testing.B, s dcb.Store) {
		b.Helper()
		events := benchBatch(batch, "tag")
		measure(b, batch)
		for b.Loop() {
			mustAppend(b, s, events, nil)
		}
	}
}

// benchDecide measures the conditional appends of one caller.
func benchDecide(b *testing.B, s dcb.Store) {
	b.Helper()
	c := benchCaller{store: s}
	measure(b, 1)
	for b.Loop() {
		c.decide(b)
	}
}

// benchDecideParallel measures the conditional appends of many callers, each on its own tags.
func benchDecideParallel(b *testing.B, s dcb.Store) {
	b.Helper()
	var caller atomic.Int64
	b.SetParallelism(16)
	measure(b, 1)
	b.RunParallel(func(pb *testing.PB) {
		c := benchCaller{store: s, name: fmt.Sprint(caller.Add(1))}
		for pb.Next() {
			c.decide(b)
		}
	})
}

// benchHot measures conditional appends that all concern the same tag.
func benchHot(b *testing.B, s dcb.Store) {
	b.Helper()
	condition := benchCondition("hot")
	events := benchBatch(1, "hot")
	measure(b, 1)
	for b.Loop() {
		condition.After = mustAppend(b, s, events, condition)
	}
}

// benchConflict measures appends whose condition fails.
func benchConflict(b *testing.B, s dcb.Store) {
	b.Helper()
	events := benchBatch(1, "hot")
	mustAppend(b, s, events, nil)
	condition := benchCondition("hot")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Append(context.Background(), events, condition); err == nil {
			b.Fatal("Append returned no error, want a conflict")
		}
	}
}

// benchSelect measures reads of the ten events of one tag.
func benchSelect(b *testing.B, s dcb.Store) {
	b.Helper()
	fill(b, s)
	random := rand.New(rand.NewPCG(1, 2))
	measure(b, benchReuse)
	for b.Loop() {
		q := dcb.Query{{Tags: []string{fmt.Sprintf("tag:%d", random.IntN(benchEvents/benchReuse))}}}
		result, err := s.Read(context.Background(), q, dcb.ReadOptions{})
		if err != nil || len(result.Events) != benchReuse {
			b.Fatalf("Read returned %d events and error %v, want %d", len(result.Events), err, benchReuse)
		}
	}
}

// benchScan measures Stream over all events.
func benchScan(b *testing.B, s dcb.Store) {
	b.Helper()
	fill(b, s)
	measure(b, benchEvents)
	for b.Loop() {
		n := 0
		for _, err := range dcb.Stream(context.Background(), s, dcb.All(), dcb.ReadOptions{}) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != benchEvents {
			b.Fatalf("Stream yielded %d events, want %d", n, benchEvents)
		}
	}
}

// benchCaller makes decisions one after the other. Ten in a row concern the same tag, and the
// condition of each ignores the events of those before it.
type benchCaller struct {
	store     dcb.Store
	name      string
	decisions int
	condition *dcb.AppendCondition
	events    []dcb.Event
}

func (c *benchCaller) decide(b *testing.B) {
	b.Helper()
	if c.decisions%benchReuse == 0 {
		tag := fmt.Sprintf("tag:%s:%d", c.name, c.decisions/benchReuse)
		c.events, c.condition = benchBatch(1, tag), benchCondition(tag)
	}
	c.decisions++
	c.condition.After = mustAppend(b, c.store, c.events, c.condition)
}

// fill appends benchEvents events. Those with the same tag are far apart.
func fill(b *testing.B, s dcb.Store) {
	b.Helper()
	for range benchReuse {
		var events []dcb.Event
		for i := range benchEvents / benchReuse {
			events = append(events, benchBatch(1, fmt.Sprintf("tag:%d", i))...)
		}
		mustAppend(b, s, events, nil)
	}
}

func benchCondition(tag string) *dcb.AppendCondition {
	return &dcb.AppendCondition{FailIfEventsMatch: dcb.Query{{Types: []string{"Benchmarked"}, Tags: []string{tag}}}}
}

func benchBatch(n int, tag string) []dcb.Event {
	events := make([]dcb.Event, n)
	for i := range events {
		events[i] = dcb.Event{Type: "Benchmarked", Tags: []string{tag}, Data: make([]byte, benchData)}
	}
	return events
}

func mustAppend(b *testing.B, s dcb.Store, events []dcb.Event, condition *dcb.AppendCondition) dcb.Position {
	b.Helper()
	position, err := s.Append(context.Background(), events, condition)
	if err != nil {
		b.Errorf("Append: %v", err) // not Fatal: this may be a goroutine of RunParallel
	}
	return position
}

// measure reports figures for a benchmark with the given number of events per iteration.
func measure(b *testing.B, events int) {
	b.Helper()
	b.ReportAllocs()
	b.SetBytes(int64(events) * benchData)
	b.Cleanup(func() {
		if elapsed := b.Elapsed(); elapsed > 0 {
			b.ReportMetric(float64(events)*float64(b.N)/elapsed.Seconds(), "events/s")
		}
	})
}
