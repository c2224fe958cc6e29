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
	"github.com/dcbstore/dcb/diskstore/internal/frame"
	"github.com/dcbstore/dcb/diskstore/internal/postings"
	"github.com/dcbstore/dcb/diskstore/internal/search"
	"github.com/dcbstore/dcb/diskstore/internal/term"
)

// bounds say which part of the sequence is looked at, both ends included, and in which direction.
type bounds struct {
	after, last dcb.Position // from the one after after
	backwards   bool
}

// errEnough ends a walk that found what it wanted.
var errEnough = errors.New("enough")

// walk goes through the events that a query selects. It may be used again.
type walk struct {
	search search.Search
	event  dcb.SequencedEvent // a view of the one that was found last
	list   postings.Cursor
}

// isSmall reports whether the walk takes so little memory that it is kept for the next.
func (w *walk) isSmall() bool { return w.search.Size() < 256 && cap(w.event.Tags) <= dcb.MaxTags }

// each calls found with every event within the bounds that the query selects, each once and in order, until it returns an error, which each returns. The event
// is a view, valid until found returns.
func (w *walk) each(ctx context.Context, s *Store, v *view, q *search.Query, b bounds, found func(e *dcb.SequencedEvent) error) error {
	if b.after >= b.last {
		return nil
	}
	lookups := int64(0)
	defer func() { s.count.lookups.Add(lookups) }()
	for n := range v.parts {
		p := &v.parts[n]
		if b.backwards {
			p = &v.parts[len(v.parts)-1-n]
		}
		from, to := max(b.after+1, p.first), min(b.last, p.last)
		if from > to {
			continue
		}
		lookups++
		w.search.Start(ctx, p.index, q, uint32(from-p.first), uint32(to-p.first), b.backwards, false)
		if err := w.part(ctx, v, p, q, found); err != nil {
			return p.explain(err)
		}
	}
	return nil
}

// part calls found with what the search of one part finds.
func (w *walk) part(ctx context.Context, v *view, p *part, q *search.Query, found func(e *dcb.SequencedEvent) error) error {
	var at cursor
	seen := dcb.Position(0)
	for {
		c, ok, err := w.search.Next(ctx)
		if err != nil || !ok {
			return err
		}
		position := p.first + dcb.Position(c.Offset)
		if position == seen {
			continue
		}
		place, _, err := p.index.Event(c.Offset)
		if err != nil {
			return err
		}
		if err := w.view(v, &at, place, position); err != nil {
			return err
		}
		if !q.Of[c.Item].Matches(w.event.Event) {
			continue // another term has the same key
		}
		if err := found(&w.event); err != nil {
			return err
		}
		seen = position
	}
}

// cursor is a segment that events are viewed in.
type cursor struct {
	segment *segment
	next    dcb.Position // the first that is not in it
	content []byte
}

// view sets w.event to the event at a position, whose record is at that place in its segment.
func (w *walk) view(v *view, at *cursor, place uint32, position dcb.Position) error {
	if at.segment == nil || position < at.segment.first || position >= at.next {
		at.segment, at.next = v.segmentOf(position)
		at.content = nil
	}
	if int64(len(at.content)) < at.segment.size.Load() { // at first, and when the file has grown
		var err error
		if at.content, err = at.segment.content(); err != nil {
			return err
		}
	}
	if err := frame.CheckedView(at.segment.salt, at.content, place, position, &w.event); err != nil {
		return &CorruptError{File: at.segment.path, Offset: int64(place), Position: position, Problem: err, Advice: restore}
	}
	return nil
}

// at sets w.event to the event at a position.
func (w *walk) at(v *view, position dcb.Position) error {
	p := v.partOf(position)
	place, _, err := p.index.Event(uint32(position - p.first))
	if err != nil {
		return p.explain(err)
	}
	return w.view(v, new(cursor), place, position)
}

// findID returns the position of the event with that ID, up to last, or 0.
func (w *walk) findID(v *view, id uuid.UUID, key term.Key, last dcb.Position) (dcb.Position, error) {
	for i := range v.parts {
		p := &v.parts[len(v.parts)-1-i]
		if p.first > last {
			continue
		}
		list, err := p.index.List(key)
		if err != nil {
			return 0, p.explain(err)
		}
		if list.Len() == 0 {
			continue
		}
		w.list.Reset(list, 0, uint32(min(last, p.last)-p.first), false)
		for offset, ok := w.list.Current(); ok; offset, ok = w.list.Current() {
			if err := w.at(v, p.first+dcb.Position(offset)); err != nil {
				return 0, err
			}
			if w.event.ID == id {
				return w.event.Position, nil
			}
			w.list.Next() // another ID has the same key
		}
		if err := w.list.Err(); err != nil {
			return 0, p.explain(err)
		}
	}
	return 0, nil
}

// same reports whether exactly events, each with an ID, are recorded from first on, up to last.
func (w *walk) same(v *view, events []dcb.Event, first, last dcb.Position) (bool, error) {
	for i := range events {
		position := first + dcb.Position(i)
		if position > last || events[i].ID == uuid.Nil {
			return false, nil
		}
		if err := w.at(v, position); err != nil {
			return false, err
		}
		if !w.event.Same(events[i]) {
			return false, nil
		}
	}
	return true, nil
}

// hasTerm reports whether an event after after and up to last has a term, as far as keys tell.
func (w *walk) hasTerm(v *view, key term.Key, after, last dcb.Position) (bool, error) {
	if after >= last {
		return false, nil
	}
	for i := range v.parts {
		p := &v.parts[len(v.parts)-1-i]
		from, to := max(after+1, p.first), min(last, p.last)
		if from > to {
			continue
		}
		list, err := p.index.List(key)
		if err != nil {
			return false, p.explain(err)
		}
		w.list.Reset(list, uint32(from-p.first), uint32(to-p.first), true)
		if _, ok := w.list.Current(); ok {
			return true, nil
		}
		if err := w.list.Err(); err != nil {
			return false, p.explain(err)
		}
	}
	return false, nil
}

// hasCandidate reports whether the query selects an event within the bounds, as far as keys tell.
func (w *walk) hasCandidate(ctx context.Context, v *view, q *search.Query, b bounds) (bool, error) {
	if b.after >= b.last {
		return false, nil
	}
	for i := range v.parts {
		p := &v.parts[len(v.parts)-1-i]
		from, to := max(b.after+1, p.first), min(b.last, p.last)
		if from > to {
			continue
		}
		w.search.Start(ctx, p.index, q, uint32(from-p.first), uint32(to-p.first), b.backwards, true)
		if _, ok, err := w.search.Next(ctx); ok || err != nil {
			return ok, p.explain(err)
		}
	}
	return false, nil
}

// reading calls f with a view. If f finds an index file damaged, that is made again from the log, and f is called again.
func (s *Store) reading(ctx context.Context, f func(v *view) error) error {
	for {
		v, err := s.hold()
		if err != nil {
			return err
		}
		err = guarded(func() error { return f(v) })
		v.release()
		damaged, ok := asDamaged(err)
		if !ok {
			return classified(err)
		}
		if err := s.mend(ctx, damaged); err != nil {
			return err
		}
	}
}

// reader is what a read needs, and what may be used again.
type reader struct {
	walk  walk
	query search.Query
}

var readers = sync.Pool{New: func() any { return new(reader) }}

func (r *reader) free() {
	r.query.Of = nil
	if r.walk.isSmall() {
		readers.Put(r)
	}
}

// Read implements dcb.Store.
func (s *Store) Read(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
	result, _, err := s.ReadPage(ctx, q, opts, math.MaxInt)
	return result, err
}

// ReadPage implements dcb.Pager.
func (s *Store) ReadPage(ctx context.Context, q dcb.Query, opts dcb.ReadOptions, bytes int) (result dcb.ReadResult, more bool, err error) {
	if err := dcb.ValidateRead(q, opts); err != nil {
		return dcb.ReadResult{}, false, err
	}
	if err := ctx.Err(); err != nil {
		return dcb.ReadResult{}, false, err
	}
	head, err := s.head.Load()
	if err != nil {
		return dcb.ReadResult{}, false, err
	}
	b := bounds{after: opts.After, last: head, backwards: opts.Backwards}
	if opts.Before > 0 {
		b.last = min(head, opts.Before-1)
	}
	s.count.reads.Add(1)
	if b.after >= b.last {
		return dcb.ReadResult{Head: head}, false, nil
	}
	r := readers.Get().(*reader)
	defer r.free()
	r.query.Translate(q)
	err = s.reading(ctx, func(v *view) error {
		result = dcb.ReadResult{Head: head}
		return r.page(ctx, s, v, b, opts, bytes, &result)
	})
	if err != nil && !errors.Is(err, errEnough) {
		return dcb.ReadResult{}, false, err
	}
	s.count.eventsRead.Add(int64(len(result.Events)))
	return result, err != nil, nil
}

// page adds what it finds to result, until that is all, or as much as was asked for, and there is more: errEnough.
func (r *reader) page(ctx context.Context, s *Store, v *view, b bounds, opts dcb.ReadOptions, bytes int, result *dcb.ReadResult) error {
	return r.walk.each(ctx, s, v, &r.query, b, func(e *dcb.SequencedEvent) error {
		read := len(result.Events)
		if bytes <= 0 && read > 0 || opts.Limit > 0 && read == opts.Limit {
			if !opts.Backwards {
				result.Head = result.Events[read-1].Position
			}
			return errEnough
		}
		if read%1024 == 1023 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		if read == cap(result.Events) {
			result.Events = slices.Grow(result.Events, r.walk.room(opts.Limit-read, read))
		}
		event, size := keep(e)
		result.Events = append(result.Events, event)
		bytes -= size
		return nil
	})
}

// mostRoom bounds for how many events room is made before they are found.
const mostRoom = 1024

// room returns for how many events more to make room, if there are found so many already, and at most limit are wanted unless that is not positive.
func (w *walk) room(limit, found int) int {
	room := min(w.search.AtMost()+1, max(found, mostRoom)) // the one that is at hand has been counted
	if limit > 0 {
		room = min(room, limit)
	}
	return max(room, 1)
}

// keep returns a copy of an event that is a view, and its bytes. Its text and its data are one piece of memory, which no other event shares.
func keep(e *dcb.SequencedEvent) (kept dcb.SequencedEvent, size int) {
	size = len(e.Type) + len(e.Data)
	for _, tag := range e.Tags {
		size += len(tag)
	}
	kept = *e
	room := append(make([]byte, 0, size), e.Data...)
	kept.Data = slices.Clip(room)
	kept.Type, room = keepText(room, e.Type)
	kept.Tags = nil
	if len(e.Tags) > 0 {
		kept.Tags = make([]string, len(e.Tags))
	}
	for i, tag := range e.Tags {
		kept.Tags[i], room = keepText(room, tag)
	}
	return kept, size
}

// keepText puts text behind what is in room, which has the capacity for it and is never written again there.
func keepText(room []byte, text string) (kept string, rest []byte) {
	from := len(room)
	room = append(room, text...)
	return unsafe.String(unsafe.SliceData(room[from:]), len(text)), room
}
