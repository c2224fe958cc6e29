package diskstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/dcbstore/dcb/diskstore/internal/logfile"
	"github.com/dcbstore/dcb/diskstore/internal/tail"
	"github.com/dcbstore/dcb/internal/vfs"
)

// Space in the log is allocated before it is needed, by writing zeros, so that the sync of an
// append changes no metadata. The active segment is extended, and a spare file is created for the
// segment after it. The size doubles each time, up to a segment: a small store stays small.

// initialChunk is how many bytes the first preallocation after opening adds.
const initialChunk = 256 << 10

// preallocation is an allocation of space under way.
type preallocation struct {
	segment *activeSegment // the segment that it extends, or nil
	done    chan struct{}
	err     error // set before done is closed
}

// spareSegment is an allocated file for the next segment. It does not have its final name yet.
type spareSegment struct {
	file vfs.File
	size int64
}

// ensureSpace returns nil if the active segment has space for a log record of size bytes, if
// necessary after it has changed to the spare file. Otherwise it starts a preallocation and
// returns a function that waits for it. The caller holds mu.
func (s *Store) ensureSpace(size int64) (wait func(context.Context) error, err error) {
	end := int64(s.active.end)
	// A segment without events cannot be left: the next one would have the same name.
	isNew := s.admitted < s.active.segment.first
	switch {
	case isNew || end+size <= int64(s.opts.SegmentBytes):
		if end+size <= s.active.segment.size.Load() {
			return nil, nil
		}
		return waitForPreallocation(s.growActive(end + size)), nil
	case s.spare != nil && logfile.SegmentHeaderBytes+size <= s.spare.size:
		return nil, s.rollSegment()
	}
	return waitForPreallocation(s.createSpare(logfile.SegmentHeaderBytes + size)), nil
}

// waitForPreallocation returns a function that waits for p. If p was started for another
// purpose, its failure is not an error of the caller, which tries again.
func waitForPreallocation(p *preallocation, own bool) func(context.Context) error {
	return func(ctx context.Context) error {
		select {
		case <-p.done:
			if p.err != nil && own {
				return unavailable(false, "append: allocate space in the log: %w", p.err)
			}
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// preallocateAhead starts a preallocation if space will soon be needed. After a failure it waits
// until an append needs the space. The caller holds mu.
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

// growActive starts to extend the active segment to at least the given size. If another
// preallocation is under way, it returns that one and false. The caller holds mu.
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
			s.poison(err) // the failed sync may have lost appends written meanwhile
			s.mu.Unlock()
		}
		return err
	})
}

// growFile extends a file that is being appended to, through a file handle of its own. The
// kernel reports an error of the disk once per handle. So a failed sync here does not hide the
// error from the sync of an append.
func growFile(files vfs.FS, path string, grow func(file vfs.File) (int64, error)) (size int64, err error) {
	file, err := files.OpenWrite(path)
	if err != nil {
		return 0, err
	}
	size, err = grow(file)
	return size, errors.Join(err, file.Close())
}

// maxZeroedGroup is the average size of groups from which on space is reserved without writing
// zeros. The sync of such a group takes so long that the change of metadata costs less than
// writing everything twice.
const maxZeroedGroup = 256 << 10

// allocator returns the function that allocates space for groups of the current size. It extends
// a file to size, or to the smaller least if the disk has no space for more, and returns the new
// size. The caller holds mu.
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

// createSpare starts to create a spare file of at least the given size. If another preallocation
// is under way, it returns that one and false. The caller holds mu.
func (s *Store) createSpare(least int64) (p *preallocation, own bool) {
	if s.preallocating != nil {
		return s.preallocating, false
	}
	size := max(min(s.nextChunk, int64(s.opts.SegmentBytes)), least)
	old, allocate := s.spare, s.allocator()
	s.spare = nil
	return s.startPreallocation(nil, func() error {
		if old != nil { // too small for the append
			_ = old.file.Close()
		}
		s.startMaintenance() // retries sealing that failed
		if err := s.sealer.waitForBacklog(); err != nil {
			return fmt.Errorf("%d segments wait for an index file: %w", maxUnsealed, err)
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

// startPreallocation runs job in a goroutine, unless a preallocation is under way. It returns
// the preallocation under way, and whether it is the caller's own. The caller holds mu.
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

// createReplacing creates a file. It removes a file of that name that an earlier process left.
func createReplacing(files vfs.FS, path string) (vfs.File, error) {
	if err := files.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return files.Create(path)
}

// rollSegment continues the log in the spare file. The file has its final name, durably, before
// anything is written to it. The caller holds mu.
func (s *Store) rollSegment() error {
	first := s.admitted + 1
	g := newSegment(s.fs, s.dir, first, s.spare.size)
	file := s.spare.file
	err := s.fs.Rename(s.filePath(spareName), g.path)
	if err == nil {
		if err = s.fs.SyncDir(s.dir); err != nil {
			// The log continues past this name, so an empty segment must not remain.
			if removed := s.fs.Remove(g.path); removed != nil {
				err = errors.Join(err, removed)
				s.poison(err)
			}
		}
	}
	s.spare = nil
	if err != nil {
		_ = file.Close()
		return unavailable(false, "append: continue the log in a new segment: %w", err)
	}
	header := logfile.SegmentHeader{StoreID: s.storeID, First: first}
	g.salt = header.Salt()
	s.activate(&activeSegment{segment: g, header: header, file: file, tail: tail.New(), end: logfile.SegmentHeaderBytes})
	return nil
}

// activate makes a the active segment and publishes it. The caller holds mu.
func (s *Store) activate(a *activeSegment) {
	snap := s.snapshot.Load()
	ranges := append([]indexRange(nil), snap.ranges...)
	ranges[len(ranges)-1].last = a.segment.first - 1
	ranges = append(ranges, a.indexRange())
	s.publish(append(append([]*segment(nil), snap.segments...), a.segment), ranges)
	s.openSegments = append(s.openSegments, a)
	s.active = a
}
