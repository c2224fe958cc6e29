package logfile

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/dcbstore/dcb"
)

// FindProof looks for a frame in b, at whatever place, that proves that the event at position had once been durable. It returns
// where that frame begins. The salt tells frames of this store from those of others, and from what only looks like one, which events may have as data.
//
// Nearly every place is refused by one comparison. A place that may be a frame costs the same however long the frame would be ([sums]): b may
// hold events whose data look like one header after the other, each of a frame as long as the rest of b.
func FindProof(salt Salt, b []byte, position dcb.Position) (at int, found bool) {
	reach := uint64(len(b)) // more positions than b has room for
	all := sums{salt: salt, b: b}
	for at = range max(0, len(b)-RecordHeaderBytes+1) {
		// Not behind position, which makes this wrap around, or too far behind it.
		if binary.LittleEndian.Uint64(b[at+8:])-uint64(position)-1 >= reach {
			continue
		}
		h := decode(b[at:])
		if !h.isPossible() || uint64(h.Bytes) > uint64(len(b)-at) || h.Durable() < position {
			continue
		}
		if all.frame(at, int(h.Bytes)) == h.CRC {
			return at, true
		}
	}
	return 0, false
}

// sums knows the checksum of any frame in b.
//
// For a CRC, appending n bytes to some that have the checksum c is a linear step: the checksum becomes shift(c, n) xor the checksum of the n bytes. So the
// checksum of b[i:j] is that of b[:j] xor shift(that of b[:i], j-i), and those of the beginnings of b are kept for every block. They begin with 0: the salt is
// in what a frame begins with, alone.
type sums struct {
	salt   Salt
	b      []byte
	blocks []uint32 // of b[:n*sumBlock] for each n; made when first needed
	powers [3][1 << powerBits]uint32
}

const (
	sumBlock  = 1 << 9 // is checked in less time than a shift takes
	powerBits = 9      // three digits are the length of any frame
)

// The digits are enough for any frame.
const _ = uint(1<<(3*powerBits) - MaxRecordBytes)

// frame returns what checksum does for b[at:at+size], a frame.
func (s *sums) frame(at, size int) uint32 {
	if size <= 2*sumBlock {
		return checksum(s.salt, s.b[at:at+size])
	}
	if s.blocks == nil {
		s.prepare()
	}
	head := crc32.Update(uint32(s.salt), castagnoli, s.b[at:at+4])
	return s.until(at+size) ^ s.shift(head^s.until(at+8), size-8)
}

func (s *sums) prepare() {
	s.blocks = make([]uint32, len(s.b)/sumBlock+1)
	for n := 1; n < len(s.blocks); n++ {
		s.blocks[n] = crc32.Update(s.blocks[n-1], castagnoli, s.b[(n-1)*sumBlock:n*sumBlock])
	}
	step := uint32(1) << 23 // x to the eighth power: one byte
	for digit := range s.powers {
		power := uint32(1) << 31 // 1
		for n := range s.powers[digit] {
			s.powers[digit][n] = power
			power = times(power, step)
		}
		step = power
	}
}

// until returns the checksum of b[:n].
func (s *sums) until(n int) uint32 {
	return crc32.Update(s.blocks[n/sumBlock], castagnoli, s.b[n/sumBlock*sumBlock:n])
}

// shift returns sum times x to the power of 8n.
func (s *sums) shift(sum uint32, n int) uint32 {
	for digit := range s.powers {
		sum = times(s.powers[digit][n>>(digit*powerBits)&(1<<powerBits-1)], sum)
	}
	return sum
}

// times multiplies polynomials modulo that of the CRC. The highest bit is the coefficient of 1, as the CRC has it.
func times(a, b uint32) (product uint32) {
	for ; a != 0; a <<= 1 {
		product ^= b & uint32(int32(a)>>31)
		b = b>>1 ^ crc32.Castagnoli&-(b&1)
	}
	return product
}
