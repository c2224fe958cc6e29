package postings

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// Packer packs lists, one behind the other. What it writes is as long as the lists, what it holds is not.
type Packer struct {
	blocks, skips     io.Writer
	blocksAt, skipsAt uint64 // how much was written

	// Of the list that is being packed.
	n, left    uint32
	next       uint64 // no offset that comes may be below
	pending    []uint32
	firstBlock uint64
	skip       uint64 // where its table begins
	tops       []byte
	done       int // blocks

	scratch []byte
	cursor  Cursor
}

// NewPacker returns a packer that writes blocks and skips to two writers, which see every part once and in order.
func NewPacker(blocks, skips io.Writer) *Packer {
	return &Packer{blocks: blocks, skips: skips, pending: make([]uint32, 0, BlockLen)}
}

// Begin begins a list of n offsets, at least one.
func (p *Packer) Begin(n uint32) error {
	p.n, p.left, p.next, p.pending, p.tops, p.done = n, n, 0, p.pending[:0], p.tops[:0], 0
	if n <= BlockLen {
		return nil
	}
	p.firstBlock, p.skip = p.blocksAt, p.skipsAt
	p.scratch = binary.LittleEndian.AppendUint32(p.scratch[:0], n)
	p.scratch = binary.LittleEndian.AppendUint64(p.scratch, p.firstBlock)
	return write(p.skips, p.scratch, &p.skipsAt)
}

// Add goes on with the list: with the offsets of l, each greater by shift. They must ascend, be below limit, and be no more than was said.
func (p *Packer) Add(l List, shift, limit uint32) error {
	if uint32(l.Len()) > p.left {
		return fmt.Errorf("postings: pack: %w: a list of %d gets %d more than it was said to have", ErrBroken, p.n, uint32(l.Len())-p.left)
	}
	p.left -= uint32(l.Len())
	c := &p.cursor
	for c.Reset(l, 0, math.MaxUint32, false); c.lo < c.hi; c.turn(c.block + 1) {
		for _, offset := range c.all()[c.lo:c.hi] {
			shifted := uint64(offset) + uint64(shift)
			if shifted < p.next || shifted >= uint64(limit) {
				return fmt.Errorf("postings: pack: %w: offset %d after %d, of %d", ErrBroken, shifted, int64(p.next)-1, limit)
			}
			p.next = shifted + 1
			p.pending = append(p.pending, uint32(shifted))
			if len(p.pending) == BlockLen && p.n > BlockLen {
				if err := p.flush(); err != nil {
					return err
				}
			}
		}
	}
	return c.err
}

// End ends the list and returns what stands for it.
func (p *Packer) End() (Ref, error) {
	if p.left > 0 || p.n == 0 {
		return 0, fmt.Errorf("postings: pack: %w: a list of %d lacks %d", ErrBroken, p.n, p.left)
	}
	switch {
	case p.n == 1:
		return 1<<formShift | Ref(p.pending[0]), nil
	case p.n <= BlockLen:
		at := p.blocksAt
		p.scratch = appendBlock(binary.AppendUvarint(p.scratch[:0], uint64(p.pending[0])), p.pending)
		if at > maxFewAt {
			return 0, fmt.Errorf("postings: pack: more than %d bytes of lists", uint64(maxFewAt))
		}
		return Ref(p.n)<<formShift | Ref(len(p.scratch))<<bytesShift | Ref(at), write(p.blocks, p.scratch, &p.blocksAt)
	}
	if len(p.pending) > 0 {
		if err := p.flush(); err != nil {
			return 0, err
		}
	}
	return longForm<<formShift | Ref(p.skip), write(p.skips, p.tops, &p.skipsAt)
}

// flush writes a block of a list of many, and its entry in the table.
func (p *Packer) flush() error {
	if p.done%span == 0 {
		p.tops = binary.LittleEndian.AppendUint32(p.tops, p.pending[0])
	}
	p.done++
	p.scratch = appendBlock(p.scratch[:0], p.pending)
	if err := write(p.blocks, p.scratch, &p.blocksAt); err != nil {
		return err
	}
	end := p.blocksAt - p.firstBlock
	if end > math.MaxUint32 {
		panic("the blocks of a list take less than 4 GiB")
	}
	p.scratch = binary.LittleEndian.AppendUint32(p.scratch[:0], p.pending[0])
	p.scratch = binary.LittleEndian.AppendUint32(p.scratch, uint32(end))
	p.pending = p.pending[:0]
	return write(p.skips, p.scratch, &p.skipsAt)
}

func write(w io.Writer, b []byte, at *uint64) error {
	*at += uint64(len(b))
	_, err := w.Write(b)
	return err
}
