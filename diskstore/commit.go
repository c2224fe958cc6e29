package diskstore

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/diskstore/internal/logfile"
	"github.com/dcbstore/dcb/diskstore/internal/tail"
	"github.com/dcbstore/dcb/internal/vfs"
)

// activeSegment is a segment that appends go to, or went to until its index file exists.
type activeSegment struct {
	segment *segment
	header  logfile.SegmentHeader // PrevFirst, PrevEnd and PrevSum are set when it is written
	file    vfs.File              // nil after the segment was truncated to its end
	tail    *tail.Index
	end     uint32 // the offset of the next log record
}

// indexRange returns the range of the active segment, which has no end yet.
func (a *activeSegment) indexRange() indexRange {
	return indexRange{first: a.segment.first, last: endless, index: a.tail, tail: a.tail}
}

// logState is what was written to the log. It belongs to the leader.
type logState struct {
	active       *activeSegment   // the segment of the last log record
	segmentState                  // after the last log record
	buffer       []byte           // reused by every group
	group        []*appendRequest // reused by every group
	durable      dcb.Position     // the last position known to be durable
}

// maxGroupBytes bounds one write, so that the first of many appends does not wait for all of
// them.
const maxGroupBytes = 8 << 20

// commitNext writes the next group, answers its callers, and hands leadership to the first
// caller that arrived meanwhile. The caller is the leader.
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

// The leader gives up coalescing after this many yields, or this long, without a new request.
const (
	maxIdleYields = 32
	maxIdleTime   = 50 * time.Microsecond
)

// coalesce takes the next group. A caller that was just answered often appends again at once.
// The leader yields to those callers as long as more requests arrive, so that they join this
// group. Otherwise each would wait for the sync of this group and then for the next one. No
// timer is involved, and a single caller is not delayed.
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

// takeGroup removes the next group from pending: requests for one segment, up to maxGroupBytes.
// The caller holds mu.
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

// answer sets the result of r and wakes its caller if it is still waiting. The caller holds mu.
func (s *Store) answer(r *appendRequest, err error) {
	r.err, r.done = err, true
	r.notify()
}

// notify wakes the goroutine that waits in await, if there is one.
func (r *appendRequest) notify() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// handOver chooses the first waiting caller of pending as the leader. The caller holds mu.
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
	go s.commitNext() // no caller is left, but their appends were admitted
}

// abandon lets the caller of r return before the answer. It returns false if the answer is there
// already.
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

// writeGroup writes the log records of a group and makes them durable. After an error s.log is
// unchanged, but the file may have bytes after its end.
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
		next.sum = logfile.ExtendSum(next.sum, crc)
		if len(group) > 1 || offset == 0 {
			b = append(b, r.Bytes...)
		}
	}
	last := group[len(group)-1]
	next.next, next.end = last.last()+1, last.offset+uint32(len(last.Bytes))
	next.recordedAt, next.clean = last.recordedAt, false
	all := b
	if len(b) == 0 {
		all = last.Bytes // a single log record is written without a copy
	}
	if cap(b) <= maxGroupBytes {
		l.buffer = b
	}
	if _, err := a.file.WriteAt(all, int64(offset)); err != nil {
		return fmt.Errorf("write to %s: %w", filepath.Base(a.segment.path), err)
	}
	if s.opts.Durability == Sync || offset == 0 { // the header of a segment certifies the previous one
		if err := s.syncLog(a.file); err != nil {
			return &syncError{fmt.Errorf("sync %s: %w", filepath.Base(a.segment.path), err)}
		}
		l.durable = last.last()
	}
	l.active, l.segmentState = a, next
	return nil
}

// syncError is the error of a failed sync. It is unknown whether the data is on the disk, and a
// later sync does not change that.
type syncError struct{ error }

func (e *syncError) Unwrap() error { return e.error }

// syncLog syncs file and measures the time.
func (s *Store) syncLog(file vfs.File) error {
	began := time.Now()
	err := file.Sync()
	s.counters.observeSync(time.Since(began))
	return err
}

// nextSegment completes the header of the segment after the one last written to, which certifies
// that one. It returns the segment and its state before the first log record.
func (s *Store) nextSegment() (*activeSegment, segmentState, error) {
	l := &s.log
	if l.durable < l.next-1 { // with NoSync
		if err := s.syncLog(l.active.file); err != nil {
			return nil, segmentState{}, &syncError{fmt.Errorf("sync %s: %w", filepath.Base(l.active.segment.path), err)}
		}
		l.durable = l.next - 1
	}
	s.mu.Lock()
	a := s.openSegments[1]
	s.mu.Unlock()
	a.header.PrevFirst, a.header.PrevEnd, a.header.PrevSum = l.active.segment.first, l.end, l.sum
	a.header.NotBefore = l.recordedAt
	return a, newSegmentState(a.header), nil
}

// failGroup fails a group whose write or sync failed, and every pending request, because they
// were checked against the group. If the write can be undone, the store goes on. After a failed
// sync the content of the disk is unknown, and the store appends nothing until it is opened
// again. The caller holds mu.
func (s *Store) failGroup(group []*appendRequest, err error) {
	_, unknown := errors.AsType[*syncError](err)
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
		s.answer(r, unavailable(false, "append: an earlier append failed: %w", err))
	}
	clear(s.pending)
	s.pending = s.pending[:0]
	s.admitted = s.log.next - 1
	s.head.Wake()
}

// poison makes every later append fail. The caller holds mu.
func (s *Store) poison(err error) {
	s.failed = err
	s.opts.Log.Error("the store cannot append until it is closed and opened again", "dir", s.dir, "cause", err)
}

// undoGroup removes what the write of a group may have left in the file, and every request
// admitted since. The log then ends where it ended before. The caller holds mu.
func (s *Store) undoGroup(group []*appendRequest) error {
	l := &s.log
	a := l.active
	for _, later := range s.openSegments[1:] {
		_ = later.file.Close() // it is removed
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
	ranges = append(slices.Clone(ranges[:len(ranges)-1]), a.indexRange())
	s.publish(segments, ranges)
	return nil
}

// writeZeros writes size zeros at offset from.
func writeZeros(file vfs.File, from, size int64) error {
	_, err := file.WriteAt(make([]byte, size), from)
	return err
}
