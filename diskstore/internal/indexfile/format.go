package indexfile

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/bits"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/diskstore/internal/term"
)

// Version is that of the format that is written and read here.
const Version = 1

// An index file is these parts, each from a multiple of 64 on, with zeros between them. Where they lie follows from the header.
//
//	┌────────┬────────┬──────────────────────────────────────────────┬───────┬────────┬───────┐
//	│ header │ column │ of tags, types and IDs each: buckets, entries │ skips │ blocks │ table │
//	└────────┴────────┴──────────────────────────────────────────────┴───────┴────────┴───────┘
//
// header: below. column: see column.go. buckets, entries: see dictionary.go. skips, blocks: the lists, see package postings. table: for each page of
// 16 KiB of the file its CRC-32C, 4 bytes. The pages end where the table begins; the header is no part of the first.
//
// The header:
//
//	 0          8      12     16         32         40      44         48     52      56     64      72    80           88            96   128
//	┌──────────┬──────┬──────┬──────────┬──────────┬───────┬──────────┬──────┬───────┬──────┬───────┬─────┬────────────┬─────────────┬─────┐
//	│ dcbindex │ vers │ CRC  │ store ID │ first    │ count │ segments │ sum  │ table │ tags │ types │ IDs │ skip bytes │ block bytes │ 0   │
//	└──────────┴──────┴──────┴──────────┴──────────┴───────┴──────────┴──────┴───────┴──────┴───────┴─────┴────────────┴─────────────┴─────┘
//
// CRC: CRC-32C of the header with zeros in its place. first: the position of the first event. count: of events. segments: of the log that they lie in. sum: the
// checksum of what the log holds there. table: CRC-32C of the table. tags, types, IDs: how many terms there are of each kind.
//
// In every version, dcbindex, version and CRC are where they are, and the CRC is of 128 bytes, so that a newer version is told from a broken file.
const (
	magic       = "dcbindex"
	headerBytes = 128
	alignment   = 64

	pageBits  = 14
	pageBytes = 1 << pageBits
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Meta is what an index file says of itself.
type Meta struct {
	StoreID  [16]byte
	First    dcb.Position // of the first event
	Count    uint32       // of events
	Segments uint32       // of the log that the events lie in
	Sum      uint32       // the checksum of what the log holds there
}

// header is all that the header says.
type header struct {
	Meta
	table      uint32
	terms      [term.Kinds]uint64
	skipBytes  uint64
	blockBytes uint64
}

func (h *header) encode() []byte {
	b := make([]byte, 0, headerBytes)
	b = append(b, magic...)
	b = binary.LittleEndian.AppendUint32(b, Version)
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = append(b, h.StoreID[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.First))
	for _, n := range []uint32{h.Count, h.Segments, h.Sum, h.table} {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	for _, n := range []uint64{h.terms[term.Tag], h.terms[term.Type], h.terms[term.ID], h.skipBytes, h.blockBytes} {
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	b = b[:headerBytes]
	binary.LittleEndian.PutUint32(b[12:], crc32.Checksum(b, castagnoli))
	return b
}

// decodeHeader returns the header of the file b. The error is ErrBroken or ErrVersion.
func decodeHeader(b []byte) (*header, error) {
	if len(b) < headerBytes || string(b[:len(magic)]) != magic {
		return nil, fmt.Errorf("%w: it does not begin with the header of an index file", ErrBroken)
	}
	own := [headerBytes]byte(b)
	clear(own[12:16])
	if crc32.Checksum(own[:], castagnoli) != binary.LittleEndian.Uint32(b[12:]) {
		return nil, fmt.Errorf("%w: the header's checksum is wrong", ErrBroken)
	}
	if version := binary.LittleEndian.Uint32(b[8:]); version != Version {
		return nil, fmt.Errorf("%w: it has version %d, and this program reads version %d", ErrVersion, version, Version)
	}
	h := new(header)
	h.StoreID = [16]byte(b[16:])
	h.First = dcb.Position(binary.LittleEndian.Uint64(b[32:]))
	for i, n := range []*uint32{&h.Count, &h.Segments, &h.Sum, &h.table} {
		*n = binary.LittleEndian.Uint32(b[40+4*i:])
	}
	for i, n := range []*uint64{&h.terms[term.Tag], &h.terms[term.Type], &h.terms[term.ID], &h.skipBytes, &h.blockBytes} {
		*n = binary.LittleEndian.Uint64(b[56+8*i:])
	}
	return h, nil
}

// layout is where the parts of a file lie.
type layout struct {
	typeBytes int64 // of a type's ID, in the column
	perLine   int64 // events in a line of the column
	column    int64
	buckets   [term.Kinds]int64
	entries   [term.Kinds]int64
	skips     int64
	blocks    int64
	table     int64
	end       int64
}

// most is more than any part has, so that no sum of parts overflows.
const most = 1 << 50

// layout returns where the parts lie, or not ok if there is no such file.
func (h *header) layout() (l layout, ok bool) {
	if h.skipBytes > most || h.blockBytes > most || h.terms[term.Type] > uint64(h.Count) {
		return layout{}, false
	}
	l.typeBytes = typeBytes(h.terms[term.Type])
	l.perLine = alignment / (placeBytes + l.typeBytes)
	at := int64(headerBytes)
	next := func(size int64) (from int64) {
		from = at
		at = (at + size + alignment - 1) &^ (alignment - 1)
		return from
	}
	l.column = next((int64(h.Count) + l.perLine - 1) / l.perLine * alignment)
	for kind, terms := range h.terms {
		if terms > most/entryBytes {
			return layout{}, false
		}
		l.buckets[kind] = next(int64(bucketCount(terms)) * bucketBytes)
		l.entries[kind] = next(int64(terms) * entryBytes)
	}
	l.skips = next(int64(h.skipBytes))
	l.blocks = next(int64(h.blockBytes))
	l.table = at
	l.end = at + pagesBelow(at)*4
	return l, true
}

// pagesBelow returns how many pages there are before a place.
func pagesBelow(at int64) int64 { return (at + pageBytes - 1) >> pageBits }

// typeBytes returns how wide the ID of one of so many types is.
func typeBytes(types uint64) int64 {
	switch width := bits.Len64(max(types, 1) - 1); {
	case width <= 8:
		return 1
	case width <= 16:
		return 2
	}
	return 4
}
