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
type view struct {
	refs     atomic.Int64
	segments []*segment // ascending
	parts    []part     // ascending, one behind the other
	gone     func()     // called when nobody holds the view any more
}

// part is the index of a run of positions.
type part struct {
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

func (f *indexFile) part() part {
	meta := f.Meta()
	return part{first: meta.First, last: meta.First + dcb.Position(meta.Count) - 1, index: f, file: f}
}

// publish replaces the view. The caller holds mu, and gives its own hold of files that it has opened to the view.
func (s *Store) publish(segments []*segment, parts []part) {
	v := &view{segments: segments, parts: parts, gone: s.views.Done}
	v.refs.Store(1)
	s.views.Add(1)
	for _, p := range parts {
		if p.file != nil {
			p.file.refs.Add(1)
		}
	}
	if old := s.view.Swap(v); old != nil {
		old.release()
	}
}

// hold returns the view, to be released, or dcb.ErrClosed.
func (s *Store) hold() (*view, error) {
	for {
		v := s.view.Load()
		if v == nil {
			return nil, dcb.ErrClosed
		}
		for refs := v.refs.Load(); refs > 0; refs = v.refs.Load() {
			if v.refs.CompareAndSwap(refs, refs+1) {
				return v, nil
			}
		}
	}
}

func (v *view) release() {
	if v.refs.Add(-1) > 0 {
		return
	}
	for _, p := range v.parts {
		if p.file != nil {
			p.file.release()
		}
	}
	v.gone()
}

// segmentOf returns the segment that has position, and the first position that is not in it.
func (v *view) segmentOf(position dcb.Position) (g *segment, next dcb.Position) {
	i := sort.Search(len(v.segments), func(i int) bool { return v.segments[i].first > position })
	if i == len(v.segments) {
		return v.segments[i-1], endless
	}
	return v.segments[i-1], v.segments[i].first
}

// partOf returns the part that has position.
func (v *view) partOf(position dcb.Position) *part {
	i := sort.Search(len(v.parts), func(i int) bool { return v.parts[i].last >= position })
	return &v.parts[i]
}

// damagedIndex is what is wrong with an index file, which can be made again.
type damagedIndex struct {
	file *indexFile
	error
}

func (e *damagedIndex) Unwrap() error { return e.error }

// explain returns err with the index file that it came from.
func (p *part) explain(err error) error {
	if err == nil || p.file == nil || !errors.Is(err, indexfile.ErrBroken) {
		return err
	}
	return &damagedIndex{p.file, err}
}

func asDamaged(err error) (*damagedIndex, bool) {
	var damaged *damagedIndex
	return damaged, errors.As(err, &damaged)
}

// base returns the name of a file without its directory.
func base(path string) string { return filepath.Base(path) }
