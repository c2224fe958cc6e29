package diskstore

import (
	"errors"
	"math"
	"sort"
	"sync/atomic"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/diskstore/internal/indexfile"
	"github.com/dcbstore/dcb/diskstore/internal/search"
	"github.com/dcbstore/dcb/diskstore/internal/tail"
)

// snapshot is what readers use: all segments, and the indexes that together cover every
// position. A snapshot is replaced, never changed. Only the tail index grows, beyond the head. A
// reader holds a reference, so that no file of the snapshot is unmapped under it.
type snapshot struct {
	refs      atomic.Int64
	segments  []*segment   // ascending
	ranges    []indexRange // ascending, without gaps
	onRelease func()       // called when the last reference is released
}

// indexRange is the index of a range of positions.
type indexRange struct {
	first, last dcb.Position // both included; last is endless for the active segment
	index       search.Index
	file        *indexFile  // nil if the index is in memory
	tail        *tail.Index // nil if the index is in a file
}

const endless = dcb.Position(math.MaxUint64)

// indexFile is an open index file. Each snapshot that contains it holds a reference.
type indexFile struct {
	*indexfile.Index
	path string
	refs atomic.Int64
}

func (f *indexFile) release() {
	if f.refs.Add(-1) == 0 {
		_ = f.Close() // only read
	}
}

// indexRange returns the range of positions that the file covers.
func (f *indexFile) indexRange() indexRange {
	meta := f.Meta()
	return indexRange{first: meta.First, last: meta.First + dcb.Position(meta.Count) - 1, index: f, file: f}
}

// publish replaces the snapshot. From then on the snapshots own the index files: a file is
// closed with the last snapshot that contains it. The caller holds mu.
func (s *Store) publish(segments []*segment, ranges []indexRange) {
	snap := &snapshot{segments: segments, ranges: ranges, onRelease: s.snapshots.Done}
	snap.refs.Store(1)
	s.snapshots.Add(1)
	for _, r := range ranges {
		if r.file != nil {
			r.file.refs.Add(1)
		}
	}
	if old := s.snapshot.Swap(snap); old != nil {
		old.release()
	}
}

// acquire returns a reference to the current snapshot, or [dcb.ErrClosed]. The caller must
// release it.
func (s *Store) acquire() (*snapshot, error) {
	for {
		snap := s.snapshot.Load()
		if snap == nil {
			return nil, dcb.ErrClosed
		}
		for refs := snap.refs.Load(); refs > 0; refs = snap.refs.Load() {
			if snap.refs.CompareAndSwap(refs, refs+1) {
				return snap, nil
			}
		}
	}
}

func (s *snapshot) release() {
	if s.refs.Add(-1) > 0 {
		return
	}
	for _, r := range s.ranges {
		if r.file != nil {
			r.file.release()
		}
	}
	s.onRelease()
}

// segmentOf returns the segment with position, and the first position after that segment.
func (s *snapshot) segmentOf(position dcb.Position) (g *segment, next dcb.Position) {
	i := sort.Search(len(s.segments), func(i int) bool { return s.segments[i].first > position })
	if i == len(s.segments) {
		return s.segments[i-1], endless
	}
	return s.segments[i-1], s.segments[i].first
}

// segmentsWithin returns the segments that begin between the positions first and last, inclusive.
func (s *snapshot) segmentsWithin(first, last dcb.Position) (within []*segment) {
	for _, g := range s.segments {
		if g.first >= first && g.first <= last {
			within = append(within, g)
		}
	}
	return within
}

// rangeOf returns the index range with position.
func (s *snapshot) rangeOf(position dcb.Position) *indexRange {
	i := sort.Search(len(s.ranges), func(i int) bool { return s.ranges[i].last >= position })
	return &s.ranges[i]
}

// damagedIndexError reports a damaged index file, which can be rebuilt from the log.
type damagedIndexError struct {
	file *indexFile
	error
}

func (e *damagedIndexError) Unwrap() error { return e.error }

// attribute adds the index file to an error that reports damage in it.
func (r *indexRange) attribute(err error) error {
	if err == nil || r.file == nil || !errors.Is(err, indexfile.ErrBroken) {
		return err
	}
	return &damagedIndexError{r.file, err}
}
