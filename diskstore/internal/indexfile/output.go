package indexfile

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/dcbstore/dcb/internal/vfs"
)

// bufferBytes is how much of a part is gathered before it is written.
const bufferBytes = 16 * pageBytes

// output writes the parts of a file, several at the same time, and makes the table of checksums. It sees every byte once, and keeps only what lies on the
// pages that two parts share.
type output struct {
	file   vfs.File
	ended  func() error // why to stop, if there is a reason; looked at whenever something is written
	table  []byte
	shared map[int64]*[pageBytes]byte // pages that no part filled alone
}

// part is a part of the file, written from its beginning to its end.
type part struct {
	out *output
	at  int64 // of the buffer's beginning in the file
	b   []byte
	cut int // where the buffer is full, so that pages are whole
}

func (o *output) part(at int64) *part {
	return &part{out: o, at: at, cut: bufferBytes - int(at%pageBytes)}
}

// Write goes on with the part.
func (p *part) Write(b []byte) (int, error) {
	n := len(b)
	for len(p.b)+len(b) >= p.cut {
		room := p.cut - len(p.b)
		p.b = append(p.b, b[:room]...)
		b = b[room:]
		if err := p.flush(); err != nil {
			return 0, err
		}
	}
	p.b = append(p.b, b...)
	return n, nil
}

// flush writes what is in the buffer.
func (p *part) flush() error {
	if len(p.b) == 0 {
		return nil
	}
	if err := p.out.ended(); err != nil {
		return err
	}
	if _, err := p.out.file.WriteAt(p.b, p.at); err != nil {
		return err
	}
	p.out.sum(p.b, p.at)
	p.at += int64(len(p.b))
	p.b, p.cut = p.b[:0], bufferBytes
	return nil
}

// sum takes note of what was written at a place.
func (o *output) sum(b []byte, at int64) {
	for len(b) > 0 {
		page, begin := at>>pageBits, int(at%pageBytes)
		n := min(pageBytes-begin, len(b))
		if n == pageBytes {
			o.put(page, b[:n])
		} else {
			if o.shared[page] == nil {
				o.shared[page] = new([pageBytes]byte)
			}
			copy(o.shared[page][begin:], b[:n])
		}
		b, at = b[n:], at+int64(n)
	}
}

// put enters the checksum of a page.
func (o *output) put(page int64, b []byte) {
	o.grow(page + 1)
	binary.LittleEndian.PutUint32(o.table[4*page:], crc32.Checksum(b, castagnoli))
}

// grow makes the table that of so many pages.
func (o *output) grow(pages int64) {
	if missing := 4*pages - int64(len(o.table)); missing > 0 {
		o.table = append(o.table, make([]byte, missing)...)
	}
}

// finish returns the table, once all parts are written, which end at a place.
func (o *output) finish(end int64) []byte {
	o.grow(pagesBelow(end))
	for page := range pagesBelow(end) {
		size := min(pageBytes, end-page<<pageBits)
		if b := o.shared[page]; b != nil {
			from := int64(0)
			if page == 0 {
				from = headerBytes
			}
			o.put(page, b[from:size])
		}
	}
	return o.table
}
