package diskstore

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"unsafe"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/diskstore/internal/logfile"
	"github.com/dcbstore/dcb/diskstore/internal/postings"
	"github.com/dcbstore/dcb/diskstore/internal/search"
	"github.com/dcbstore/dcb/diskstore/internal/term"
)

// bounds limit a search to the positions after < position <= last, in one direction.
type bounds struct {
	after, last dcb.Position
	backwards   bool
}

// errPageFull ends a search before the event that no longer fits into the page.
var errPageFull = errors.New("enough")

// finder finds the events that a query selects. It can be reused, by one goroutine at a time.
type finder struct {
	search search.Search
	event  dcb.SequencedEvent // the event that was found last, decoded without copying
	list   postings.Cursor
}

// isSmall reports whether f uses little memory, so that it is worth reusing.
func (f *finder) isSmall() bool { return f.search.Size() < 256 && cap(f.event.Tags) <= dcb.MaxTags }

// forEach calls found with each event within b that q selects, once and in order. It stops at
// the first error of found and returns it. The event shares memory with the store; it is valid
// until found returns.
func (f *finder) forEach(
	ctx context.Context, s *Store, snap *snapshot, q *search.Query, b bounds, found func(e *dcb.SequencedEvent) error,
) error {
	if b.after >= b.last {
		return nil
	}
	lookups := int64(0)
	defer func() { s.counters.lookups.Add(lookups) }()
	for n := range snap.ranges {
		r := &snap.ranges[n]
		if b.backwards {
			r = &snap.ranges[len(snap.ranges)-1-n]
		}
		from, to := max(b.after+1, r.first), min(b.last, r.last)
		if from > to {
			continue
		}
		lookups++
		f.search.Start(ctx, r.index, q, uint32(from-r.first), uint32(to-r.first), b.backwards, false)
		if err := f.searchRange(ctx, snap, r, q, found); err != nil {
			return r.attribute(err)
		}
	}
	return nil
}

// searchRange calls found with each event that the search of r finds.
func (f *finder) searchRange(
	ctx context.Context, snap *snapshot, r *indexRange, q *search.Query, found func(e *dcb.SequencedEvent) error,
) error {
	var cursor segmentCursor
	seen := dcb.Position(0)
	for {
		candidate, ok, err := f.search.Next(ctx)
		if err != nil || !ok {
			return err
		}
		position := r.first + dcb.Position(candidate.Offset)
		if position == seen {
			continue
		}
		offset, _, err := r.index.Event(candidate.Offset)
		if err != nil {
			return err
		}
		if err := f.decode(snap, &cursor, offset, position); err != nil {
			return err
		}
		if !q.Of[candidate.Item].Matches(f.event.Event) {
			continue // a hash collision of terms
		}
		if err := found(&f.event); err != nil {
			return err
		}
		seen = position
	}
}

// segmentCursor is the segment of the event that was decoded last.
type segmentCursor struct {
	segment *segment
	next    dcb.Position // the first position after the segment
	content []byte
}

// decode sets f.event to the event at position, whose entry is at offset in its segment.
func (f *finder) decode(snap *snapshot, cursor *segmentCursor, offset uint32, position dcb.Position) error {
	if cursor.segment == nil || position < cursor.segment.first || position >= cursor.next {
		cursor.segment, cursor.next = snap.segmentOf(position)
		cursor.content = nil
	}
	if int64(len(cursor.content)) < cursor.segment.size.Load() { // not mapped, or has grown
		var err error
		if cursor.content, err = cursor.segment.content(); err != nil {
			return err
		}
	}
	if err := logfile.ReadEntry(cursor.segment.salt, cursor.content, offset, position, &f.event); err != nil {
		return newCorruptError(cursor.segment.path, int64(offset), position, err)
	}
	return nil
}

// load sets f.event to the event at position.
func (f *finder) load(snap *snapshot, position dcb.Position) error {
	r := snap.rangeOf(position)
	offset, _, err := r.index.Event(uint32(position - r.first))
	if err != nil {
		return r.attribute(err)
	}
	return f.decode(snap, new(segmentCursor), offset, position)
}

// findID returns the position of the event with the ID, up to last, or 0.
func (f *finder) findID(snap *snapshot, id uuid.UUID, key term.Key, last dcb.Position) (dcb.Position, error) {
	for i := range snap.ranges {
		r := &snap.ranges[len(snap.ranges)-1-i]
		if r.first > last {
			continue
		}
		list, err := r.index.List(key)
		if err != nil {
			return 0, r.attribute(err)
		}
		if list.Len() == 0 {
			continue
		}
		f.list.Reset(list, 0, uint32(min(last, r.last)-r.first), false)
		for ordinal, ok := f.list.Current(); ok; ordinal, ok = f.list.Current() {
			if err := f.load(snap, r.first+dcb.Position(ordinal)); err != nil {
				return 0, err
			}
			if f.event.ID == id {
				return f.event.Position, nil
			}
			f.list.Next() // a hash collision of IDs
		}
		if err := f.list.Err(); err != nil {
			return 0, r.attribute(err)
		}
	}
	return 0, nil
}

// isRecorded reports whether exactly events, each of which must have an ID, are recorded from
// position first on, up to last.
func (f *finder) isRecorded(snap *snapshot, events []dcb.Event, first, last dcb.Position) (bool, error) {
	for i := range events {
		position := first + dcb.Position(i)
		if position > last || events[i].ID == uuid.Nil {
			return false, nil
		}
		if err := f.load(snap, position); err != nil {
			return false, err
		}
		if !f.event.Same(events[i]) {
			return false, nil
		}
	}
	return true, nil
}

// hasTerm reports whether an event after after and up to last may have the term with key. It
// compares keys only.
func (f *finder) hasTerm(snap *snapshot, key term.Key, after, last dcb.Position) (bool, error) {
	if after >= last {
		return false, nil
	}
	for i := range snap.ranges {
		r := &snap.ranges[len(snap.ranges)-1-i]
		from, to := max(after+1, r.first), min(last, r.last)
		if from > to {
			continue
		}
		list, err := r.index.List(key)
		if err != nil {
			return false, r.attribute(err)
		}
		f.list.Reset(list, uint32(from-r.first), uint32(to-r.first), true)
		if _, ok := f.list.Current(); ok {
			return true, nil
		}
		if err := f.list.Err(); err != nil {
			return false, r.attribute(err)
		}
	}
	return false, nil
}

// hasCandidate reports whether q may select an event within b. It compares keys only.
func (f *finder) hasCandidate(ctx context.Context, snap *snapshot, q *search.Query, b bounds) (bool, error) {
	if b.after >= b.last {
		return false, nil
	}
	for i := range snap.ranges {
		r := &snap.ranges[len(snap.ranges)-1-i]
		from, to := max(b.after+1, r.first), min(b.last, r.last)
		if from > to {
			continue
		}
		f.search.Start(ctx, r.index, q, uint32(from-r.first), uint32(to-r.first), b.backwards, true)
		if _, ok, err := f.search.Next(ctx); ok || err != nil {
			return ok, r.attribute(err)
		}
	}
	return false, nil
}

// withSnapshot calls read with the current snapshot. If read finds a damaged index file,
// withSnapshot rebuilds that file from the log and calls read again.
func (s *Store) withSnapshot(ctx context.Context, read func(snap *snapshot) error) error {
	for {
		snap, err := s.acquire()
		if err != nil {
			return err
		}
		err = catchFaults(func() error { return read(snap) })
		snap.release()
		damaged, ok := errors.AsType[*damagedIndexError](err)
		if !ok {
			return readError(err)
		}
		if err := s.rebuildIndex(ctx, damaged); err != nil {
			return err
		}
	}
}

// pageReader is the reusable state of one read.
type pageReader struct {
	finder finder
	query  search.Query
}

var pageReaders = sync.Pool{New: func() any { return new(pageReader) }}

func (r *pageReader) recycle() {
	r.query.Of = nil
	if r.finder.isSmall() {
		pageReaders.Put(r)
	}
}

// Read implements [dcb.Store].
func (s *Store) Read(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
	return s.ReadPage(ctx, q, opts, math.MaxInt)
}

// ReadPage implements [dcb.Pager].
func (s *Store) ReadPage(
	ctx context.Context, q dcb.Query, opts dcb.ReadOptions, bytes int,
) (result dcb.ReadResult, err error) {
	bytes = max(bytes, 0) // so that subtracting sizes cannot overflow
	if err := dcb.ValidateRead(q, opts); err != nil {
		return dcb.ReadResult{}, err
	}
	if err := ctx.Err(); err != nil {
		return dcb.ReadResult{}, err
	}
	head, err := s.head.Load()
	if err != nil {
		return dcb.ReadResult{}, err
	}
	b := bounds{after: opts.After, last: opts.Top(head), backwards: opts.Backwards}
	s.counters.reads.Add(1)
	if b.after >= b.last {
		return dcb.ReadResult{Head: b.last}, nil
	}
	r := pageReaders.Get().(*pageReader)
	defer r.recycle()
	r.query.Translate(q)
	err = s.withSnapshot(ctx, func(snap *snapshot) error {
		result = dcb.ReadResult{Head: b.last}
		return r.collect(ctx, s, snap, b, opts, bytes, &result)
	})
	if err != nil && !errors.Is(err, errPageFull) {
		return dcb.ReadResult{}, err
	}
	s.counters.eventsRead.Add(int64(len(result.Events)))
	return result, nil
}

// collect adds the events that it finds to result. It returns errPageFull if there are more than
// the limit or the byte bound admits.
func (r *pageReader) collect(
	ctx context.Context, s *Store, snap *snapshot, b bounds, opts dcb.ReadOptions, bytes int, result *dcb.ReadResult,
) error {
	return r.finder.forEach(ctx, s, snap, &r.query, b, func(e *dcb.SequencedEvent) error {
		read := len(result.Events)
		if bytes <= 0 && read > 0 || opts.Limit > 0 && read == opts.Limit {
			result.More = true
			if !opts.Backwards {
				result.Head = result.Events[read-1].Position
			}
			return errPageFull
		}
		if read%1024 == 1023 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		if read == cap(result.Events) {
			result.Events = slices.Grow(result.Events, r.finder.growth(opts.Limit-read, read))
		}
		result.Events = append(result.Events, cloneEvent(e))
		bytes -= e.Size()
		return nil
	})
}

// maxGrowth bounds for how many events memory is allocated before they are found.
const maxGrowth = 1024

// growth returns for how many more events to allocate memory, after found events. At most limit
// more events are wanted; limit <= 0 means no limit.
func (f *finder) growth(limit, found int) int {
	growth := min(f.search.AtMost()+1, max(found, maxGrowth)) // plus the current event
	if limit > 0 {
		growth = min(growth, limit)
	}
	return max(growth, 1)
}

// cloneEvent returns a copy of e, which shares memory with the store. The type, the tags and the
// data of the copy are in one allocation that no other event shares.
func cloneEvent(e *dcb.SequencedEvent) dcb.SequencedEvent {
	size := len(e.Type) + len(e.Data)
	for _, tag := range e.Tags {
		size += len(tag)
	}
	clone := *e
	buffer := append(make([]byte, 0, size), e.Data...)
	clone.Data = slices.Clip(buffer)
	clone.Type, buffer = appendText(buffer, e.Type)
	clone.Tags = nil
	if len(e.Tags) > 0 {
		clone.Tags = make([]string, len(e.Tags))
	}
	for i, tag := range e.Tags {
		clone.Tags[i], buffer = appendText(buffer, tag)
	}
	return clone
}

// appendText appends text to buffer, which has the capacity, and returns the copy as a string.
// Later calls only append, so the string never changes.
func appendText(buffer []byte, text string) (copied string, rest []byte) {
	from := len(buffer)
	buffer = append(buffer, text...)
	return unsafe.String(unsafe.SliceData(buffer[from:]), len(text)), buffer
}
