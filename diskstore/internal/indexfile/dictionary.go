package indexfile

import (
	"encoding/binary"
	"io"
	"math/bits"

	"github.com/dcbstore/dcb/diskstore/internal/postings"
	"github.com/dcbstore/dcb/diskstore/internal/term"
)

// The dictionary of a kind of term is its keys, ascending, in buckets. Keys are hashes, so that a bucket is found by arithmetic: of n buckets, the one of a
// key is that where it would be if keys were spread evenly, 44 to a bucket. A bucket says where its entries begin, and has a filter of 10 bits a key.
// A term that is not there is nearly always told by that one line of the processor's cache.
//
//	 0        8                                                    64
//	┌────────┬────────────────────────────────────────────────────┐
//	│ start  │ filter: 7 words of 64 bits                         │  a bucket
//	└────────┴────────────────────────────────────────────────────┘
//	 0        8       16
//	┌────────┬────────┐
//	│ key    │ list   │  an entry
//	└────────┴────────┘
//
// start: how many entries there are before those of the bucket. filter: each key sets one bit in each word. list: see postings.Ref.
const (
	bucketBytes = 64
	bucketKeys  = 44
	filterWords = 7
	entryBytes  = 16
)

func bucketCount(terms uint64) uint64 { return (terms + bucketKeys - 1) / bucketKeys }

// bucketOf returns the bucket of a key, of n.
func bucketOf(key term.Key, n uint64) uint64 {
	bucket, _ := bits.Mul64(uint64(key)<<2, n)
	return bucket
}

// spread makes of a key the bits that say where it is in a filter. Those of the key itself have chosen the bucket: its keys have the highest in common.
func spread(key term.Key) uint64 { return uint64(key) * 0x9E3779B97F4A7C15 >> 22 }

// filter is that of a bucket.
type filter [filterWords]uint64

func (f *filter) add(key term.Key) {
	s := spread(key)
	for i := range f {
		f[i] |= 1 << (s & 63)
		s >>= 6
	}
}

// mayHave reports whether the filter of the bucket b has a key. If it does not, the key is not in the bucket.
func mayHave(b []byte, key term.Key) bool {
	b = b[8:bucketBytes]
	s := spread(key)
	for i := range filterWords {
		if binary.LittleEndian.Uint64(b[8*i:])>>(s&63)&1 == 0 {
			return false
		}
		s >>= 6
	}
	return true
}

// find returns the rank of a key among those of its kind, and the list of its events, if it is there.
func (x *Index) find(key term.Key) (rank uint64, ref postings.Ref, ok bool, err error) {
	kind := key.Kind()
	if int(kind) >= term.Kinds || x.header.terms[kind] == 0 {
		return 0, 0, false, nil
	}
	n := bucketCount(x.header.terms[kind])
	bucket := bucketOf(key, n)
	b, err := x.pages.Bytes(x.layout.buckets[kind]+int64(bucket)*bucketBytes, bucketBytes)
	if err != nil || !mayHave(b, key) {
		return 0, 0, false, err
	}
	start, end := binary.LittleEndian.Uint64(b), x.header.terms[kind]
	if bucket+1 < n {
		at := x.layout.buckets[kind] + int64(bucket+1)*bucketBytes
		if b, err = x.pages.Bytes(at, 8); err != nil {
			return 0, 0, false, err
		}
		end = binary.LittleEndian.Uint64(b)
	}
	if start > end || end > x.header.terms[kind] {
		return 0, 0, false, x.pages.broken(x.layout.buckets[kind]+int64(bucket)*bucketBytes, "a bucket ends before it begins")
	}
	b, err = x.pages.Bytes(x.layout.entries[kind]+int64(start)*entryBytes, int(end-start)*entryBytes)
	if err != nil {
		return 0, 0, false, err
	}
	i := rankIn(b, key)
	if i < 0 {
		return 0, 0, false, nil
	}
	return start + uint64(i), postings.Ref(binary.LittleEndian.Uint64(b[i*entryBytes+8:])), true, nil
}

// rankIn returns which of the entries b is that of key, and -1 if none is. Whichever half it goes on in, it does without a branch, which the processor
// could not foresee.
func rankIn(b []byte, key term.Key) int {
	base := 0
	for n := len(b) / entryBytes; n > 1; {
		half := n / 2
		_, below := bits.Sub64(uint64(key), binary.LittleEndian.Uint64(b[(base+half)*entryBytes:]), 0)
		base += half & (int(below) - 1)
		n -= half
	}
	if len(b) == 0 || term.Key(binary.LittleEndian.Uint64(b[base*entryBytes:])) != key {
		return -1
	}
	return base
}

// dictionaryWriter writes the dictionary of a kind.
type dictionaryWriter struct {
	buckets, entries io.Writer
	n                uint64 // buckets
	bucket           uint64 // the one that is being filled
	start, terms     uint64 // where it starts, and how many terms there are so far
	filter           filter
	scratch          [bucketBytes]byte
}

// add adds a term whose key is above those before.
func (w *dictionaryWriter) add(key term.Key, ref postings.Ref) error {
	if err := w.flush(bucketOf(key, w.n)); err != nil {
		return err
	}
	w.filter.add(key)
	w.terms++
	binary.LittleEndian.PutUint64(w.scratch[:], uint64(key))
	binary.LittleEndian.PutUint64(w.scratch[8:], uint64(ref))
	_, err := w.entries.Write(w.scratch[:entryBytes])
	return err
}

// flush writes the buckets before one.
func (w *dictionaryWriter) flush(before uint64) error {
	for ; w.bucket < before; w.bucket++ {
		w.filter.encode(w.start, &w.scratch)
		if _, err := w.buckets.Write(w.scratch[:]); err != nil {
			return err
		}
		w.start, w.filter = w.terms, filter{}
	}
	return nil
}

// encode makes the bucket that has the filter and starts there.
func (f *filter) encode(start uint64, b *[bucketBytes]byte) {
	binary.LittleEndian.PutUint64(b[:], start)
	for i, word := range f {
		binary.LittleEndian.PutUint64(b[8+8*i:], word)
	}
}
