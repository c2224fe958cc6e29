package diskstore

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sync"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/diskstore/internal/indexfile"
	"github.com/dcbstore/dcb/diskstore/internal/logfile"
	"github.com/dcbstore/dcb/diskstore/internal/tail"
	"github.com/dcbstore/dcb/diskstore/internal/term"
	"github.com/dcbstore/dcb/internal/vfs"
)

// sealer builds index files in the background. One goroutine builds the index file of each
// segment that the log has left, another merges index files, so that sealing does not wait for
// merges. Each goroutine exits when it has nothing to do.
type sealer struct {
	// indexMu is held while index files are merged or rebuilt.
	indexMu sync.Mutex
	// ctx ends when the store closes.
	ctx    context.Context //nolint:containedctx // of goroutines that live as long as the store
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu          sync.Mutex       // guards the fields below
	unsealed    []*activeSegment // segments without an index file, oldest first
	sealing     backgroundJob
	merging     backgroundJob
	cancelMerge context.CancelFunc // cancels the merge under way; nil if there is none
	rebuilds    int                // how many rebuilds wait; no merge starts meanwhile
	changed     chan struct{}      // closed and replaced when unsealed shrinks or a job ends
}

// backgroundJob is work that at most one goroutine does at a time.
type backgroundJob struct {
	running bool
	rerun   bool  // the job was requested while it was running
	err     error // why the last run ended early
}

// maxUnsealed bounds how many segments may wait for an index file. Each has its index in memory.
// The log does not continue in a further segment until one of them is sealed.
const maxUnsealed = 3

func (l *sealer) init() {
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.changed = make(chan struct{})
}

// stop ends the background work. The next opening continues it.
func (l *sealer) stop() {
	l.mu.Lock() // so that no job starts during work.Wait
	l.cancel()
	l.mu.Unlock()
	l.work.Wait()
}

// waitForBacklog waits until fewer than maxUnsealed segments wait. It returns the error of
// sealing if that has stopped.
func (l *sealer) waitForBacklog() error {
	for {
		l.mu.Lock()
		few, running, changed, failed := len(l.unsealed) < maxUnsealed, l.sealing.running, l.changed, l.sealing.err
		l.mu.Unlock()
		switch {
		case few:
			return nil
		case !running:
			return failed
		}
		<-changed
	}
}

// broadcast wakes the goroutines that wait for changed. The caller holds mu.
func (l *sealer) broadcast() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// blockMerges cancels the merge under way, and prevents merges until done is called.
func (l *sealer) blockMerges() (done func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rebuilds++
	if l.cancelMerge != nil {
		l.cancelMerge()
	}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.rebuilds--
	}
}

// enqueueSeal queues a segment that nothing is written to any more; state is its final state.
// The caller holds Store.mu.
func (s *Store) enqueueSeal(a *activeSegment, state segmentState) {
	a.segment.end, a.segment.sum = state.end, state.sum
	s.sealer.mu.Lock()
	s.sealer.unsealed = append(s.sealer.unsealed, a)
	s.sealer.mu.Unlock()
	s.startMaintenance()
}

// startMaintenance starts the background work, as far as there is any.
func (s *Store) startMaintenance() {
	s.startJob(&s.sealer.sealing, s.sealAll)
	s.startJob(&s.sealer.merging, s.mergeAll)
}

// startJob runs do in a goroutine. If the job is running already, it runs once more afterwards.
func (s *Store) startJob(j *backgroundJob, do func() error) {
	l := &s.sealer
	l.mu.Lock()
	defer l.mu.Unlock()
	if j.running || l.ctx.Err() != nil {
		j.rerun = true
		return
	}
	j.running, j.rerun, j.err = true, false, nil
	l.work.Go(func() {
		err := do()
		if err != nil && l.ctx.Err() == nil {
			s.opts.Log.Warn("cannot write an index file; the store tries again later", "dir", s.dir, "cause", err)
		}
		l.mu.Lock()
		j.running, j.err = false, err
		rerun := j.rerun && err == nil
		l.broadcast()
		l.mu.Unlock()
		if rerun {
			s.startJob(j, do)
		}
	})
}

// sealAll seals the waiting segments.
func (s *Store) sealAll() error {
	for {
		s.sealer.mu.Lock()
		var a *activeSegment
		if len(s.sealer.unsealed) > 0 {
			a = s.sealer.unsealed[0]
		}
		s.sealer.mu.Unlock()
		if a == nil {
			return nil
		}
		if err := s.sealSegment(a); err != nil {
			return err
		}
		s.sealer.mu.Lock()
		s.sealer.unsealed = s.sealer.unsealed[1:]
		s.sealer.broadcast()
		s.sealer.mu.Unlock()
		s.startJob(&s.sealer.merging, s.mergeAll)
	}
}

// sealSegment truncates a segment to its last log record, writes its index file and publishes
// that.
func (s *Store) sealSegment(a *activeSegment) error {
	g := a.segment
	s.mu.Lock()
	preallocating := s.preallocating
	s.mu.Unlock()
	if preallocating != nil && preallocating.segment == a { // the log left the segment before it grew
		<-preallocating.done
	}
	if a.file != nil {
		g.size.Store(int64(g.end))
		// Windows cannot truncate a mapped file. The next header says where the log records end.
		_ = a.file.Truncate(int64(g.end))
		file := a.file
		a.file = nil
		if err := file.Close(); err != nil {
			return err
		}
	}
	file, err := s.writeIndex(s.sealer.ctx, []*segment{g}, a.tail)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.installIndexes(file)
	return nil
}

// writeIndex writes the index file of adjacent segments from their indexes, and opens it.
func (s *Store) writeIndex(ctx context.Context, segments []*segment, sources ...indexfile.Source) (*indexFile, error) {
	meta := indexfile.Meta{
		StoreID: s.storeID, First: segments[0].first, Segments: uint32(len(segments)), Sum: contentSum(segments),
	}
	for _, source := range sources {
		meta.Count += source.Count()
	}
	path := s.filePath(indexName(meta.First, meta.First+dcb.Position(meta.Count)-1))
	write := func(file vfs.File) error { return indexfile.Write(ctx, file, meta, sources...) }
	if err := writeAtomically(s.fs, path, write); err != nil {
		return nil, fmt.Errorf("write index file %s: %w", filepath.Base(path), err)
	}
	return openIndexFile(s.fs, path)
}

// contentSum returns the checksum over the checksums of sealed segments.
func contentSum(segments []*segment) (sum uint32) {
	for _, g := range segments {
		sum = logfile.ExtendSum(sum, g.sum)
	}
	return sum
}

// installIndexes publishes index files in place of the ranges that they cover. The caller holds
// mu.
func (s *Store) installIndexes(files ...*indexFile) {
	snap := s.snapshot.Load()
	if snap == nil { // closed while an index was rebuilt
		for _, f := range files {
			_ = f.Close() // the next opening finds it
		}
		return
	}
	var ranges []indexRange
	for _, r := range snap.ranges {
		covered := slices.ContainsFunc(files, func(f *indexFile) bool {
			c := f.indexRange()
			return c.first <= r.first && r.last <= c.last || r.first <= c.first && c.last <= r.last
		})
		if !covered {
			ranges = append(ranges, r)
		}
	}
	for _, f := range files {
		ranges = append(ranges, f.indexRange())
	}
	slices.SortFunc(ranges, func(a, b indexRange) int { return cmp.Compare(a.first, b.first) })
	s.publish(snap.segments, ranges)
}

// indexSegment builds an index in memory of a segment, from its log records up to offset end.
func (s *Store) indexSegment(g *segment, header logfile.SegmentHeader, end uint32) (*tail.Index, error) {
	content, err := g.content()
	if err != nil {
		return nil, err
	}
	index, state := tail.New(), newSegmentState(header)
	add := indexer(index)
	for state.end < end {
		if err := state.readRecord(content[:end], add); err != nil {
			return nil, newCorruptError(g.path, int64(state.end), state.next, err)
		}
	}
	return index, nil
}

// indexer returns a callback for readRecord that adds each event to index.
func indexer(index *tail.Index) func(offset uint32, e *dcb.SequencedEvent) error {
	var tags []term.Key
	return func(offset uint32, e *dcb.SequencedEvent) error {
		tags = tags[:0]
		for _, tag := range e.Tags {
			tags = append(tags, term.OfTag(tag))
		}
		index.Add(offset, term.OfType(e.Type), keyOfID(e.ID), tags)
		return nil
	}
}

// keyOfID returns the key of an ID, or 0 for the zero UUID.
func keyOfID(id uuid.UUID) term.Key {
	if id == uuid.Nil {
		return 0
	}
	return term.OfID(id)
}
