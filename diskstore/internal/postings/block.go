package postings

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// BlockLen is how many offsets a block has, except the last one of a list, which may have fewer.
const BlockLen = 128

const maxOffset = math.MaxUint32

// A block is offsets without the first one, which whoever refers to the block knows, and so is how many they are. Of the others it
// has the gaps: what lies between an offset and the one before it. The gaps are either all of the same width, or varints, whichever takes less: events
// that come at random do better with the first, those that come in bursts with the second.
//
//	 0      1
//	┌──────┬────────────────────────────────────────────────────────────────────┐
//	│width │ gaps, width bits each, the first one in the lowest bits; then zeros │  width: 0 … 32
//	├──────┼────────────────────────────────────────────────────────────────────┤
//	│ 255  │ gaps, as varints                                                   │
//	└──────┴────────────────────────────────────────────────────────────────────┘
//
// Offsets without a gap, such as those of a type that all events have, take one byte for 128.
const (
	maxWidth = 32
	varints  = 255

	maxBlockBytes = 1 + (BlockLen-1)*binary.MaxVarintLen32
)

// appendBlock appends the block of offsets, of which there is at least one.
func appendBlock(b []byte, offsets []uint32) []byte {
	all, asVarints := uint32(0), 0
	for i := 1; i < len(offsets); i++ {
		gap := offsets[i] - offsets[i-1] - 1
		all |= gap
		asVarints += (bits.Len32(gap|1) + 6) / 7
	}
	width := bits.Len32(all)
	if (width*(len(offsets)-1)+7)/8 > asVarints {
		b = append(b, varints)
		for i := 1; i < len(offsets); i++ {
			b = binary.AppendUvarint(b, uint64(offsets[i]-offsets[i-1]-1))
		}
		return b
	}
	b = append(b, byte(width))
	pending, used := uint64(0), 0
	for i := 1; i < len(offsets); i++ {
		pending |= uint64(offsets[i]-offsets[i-1]-1) << used
		for used += width; used >= 8; used -= 8 {
			b = append(b, byte(pending))
			pending >>= 8
		}
	}
	if used > 0 {
		b = append(b, byte(pending))
	}
	return b
}

// unpackBlock sets out to the offsets of the block b, beginning with first. It reports whether b is such a block, and nothing else.
func unpackBlock(b []byte, first uint32, out []uint32) bool {
	if len(b) == 0 || len(out) == 0 {
		return false
	}
	out[0] = first
	if b[0] == varints {
		return unpackVarints(b[1:], uint64(first), out[1:])
	}
	width := int(b[0])
	b = b[1:]
	if width > maxWidth || len(b) != (width*(len(out)-1)+7)/8 {
		return false
	}
	return unpackWidth(b, uint64(first), width, out[1:])
}

// unpackWidth unpacks gaps that are width bits each. b has just as many bytes as they need.
func unpackWidth(b []byte, last uint64, width int, out []uint32) bool {
	mask := uint64(1)<<width - 1
	// A gap is found in the eight bytes that begin where it begins. Near the end there are fewer: there the last eight serve, or what there is.
	final := uint64(0)
	if len(b) >= 8 {
		final = binary.LittleEndian.Uint64(b[len(b)-8:])
	} else {
		for _, c := range b {
			final = final>>8 | uint64(c)<<56
		}
	}
	for i := range out {
		at := i * width
		rest := len(b) - at>>3
		word := final >> (64 - 8*min(rest, 8)) // nothing, if rest is 0
		if rest >= 8 {
			word = binary.LittleEndian.Uint64(b[at>>3:])
		}
		last += word>>(at&7)&mask + 1
		out[i] = uint32(last)
	}
	if used := len(out) * width & 7; used != 0 && b[len(b)-1]>>used != 0 {
		return false
	}
	return last <= maxOffset
}

func unpackVarints(b []byte, last uint64, out []uint32) bool {
	for i := range out {
		gap, size := binary.Uvarint(b)
		if size <= 0 || gap > maxOffset {
			return false
		}
		b = b[size:]
		last += gap + 1
		out[i] = uint32(last)
	}
	return len(b) == 0 && last <= maxOffset
}
