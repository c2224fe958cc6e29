package diskstore

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/diskstore/internal/frame"
	"github.com/dcbstore/dcb/diskstore/internal/tail"
	"github.com/dcbstore/dcb/internal/vfs"
)

// active is the segment that is appended to.
type activeSegment struct {
	segment *segment
	header  frame.Segment // of which Before, End and Sum become known when it is written
	file    vfs.File
	tail    *tail.Index
	end     uint32 // where the next frame begins
}

// written is what the leader knows of the log. It belongs to whoever leads.
type logState struct {
	active       *activeSegment // where the last frame was written
	segmentState                // those that are written: the last is durable
	buffer       []byte
	group        []*appendRequest
	durable      dcb.Position
}

// maxGroupBytes bounds what is written at once, so that the first of many need not wait for all.
const maxGroupBytes = 8 << 20

// lead writes the next group of those who wait, answers them, and hands the lead to the first who came meanwhile. The caller was told to.
func (s *Store) commitNext() {
	group := s.coalesce()
	last := group[len(group)-1]
	size := int64(last.offset-group[0].offset) + int64(len(last.Bytes))

	began := time.Now()
	before := s.log
	err := s.writeGroup(group)

	s.mu.Lock()
	if err == nil && s.failed != nil {
		err = &syncError{s.failed}
	}
	if err != nil {
		s.failGroup(group, err)
	} else {
		s.head.Raise(last.last())
		s.counters.observeGroup(group, time.Since(began))
		if s.log.active != before.active {
			s.openSegments = s.openSegments[1:]
			s.enqueueSeal(before.active, before.segmentState)
		}
	}
	for _, r := range group {
		s.answer(r, r.err)
	}
	s.averageGroupBytes += (size - s.averageGroupBytes) / 8
	s.expectedRequests = len(group) + len(s.pending)
	s.handOver()
	s.mu.Unlock()
}

// patience is how often, and for how long, the leader lets others run in vain before he takes those who wait.
const (
	maxIdleYields = 32
	maxIdleTime   = 50 * time.Microsecond
)

// gather takes the next group. Whoever has just been answered often appends again at once. Those callers are let go first, for as long as they keep coming, so that
// they are in this group; otherwise each would wait for the sync of this one and then for that of the next. There is no timer in it, and who is alone is not
// delayed.
func (s *Store) coalesce() []*appendRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	began := time.Now()
	for idle := 0; len(s.pending) < s.expectedRequests && idle < maxIdleYields && time.Since(began) < maxIdleTime; idle++ {
		waiting := len(s.pending)
		s.mu.Unlock()
		runtime.Gosched()
		s.mu.Lock()
		if len(s.pending) > waiting {
			idle, began = 0, time.Now()
		}
	}
	return s.takeGroup()
}

// nextGroup takes those who wait for the same segment, as many as are written at once.
func (s *Store) takeGroup() []*appendRequest {
	group, size := s.log.group[:0], 0
	for _, r := range s.pending {
		r.isLeader = false
		if r.segment != s.pending[0].segment || len(group) > 0 && size+len(r.Bytes) > maxGroupBytes {
			break
		}
		size += len(r.Bytes)
		group = append(group, r)
	}
	n := copy(s.pending, s.pending[len(group):])
	clear(s.pending[n:])
	s.pending = s.pending[:n]
	s.log.group = group
	return group
}

// answer wakes the caller of c, if he is still there.
func (s *Store) answer(r *appendRequest, err error) {
	r.err, r.done = err, true
	r.notify()
}

func (r *appendRequest) notify() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// handOver lets the first of those who wait lead, if there are any.
func (s *Store) handOver() {
	if len(s.pending) == 0 {
		s.hasLeader = false
		s.idle.Broadcast()
		return
	}
	for _, r := range s.pending {
		if !r.abandoned {
			r.isLeader = true
			r.notify()
			return
		}
	}
	go s.commitNext() // all of them are gone, and what they sent is recorded all the same
}

// leave lets the caller of c go before it is done. It reports false if it is done after all.
func (s *Store) abandon(r *appendRequest) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.done {
		return false
	}
	r.abandoned = true
	if r.isLeader {
		r.isLeader = false
		go s.commitNext()
	}
	return true
}

// write writes the frames of a group to the log and makes them durable. On an error the log is as it was, but for what may be in the file behind its end.
func (s *Store) writeGroup(group []*appendRequest) error {
	l := &s.log
	a, offset := l.active, group[0].offset
	next := l.segmentState
	b := l.buffer[:0]
	if group[0].segment != a.segment {
		var err error
		if a, next, err = s.nextSegment(); err != nil {
			return err
		}
		b, offset = append(b, a.header.Encode()...), 0
	}
	for _, r := range group {
		crc := r.Seal(next.salt, r.first, r.recordedAt, uint32(r.first-1-l.durable))
		next.sum = frame.Sum(next.sum, crc)
		if len(group) > 1 || offset == 0 {
			b = append(b, r.Bytes...)
		}
	}
	last := group[len(group)-1]
	next.next, next.end, next.recordedAt, next.clean = last.last()+1, last.offset+uint32(len(last.Bytes)), last.recordedAt, false
	all := b
	if len(b) == 0 {
		all = last.Bytes // alone: it need not be copied
	}
	if cap(b) <= maxGroupBytes {
		l.buffer = b
	}
	if _, err := a.file.WriteAt(all, int64(offset)); err != nil {
		return fmt.Errorf("write to %s: %w", base(a.segment.path), err)
	}
	if s.opts.Durability == Sync || offset == 0 { // what a segment begins with proves that the one before it is whole
		if err := s.syncLog(a.file); err != nil {
			return &syncError{fmt.Errorf("sync %s: %w", base(a.segment.path), err)}
		}
		l.durable = last.last()
	}
	l.active, l.segmentState = a, next
	return nil
}

// syncError: whether what was written is on the disk is unknown, and will remain so.
type syncError struct{ error }

func (e *syncError) Unwrap() error { return e.error }

func (s *Store) syncLog(file vfs.File) error {
	began := time.Now()
	err := file.Sync()
	s.counters.observeSync(time.Since(began))
	return err
}

// nextSegment returns the segment after the one that was written to, whose header vouches for that, and what its first frame comes after.
func (s *Store) nextSegment() (*activeSegment, segmentState, error) {
	l := &s.log
	if l.durable < l.next-1 { // with NoSync
		if err := s.syncLog(l.active.file); err != nil {
			return nil, segmentState{}, &syncError{fmt.Errorf("sync %s: %w", base(l.active.segment.path), err)}
		}
		l.durable = l.next - 1
	}
	s.mu.Lock()
	a := s.openSegments[1]
	s.mu.Unlock()
	a.header.Before, a.header.End, a.header.Sum, a.header.After = l.active.segment.first, l.end, l.sum, l.recordedAt
	return a, newSegmentState(a.header), nil
}

// fail deals with a write or sync that failed: nobody who waits can be recorded any more, since he was decided after those. What was not synced
// can be undone, and the store goes on; after a failed sync nobody knows what is on the disk, and it does not.
func (s *Store) failGroup(group []*appendRequest, err error) {
	var synced *syncError
	unknown := errors.As(err, &synced)
	if !unknown {
		if undone := s.undoGroup(group); undone != nil {
			unknown, err = true, errors.Join(err, undone)
		}
	}
	if unknown {
		s.poison(err)
	}
	for _, r := range group {
		r.err = unavailable(unknown, "append: %w", err)
	}
	for _, r := range s.pending {
		s.answer(r, unavailable(false, "append: one before it failed: %w", err))
	}
	clear(s.pending)
	s.pending = s.pending[:0]
	s.admitted = s.log.next - 1
	s.head.Nudge()
}

// poison lets nothing be appended any more. The caller holds mu.
func (s *Store) poison(err error) {
	s.failed = err
	s.opts.Log.Error("nothing can be appended any more; close the store and open it again", "dir", s.dir, "cause", err)
}

// undo takes back what the write of a group may have left, and everything that was decided since: the log ends where it ended before.
func (s *Store) undoGroup(group []*appendRequest) error {
	l := &s.log
	a := l.active
	for _, later := range s.openSegments[1:] {
		_ = later.file.Close() // what was written to it does not count
		if err := s.fs.Remove(later.segment.path); err != nil {
			return err
		}
	}
	if len(s.openSegments) > 1 {
		if err := s.fs.SyncDir(s.dir); err != nil {
			return err
		}
	}
	if group[0].segment == a.segment {
		size := 0
		for _, r := range group {
			size += len(r.Bytes)
		}
		if err := writeZeros(a.file, int64(l.end), int64(size)); err != nil {
			return err
		}
		if err := a.file.Sync(); err != nil {
			return err
		}
	}
	var index *tail.Index
	err := catchFaults(func() (err error) {
		index, err = s.indexSegment(a.segment, a.header, l.end)
		return err
	})
	if err != nil {
		return err
	}
	a.tail, a.end = index, l.end
	s.openSegments = s.openSegments[:1]
	s.active = a

	snap := s.snapshot.Load()
	segments, ranges := snap.segments, snap.ranges
	for segments[len(segments)-1] != a.segment {
		segments, ranges = segments[:len(segments)-1], ranges[:len(ranges)-1]
	}
	ranges = append(slices.Clone(ranges[:len(ranges)-1]), indexRange{first: a.segment.first, last: endless, index: a.tail, tail: a.tail})
	s.publish(segments, ranges)
	return nil
}

// zero writes zeros.
func writeZeros(file vfs.File, from, size int64) error {
	_, err := file.WriteAt(make([]byte, size), from)
	return err
}
