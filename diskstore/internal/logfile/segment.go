package logfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/dcbstore/dcb"
)

// ErrVersion: the segment has another version of the format.
var ErrVersion = errors.New("another version of the format")

// Version is that of the format which this package reads and writes.
const Version = 1

// SegmentHeaderBytes is the size of a segment's header, before its first frame.
//
//	 0        8        12       16               32       40       48       56       60       64
//	┌────────┬────────┬────────┬────────────────┬────────┬────────┬────────┬────────┬────────┐
//	│dcb-log\n version│ CRC    │ store ID       │ first  │ before │ after  │ end    │ sum    │
//	└────────┴────────┴────────┴────────────────┴────────┴────────┴────────┴────────┴────────┘
//
// CRC: CRC-32C of the header with zeros in the place of the CRC. first: the position of the segment's first event. before: that of the
// segment before this one. after: no event of this segment was recorded earlier, microseconds since 1970. end and sum: where the frames of the segment
// before end, and the checksum of their checksums. So each header vouches for the segment before it.
//
// Every later version has the first 16 bytes as they are, and the CRC of these 64, whatever else they then mean: so a program tells a version that it does not
// know from damage.
const SegmentHeaderBytes = 64

const segmentMagic = "dcb-log\n"

// SegmentHeader is the header of a segment.
type SegmentHeader struct {
	StoreID   [16]byte
	First     dcb.Position // of the segment's first event
	NotBefore int64        // no event was recorded earlier, microseconds since 1970

	// Of the segment before, all zero in the first:
	PrevFirst dcb.Position // its first position
	PrevEnd   uint32       // where its frames end
	PrevSum   uint32       // its content's, see the function Sum
}

// Salt is what the checksums of a store's frames begin with. A frame of another store, or one that somebody made who cannot read the files, has the wrong checksum
// here, so that it proves nothing where an event has it as data.
type Salt uint32

// Salt returns that of the segment's store: the CRC-32C of its ID.
func (s SegmentHeader) Salt() Salt {
	low, high := binary.LittleEndian.Uint64(s.StoreID[:8]), binary.LittleEndian.Uint64(s.StoreID[8:])
	return Salt(sumOn(sumOn(0, low, 8), high, 8))
}

// Encode returns the header as it is written.
func (s SegmentHeader) Encode() []byte {
	b := make([]byte, SegmentHeaderBytes)
	copy(b, segmentMagic)
	binary.LittleEndian.PutUint32(b[8:], Version)
	copy(b[16:], s.StoreID[:])
	binary.LittleEndian.PutUint64(b[32:], uint64(s.First))
	binary.LittleEndian.PutUint64(b[40:], uint64(s.PrevFirst))
	binary.LittleEndian.PutUint64(b[48:], uint64(s.NotBefore))
	binary.LittleEndian.PutUint32(b[56:], s.PrevEnd)
	binary.LittleEndian.PutUint32(b[60:], s.PrevSum)
	binary.LittleEndian.PutUint32(b[12:], crc32.Checksum(b, castagnoli))
	return b
}

// ReadSegmentHeader returns the header that b begins with. Errors: ErrVersion, ErrBroken.
func ReadSegmentHeader(b []byte) (SegmentHeader, error) {
	if len(b) < SegmentHeaderBytes {
		return SegmentHeader{}, fmt.Errorf("%w: %d bytes are too few for a segment's header", ErrBroken, len(b))
	}
	if string(b[:8]) != segmentMagic {
		return SegmentHeader{}, fmt.Errorf("%w: it does not begin as a segment does", ErrBroken)
	}
	header := [SegmentHeaderBytes]byte(b)
	binary.LittleEndian.PutUint32(header[12:], 0)
	if crc32.Checksum(header[:], castagnoli) != binary.LittleEndian.Uint32(b[12:]) {
		return SegmentHeader{}, fmt.Errorf("%w: the checksum of the segment's header is wrong", ErrBroken)
	}
	if version := binary.LittleEndian.Uint32(b[8:]); version != Version {
		return SegmentHeader{}, fmt.Errorf("%w: it is %d, and this program knows %d", ErrVersion, version, Version)
	}
	return SegmentHeader{
		StoreID:   [16]byte(b[16:32]),
		First:     dcb.Position(binary.LittleEndian.Uint64(b[32:])),
		PrevFirst: dcb.Position(binary.LittleEndian.Uint64(b[40:])),
		NotBefore: int64(binary.LittleEndian.Uint64(b[48:])),
		PrevEnd:   binary.LittleEndian.Uint32(b[56:]),
		PrevSum:   binary.LittleEndian.Uint32(b[60:]),
	}, nil
}
