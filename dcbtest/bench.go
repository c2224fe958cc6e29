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

// Sizes of the benchmarks: those of the workloads in dcbstore bench, small enough for go test.
const (
	benchData   = 256    // the bytes of an event's data
	benchEvents = 10_000 // what select and scan find
	benchReuse  = 10     // the events that have the same tag
)

// Benchmark measures any store: what an append and a decision cost, by one caller and by many, and what reading costs. Each benchmark reports
// events a second besides the usual figures.
func Benchmark(b *testing.B, open func(t testing.TB) dcb.Store) {
	run := func(name string, benchmark func(b *testing.B, s dcb.Store)) {
		b.Run(name, func(b *testing.B) {
			s := open(b)
			if closer, ok := s.(io.Closer); ok {
				defer func() { _ = closer.Close() }() // open may have a cleanup that closes it too
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

// benchAppend returns a benchmark that appends without a condition.
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

// benchDecide makes one decision after the other: each on a tag that ten of them share, each knowing of those before it.
func benchDecide(b *testing.B, s dcb.Store) {
	b.Helper()
	d := decider{store: s}
	measure(b, 1)
	for b.Loop() {
		d.decide(b)
	}
}

// benchDecideParallel has each goroutine decide on tags of its own.
func benchDecideParallel(b *testing.B, s dcb.Store) {
	b.Helper()
	var caller atomic.Int64
	b.SetParallelism(16)
	measure(b, 1)
	b.RunParallel(func(pb *testing.PB) {
		d := decider{store: s, name: fmt.Sprint(caller.Add(1))}
		for pb.Next() {
			d.decide(b)
		}
	})
}

// benchHot makes every decision on the same tag.
func benchHot(b *testing.B, s dcb.Store) {
	b.Helper()
	condition := &dcb.AppendCondition{FailIfEventsMatch: dcb.Query{{Types: []string{"Benchmarked"}, Tags: []string{"hot"}}}}
	events := benchBatch(1, "hot")
	measure(b, 1)
	for b.Loop() {
		condition.After = mustAppend(b, s, events, condition)
	}
}

// benchConflict makes appends that conflict.
func benchConflict(b *testing.B, s dcb.Store) {
	b.Helper()
	events := benchBatch(1, "hot")
	mustAppend(b, s, events, nil)
	condition := &dcb.AppendCondition{FailIfEventsMatch: dcb.Query{{Types: []string{"Benchmarked"}, Tags: []string{"hot"}}}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Append(context.Background(), events, condition); err == nil {
			b.Fatal("an append succeeded that conflicts")
		}
	}
}

// benchSelect reads the ten events of a tag.
func benchSelect(b *testing.B, s dcb.Store) {
	b.Helper()
	fill(b, s)
	random := rand.New(rand.NewPCG(1, 2))
	measure(b, benchReuse)
	for b.Loop() {
		q := dcb.Query{{Tags: []string{fmt.Sprintf("tag:%d", random.IntN(benchEvents/benchReuse))}}}
		result, err := s.Read(context.Background(), q, dcb.ReadOptions{})
		if err != nil || len(result.Events) != benchReuse {
			b.Fatalf("read %d events and error %v, want %d", len(result.Events), err, benchReuse)
		}
	}
}

// benchScan streams everything.
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
			b.Fatalf("streamed %d events, want %d", n, benchEvents)
		}
	}
}

// decider is a caller that makes decisions on one tag after the other, ten on each.
type decider struct {
	store     dcb.Store
	name      string
	made      int
	condition dcb.AppendCondition
	events    []dcb.Event
}

func (d *decider) decide(b *testing.B) {
	b.Helper()
	if d.made%benchReuse == 0 {
		tag := fmt.Sprintf("tag:%s:%d", d.name, d.made/benchReuse)
		d.events = benchBatch(1, tag)
		d.condition = dcb.AppendCondition{FailIfEventsMatch: dcb.Query{{Types: []string{"Benchmarked"}, Tags: []string{tag}}}}
	}
	d.made++
	d.condition.After = mustAppend(b, d.store, d.events, &d.condition)
}

// fill records benchReuse events of every tag, not beside one another.
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
		b.Errorf("append: %v", err) // not Fatal: it may be called from a goroutine of RunParallel
	}
	return position
}

// measure has the figures reported for a benchmark whose every round is about so many events.
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
