package logfile

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/dcbstore/dcb"
)

// long is an append whose frame's checksum is put together from those of blocks.
func long(bytesOfData int) dcb.Event {
	return dcb.Event{Type: "Long", Data: bytes.Repeat([]byte{1}, bytesOfData)}
}

func TestAFrameThatCameLaterIsFoundWhereverItIs(t *testing.T) {
	t.Parallel()
	const lost = dcb.Position(5000) // the frame that begins with it is broken
	torn, _ := sealed(lost, goldenTime, 2, several...)
	torn[len(torn)/2] ^= 1
	next, _ := sealed(lost+5, goldenTime, 4, alone...)
	for name, frame := range map[string][]byte{
		"an event": next,
		"a mark":   ShutdownMarker(goldenSalt, lost+1, goldenTime),
		"a long frame": func() []byte {
			b, _ := sealed(lost+9, goldenTime, 0, long(10*sumBlock+7))
			return b
		}(),
		"several long events": func() []byte {
			b, _ := sealed(lost+9, goldenTime, 0, long(sumBlock), long(3*sumBlock), long(0))
			return b
		}(),
	} {
		for gap := range 67 { // any alignment
			for _, fill := range []byte{0, 1, 255} {
				before := slices.Concat(torn, bytes.Repeat([]byte{fill}, gap))
				b := slices.Clip(slices.Concat(before, frame, bytes.Repeat([]byte{fill}, gap%7)))
				if at, found := FindProof(goldenSalt, b, lost); !found || at != len(before) {
					t.Fatalf("%s behind %d bytes of %d: at %d, %v; want %d", name, gap, fill, at, found, len(before))
				}
			}
		}
	}
}

func TestWhatProvesNothingIsNoProof(t *testing.T) {
	t.Parallel()
	const lost = dcb.Position(5000)
	frame := func(first dcb.Position, behind uint32, events ...dcb.Event) []byte {
		b, _ := sealed(first, goldenTime, behind, events...)
		return b
	}
	broken := frame(lost+1, 0, alone...)
	broken[len(broken)-1] ^= 1
	brokenAndLong := frame(lost+1, 0, long(10*sumBlock))
	brokenAndLong[9*sumBlock] ^= 1
	cut := frame(lost+1, 0, alone...)
	for name, b := range map[string][]byte{
		"nothing":                       nil,
		"less than a header":            make([]byte, RecordHeaderBytes-1),
		"zeros":                         make([]byte, 1000),
		"ones":                          bytes.Repeat([]byte{1}, 1000),
		"the event itself":              frame(lost, 0, alone...),
		"what was before":               frame(lost-7, 0, several...),
		"a mark before it":              ShutdownMarker(goldenSalt, lost, goldenTime),
		"written before it was durable": frame(lost+1, 1, alone...),
		"written long before it was":    frame(lost+4, 6, several...),
		"a broken frame":                broken,
		"a long broken frame":           brokenAndLong,
		"a frame that is cut off":       cut[:len(cut)-1],
		"a frame of another log":        frame(lost+1_000_000, 0, alone...),
	} {
		for gap := range 9 {
			b := slices.Clip(append(bytes.Repeat([]byte{1}, gap), b...))
			if at, found := FindProof(goldenSalt, b, lost); found {
				t.Errorf("%s behind %d bytes is taken for a proof at %d", name, gap, at)
			}
		}
	}
}

// plainProof is FindProof as simple as can be.
func plainProof(b []byte, position dcb.Position) (at int, found bool) {
	for at := range b {
		h, err := ReadRecordHeader(goldenSalt, b[at:])
		if err == nil && h.First > position && h.Durable() >= position && h.First-position <= dcb.Position(len(b)) {
			return at, true
		}
	}
	return 0, false
}

func TestFindProofIsAsItsSimplestForm(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		var b []byte
		for range rapid.IntRange(0, 4).Draw(r, "frames") {
			first := dcb.Position(rapid.Uint64Range(1, 20).Draw(r, "first"))
			behind := rapid.Uint32Range(0, uint32(first-1)).Draw(r, "behind")
			one, _ := sealed(first, goldenTime, behind, long(sizes(0, 3*sumBlock).Draw(r, "size")))
			b = append(b, bytes.Repeat([]byte{rapid.Byte().Draw(r, "fill")}, rapid.IntRange(0, 9).Draw(r, "gap"))...)
			b = append(b, one...)
			if rapid.Bool().Draw(r, "broken") {
				b[len(b)-1-rapid.IntRange(0, len(one)-1).Draw(r, "place")] ^= 1 << rapid.IntRange(0, 7).Draw(r, "bit")
			}
		}
		position := dcb.Position(rapid.Uint64Range(1, 20).Draw(r, "position"))
		at, found := FindProof(goldenSalt, b, position)
		if wantAt, want := plainProof(b, position); at != wantAt || found != want {
			r.Errorf("%d, %v; want %d, %v", at, found, wantAt, want)
		}
	})
}

func TestTheChecksumOfAnyPartIsPutTogether(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		seed := rapid.Uint64().Draw(r, "seed")
		random := rand.New(rand.NewPCG(seed, 1))
		b := make([]byte, rapid.IntRange(3*sumBlock, 1<<20).Draw(r, "bytes"))
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		s := sums{salt: Salt(random.Uint32()), b: b}
		for range 20 {
			size := rapid.IntRange(2*sumBlock+1, len(b)).Draw(r, "size")
			at := rapid.IntRange(0, len(b)-size).Draw(r, "at")
			if got, want := s.frame(at, size), checksum(s.salt, b[at:at+size]); got != want {
				r.Fatalf("%d bytes at %d: %08x; want %08x", size, at, got, want)
			}
		}
	})
}

func TestShiftingIsAppendingZeros(t *testing.T) {
	t.Parallel()
	var s sums
	s.prepare()
	zeros := make([]byte, MaxRecordBytes)
	for _, n := range []int{0, 1, 511, 512, 513, 1 << 18, 1<<18 + 1, MaxRecordBytes} {
		// A CRC of zeros alone is linear but for its inversions, which are taken out.
		want := ^crc32.Update(^uint32(0xdeadbeef), castagnoli, zeros[:n])
		if got := s.shift(0xdeadbeef, n); got != want {
			t.Errorf("%d zeros: %08x; want %08x", n, got, want)
		}
	}
}

// liars are headers one behind the other that claim to be of frames that came later and are as long as the rest of b.
func liars(size int) []byte {
	b := make([]byte, size)
	for at := 0; at+RecordHeaderBytes <= size; at += RecordHeaderBytes {
		h := RecordHeader{Bytes: uint32(size - at), CRC: 1, First: 6000, RecordedAt: goldenTime, Count: 1}
		binary.LittleEndian.PutUint32(b[at:], h.Bytes)
		binary.LittleEndian.PutUint32(b[at+4:], h.CRC)
		binary.LittleEndian.PutUint64(b[at+8:], uint64(h.First))
		binary.LittleEndian.PutUint64(b[at+16:], uint64(h.RecordedAt))
		binary.LittleEndian.PutUint32(b[at+24:], h.Count)
	}
	return b
}

// BenchmarkFindProof is of a whole segment without a proof.
func BenchmarkFindProof(b *testing.B) {
	const size = 64 << 20
	random := make([]byte, size)
	for i := 0; i < size; i += 8 {
		binary.LittleEndian.PutUint64(random[i:], rand.Uint64())
	}
	var small []byte
	one, _ := sealed(10, goldenTime, 5, alone...)
	for len(small) < size {
		small = append(small, one...)
	}
	for name, content := range map[string][]byte{
		"zeros": make([]byte, size), "ones": bytes.Repeat([]byte{1}, size), "random": random, "liars": liars(size), "small frames": small,
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(size)
			for b.Loop() {
				if _, found := FindProof(goldenSalt, content, 5000); found {
					b.Fatal("a proof")
				}
			}
		})
	}
}
