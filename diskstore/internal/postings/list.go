// Package postings is lists of the events that have a term, each event named by its offset: in memory as they are ([Plain]), in index files packed
// ([Packer], [Lists]). A [Cursor] walks either, and reads of a packed list only what lies on its way.
//
// Everything that is unpacked is checked, first by what vouches for the bytes ([Memory]) and then by its structure: whatever the bytes, a cursor
// yields ascending offsets or reports ErrBroken.
//
// A list of one offset is nothing but its [Ref]. One of up to 128 is a block, and a longer one is blocks of 128 with a table to find them by:
// see block.go, pack.go and long.go.
package postings

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrBroken: the bytes are not as they were written.
var ErrBroken = errors.New("broken")

// List is an immutable list of distinct offsets, ascending. The zero value is empty.
type List struct {
	plain  []uint32 // a list in memory; the rest is of packed lists, and of all lists n
	lists  *Lists
	at     uint64 // few: where it begins, in the blocks. many: where it begins, in the skips
	blocks uint64 // many: where its first block begins, in the blocks
	n      uint32
	arg    uint32 // one: the offset. few: how many bytes it has
}

// Plain returns the list of offsets, which ascend. The slice is used as it is.
func Plain(offsets []uint32) List { return List{plain: offsets, n: uint32(len(offsets))} }

// Len returns how many offsets the list has.
func (l List) Len() int { return int(l.n) }

// Memory is bytes that vouch for themselves, such as a file whose pages have checksums.
type Memory interface {
	// Bytes returns the n bytes that begin at a place, if they are there and as they were written. They must not be changed.
	Bytes(at int64, n int) ([]byte, error)
}

// Range is a part of a memory.
type Range struct{ At, Len int64 }

// Lists is where a packer has put packed lists.
type Lists struct {
	Memory Memory
	// Blocks and Skips are what the packer wrote to its two writers.
	Blocks, Skips Range
}

func (s *Lists) bytes(r Range, at uint64, n int) ([]byte, error) {
	if at > uint64(r.Len) || uint64(n) > uint64(r.Len)-at {
		return nil, fmt.Errorf("postings: %w: a list lies beyond the end", ErrBroken)
	}
	return s.Memory.Bytes(r.At+int64(at), n)
}

// Ref is all that a dictionary has to know of a packed list. It is part of the format of index files.
//
//	 63       56 55        46 45    32 31                          0
//	┌───────────┬────────────┬────────┬─────────────────────────────┐
//	│ 1         │ 0                   │ the offset                  │  one
//	├───────────┼────────────┼────────┴─────────────────────────────┤
//	│ 2 … 128   │ bytes      │ where it begins in the blocks        │  few: as many as the first field says
//	├───────────┼────────────┴──────────────────────────────────────┤
//	│ 255       │ where it begins in the skips                      │  many: see long.go
//	└───────────┴───────────────────────────────────────────────────┘
//
// The list of few is its first offset, as a varint, and a block.
type Ref uint64

const (
	formShift  = 56
	bytesShift = 46
	bytesMask  = 1<<(formShift-bytesShift) - 1
	longForm   = 255

	maxFewAt  = 1<<bytesShift - 1
	maxLongAt = 1<<formShift - 1
)

// List returns the list that ref stands for. Of a list of up to 128 nothing is read yet; of a longer one its header.
func (s *Lists) List(ref Ref) (List, error) {
	switch form := ref >> formShift; {
	case form == 1 && ref>>32 == 1<<(formShift-32):
		return List{lists: s, n: 1, arg: uint32(ref)}, nil
	case form >= 2 && form <= BlockLen:
		return List{lists: s, n: uint32(form), at: uint64(ref) & maxFewAt, arg: uint32(ref>>bytesShift) & bytesMask}, nil
	case form == longForm:
		return s.long(uint64(ref) & maxLongAt)
	}
	return List{}, fmt.Errorf("postings: %w: %#x stands for no list", ErrBroken, uint64(ref))
}

// many returns whether the list is packed and has a table.
func (l *List) many() bool { return l.lists != nil && l.n > BlockLen }

// unpackFew unpacks the list of few.
func (l *List) unpackFew(out *[BlockLen]uint32) error {
	b, err := l.lists.bytes(l.lists.Blocks, l.at, int(l.arg))
	if err != nil {
		return err
	}
	first, size := binary.Uvarint(b)
	if size <= 0 || first > maxOffset || !unpackBlock(b[size:], uint32(first), out[:l.n]) {
		return l.broken("its block", 0)
	}
	return nil
}

func (l *List) broken(what string, block int) error {
	return fmt.Errorf("postings: %w: a list of %d, in block %d: %s", ErrBroken, l.n, block, what)
}
