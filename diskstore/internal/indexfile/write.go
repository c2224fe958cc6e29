package indexfile

import (
	"context"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/dcbstore/dcb/diskstore/internal/postings"
	"github.com/dcbstore/dcb/diskstore/internal/term"
	"github.com/dcbstore/dcb/internal/vfs"
)

// Write writes the index of sources, one behind the other, into the new and empty file f, and syncs it. One source seals a segment, several merge index
// files. When it fails, or ctx ends, the file is worth nothing. Together the sources have meta.Count events.
//
// It needs a few MiB of memory however large the sources are, besides 4 bytes for every 16 KiB of the file and for every type of each source. The terms are
// read twice: once to count them, by which the parts of the file know their places, and once to write them.
func Write(ctx context.Context, f vfs.File, meta Meta, sources ...Source) error {
	w := &writer{sources: sources, out: &output{file: f, ended: ctx.Err, shared: make(map[int64]*[pageBytes]byte)}}
	w.header.Meta = meta
	for _, step := range []func() error{w.check, w.plan, w.writeColumn, w.writeTerms, w.finish, f.Sync} {
		if err := step(); err != nil {
			return fmt.Errorf("indexfile: write: %w", err)
		}
	}
	return nil
}

type writer struct {
	sources []Source
	header  header
	layout  layout
	out     *output
	types   [][]uint32 // by source, the IDs in the file of its types
}

func (w *writer) check() error {
	count := uint64(0)
	for _, source := range w.sources {
		count += uint64(source.Count())
	}
	if count != uint64(w.header.Count) {
		return fmt.Errorf("the sources have %d events together, and %d are to be written", count, w.header.Count)
	}
	return nil
}

// plan counts the terms.
func (w *writer) plan() error {
	w.types = make([][]uint32, len(w.sources))
	for kind := range term.Kind(term.Kinds) {
		m := newMerger(kind, w.sources)
		err := w.each(m, func() error {
			n := m.count()
			if n == 0 || n > uint64(w.header.Count) {
				return fmt.Errorf("%w: %d of %d events have the term %#x", ErrBroken, n, w.header.Count, uint64(m.key))
			}
			w.header.skipBytes += uint64(postings.SkipBytes(int(n)))
			if kind == term.Type {
				for i := range m.inputs {
					if m.inputs[i].taken {
						w.types[i] = append(w.types[i], uint32(w.header.terms[kind]))
					}
				}
			}
			w.header.terms[kind]++
			return nil
		})
		if err != nil {
			return err
		}
	}
	layout, ok := w.header.layout()
	if !ok {
		return fmt.Errorf("%w: more terms than there can be", ErrBroken)
	}
	w.layout = layout
	return nil
}

// each calls do for each term of m.
func (w *writer) each(m *merger, do func() error) error {
	for i := 0; ; i++ {
		if i%batch == 0 && w.out.ended() != nil {
			return w.out.ended()
		}
		ok, err := m.next()
		if err != nil || !ok {
			return err
		}
		if err := do(); err != nil {
			return err
		}
	}
}

func (w *writer) writeColumn() error {
	to := w.out.part(w.layout.column)
	column := columnWriter{to: to, line: make([]byte, 0, alignment), perLine: w.layout.perLine, width: w.layout.typeBytes}
	events := make([]Event, 16*batch)
	for i, source := range w.sources {
		for offset := uint32(0); offset < source.Count(); {
			part := events[:min(uint32(len(events)), source.Count()-offset)]
			if err := source.ReadEvents(offset, part); err != nil {
				return err
			}
			offset += uint32(len(part))
			for _, e := range part {
				if uint64(e.Type) >= uint64(len(w.types[i])) {
					return fmt.Errorf("%w: an event of type %d, of %d", ErrBroken, e.Type, len(w.types[i]))
				}
				if err := column.add(Event{Place: e.Place, Type: w.types[i][e.Type]}); err != nil {
					return err
				}
			}
		}
	}
	if err := column.flush(); err != nil {
		return err
	}
	return to.flush()
}

func (w *writer) writeTerms() error {
	skips, blocks := w.out.part(w.layout.skips), w.out.part(w.layout.blocks)
	packer := postings.NewPacker(blocks, skips)
	for kind := range term.Kind(term.Kinds) {
		if err := w.writeKind(kind, packer); err != nil {
			return err
		}
	}
	if err := skips.flush(); err != nil {
		return err
	}
	if skips.at != w.layout.skips+int64(w.header.skipBytes) {
		return fmt.Errorf("%w: a source had other lists when they were counted", ErrBroken)
	}
	if err := blocks.flush(); err != nil {
		return err
	}
	w.header.blockBytes = uint64(blocks.at - w.layout.blocks)
	return nil
}

// writeKind writes the dictionary of a kind, and its lists.
func (w *writer) writeKind(kind term.Kind, packer *postings.Packer) error {
	buckets, entries := w.out.part(w.layout.buckets[kind]), w.out.part(w.layout.entries[kind])
	d := dictionaryWriter{buckets: buckets, entries: entries, n: bucketCount(w.header.terms[kind])}
	m := newMerger(kind, w.sources)
	err := w.each(m, func() error {
		ref, err := w.pack(m, packer)
		if err != nil {
			return err
		}
		return d.add(m.key, ref)
	})
	if err != nil {
		return err
	}
	if d.terms != w.header.terms[kind] {
		return fmt.Errorf("%w: a source had other terms when they were counted", ErrBroken)
	}
	if err := d.flush(d.n); err != nil {
		return err
	}
	if err := buckets.flush(); err != nil {
		return err
	}
	return entries.flush()
}

// pack packs the list of m's term.
func (w *writer) pack(m *merger, packer *postings.Packer) (postings.Ref, error) {
	n := m.count()
	if n > math.MaxUint32 {
		return 0, fmt.Errorf("%w: a list of %d", ErrBroken, n)
	}
	if err := packer.Begin(uint32(n)); err != nil {
		return 0, err
	}
	for i := range m.inputs {
		in := &m.inputs[i]
		if !in.taken {
			continue
		}
		if err := packer.Add(in.terms[0].List, in.base, in.base+in.source.Count()); err != nil {
			return 0, err
		}
	}
	return packer.End()
}

// finish writes the table and the header.
func (w *writer) finish() error {
	layout, ok := w.header.layout()
	if !ok {
		return fmt.Errorf("%w: longer lists than there can be", ErrBroken)
	}
	w.layout = layout
	table := w.out.finish(w.layout.table)
	w.header.table = crc32.Checksum(table, castagnoli)
	if _, err := w.out.file.WriteAt(table, w.layout.table); err != nil {
		return err
	}
	_, err := w.out.file.WriteAt(w.header.encode(), 0)
	return err
}
