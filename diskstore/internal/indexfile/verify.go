package indexfile

import (
	"bytes"
	"context"
	"fmt"
	"math"

	"github.com/dcbstore/dcb/diskstore/internal/postings"
	"github.com/dcbstore/dcb/diskstore/internal/term"
)

// Verify reads all of the file and compares it with itself: the checksums of all pages, dictionaries, filters, lists, and the column. The error is ErrBroken,
// or that of ctx.
func (x *Index) Verify(ctx context.Context) error {
	if err := x.pages.checkAll(ctx.Err); err != nil {
		return err
	}
	for kind := range term.Kind(term.Kinds) {
		if err := x.verifyBuckets(ctx, kind); err != nil {
			return err
		}
		if err := x.verifyLists(ctx, kind); err != nil {
			return err
		}
	}
	return x.verifyColumn(ctx)
}

// verifyBuckets compares the keys with their order, and the buckets with what the keys make of them.
func (x *Index) verifyBuckets(ctx context.Context, kind term.Kind) error {
	n := bucketCount(x.header.terms[kind])
	compare := &comparer{x: x, at: x.layout.buckets[kind]}
	d := dictionaryWriter{buckets: compare, entries: nothing{}, n: n}
	last := term.Key(0)
	for rank := range x.header.terms[kind] {
		if rank%batch == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		key, _, err := x.term(kind, rank)
		if err != nil {
			return err
		}
		if key.Kind() != kind || rank > 0 && key <= last {
			return x.pages.broken(x.layout.entries[kind]+int64(rank)*entryBytes, "the keys do not ascend")
		}
		if err := d.add(key, 0); err != nil {
			return err
		}
		last = key
	}
	return d.flush(n)
}

// comparer compares what is written to it with what is in the file.
type comparer struct {
	x  *Index
	at int64
}

func (c *comparer) Write(b []byte) (int, error) {
	have, err := c.x.pages.Bytes(c.at, len(b))
	if err != nil {
		return 0, err
	}
	if !bytes.Equal(b, have) {
		return 0, c.x.pages.broken(c.at, "a bucket is not that of its keys")
	}
	c.at += int64(len(b))
	return len(b), nil
}

// nothing takes what nobody needs.
type nothing struct{}

func (nothing) Write(b []byte) (int, error) { return len(b), nil }

// verifyLists reads the lists of a kind. Those of the types must be of the events that have them, each of one.
func (x *Index) verifyLists(ctx context.Context, kind term.Kind) error {
	events := uint64(0)
	var c postings.Cursor
	for rank := range x.header.terms[kind] {
		if rank%batch == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		key, ref, err := x.term(kind, rank)
		if err != nil {
			return err
		}
		list, err := x.lists.List(ref)
		if err != nil {
			return fmt.Errorf("indexfile: %s: the term %#x: %w", x.pages.name, uint64(key), err)
		}
		if err := list.Verify(x.header.Count); err != nil {
			return fmt.Errorf("indexfile: %s: the term %#x: %w", x.pages.name, uint64(key), err)
		}
		if kind != term.Type {
			continue
		}
		c.Reset(list, 0, math.MaxUint32, false)
		for offset, ok := c.Current(); ok; offset, ok = c.Current() {
			events++
			if _, id, err := x.Event(offset); err != nil {
				return err
			} else if uint64(id) != rank {
				return fmt.Errorf("indexfile: %s: %w: event %d is of type %d, and in the list of type %d", x.pages.name, ErrBroken, offset, id, rank)
			}
			c.Next()
		}
	}
	if kind == term.Type && events != uint64(x.header.Count) {
		return fmt.Errorf("indexfile: %s: %w: %d of %d events are in the lists of types", x.pages.name, ErrBroken, events, x.header.Count)
	}
	return nil
}

// verifyColumn sees whether the places ascend, but where a segment begins.
func (x *Index) verifyColumn(ctx context.Context) error {
	last, segments := int64(-1), uint32(1)
	for offset := range x.header.Count {
		if offset%batch == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		place, _, err := x.Event(offset)
		if err != nil {
			return err
		}
		if int64(place) <= last {
			segments++
		}
		last = int64(place)
	}
	if segments > max(x.header.Segments, 1) {
		return fmt.Errorf("indexfile: %s: %w: the places begin anew more often than there are %d segments", x.pages.name, ErrBroken, x.header.Segments)
	}
	return nil
}
