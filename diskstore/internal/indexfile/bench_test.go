package indexfile_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/dcbstore/dcb/diskstore/internal/indexfile"
	"github.com/dcbstore/dcb/diskstore/internal/postings"
	"github.com/dcbstore/dcb/diskstore/internal/term"
	"github.com/dcbstore/dcb/internal/vfs"
)

// tagged returns a model of so many events of one type, in which every tag is on ten events, here and there.
func tagged(events, tags int) *model {
	m := newModel()
	r := rand.New(rand.NewPCG(1, 2))
	keys := make([]term.Key, events)
	for i := range keys {
		keys[i] = tagKey(i % tags)
	}
	r.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	for i, key := range keys {
		m.add(uint32(64+300*i), typeKey(0), key)
	}
	m.sort()
	return m
}

func BenchmarkLookup(b *testing.B) {
	const events, tags = 1_000_000, 100_000
	m := tagged(events, tags)
	f := written(b, m.meta(), m)
	x := opened(b, f)
	check(b, x.Verify(b.Context()))
	b.Logf("%d events in %d bytes: %.2f each", events, len(f), float64(len(f))/events)
	keys, strangers := make([]term.Key, 256), make([]term.Key, 256)
	for i := range keys {
		keys[i], strangers[i] = tagKey(i), tagKey(i+tags)
	}
	b.Run("not there", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if list, err := x.List(strangers[i%len(strangers)]); err != nil || list.Len() > 0 {
				b.Fatal(list.Len(), err)
			}
		}
	})
	b.Run("ten offsets", func(b *testing.B) {
		b.ReportAllocs()
		var c postings.Cursor
		for i := 0; b.Loop(); i++ {
			list, err := x.List(keys[i%len(keys)])
			n := 0
			for c.Reset(list, 0, math.MaxUint32, false); ; c.Next() {
				if _, ok := c.Current(); !ok {
					break
				}
				n++
			}
			if n != 10 || err != nil {
				b.Fatal(n, err, c.Err())
			}
		}
	})
	b.Run("event", func(b *testing.B) {
		b.ReportAllocs()
		for i := uint32(0); b.Loop(); i++ {
			if _, _, err := x.Event(i * 7919 % 10_007); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkWrite(b *testing.B) {
	m := tagged(200_000, 200_000)
	b.ReportAllocs()
	benchmarkWrite(b, m.meta(), m)
}

// benchmarkWrite writes to the disk of the machine, and syncs.
func benchmarkWrite(b *testing.B, meta indexfile.Meta, sources ...indexfile.Source) {
	b.Helper()
	name, size := filepath.Join(b.TempDir(), "an index"), int64(0)
	for b.Loop() {
		f, err := vfs.OS().Create(name)
		check(b, err)
		check(b, indexfile.Write(b.Context(), f, meta, sources...))
		size, err = f.Size()
		check(b, errors.Join(err, f.Close(), vfs.OS().Remove(name)))
	}
	b.ReportMetric(float64(size), "file-bytes")
}

func BenchmarkMerge(b *testing.B) {
	for _, tags := range []int{20, 20_000, 200_000} {
		b.Run(fmt.Sprintf("%d tags", tags), func(b *testing.B) {
			m := tagged(200_000, tags)
			var sources []indexfile.Source
			all := newModel()
			all.segments = 0
			for range 4 {
				sources = append(sources, write(b, m.meta(), m))
				all.join(m)
			}
			b.ReportAllocs()
			benchmarkWrite(b, all.meta(), sources...)
			count := 2 * 4 * 200_000 // every event has a type and a tag
			b.ReportMetric(float64(count)*float64(b.N)/b.Elapsed().Seconds(), "postings/s")
		})
	}
}
