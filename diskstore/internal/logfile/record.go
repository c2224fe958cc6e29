// Package logfile is the format of the log: segment files, the frames in them, and the records in the frames. Everything that is
// read is checked before it is believed, by a checksum and then by its structure. All numbers are little-endian.
//
// A segment is a header ([SegmentHeader]) and then frames, one behind the other. A frame is what one append recorded. A frame without records is a mark:
// it says that all before it is durable. After the last frame there are zeros, or the file ends.
//
// Every checksum of a frame or a record begins with the store's [Salt], which nobody knows who cannot read the files: what is appended as data passes for a
// frame of this store only by chance, once in 2³² times.
//
// One event is read without the rest of its frame: the record of an event that is alone in its frame is covered by the frame's checksum; one of
// several has a checksum of its own.
package logfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/dcbstore/dcb"
)

var (
	// ErrEnd: there is no frame, only zeros where its header would be, or nothing.
	ErrEnd = errors.New("no frame")
	// ErrBroken: what is there is no whole frame, or not as it was written.
	ErrBroken = errors.New("broken")
)

// RecordHeaderBytes is the size of a frame's header.
//
//	 0        4        8                16               24       28       32
//	┌────────┬────────┬────────────────┬────────────────┬────────┬────────┬─────────┄
//	│ bytes  │ CRC    │ first position │ recorded at    │ count  │ behind │ records
//	└────────┴────────┴────────────────┴────────────────┴────────┴────────┴─────────┄
//
// bytes: of the whole frame. CRC: CRC-32C of bytes and of all that follows the CRC, begun with the salt instead of 0. first position: of the first event.
// recorded at: microseconds since 1970. count: of records; 0 in a mark. behind: how many positions before the first one were not yet durable when the frame was written.
const RecordHeaderBytes = 32

// MaxRecordBytes is more than any frame has: an append at all limits at once.
const MaxRecordBytes = dcb.MaxAppendBytes + dcb.MaxEvents*(recordOverhead+dcb.MaxTags*2+dcb.MaxMetadata*4) + RecordHeaderBytes

// RecordHeader is what a frame says of itself.
type RecordHeader struct {
	Bytes      uint32 // of the whole frame
	CRC        uint32
	First      dcb.Position // of the first event; of a mark, the position that the next event will have
	RecordedAt int64        // microseconds since 1970
	Count      uint32       // of records; 0 in a mark
	Unsynced   uint32       // positions before First that were not yet durable
}

// Durable returns the last position that was durable when the frame was written.
func (h RecordHeader) Durable() dcb.Position { return h.First - 1 - dcb.Position(h.Unsynced) }

// Next returns the position after those of the frame.
func (h RecordHeader) Next() dcb.Position { return h.First + dcb.Position(h.Count) }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ReadRecordHeader returns the header of the frame that b begins with, if the whole frame is there and its checksum is right, with the salt of its store. Otherwise the
// error is ErrEnd or ErrBroken.
func ReadRecordHeader(salt Salt, b []byte) (RecordHeader, error) {
	if len(b) < RecordHeaderBytes {
		if isZero(b) {
			return RecordHeader{}, ErrEnd
		}
		return RecordHeader{}, fmt.Errorf("%w: %d bytes are too few for a header", ErrBroken, len(b))
	}
	h := decode(b)
	if isZero(b[:RecordHeaderBytes]) {
		return h, ErrEnd
	}
	if h.Bytes < RecordHeaderBytes || uint64(h.Bytes) > uint64(len(b)) {
		return h, fmt.Errorf("%w: a frame of %d bytes, and %d are there", ErrBroken, h.Bytes, len(b))
	}
	if checksum(salt, b[:h.Bytes]) != h.CRC {
		return h, fmt.Errorf("%w: the frame's checksum is wrong", ErrBroken)
	}
	if !h.isPossible() {
		return h, fmt.Errorf("%w: a frame that says the impossible of itself", ErrBroken)
	}
	return h, nil
}

// isPossible reports whether a frame could say so of itself.
func (h RecordHeader) isPossible() bool {
	least, most := uint64(RecordHeaderBytes), uint64(RecordHeaderBytes)
	if h.Count > 0 {
		least, most = RecordHeaderBytes+leastRecord*uint64(h.Count), MaxRecordBytes
	}
	return uint64(h.Bytes) >= least && uint64(h.Bytes) <= most && h.Count <= dcb.MaxEvents && h.RecordedAt >= 0 &&
		dcb.Position(h.Unsynced) < h.First && h.First <= h.Next()
}

func decode(b []byte) RecordHeader {
	return RecordHeader{
		Bytes:      binary.LittleEndian.Uint32(b),
		CRC:        binary.LittleEndian.Uint32(b[4:]),
		First:      dcb.Position(binary.LittleEndian.Uint64(b[8:])),
		RecordedAt: int64(binary.LittleEndian.Uint64(b[16:])),
		Count:      binary.LittleEndian.Uint32(b[24:]),
		Unsynced:   binary.LittleEndian.Uint32(b[28:]),
	}
}

// seal writes the header of the frame b, whose records are there, and returns the frame's checksum.
func seal(salt Salt, b []byte, h RecordHeader) uint32 {
	binary.LittleEndian.PutUint32(b, uint32(len(b)))
	binary.LittleEndian.PutUint64(b[8:], uint64(h.First))
	binary.LittleEndian.PutUint64(b[16:], uint64(h.RecordedAt))
	binary.LittleEndian.PutUint32(b[24:], h.Count)
	binary.LittleEndian.PutUint32(b[28:], h.Unsynced)
	crc := checksum(salt, b)
	binary.LittleEndian.PutUint32(b[4:], crc)
	return crc
}

// checksum returns that of the frame b, of which only the checksum itself is left out.
func checksum(salt Salt, b []byte) uint32 {
	return crc32.Update(crc32.Update(uint32(salt), castagnoli, b[:4]), castagnoli, b[8:])
}

// ShutdownMarker returns a frame without records, which says that all before next is durable.
func ShutdownMarker(salt Salt, next dcb.Position, recordedAt int64) []byte {
	b := make([]byte, RecordHeaderBytes)
	seal(salt, b, RecordHeader{First: next, RecordedAt: recordedAt})
	return b
}

// ExtendSum goes on with the checksum of a segment's content, by that of its next frame. It begins with 0.
func ExtendSum(sum, frameCRC uint32) uint32 {
	return sumOn(sum, uint64(frameCRC), 4)
}

// sumOn goes on with a checksum by the lowest bytes of n. What crc32.Update is given has to be on the heap; this has not.
func sumOn(sum uint32, n uint64, bytes int) uint32 {
	sum = ^sum
	for range bytes {
		sum = castagnoli[byte(sum)^byte(n)] ^ sum>>8
		n >>= 8
	}
	return ^sum
}

func isZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
