package indexfile

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"runtime/debug"
	"sync/atomic"
)

// pages is the bytes of a file, divided into pages with a checksum each. A page is checked when something on it is used for the first time.
type pages struct {
	name    string
	b       []byte // the file up to the table
	table   []byte
	checked []atomic.Uint64 // a bit for each page that was checked and is right
}

func newPages(name string, b, table []byte) *pages {
	return &pages{name: name, b: b, table: table, checked: make([]atomic.Uint64, (len(table)/4+63)/64)}
}

// Bytes returns what is at a place of the file, checked.
func (p *pages) Bytes(at int64, n int) ([]byte, error) {
	if at < 0 || n < 0 || at > int64(len(p.b))-int64(n) {
		return nil, p.broken(at, "something is said to lie there, which is beyond the end")
	}
	for page := at >> pageBits; page<<pageBits < at+int64(n); page++ {
		if p.checked[page>>6].Load()&(1<<(page&63)) == 0 {
			if err := p.check(page); err != nil {
				return nil, err
			}
		}
	}
	return p.b[at : at+int64(n) : at+int64(n)], nil
}

// check checks a page. Where the disk cannot read it, or the file became shorter, it is broken too.
func (p *pages) check(page int64) (err error) {
	from := page << pageBits
	old := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(old)
		if r := recover(); r != nil {
			if _, fault := r.(interface{ Addr() uintptr }); !fault {
				panic(r)
			}
			err = p.broken(from, fmt.Sprintf("the page cannot be read: %v", r))
		}
	}()
	want := binary.LittleEndian.Uint32(p.table[4*page:])
	if crc32.Checksum(p.b[max(from, headerBytes):min(from+pageBytes, int64(len(p.b)))], castagnoli) != want {
		return p.broken(from, "the page's checksum is wrong")
	}
	p.checked[page>>6].Or(1 << (page & 63))
	return nil
}

// checkAll checks every page, also those that were right before.
func (p *pages) checkAll(each func() error) error {
	for page := range int64(len(p.table) / 4) {
		if err := each(); err != nil {
			return err
		}
		if err := p.check(page); err != nil {
			return err
		}
	}
	return nil
}

func (p *pages) broken(at int64, what string) error {
	return fmt.Errorf("indexfile: %s is %w at offset %d: %s", p.name, ErrBroken, at, what)
}
