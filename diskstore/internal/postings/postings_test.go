package postings

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// bytesMemory vouches for everything, and counts what it is asked for.
type bytesMemory struct {
	b     []byte
	reads int
	pages map[int64]bool
}

func (m *bytesMemory) Bytes(at int64, n int) ([]byte, error) {
	m.reads++
	if m.pages != nil {
		for page := at >> 14; page<<14 < at+int64(n); page++ {
			m.pages[page] = true
		}
	}
	return m.b[at : at+int64(n) : at+int64(n)], nil
}

// packed packs lists and returns them as they are found again.
func packed(tb testing.TB, lists ...[]uint32) ([]List, *bytesMemory) {
	tb.Helper()
	var blocks, skips bytes.Buffer
	p := NewPacker(&blocks, &skips)
	var refs []Ref
	for _, offsets := range lists {
		before := skips.Len()
		check(tb, p.Begin(uint32(len(offsets))))
		half := len(offsets) / 2
		check(tb, p.Add(Plain(offsets[:half]), 0, math.MaxUint32))
		check(tb, p.Add(Plain(offsets[half:]), 0, math.MaxUint32))
		ref, err := p.End()
		check(tb, err)
		refs = append(refs, ref)
		if have := int64(skips.Len() - before); have != SkipBytes(len(offsets)) {
			tb.Fatalf("a list of %d takes %d bytes in the skips, and SkipBytes says %d", len(offsets), have, SkipBytes(len(offsets)))
		}
	}
	memory := &bytesMemory{b: append(slices.Clone(skips.Bytes()), blocks.Bytes()...)}
	s := &Lists{Memory: memory, Skips: Range{0, int64(skips.Len())}, Blocks: Range{int64(skips.Len()), int64(blocks.Len())}}
	var out []List
	for _, ref := range refs {
		l, err := s.List(ref)
		check(tb, err)
		out = append(out, l)
	}
	return out, memory
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// random returns n offsets with gaps of about that size, in bursts if it is bursty.
func random(r *rand.Rand, n int, gap uint32, bursty bool) []uint32 {
	offsets := make([]uint32, 0, n)
	next := r.Uint64N(uint64(gap) + 1)
	for len(offsets) < n && next < math.MaxUint32 {
		offsets = append(offsets, uint32(next))
		next++
		if !bursty || r.IntN(20) == 0 {
			next += r.Uint64N(uint64(gap) + 1)
		}
	}
	return offsets
}

// walk is a cursor as simple as can be.
type walk []uint32

func newWalk(offsets []uint32, from, to uint32, backwards bool) walk {
	var w walk
	for _, offset := range offsets {
		if offset >= from && offset <= to {
			w = append(w, offset)
		}
	}
	if backwards {
		slices.Reverse(w)
	}
	return w
}

func (w *walk) seek(offset uint32, backwards bool) {
	for len(*w) > 0 && (!backwards && (*w)[0] < offset || backwards && (*w)[0] > offset) {
		*w = (*w)[1:]
	}
}

var lengths = []int{0, 1, 2, 3, 9, 10, 127, 128, 129, 130, 255, 256, 257, 1000, 128 * 40, 128*512 - 1, 128 * 512, 128*512 + 1, 128*512*3 + 77}

func TestACursorWalksLikeTheNaiveOne(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for _, n := range lengths {
		for _, gap := range []uint32{0, 1, 100, 20_000, math.MaxUint32 / uint32(n+1)} {
			offsets := random(r, n, gap, r.IntN(2) == 0)
			if len(offsets) == 0 {
				walkBoth(t, r, Plain(offsets), offsets)
				continue
			}
			lists, _ := packed(t, offsets)
			check(t, lists[0].Verify(math.MaxUint32))
			for range 4 {
				walkBoth(t, r, lists[0], offsets)
				walkBoth(t, r, Plain(offsets), offsets)
			}
		}
	}
}

func walkBoth(t *testing.T, r *rand.Rand, l List, offsets []uint32) {
	t.Helper()
	if l.Len() != len(offsets) {
		t.Fatalf("a list of %d says it has %d", len(offsets), l.Len())
	}
	somewhere := func() uint32 {
		switch r.IntN(8) {
		case 0:
			return 0
		case 1:
			return math.MaxUint32
		case 2:
			return r.Uint32()
		}
		if len(offsets) == 0 {
			return r.Uint32N(100)
		}
		return offsets[r.IntN(len(offsets))] + r.Uint32N(3) - 1
	}
	from, to, backwards := somewhere(), somewhere(), r.IntN(2) == 0
	name := fmt.Sprintf("%d offsets from %d to %d, backwards %v", len(offsets), from, to, backwards)
	var c Cursor
	c.Reset(l, from, to, backwards)
	want := newWalk(offsets, from, to, backwards)
	for step := 0; ; step++ {
		have, ok := c.Current()
		check(t, c.Err())
		if ok != (len(want) > 0) || ok && have != want[0] {
			t.Fatalf("%s: step %d: have %d, %v; want %d more", name, step, have, ok, len(want))
		}
		if left := c.Remaining(); left < len(want) || left >= len(want)+256 || left > 0 && len(want) == 0 || l.Len() <= BlockLen && left != len(want) {
			t.Fatalf("%s: step %d: %d said to remain, of %d", name, step, left, len(want))
		}
		switch {
		case len(want) == 0:
			c.Next()
			c.Seek(somewhere())
			if have, ok := c.Current(); ok {
				t.Fatalf("%s: after the end came %d", name, have)
			}
			return
		case r.IntN(3) > 0 && len(want) < 1000:
			c.Next()
			want = want[1:]
		case r.IntN(2) == 0:
			at := want[min(r.IntN(len(want)), r.IntN(len(want)), r.IntN(len(want)))] + r.Uint32N(3) - 1
			c.Seek(at)
			want.seek(at, backwards)
		default:
			at := somewhere()
			c.Seek(at)
			want.seek(at, backwards)
		}
	}
}

func TestAListOfOneTakesNoRoom(t *testing.T) {
	t.Parallel()
	for _, offset := range []uint32{0, 1, math.MaxUint32 - 1} {
		lists, memory := packed(t, []uint32{offset})
		if len(memory.b) != 0 {
			t.Fatalf("it takes %d bytes", len(memory.b))
		}
		var c Cursor
		c.Reset(lists[0], 0, math.MaxUint32, false)
		if have, ok := c.Current(); !ok || have != offset {
			t.Fatalf("have %d, %v, want %d", have, ok, offset)
		}
	}
}

func TestAListWithoutGapsTakesNearlyNoRoom(t *testing.T) {
	t.Parallel()
	offsets := make([]uint32, 1_000_000)
	for i := range offsets {
		offsets[i] = uint32(i)
	}
	_, memory := packed(t, offsets)
	if len(memory.b) > 80_000 {
		t.Fatalf("it takes %d bytes", len(memory.b))
	}
}

func TestAPlaceInALongListIsFoundOnFewPages(t *testing.T) {
	t.Parallel()
	offsets := random(rand.New(rand.NewPCG(1, 2)), 2_000_000, 300, false)
	lists, memory := packed(t, offsets)
	for _, backwards := range []bool{false, true} {
		for _, from := range []int{0, 1, 77_777, 1_500_000, len(offsets) - 5} {
			memory.pages = make(map[int64]bool)
			var c Cursor
			c.Reset(lists[0], offsets[from], offsets[from+4], backwards)
			for range 5 {
				if _, ok := c.Current(); !ok {
					t.Fatal("too few")
				}
				c.Next()
			}
			if _, ok := c.Current(); ok || c.Err() != nil {
				t.Fatalf("it goes on, or %v", c.Err())
			}
			if len(memory.pages) > 8 {
				t.Errorf("from %d, backwards %v: %d pages", from, backwards, len(memory.pages))
			}
		}
	}
}

func TestAPackerRefusesWhatIsNoList(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		n       uint32
		offsets [][]uint32
	}{
		"descending":            {2, [][]uint32{{5, 4}}},
		"twice the same":        {2, [][]uint32{{5, 5}}},
		"parts that overlap":    {4, [][]uint32{{1, 5}, {5, 6}}},
		"beyond the limit":      {2, [][]uint32{{5, 1000}}},
		"more than it was said": {1, [][]uint32{{5, 6}}},
		"fewer":                 {3, [][]uint32{{5, 6}}},
		"none":                  {0, nil},
	} {
		p := NewPacker(new(bytes.Buffer), new(bytes.Buffer))
		err := p.Begin(c.n)
		for _, part := range c.offsets {
			if err == nil {
				err = p.Add(Plain(part), 0, 1000)
			}
		}
		if err == nil {
			_, err = p.End()
		}
		if !errors.Is(err, ErrBroken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAFullDiskIsReported(t *testing.T) {
	t.Parallel()
	offsets := random(rand.New(rand.NewPCG(1, 2)), 1000, 5, false)
	for which := range 2 {
		for room := range 5 {
			writers := [2]fullWriter{{room: 1 << 20}, {room: 1 << 20}}
			writers[which].room = room
			p := NewPacker(&writers[0], &writers[1])
			err := p.Begin(uint32(len(offsets)))
			if err == nil {
				err = p.Add(Plain(offsets), 0, math.MaxUint32)
			}
			if err == nil {
				_, err = p.End()
			}
			if !errors.Is(err, errFull) {
				t.Errorf("writer %d fails write %d: %v", which, room, err)
			}
		}
	}
}

var errFull = errors.New("full")

type fullWriter struct{ room int }

func (w *fullWriter) Write(b []byte) (int, error) {
	if w.room--; w.room < 0 {
		return 0, errFull
	}
	return len(b), nil
}

func TestABlockTakesTheSmallerForm(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	even, bursts := random(r, BlockLen, 1000, false), random(r, BlockLen, 1_000_000, true)
	if b := appendBlock(nil, even); b[0] == varints || len(b) > 1+127*10/8+1 {
		t.Errorf("even gaps below 1024 take %d bytes, form %d", len(b), b[0])
	}
	if b := appendBlock(nil, bursts); b[0] != varints || len(b) > 1+127+40 {
		t.Errorf("bursts take %d bytes, form %d", len(b), b[0])
	}
	for _, offsets := range [][]uint32{even, bursts} {
		out := make([]uint32, len(offsets))
		if !unpackBlock(appendBlock(nil, offsets), offsets[0], out) || !slices.Equal(out, offsets) {
			t.Errorf("have %v, want %v", out, offsets)
		}
	}
}

func TestWhateverTheBytesABlockIsAscendingOrNone(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 100_000 {
		b := make([]byte, r.IntN(20))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		if len(b) > 0 && r.IntN(2) == 0 {
			b[0] = byte(r.IntN(34))
		}
		ascending(t, b, r.Uint32(), 1+r.IntN(8))
	}
}

func ascending(t *testing.T, b []byte, first uint32, n int) {
	t.Helper()
	out := make([]uint32, n)
	if !unpackBlock(b, first, out) {
		return
	}
	for i := 1; i < n; i++ {
		if out[i] <= out[i-1] {
			t.Fatalf("block %x: %v", b, out)
		}
	}
}

func FuzzUnpackBlock(f *testing.F) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, n := range []int{1, 2, 10, 128} {
		for _, bursty := range []bool{false, true} {
			offsets := random(r, n, 100_000, bursty)
			f.Add(appendBlock(nil, offsets), offsets[0], uint8(n-1))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, first uint32, n uint8) { ascending(t, b, first, int(n)%BlockLen+1) })
}

// Whatever the bytes, a cursor goes in one direction, stays within its bounds, and ends.
func FuzzWalk(f *testing.F) {
	r := rand.New(rand.NewPCG(7, 8))
	for _, n := range []int{1, 2, 128, 129, 1000} {
		offsets := random(r, n, 1000, n > 500)
		var blocks, skips bytes.Buffer
		p := NewPacker(&blocks, &skips)
		check(f, p.Begin(uint32(n)))
		check(f, p.Add(Plain(offsets), 0, math.MaxUint32))
		ref, err := p.End()
		check(f, err)
		for _, backwards := range []bool{false, true} {
			f.Add(append(skips.Bytes(), blocks.Bytes()...), uint16(skips.Len()), uint64(ref), offsets[n/3], offsets[n-1], offsets[n/2], backwards)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, skips uint16, ref uint64, from, to, at uint32, backwards bool) {
		cut := int64(min(int(skips), len(b)))
		s := &Lists{Memory: &bytesMemory{b: b}, Skips: Range{0, cut}, Blocks: Range{cut, int64(len(b)) - cut}}
		l, err := s.List(Ref(ref))
		if err != nil {
			return
		}
		_ = l.Verify(math.MaxUint32) // anything, but no panic
		var c Cursor
		c.Reset(l, from, to, backwards)
		last, ok := c.Current()
		for step := 0; ok; step++ { // there is one, last, and then until there is none
			if last < from || last > to {
				t.Fatalf("%d is not from %d to %d", last, from, to)
			}
			if step == 20 {
				c.Seek(at)
			} else {
				c.Next()
			}
			offset, more := c.Current()
			if !more {
				return
			}
			if (offset <= last) != backwards && (offset != last || step != 20) || offset == last && step != 20 {
				t.Fatalf("step %d: %d after %d, backwards %v", step, offset, last, backwards)
			}
			last = offset
		}
	})
}
