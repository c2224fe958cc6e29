package postings

import (
	"encoding/binary"
)

// A list of more than 128 is blocks, one behind the other, and a table, which is in the skips. A search for an offset first looks among the tops, then in one
// span of the table, and then unpacks one block: of a list of a hundred million it reads three places, not the list.
//
//	 0        4                12
//	┌────────┬────────────────┬─────────────────────────────────────────┬──────────────────────────┐
//	│ count  │ first block    │ for each block: first offset 4 │ end 4   │ for each span: top 4     │
//	└────────┴────────────────┴─────────────────────────────────────────┴──────────────────────────┘
//
// first block: where it begins in the blocks. end: of the block, counted from there. A span is 512 blocks, and its top the first offset of the first of them.
//
// The end of a block is below 2³², however long the list: n offsets have gaps of less than 2³²/n on average, and n gaps of the same size take the most
// room, less than 4 GiB for every n.
const (
	longHeaderBytes = 12
	skipBytes       = 8
	topBytes        = 4
	span            = 512
)

// SkipBytes returns how many bytes a list of n offsets takes in the skips.
func SkipBytes(n int) int64 {
	if n <= BlockLen {
		return 0
	}
	blocks := (n + BlockLen - 1) / BlockLen
	return longHeaderBytes + int64(blocks)*skipBytes + int64((blocks+span-1)/span)*topBytes
}

// long returns the list that begins at a place in the skips.
func (s *Lists) long(at uint64) (List, error) {
	b, err := s.bytes(s.Skips, at, longHeaderBytes)
	if err != nil {
		return List{}, err
	}
	l := List{lists: s, at: at, n: binary.LittleEndian.Uint32(b), blocks: binary.LittleEndian.Uint64(b[4:])}
	if l.n <= BlockLen {
		return List{}, l.broken("it has a table and is short", 0)
	}
	if uint64(SkipBytes(l.Len())) > uint64(s.Skips.Len)-at || l.blocks > uint64(s.Blocks.Len) {
		return List{}, l.broken("its table does not fit", 0)
	}
	return l, nil
}

// blockCount returns how many blocks a list of many has.
func (l *List) blockCount() int { return (int(l.n) + BlockLen - 1) / BlockLen }

// blockLen returns how many offsets a block of the list has.
func (l *List) blockLen(block int) int { return min(BlockLen, int(l.n)-block*BlockLen) }

// first returns the first offset of a block.
func (l *List) first(block int) (uint32, error) {
	return l.number(longHeaderBytes + uint64(block)*skipBytes)
}

func (l *List) top(number int) (uint32, error) {
	return l.number(longHeaderBytes + uint64(l.blockCount())*skipBytes + uint64(number)*topBytes)
}

func (l *List) number(at uint64) (uint32, error) {
	b, err := l.lists.bytes(l.lists.Skips, l.at+at, 4)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(b), nil
}

// unpackOf unpacks a block of a list of many. Its offsets lie between those of the blocks before and behind it, as far as the table says.
func (l *List) unpackOf(block int, out *[BlockLen]uint32) (n int, err error) {
	// The entry itself, the one before it, where the block begins, and the one behind, which says where the next block's offsets begin.
	from, to := max(block-1, 0), min(block+2, l.blockCount())
	table, err := l.lists.bytes(l.lists.Skips, l.at+longHeaderBytes+uint64(from)*skipBytes, (to-from)*skipBytes)
	if err != nil {
		return 0, err
	}
	begin := uint32(0)
	if from < block {
		begin = binary.LittleEndian.Uint32(table[4:])
		table = table[skipBytes:]
	}
	first, end := binary.LittleEndian.Uint32(table), binary.LittleEndian.Uint32(table[4:])
	if end <= begin || end-begin > maxBlockBytes {
		return 0, l.broken("the table says that it ends before it begins, or that it is too long", block)
	}
	b, err := l.lists.bytes(l.lists.Blocks, l.blocks+uint64(begin), int(end-begin))
	if err != nil {
		return 0, err
	}
	n = l.blockLen(block)
	if !unpackBlock(b, first, out[:n]) {
		return 0, l.broken("it is no block of that length", block)
	}
	if block+1 < to && binary.LittleEndian.Uint32(table[skipBytes:]) <= out[n-1] {
		return 0, l.broken("the next one begins before it ends", block)
	}
	return n, nil
}

// search returns the last of the blocks from lo to hi whose first offset is not above offset, and lo-1 if there is none.
func (l *List) search(offset uint32, lo, hi int) (int, error) {
	if hi-lo >= span {
		low, high := lo/span+1, hi/span
		for low <= high {
			middle := int(uint(low+high) / 2)
			top, err := l.top(middle)
			if err != nil {
				return 0, err
			}
			if top <= offset {
				low = middle + 1
			} else {
				high = middle - 1
			}
		}
		lo, hi = max(lo, high*span), min(hi, high*span+span-1)
	}
	for lo <= hi {
		middle := int(uint(lo+hi) / 2)
		first, err := l.first(middle)
		if err != nil {
			return 0, err
		}
		if first <= offset {
			lo = middle + 1
		} else {
			hi = middle - 1
		}
	}
	return hi, nil
}

// searchUp is search for an offset that is thought to be near lo, searchDown for one near hi.
func (l *List) searchUp(offset uint32, lo, hi int) (int, error) {
	for step := 1; lo <= hi && step < span; step *= 2 {
		probe := min(lo+step-1, hi)
		first, err := l.first(probe)
		if err != nil {
			return 0, err
		}
		if first > offset {
			hi = probe - 1
			break
		}
		lo = probe + 1
	}
	return l.search(offset, lo, hi)
}

func (l *List) searchDown(offset uint32, lo, hi int) (int, error) {
	for step := 1; lo <= hi && step < span; step *= 2 {
		probe := max(hi-step+1, lo)
		first, err := l.first(probe)
		if err != nil {
			return 0, err
		}
		if first <= offset {
			lo = probe + 1
			break
		}
		hi = probe - 1
	}
	return l.search(offset, lo, hi)
}
