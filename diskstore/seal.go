package diskstore

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/diskstore/internal/frame"
	"github.com/dcbstore/dcb/diskstore/internal/indexfile"
	"github.com/dcbstore/dcb/diskstore/internal/tail"
	"github.com/dcbstore/dcb/diskstore/internal/term"
	"github.com/dcbstore/dcb/internal/vfs"
)

// sealer makes index files in the background: in one goroutine of the segments that the log has left, and in another larger ones of smaller ones, so that
// nobody waits for those who waits for these. Each is there while it has something to do.
type sealer struct {
	// maintaining is held by whoever makes index files of index files, or makes one again. It comes before the store's mu.
	indexMu sync.Mutex
	// ending ends with the store.
	ctx    context.Context //nolint:containedctx // of goroutines that live as long as the store, not of a call
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu          sync.Mutex       // guards what follows
	unsealed    []*activeSegment // segments that have no index file yet
	sealing     backgroundJob
	merging     backgroundJob
	cancelMerge context.CancelFunc // of the merge that is under way, if one is
	rebuilds    int                // how many want to mend something, before whom no merge is begun
	changed     chan struct{}      // closed, and then replaced, when fewer wait or sealing has ended
}

// job is what one goroutine at a time does.
type backgroundJob struct {
	running bool
	rerun   bool  // it was asked for while it was running
	err     error // why it ended last time before its work was done
}

// backlog bounds how many segments may wait for an index file, each with an index in memory, before the log goes on in a further one.
const maxUnsealed = 3

func (l *sealer) init() {
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.changed = make(chan struct{})
}

// stop ends the work in the background. What is not done is done after the next opening.
func (l *sealer) stop() {
	l.mu.Lock() // so that nothing is begun any more when it is waited for
	l.cancel()
	l.mu.Unlock()
	l.work.Wait()
}

// waitForBacklog returns when few enough segments wait, or why they still do.
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

// tell wakes who waits for a change. The caller holds mu.
func (l *sealer) broadcast() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// beforeMerges ends the merge that is under way, and lets none begin until done is called.
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

// seal has an index file made of a segment that nothing is written to any more. The caller holds mu.
func (s *Store) enqueueSeal(a *activeSegment, state segmentState) {
	a.segment.end, a.segment.sum = state.end, state.sum
	s.sealer.mu.Lock()
	s.sealer.unsealed = append(s.sealer.unsealed, a)
	s.sealer.mu.Unlock()
	s.startMaintenance()
}

// maintain has the work in the background done, as far as there is any.
func (s *Store) startMaintenance() {
	s.startJob(&s.sealer.sealing, s.sealAll)
	s.startJob(&s.sealer.merging, s.mergeAll)
}

// start has a job done, again if it is just being done.
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
			s.opts.Log.Warn("an index file could not be made; it will be tried again", "dir", s.dir, "cause", err)
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

// sealWaiting makes an index file of each segment that waits.
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

func (s *Store) sealSegment(a *activeSegment) error {
	g := a.segment
	s.mu.Lock()
	preallocating := s.preallocating
	s.mu.Unlock()
	if preallocating != nil && preallocating.segment == a { // the log went on elsewhere before that was done
		<-preallocating.done
	}
	if a.file != nil {
		g.size.Store(int64(g.end))
		// Somewhere a file that is looked at as memory cannot be made shorter. The log knows where it ends all the same.
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

// writeIndex makes the index file of some segments, one behind the other, from the indexes that there are of them.
func (s *Store) writeIndex(ctx context.Context, segments []*segment, sources ...indexfile.Source) (*indexFile, error) {
	meta := indexfile.Meta{StoreID: s.storeID, First: segments[0].first, Segments: uint32(len(segments)), Sum: contentSum(segments)}
	for _, source := range sources {
		meta.Count += source.Count()
	}
	path := s.filePath(indexName(meta.First, meta.First+dcb.Position(meta.Count)-1))
	if err := writeAtomically(s.fs, path, func(file vfs.File) error { return indexfile.Write(ctx, file, meta, sources...) }); err != nil {
		return nil, fmt.Errorf("make index file %s: %w", base(path), err)
	}
	return openIndexFile(s.fs, path)
}

// contentSum returns the checksum of what the log holds in segments that are sealed.
func contentSum(segments []*segment) (sum uint32) {
	for _, g := range segments {
		sum = frame.Sum(sum, g.sum)
	}
	return sum
}

// replace puts an index file into the view, in the place of the parts that it covers. The caller holds mu.
func (s *Store) installIndexes(files ...*indexFile) {
	snap := s.snapshot.Load()
	if snap == nil { // closed while a reader had an index mended
		for _, f := range files {
			_ = f.Close() // it is found at the next opening
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

// indexOf makes an index in memory of a segment, from its frames up to end.
func (s *Store) indexSegment(g *segment, header frame.Segment, end uint32) (*tail.Index, error) {
	content, err := g.content()
	if err != nil {
		return nil, err
	}
	index := tail.New()
	state := newSegmentState(header)
	for state.end < end {
		if err := state.readRecord(content[:end], indexer(index)); err != nil {
			return nil, &CorruptError{File: g.path, Offset: int64(state.end), Position: state.next, Problem: err, Advice: adviceRestore}
		}
	}
	return index, nil
}

// addTo returns what puts events into an index that are read from the log.
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
