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
	maintaining sync.Mutex
	// ending ends with the store.
	ending context.Context //nolint:containedctx // of goroutines that live as long as the store, not of a call
	end    context.CancelFunc
	work   sync.WaitGroup

	mu        sync.Mutex // guards what follows
	waiting   []*active  // segments that have no index file yet
	sealing   job
	merging   job
	interrupt context.CancelFunc // of the merge that is under way, if one is
	mending   int                // how many want to mend something, before whom no merge is begun
	changed   chan struct{}      // closed, and then replaced, when fewer wait or sealing has ended
}

// job is what one goroutine at a time does.
type job struct {
	running bool
	again   bool  // it was asked for while it was running
	failed  error // why it ended last time before its work was done
}

// backlog bounds how many segments may wait for an index file, each with an index in memory, before the log goes on in a further one.
const backlog = 3

func (l *sealer) init() {
	l.ending, l.end = context.WithCancel(context.Background())
	l.changed = make(chan struct{})
}

// stop ends the work in the background. What is not done is done after the next opening.
func (l *sealer) stop() {
	l.mu.Lock() // so that nothing is begun any more when it is waited for
	l.end()
	l.mu.Unlock()
	l.work.Wait()
}

// waitForBacklog returns when few enough segments wait, or why they still do.
func (l *sealer) waitForBacklog() error {
	for {
		l.mu.Lock()
		few, running, changed, failed := len(l.waiting) < backlog, l.sealing.running, l.changed, l.sealing.failed
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
func (l *sealer) tell() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// beforeMerges ends the merge that is under way, and lets none begin until done is called.
func (l *sealer) beforeMerges() (done func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mending++
	if l.interrupt != nil {
		l.interrupt()
	}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.mending--
	}
}

// seal has an index file made of a segment that nothing is written to any more. The caller holds mu.
func (s *Store) seal(a *active, all frames) {
	a.segment.end, a.segment.sum = all.end, all.sum
	s.sealer.mu.Lock()
	s.sealer.waiting = append(s.sealer.waiting, a)
	s.sealer.mu.Unlock()
	s.maintain()
}

// maintain has the work in the background done, as far as there is any.
func (s *Store) maintain() {
	s.start(&s.sealer.sealing, s.sealWaiting)
	s.start(&s.sealer.merging, s.merge)
}

// start has a job done, again if it is just being done.
func (s *Store) start(j *job, do func() error) {
	l := &s.sealer
	l.mu.Lock()
	defer l.mu.Unlock()
	if j.running || l.ending.Err() != nil {
		j.again = true
		return
	}
	j.running, j.again, j.failed = true, false, nil
	l.work.Go(func() {
		err := do()
		if err != nil && l.ending.Err() == nil {
			s.opts.Log.Warn("an index file could not be made; it will be tried again", "dir", s.dir, "cause", err)
		}
		l.mu.Lock()
		j.running, j.failed = false, err
		again := j.again && err == nil
		l.tell()
		l.mu.Unlock()
		if again {
			s.start(j, do)
		}
	})
}

// sealWaiting makes an index file of each segment that waits.
func (s *Store) sealWaiting() error {
	for {
		s.sealer.mu.Lock()
		var a *active
		if len(s.sealer.waiting) > 0 {
			a = s.sealer.waiting[0]
		}
		s.sealer.mu.Unlock()
		if a == nil {
			return nil
		}
		if err := s.sealOne(a); err != nil {
			return err
		}
		s.sealer.mu.Lock()
		s.sealer.waiting = s.sealer.waiting[1:]
		s.sealer.tell()
		s.sealer.mu.Unlock()
		s.start(&s.sealer.merging, s.merge)
	}
}

func (s *Store) sealOne(a *active) error {
	g := a.segment
	s.mu.Lock()
	preparing := s.preparing
	s.mu.Unlock()
	if preparing != nil && preparing.of == a { // the log went on elsewhere before that was done
		<-preparing.done
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
	file, err := s.writeIndex(s.sealer.ending, []*segment{g}, a.tail)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.replace(file)
	return nil
}

// writeIndex makes the index file of some segments, one behind the other, from the indexes that there are of them.
func (s *Store) writeIndex(ctx context.Context, segments []*segment, sources ...indexfile.Source) (*indexFile, error) {
	meta := indexfile.Meta{StoreID: s.id, First: segments[0].first, Segments: uint32(len(segments)), Sum: contentSum(segments)}
	for _, source := range sources {
		meta.Count += source.Count()
	}
	path := s.path(indexName(meta.First, meta.First+dcb.Position(meta.Count)-1))
	if err := writeAside(s.fs, path, func(file vfs.File) error { return indexfile.Write(ctx, file, meta, sources...) }); err != nil {
		return nil, fmt.Errorf("make index file %s: %w", base(path), err)
	}
	return openIndex(s.fs, path)
}

// contentSum returns the checksum of what the log holds in segments that are sealed.
func contentSum(segments []*segment) (sum uint32) {
	for _, g := range segments {
		sum = frame.Sum(sum, g.sum)
	}
	return sum
}

// replace puts an index file into the view, in the place of the parts that it covers. The caller holds mu.
func (s *Store) replace(files ...*indexFile) {
	v := s.view.Load()
	if v == nil { // closed while a reader had an index mended
		for _, f := range files {
			_ = f.Close() // it is found at the next opening
		}
		return
	}
	var parts []part
	for _, p := range v.parts {
		covered := slices.ContainsFunc(files, func(f *indexFile) bool {
			c := f.part()
			return c.first <= p.first && p.last <= c.last || p.first <= c.first && c.last <= p.last
		})
		if !covered {
			parts = append(parts, p)
		}
	}
	for _, f := range files {
		parts = append(parts, f.part())
	}
	slices.SortFunc(parts, func(a, b part) int { return cmp.Compare(a.first, b.first) })
	s.publish(v.segments, parts)
}

// indexOf makes an index in memory of a segment, from its frames up to end.
func (s *Store) indexOf(g *segment, header frame.Segment, end uint32) (*tail.Index, error) {
	content, err := g.content()
	if err != nil {
		return nil, err
	}
	index := tail.New()
	f := newFrames(header)
	for f.end < end {
		if err := f.read(content[:end], addTo(index)); err != nil {
			return nil, &CorruptError{File: g.path, Offset: int64(f.end), Position: f.next, Problem: err, Advice: restore}
		}
	}
	return index, nil
}

// addTo returns what puts events into an index that are read from the log.
func addTo(index *tail.Index) func(place uint32, e *dcb.SequencedEvent) error {
	var tags []term.Key
	return func(place uint32, e *dcb.SequencedEvent) error {
		tags = tags[:0]
		for _, tag := range e.Tags {
			tags = append(tags, term.OfTag(tag))
		}
		index.Add(place, term.OfType(e.Type), idKey(e.ID), tags)
		return nil
	}
}
