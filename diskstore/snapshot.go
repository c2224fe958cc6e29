package diskstore

import (
	"errors"
	"math"
	"path/filepath"
	"sort"
	"sync/atomic"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/diskstore/internal/indexfile"
	"github.com/dcbstore/dcb/diskstore/internal/search"
	"github.com/dcbstore/dcb/diskstore/internal/tail"
)

// view is what readers look at: all segments, and the indexes that together cover every position. It is never changed, only replaced, but for
// what is added to the tail beyond the head. Whoever looks at one holds it, so that no file in it is unmapped meanwhile.
type snapshot struct {
	refs      atomic.Int64
	segments  []*segment   // ascending
	ranges    []indexRange // ascending, one behind the other
	onRelease func()       // called when nobody holds the view any more
}

// part is the index of a run of positions.
type indexRange struct {
	first, last dcb.Position // last is endless for the segment that is appended to
	index       search.Index
	file        *indexFile  // nil if the index is in memory
	tail        *tail.Index // nil if it is in a file
}

const endless = dcb.Position(math.MaxUint64)

// indexFile is an open index file. Each view that has it holds it.
type indexFile struct {
	*indexfile.Index
	path string
	refs atomic.Int64
}

func (f *indexFile) release() {
	if f.refs.Add(-1) == 0 {
		_ = f.Close() // of what was only read
	}
}

func (f *indexFile) indexRange() indexRange {
	meta := f.Meta()
	return indexRange{first: meta.First, last: meta.First + dcb.Position(meta.Count) - 1, index: f, file: f}
}

// publish replaces the view. The caller holds mu, and gives its own hold of files that it has opened to the view.
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

// hold returns the view, to be released, or dcb.ErrClosed.
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

// segmentOf returns the segment that has position, and the first position that is not in it.
func (s *snapshot) segmentOf(position dcb.Position) (g *segment, next dcb.Position) {
	i := sort.Search(len(s.segments), func(i int) bool { return s.segments[i].first > position })
	if i == len(s.segments) {
		return s.segments[i-1], endless
	}
	return s.segments[i-1], s.segments[i].first
}

// partOf returns the part that has position.
func (s *snapshot) rangeOf(position dcb.Position) *indexRange {
	i := sort.Search(len(s.ranges), func(i int) bool { return s.ranges[i].last >= position })
	return &s.ranges[i]
}

// damagedIndex is what is wrong with an index file, which can be made again.
type damagedIndexError struct {
	file *indexFile
	error
}

func (e *damagedIndexError) Unwrap() error { return e.error }

// explain returns err with the index file that it came from.
func (r *indexRange) attribute(err error) error {
	if err == nil || r.file == nil || !errors.Is(err, indexfile.ErrBroken) {
		return err
	}
	return &damagedIndexError{r.file, err}
}

func asDamaged(err error) (*damagedIndexError, bool) {
	var damaged *damagedIndexError
	return damaged, errors.As(err, &damaged)
}

// base returns the name of a file without its directory.
func base(path string) string { return filepath.Base(path) }
