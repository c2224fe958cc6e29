// Package indexfile is the index of sealed segments of the log: immutable files, made once ([Write]), and looked up in without being loaded ([Open]).
//
// An index covers a run of positions. An event is named by its offset: its position less that of the first one. The file has, for each event, where its
// record lies in its segment and what type it has; and for each term (a tag, a type, an ID), by its key, which events have it.
//
// The log is the truth; a file that is broken is made again from it. For that it must never answer wrongly: each page of it has a checksum, which is compared before
// anything on the page is believed, when that is used for the first time. What opening a file costs does not depend on what is in it, only on how many pages it has.
//
// The format is drawn in format.go, column.go and dictionary.go, and in package postings. To look something up, start reading at [Index.List]; to
// see how a file comes to be, at [Write].
package indexfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/dcbstore/dcb/diskstore/internal/postings"
	"github.com/dcbstore/dcb/diskstore/internal/term"
	"github.com/dcbstore/dcb/internal/vfs"
)

var (
	// ErrBroken: the file is not as it was written. A cursor over one of its lists reports it too.
	ErrBroken = postings.ErrBroken
	// ErrVersion: the file has another version of the format.
	ErrVersion = errors.New("another version")
)

// Index is an open index file. Any number of goroutines may use it.
type Index struct {
	mapping vfs.Mapping
	header  header
	layout  layout
	pages   *pages
	lists   postings.Lists
}

// Open opens an index file. The error is ErrBroken if it is not whole, ErrVersion if another program wrote it, or that of the file system.
func Open(fs vfs.FS, name string) (*Index, error) {
	f, err := fs.Open(name)
	if err != nil {
		return nil, fmt.Errorf("indexfile: open: %w", err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, fmt.Errorf("indexfile: open: %w", err)
	}
	if size < headerBytes {
		return nil, fmt.Errorf("indexfile: open %s: %w: %d bytes are too few", name, ErrBroken, size)
	}
	mapping, err := f.Map()
	if err != nil {
		return nil, fmt.Errorf("indexfile: open: %w", err)
	}
	x, err := open(name, mapping.Bytes())
	if err != nil {
		_ = mapping.Close() // of what was only read
		return nil, fmt.Errorf("indexfile: open %s: %w", name, err)
	}
	x.mapping = mapping
	return x, nil
}

// open opens the file b.
func open(name string, b []byte) (*Index, error) {
	h, err := decodeHeader(b)
	if err != nil {
		return nil, err
	}
	l, ok := h.layout()
	if !ok || l.end != int64(len(b)) {
		return nil, fmt.Errorf("%w: it has %d bytes, and not those that its header speaks of", ErrBroken, len(b))
	}
	if crc32.Checksum(b[l.table:], castagnoli) != h.table {
		return nil, fmt.Errorf("%w: the checksum of the table of checksums is wrong", ErrBroken)
	}
	x := &Index{header: *h, layout: l, pages: newPages(name, b[:l.table], b[l.table:])}
	x.lists = postings.Lists{
		Memory: x.pages,
		Skips:  postings.Range{At: l.skips, Len: int64(h.skipBytes)},
		Blocks: postings.Range{At: l.blocks, Len: int64(h.blockBytes)},
	}
	return x, nil
}

// Close gives back the memory. Nobody may use the index, or a list of it, any more.
func (x *Index) Close() error {
	if err := x.mapping.Close(); err != nil {
		return fmt.Errorf("indexfile: close: %w", err)
	}
	return nil
}

// Meta returns what the file says of itself.
func (x *Index) Meta() Meta { return x.header.Meta }

// Bytes returns the size of the file.
func (x *Index) Bytes() int64 { return x.layout.end }

// Count returns how many events there are.
func (x *Index) Count() uint32 { return x.header.Count }

// TermCount returns how many terms of a kind there are.
func (x *Index) TermCount(kind term.Kind) int { return int(x.header.terms[kind]) }

// List returns the offsets of the events that have a term: none, if the term is not there. The error is ErrBroken.
func (x *Index) List(key term.Key) (postings.List, error) {
	_, ref, ok, err := x.find(key)
	if err != nil || !ok {
		return postings.List{}, err
	}
	return x.lists.List(ref)
}

// TypeID returns the ID by which Event names the type with that key, if there is one. It is the rank of the key among those of types. The error is ErrBroken.
func (x *Index) TypeID(key term.Key) (id uint32, ok bool, err error) {
	rank, _, ok, err := x.find(key)
	return uint32(rank), ok, err
}

// TypeKey returns the key of the type with that ID. The error is ErrBroken.
func (x *Index) TypeKey(id uint32) (term.Key, error) {
	key, _, err := x.term(term.Type, uint64(id))
	return key, err
}

// ReadTerms sets into to the terms of a kind from that with a rank on, ascending. The error is ErrBroken.
func (x *Index) ReadTerms(kind term.Kind, rank int, into []Term) error {
	for i := range into {
		key, ref, err := x.term(kind, uint64(rank+i))
		if err != nil {
			return err
		}
		list, err := x.lists.List(ref)
		if err != nil {
			return err
		}
		into[i] = Term{Key: key, List: list}
	}
	return nil
}

// term returns the term of a kind that has a rank.
func (x *Index) term(kind term.Kind, rank uint64) (term.Key, postings.Ref, error) {
	if rank >= x.header.terms[kind] {
		return 0, 0, fmt.Errorf("indexfile: %s: %w: there is no term %d of %d", x.pages.name, ErrBroken, rank, x.header.terms[kind])
	}
	b, err := x.pages.Bytes(x.layout.entries[kind]+int64(rank)*entryBytes, entryBytes)
	if err != nil {
		return 0, 0, err
	}
	return term.Key(binary.LittleEndian.Uint64(b)), postings.Ref(binary.LittleEndian.Uint64(b[8:])), nil
}
