package diskstore

import (
	"context"
	"errors"
	"math"
	"math/bits"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/diskstore/internal/indexfile"
)

// A term is looked up in every index file, so there must be few: as soon as mergeWidth neighbours are of the same rank, they become one of
// a higher rank. Of n segments there are then at most (mergeWidth-1) × log n files, and each event is written again log n times. As positions
// never overlap, the merged file is the others one behind the other, term by term.
const (
	mergeWidth = 4
	maxMerged  = 16 // neighbours at once
)

// rank is the logarithm of how many segments a file covers.
func rank(f *indexFile) int { return (bits.Len32(f.Meta().Segments) - 1) / 2 }

// merge merges as long as there is something to merge.
func (s *Store) mergeAll() error {
	for {
		merged, err := s.mergeOnce()
		if !merged || err != nil {
			return err
		}
	}
}

func (s *Store) mergeOnce() (merged bool, err error) {
	s.sealer.indexMu.Lock()
	defer s.sealer.indexMu.Unlock()
	snap, err := s.acquire()
	if err != nil {
		return false, err
	}
	defer snap.release()
	run := mergeable(snap.ranges)
	if len(run) == 0 {
		return false, nil
	}
	var sources []indexfile.Source
	for _, r := range run {
		sources = append(sources, r.file)
	}
	var segments []*segment
	for _, g := range snap.segments {
		if g.first >= run[0].first && g.first <= run[len(run)-1].last {
			segments = append(segments, g)
		}
	}
	ctx, done := s.sealer.startMerge()
	if done == nil {
		return false, nil
	}
	defer done()
	var file *indexFile
	err = catchFaults(func() error {
		file, err = s.writeIndex(ctx, segments, sources...)
		return err
	})
	if errors.Is(err, indexfile.ErrBroken) || errors.Is(err, dcb.ErrCorrupt) {
		rebuilt, failed := s.rebuildDamaged(run)
		if rebuilt == 0 {
			return false, errors.Join(err, failed) // so that it is not tried for ever
		}
		return failed == nil, failed
	}
	if ctx.Err() != nil && s.sealer.ctx.Err() == nil {
		return false, nil // somebody has something to mend, and then it is begun again
	}
	if err != nil {
		return false, err
	}
	s.counters.merges.Add(1)
	s.mu.Lock()
	s.installIndexes(file)
	s.mu.Unlock()
	for _, r := range run {
		// Where it cannot be removed while somebody looks at it, that is done at the next opening.
		_ = s.fs.Remove(r.file.path)
	}
	return true, nil
}

// interruptible returns the context of a merge, and what to call at its end; nothing, if somebody has something to mend first.
func (l *sealer) startMerge() (ctx context.Context, done func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rebuilds > 0 {
		return nil, nil
	}
	ctx, interrupt := context.WithCancel(l.ctx)
	l.cancelMerge = interrupt
	return ctx, func() {
		l.mu.Lock()
		l.cancelMerge = nil
		l.mu.Unlock()
		interrupt()
	}
}

// mergeable returns neighbours that are to become one file, if there are any.
func mergeable(ranges []indexRange) []indexRange {
	for from := 0; from < len(ranges); {
		if ranges[from].file == nil {
			from++
			continue
		}
		to, events := from, uint64(0)
		for to < len(ranges) && to-from < maxMerged && ranges[to].file != nil && rank(ranges[to].file) == rank(ranges[from].file) {
			if events += uint64(ranges[to].file.Meta().Count); events > math.MaxUint32 {
				break
			}
			to++
		}
		if to-from >= mergeWidth {
			return ranges[from:to]
		}
		from = max(to, from+1)
	}
	return nil
}
