package postings

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

func BenchmarkCursor(b *testing.B) {
	offsets := random(rand.New(rand.NewPCG(1, 2)), 10_000_000, 60, false)
	lists, memory := packed(b, offsets)
	b.Logf("%.2f bytes an offset", float64(len(memory.b))/float64(len(offsets)))
	for name, l := range map[string]List{"plain": Plain(offsets), "packed": lists[0]} {
		b.Run(name+" next", func(b *testing.B) {
			b.ReportAllocs()
			var c Cursor
			for b.Loop() {
				if _, ok := c.Current(); !ok {
					c.Reset(l, 0, math.MaxUint32, false)
				}
				c.Next()
			}
		})
		b.Run(name+" last ten", func(b *testing.B) {
			b.ReportAllocs()
			var c Cursor
			for b.Loop() {
				c.Reset(l, offsets[len(offsets)-10], math.MaxUint32, false)
				if c.Remaining() < 10 {
					b.Fatal(c.Remaining(), c.Err())
				}
			}
		})
		for _, step := range []uint32{100, 10_000, 1_000_000} {
			b.Run(fmt.Sprintf("%s seek over %d", name, step), func(b *testing.B) {
				b.ReportAllocs()
				var c Cursor
				for b.Loop() {
					offset, ok := c.Current()
					if !ok {
						c.Reset(l, 0, math.MaxUint32, false)
					}
					c.Seek(offset + step)
				}
			})
		}
	}
}
