package diskstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/dcbstore/dcb/diskstore/internal/frame"
	"github.com/dcbstore/dcb/diskstore/internal/tail"
	"github.com/dcbstore/dcb/internal/vfs"
)

// Room in the log is prepared before it is needed, by writing zeros to the disk, so that a sync has nothing to make durable but what was written: a
// larger file at the end of the active segment, and a spare file to go on in. A store that is appended to a little takes a little, and one that is
// appended to much soon a whole segment at a time.

// firstChunk is how much room is prepared first after an opening. It doubles with each time, up to the size of a segment.
const initialChunk = 256 << 10

// preparation is room being prepared.
type preallocation struct {
	segment *activeSegment // that is being made larger, if it is that
	done    chan struct{}
	err     error // when done
}

// spare is a file that the log can go on in. It has its room, but no name yet.
type spareSegment struct {
	file vfs.File
	size int64
}

// room returns nil if the active segment has room for a frame of that size, possibly after it became a new one. Otherwise it has room prepared, and returns a wait for
// that.
func (s *Store) ensureSpace(size int64) (wait func(context.Context) error, err error) {
	end := int64(s.active.end)
	isNew := s.admitted < s.active.segment.first // it may have a mark, but the next segment would have its name
	switch {
	case isNew || end+size <= int64(s.opts.SegmentBytes):
		if end+size <= s.active.segment.size.Load() {
			return nil, nil
		}
		return waitForPreallocation(s.growActive(end + size)), nil
	case s.spare != nil && frame.SegmentBytes+size <= s.spare.size:
		return nil, s.rollSegment()
	}
	return waitForPreallocation(s.createSpare(frame.SegmentBytes + size)), nil
}

// untilDone returns a wait for room. Where it was prepared for somebody else, that it failed says nothing.
func waitForPreallocation(p *preallocation, own bool) func(context.Context) error {
	return func(ctx context.Context) error {
		select {
		case <-p.done:
			if p.err != nil && own {
				return unavailable(false, "append: there is no room for it: %w", p.err)
			}
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// prepareAhead has room prepared that will soon be needed. If that fails it is tried again when somebody waits for it.
func (s *Store) preallocateAhead() {
	if s.preallocating != nil || s.preallocationFailed {
		return
	}
	size, segment := s.active.segment.size.Load(), int64(s.opts.SegmentBytes)
	left := size - int64(s.active.end)
	switch {
	case size < segment && left < s.nextChunk/2:
		s.growActive(0)
	case size >= segment && s.spare == nil:
		s.createSpare(0)
	}
}

// grow has the active segment made larger, to at least that size. Own is false if something else is being prepared.
func (s *Store) growActive(least int64) (p *preallocation, own bool) {
	a, allocate := s.active, s.allocator()
	size := max(min(a.segment.size.Load()+s.nextChunk, int64(s.opts.SegmentBytes)), least)
	return s.startPreallocation(a, func() error {
		size, err := growFile(s.fs, a.segment.path, func(file vfs.File) (int64, error) { return allocate(file, size, least) })
		if err == nil {
			a.segment.size.Store(size)
			return nil
		}
		if !vfs.IsFull(err) {
			s.mu.Lock()
			s.poison(err) // what was appended meanwhile may have been lost with it
			s.mu.Unlock()
		}
		return err
	})
}

// growAside makes a file larger that is being appended to. It opens the file for itself: an error of the disk is told once to each who has it open, and is not to
// be told here instead of to the one who syncs what was appended.
func growFile(files vfs.FS, path string, grow func(file vfs.File) (int64, error)) (size int64, err error) {
	file, err := files.OpenWrite(path)
	if err != nil {
		return 0, err
	}
	size, err = grow(file)
	return size, errors.Join(err, file.Close())
}

// largeWrite is from which size of a group on the room is not written with zeros before: the sync of one takes so long anyway that what it adds in
// metadata is less than writing everything twice.
const maxZeroedGroup = 256 << 10

// preallocate returns how room is made, as things are: it makes a file that large, or, where that does not fit on the disk, as large as it must at least be, and
// returns how large.
func (s *Store) allocator() func(file vfs.File, size, least int64) (int64, error) {
	prepare := vfs.File.Preallocate
	if s.averageGroupBytes >= maxZeroedGroup {
		prepare = vfs.File.Reserve
	}
	return func(file vfs.File, size, least int64) (int64, error) {
		err := prepare(file, size)
		if vfs.IsFull(err) && 0 < least && least < size {
			size, err = least, prepare(file, least)
		}
		return size, err
	}
}

// makeSpare has a spare file made, of at least that size. Own is false if something else is being prepared.
func (s *Store) createSpare(least int64) (p *preallocation, own bool) {
	if s.preallocating != nil {
		return s.preallocating, false
	}
	size := max(min(s.nextChunk, int64(s.opts.SegmentBytes)), least)
	old, allocate := s.spare, s.allocator()
	s.spare = nil
	return s.startPreallocation(nil, func() error {
		if old != nil { // it is too small for what came
			_ = old.file.Close()
		}
		s.startMaintenance() // what failed is tried again
		if err := s.sealer.waitForBacklog(); err != nil {
			return fmt.Errorf("the segments before it have no index yet: %w", err)
		}
		file, err := createReplacing(s.fs, s.filePath(spareName))
		if err != nil {
			return err
		}
		size, err := allocate(file, size, least)
		if err != nil {
			_ = file.Close()
			return errors.Join(err, s.fs.Remove(s.filePath(spareName)))
		}
		s.mu.Lock()
		s.spare = &spareSegment{file, size}
		s.mu.Unlock()
		return nil
	})
}

// prepare carries out the job in a goroutine, unless one is being carried out, and returns the one that is.
func (s *Store) startPreallocation(segment *activeSegment, job func() error) (p *preallocation, own bool) {
	if s.preallocating != nil {
		return s.preallocating, false
	}
	p = &preallocation{segment: segment, done: make(chan struct{})}
	s.preallocating = p
	s.nextChunk = min(2*s.nextChunk, int64(s.opts.SegmentBytes))
	go func() {
		p.err = job()
		s.mu.Lock()
		s.preallocating, s.preallocationFailed = nil, p.err != nil
		s.mu.Unlock()
		close(p.done)
	}()
	return p, true
}

// createAnew creates a file, in the place of one that was left behind.
func createReplacing(files vfs.FS, path string) (vfs.File, error) {
	if err := files.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return files.Create(path)
}

// roll goes on in the spare file. It is durable under its name before anything is written to it.
func (s *Store) rollSegment() error {
	first := s.admitted + 1
	g := newSegment(s.fs, s.dir, first, s.spare.size)
	file := s.spare.file
	err := s.fs.Rename(s.filePath(spareName), g.path)
	if err == nil {
		if err = s.fs.SyncDir(s.dir); err != nil {
			if removed := s.fs.Remove(g.path); removed != nil { // and it must not be there when the log goes on past its name
				err = errors.Join(err, removed)
				s.poison(err)
			}
		}
	}
	s.spare = nil
	if err != nil {
		_ = file.Close()
		return unavailable(false, "append: the log cannot go on in a new file: %w", err)
	}
	header := frame.Segment{StoreID: s.storeID, First: first}
	g.salt = header.Salt()
	s.activate(&activeSegment{segment: g, header: header, file: file, tail: tail.New(), end: frame.SegmentBytes})
	return nil
}

// open lets the log go on in a, in the view too.
func (s *Store) activate(a *activeSegment) {
	snap := s.snapshot.Load()
	ranges := append([]indexRange(nil), snap.ranges...)
	ranges[len(ranges)-1].last = a.segment.first - 1
	ranges = append(ranges, indexRange{first: a.segment.first, last: endless, index: a.tail, tail: a.tail})
	s.publish(append(append([]*segment(nil), snap.segments...), a.segment), ranges)
	s.openSegments = append(s.openSegments, a)
	s.active = a
}
