package indexfile

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/dcbstore/dcb/diskstore/internal/term"
)

// PageBytes is what a checksum is of.
const PageBytes = pageBytes

// Places returns where in x's file there are: the column, the buckets and the entries of tags.
func Places(x *Index) (column, buckets, entries int64) {
	return x.layout.column, x.layout.buckets[term.Tag], x.layout.entries[term.Tag]
}

// Reseal gives the file b the checksums that its content has, so that a test can look at what comes after them. It reports whether b is long enough for what
// its header says.
func Reseal(b []byte) bool {
	if len(b) < headerBytes {
		return false
	}
	copy(b, magic)
	binary.LittleEndian.PutUint32(b[8:], Version)
	sealHeader(b)
	h, err := decodeHeader(b)
	if err != nil {
		panic(err)
	}
	l, ok := h.layout()
	if !ok || l.end != int64(len(b)) {
		return false
	}
	for page := range pagesBelow(l.table) {
		sum := crc32.Checksum(b[max(headerBytes, page<<pageBits):min(l.table, (page+1)<<pageBits)], castagnoli)
		binary.LittleEndian.PutUint32(b[l.table+4*page:], sum)
	}
	binary.LittleEndian.PutUint32(b[52:], crc32.Checksum(b[l.table:], castagnoli))
	sealHeader(b)
	return true
}

// SetVersion makes the file b one of another version.
func SetVersion(b []byte, version uint32) {
	binary.LittleEndian.PutUint32(b[8:], version)
	sealHeader(b)
}

func sealHeader(b []byte) {
	clear(b[12:16])
	binary.LittleEndian.PutUint32(b[12:], crc32.Checksum(b[:headerBytes], castagnoli))
}
