package logfile

import (
	"bytes"
	"testing"

	"github.com/dcbstore/dcb"
)

// typical is an append as the benchmarks of performance make it: one event of 256 bytes with one tag.
func typical() []dcb.Event {
	return []dcb.Event{{Type: "Thing", Tags: []string{"tK3V7Q2WXYZ-12-34f"}, Data: bytes.Repeat([]byte{7}, 256)}}
}

func BenchmarkEncodeAndSeal(b *testing.B) {
	one := typical()
	tagged := typical()
	tagged[0].Metadata = map[string]string{"user": "ann", "trace": "4bf92f3577b34da6a3ce929d0e0e4736"}
	var hundred []dcb.Event
	for range 100 {
		hundred = append(hundred, one...)
	}
	for _, c := range []struct {
		name   string
		events []dcb.Event
	}{{"one event", one}, {"one event with metadata", tagged}, {"100 events", hundred}} {
		b.Run(c.name, func(b *testing.B) {
			var d Encoder
			b.ReportAllocs()
			for b.Loop() {
				d.Encode(c.events)
				d.Seal(goldenSalt, 1_000_000, 1_700_000_000_000_000, 3)
			}
			b.SetBytes(int64(len(d.Bytes)))
			perEvent(b, len(c.events))
		})
	}
}

func perEvent(b *testing.B, events int) {
	b.Helper()
	b.ReportMetric(float64(b.N)*float64(events)/b.Elapsed().Seconds(), "events/s")
}

func BenchmarkCheckedView(b *testing.B) {
	for _, c := range []struct {
		name   string
		events int
	}{{"alone in its frame", 1}, {"one of two", 2}} {
		b.Run(c.name, func(b *testing.B) {
			events := typical()
			for len(events) < c.events {
				events = append(events, events[0])
			}
			var d Encoder
			d.Encode(events)
			d.Seal(goldenSalt, 7, 1_700_000_000_000_000, 0)
			segment := append(make([]byte, SegmentHeaderBytes), d.Bytes...)
			at := SegmentHeaderBytes + d.EntryOffsets[0]
			var e dcb.SequencedEvent
			b.ReportAllocs()
			for b.Loop() {
				if err := ReadEntry(goldenSalt, segment, at, 7, &e); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(int64(len(d.Bytes)))
			perEvent(b, 1)
		})
	}
}
