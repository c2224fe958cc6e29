package diskstore

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/diskstore/internal/indexfile"
	"github.com/dcbstore/dcb/internal/vfs"
)

func openIndexFile(files vfs.FS, path string) (*indexFile, error) {
	index, err := indexfile.Open(files, path)
	if err != nil {
		return nil, err
	}
	return &indexFile{Index: index, path: path}, nil
}

// rebuildIndex replaces a damaged index file by one that it builds from the log.
func (s *Store) rebuildIndex(ctx context.Context, d *damagedIndexError) error {
	defer s.startMaintenance() // merges that had to wait
	done := s.sealer.blockMerges()
	defer done()
	s.sealer.indexMu.Lock()
	defer s.sealer.indexMu.Unlock()
	return s.rebuildIndexLocked(ctx, d)
}

// rebuildIndexLocked is rebuildIndex for a caller that holds sealer.indexMu.
func (s *Store) rebuildIndexLocked(ctx context.Context, d *damagedIndexError) error {
	snap, err := s.acquire()
	if err != nil {
		return err
	}
	defer snap.release()
	damaged := d.file.indexRange()
	if r := snap.rangeOf(damaged.first); r.file != d.file {
		return nil // already replaced
	}
	s.opts.Log.Warn("rebuilding a damaged index file", "file", d.file.path, "cause", d.error)
	s.counters.rebuilds.Add(1)
	var files []*indexFile
	covered := snap.segmentsWithin(damaged.first, damaged.last)
	progress := newProgress(s.opts.Log, "rebuilding an index from the log", len(covered))
	for i, g := range covered {
		err := ctx.Err()
		var file *indexFile
		if err == nil {
			file, err = s.rebuildSegmentIndex(g)
		}
		if err != nil {
			for _, f := range files {
				_ = f.Close()
			}
			switch {
			case s.sealer.ctx.Err() != nil:
				return dcb.ErrClosed
			case errors.Is(err, dcb.ErrCorrupt):
				return err
			}
			return unavailable(false, "%w", err)
		}
		files = append(files, file)
		progress.report(i + 1)
	}
	progress.finish(len(covered))
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		for _, f := range files {
			_ = f.Close()
		}
		return dcb.ErrClosed
	}
	s.installIndexes(files...)
	s.mu.Unlock()
	if len(covered) > 1 {
		_ = s.fs.Remove(d.file.path) // otherwise the next opening removes it
	}
	s.startMaintenance()
	return nil
}

// rebuildSegmentIndex builds the index file of a sealed segment from the log.
func (s *Store) rebuildSegmentIndex(g *segment) (file *indexFile, err error) {
	err = catchFaults(func() error {
		header, err := readSegmentHeader(s.fs, g.path)
		if err != nil {
			return newCorruptError(g.path, 0, g.first, err)
		}
		index, err := s.indexSegment(g, header, g.end)
		if err != nil {
			return err
		}
		file, err = s.writeIndex(s.sealer.ctx, []*segment{g}, index)
		return err
	})
	return file, err
}

// rebuildDamaged rebuilds those files of ranges that are damaged, and returns how many. The
// caller holds sealer.indexMu.
func (s *Store) rebuildDamaged(ranges []indexRange) (rebuilt int, err error) {
	for _, r := range ranges {
		broken := catchFaults(func() error { return r.file.Verify(s.sealer.ctx) })
		if !errors.Is(broken, indexfile.ErrBroken) && !errors.Is(broken, dcb.ErrCorrupt) {
			continue
		}
		if err := s.rebuildIndexLocked(s.sealer.ctx, &damagedIndexError{r.file, broken}); err != nil {
			return rebuilt, err
		}
		rebuilt++
	}
	return rebuilt, nil
}

// progress logs the progress of long work on segments.
type progress struct {
	log        *slog.Logger
	message    string
	total      int
	start      time.Time
	lastReport time.Time
}

const progressInterval = 2 * time.Second

func newProgress(log *slog.Logger, message string, total int) *progress {
	now := time.Now()
	return &progress{log: log, message: message, total: total, start: now, lastReport: now}
}

// report logs that done segments are finished, at most once in progressInterval.
func (p *progress) report(done int) {
	if now := time.Now(); now.Sub(p.lastReport) >= progressInterval {
		p.lastReport = now
		p.log.Info(p.message, "segments", done, "of", p.total, "seconds", int(now.Sub(p.start).Seconds()))
	}
}

// finish logs the end of the work, if anything was done.
func (p *progress) finish(done int) {
	if done > 0 {
		p.log.Info("built indexes from the log", "segments", done, "seconds", time.Since(p.start).Seconds())
	}
}
