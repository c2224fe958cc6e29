package diskstore

import (
	"context"
	"errors"
	"math"
	"math/bits"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/diskstore/internal/indexfile"
)

// A lookup asks every index file, so there must be few of them. As soon as mergeWidth neighbors
// have the same rank, they are merged into one file of a higher rank. For n segments there are then
// at most (mergeWidth-1) × log n files, and each event is rewritten log n times (base mergeWidth).
// Ranges never overlap, so a merge concatenates the lists of each term.
const (
	mergeWidth = 4
	maxMerged  = 16 // files in one merge
)

// rank returns the logarithm, to base mergeWidth, of the number of segments that a file covers.
func rank(f *indexFile) int { return (bits.Len32(f.Meta().Segments) - 1) / 2 }

// mergeAll merges index files until none can be merged.
func (s *Store) mergeAll() error {
	for {
		merged, err := s.mergeOnce()
		if !merged || err != nil {
			return err
		}
	}
}

// mergeOnce merges one run of index files. It returns false if there is none, or if a rebuild
// waits.
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
	segments := snap.segmentsWithin(run[0].first, run[len(run)-1].last)
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
			return false, errors.Join(err, failed) // trying again would fail the same way
		}
		return failed == nil, failed
	}
	if ctx.Err() != nil && s.sealer.ctx.Err() == nil {
		return false, nil // a rebuild interrupted the merge, and restarts it afterwards
	}
	if err != nil {
		return false, err
	}
	s.counters.merges.Add(1)
	s.mu.Lock()
	s.installIndexes(file)
	s.mu.Unlock()
	for _, r := range run {
		// Windows cannot remove a mapped file; then the next opening does.
		_ = s.fs.Remove(r.file.path)
	}
	return true, nil
}

// startMerge returns the context of a merge and a function to call at its end, or a nil function
// if a rebuild waits.
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

// mergeable returns neighboring ranges that are to become one file, or nil.
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
