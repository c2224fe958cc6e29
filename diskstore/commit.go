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
type active struct {
	segment *segment
	header  frame.Segment // of which Before, End and Sum become known when it is written
	file    vfs.File
	tail    *tail.Index
	end     uint32 // where the next frame begins
}

// written is what the leader knows of the log. It belongs to whoever leads.
type written struct {
	active  *active // where the last frame was written
	frames          // those that are written: the last is durable
	buffer  []byte
	group   []*call
	durable dcb.Position
}

// maxGroupBytes bounds what is written at once, so that the first of many need not wait for all.
const maxGroupBytes = 8 << 20

// lead writes the next group of those who wait, answers them, and hands the lead to the first who came meanwhile. The caller was told to.
func (s *Store) lead() {
	group := s.gather()
	last := group[len(group)-1]
	size := int64(last.place-group[0].place) + int64(len(last.Bytes))

	began := time.Now()
	before := s.log
	err := s.write(group)

	s.mu.Lock()
	if err == nil && s.failed != nil {
		err = &syncError{s.failed}
	}
	if err != nil {
		s.fail(group, err)
	} else {
		s.head.Raise(last.last())
		s.count.committed(group, time.Since(began))
		if s.log.active != before.active {
			s.actives = s.actives[1:]
			s.seal(before.active, before.frames)
		}
	}
	for _, c := range group {
		s.answer(c, c.err)
	}
	s.groupBytes += (size - s.groupBytes) / 8
	s.expected = len(group) + len(s.pending)
	s.handOver()
	s.mu.Unlock()
}

// patience is how often, and for how long, the leader lets others run in vain before he takes those who wait.
const (
	patience     = 32
	patienceTime = 50 * time.Microsecond
)

// gather takes the next group. Whoever has just been answered often appends again at once. Those callers are let go first, for as long as they keep coming, so that
// they are in this group; otherwise each would wait for the sync of this one and then for that of the next. There is no timer in it, and who is alone is not
// delayed.
func (s *Store) gather() []*call {
	s.mu.Lock()
	defer s.mu.Unlock()
	began := time.Now()
	for vain := 0; len(s.pending) < s.expected && vain < patience && time.Since(began) < patienceTime; vain++ {
		waiting := len(s.pending)
		s.mu.Unlock()
		runtime.Gosched()
		s.mu.Lock()
		if len(s.pending) > waiting {
			vain, began = 0, time.Now()
		}
	}
	return s.nextGroup()
}

// nextGroup takes those who wait for the same segment, as many as are written at once.
func (s *Store) nextGroup() []*call {
	group, size := s.log.group[:0], 0
	for _, c := range s.pending {
		c.lead = false
		if c.segment != s.pending[0].segment || len(group) > 0 && size+len(c.Bytes) > maxGroupBytes {
			break
		}
		size += len(c.Bytes)
		group = append(group, c)
	}
	n := copy(s.pending, s.pending[len(group):])
	clear(s.pending[n:])
	s.pending = s.pending[:n]
	s.log.group = group
	return group
}

// answer wakes the caller of c, if he is still there.
func (s *Store) answer(c *call, err error) {
	c.err, c.done = err, true
	c.tell()
}

func (c *call) tell() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// handOver lets the first of those who wait lead, if there are any.
func (s *Store) handOver() {
	if len(s.pending) == 0 {
		s.leading = false
		s.idle.Broadcast()
		return
	}
	for _, c := range s.pending {
		if !c.left {
			c.lead = true
			c.tell()
			return
		}
	}
	go s.lead() // all of them are gone, and what they sent is recorded all the same
}

// leave lets the caller of c go before it is done. It reports false if it is done after all.
func (s *Store) leave(c *call) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.done {
		return false
	}
	c.left = true
	if c.lead {
		c.lead = false
		go s.lead()
	}
	return true
}

// write writes the frames of a group to the log and makes them durable. On an error the log is as it was, but for what may be in the file behind its end.
func (s *Store) write(group []*call) error {
	l := &s.log
	a, place := l.active, group[0].place
	next := l.frames
	b := l.buffer[:0]
	if group[0].segment != a.segment {
		var err error
		if a, next, err = s.nextSegment(); err != nil {
			return err
		}
		b, place = append(b, a.header.Encode()...), 0
	}
	for _, c := range group {
		crc := c.Seal(next.salt, c.first, c.recordedAt, uint32(c.first-1-l.durable))
		next.sum = frame.Sum(next.sum, crc)
		if len(group) > 1 || place == 0 {
			b = append(b, c.Bytes...)
		}
	}
	last := group[len(group)-1]
	next.next, next.end, next.recordedAt, next.marked = last.last()+1, last.place+uint32(len(last.Bytes)), last.recordedAt, false
	all := b
	if len(b) == 0 {
		all = last.Bytes // alone: it need not be copied
	}
	if cap(b) <= maxGroupBytes {
		l.buffer = b
	}
	if _, err := a.file.WriteAt(all, int64(place)); err != nil {
		return fmt.Errorf("write to %s: %w", base(a.segment.path), err)
	}
	if s.opts.Durability == Sync || place == 0 { // what a segment begins with proves that the one before it is whole
		if err := s.sync(a.file); err != nil {
			return &syncError{fmt.Errorf("sync %s: %w", base(a.segment.path), err)}
		}
		l.durable = last.last()
	}
	l.active, l.frames = a, next
	return nil
}

// syncError: whether what was written is on the disk is unknown, and will remain so.
type syncError struct{ error }

func (e *syncError) Unwrap() error { return e.error }

func (s *Store) sync(file vfs.File) error {
	began := time.Now()
	err := file.Sync()
	s.count.synced(time.Since(began))
	return err
}

// nextSegment returns the segment after the one that was written to, whose header vouches for that, and what its first frame comes after.
func (s *Store) nextSegment() (*active, frames, error) {
	l := &s.log
	if l.durable < l.next-1 { // with NoSync
		if err := s.sync(l.active.file); err != nil {
			return nil, frames{}, &syncError{fmt.Errorf("sync %s: %w", base(l.active.segment.path), err)}
		}
		l.durable = l.next - 1
	}
	s.mu.Lock()
	a := s.actives[1]
	s.mu.Unlock()
	a.header.Before, a.header.End, a.header.Sum, a.header.After = l.active.segment.first, l.end, l.sum, l.recordedAt
	return a, newFrames(a.header), nil
}

// fail deals with a write or sync that failed: nobody who waits can be recorded any more, since he was decided after those. What was not synced
// can be undone, and the store goes on; after a failed sync nobody knows what is on the disk, and it does not.
func (s *Store) fail(group []*call, err error) {
	var synced *syncError
	unknown := errors.As(err, &synced)
	if !unknown {
		if undone := s.undo(group); undone != nil {
			unknown, err = true, errors.Join(err, undone)
		}
	}
	if unknown {
		s.poison(err)
	}
	for _, c := range group {
		c.err = unavailable(unknown, "append: %w", err)
	}
	for _, c := range s.pending {
		s.answer(c, unavailable(false, "append: one before it failed: %w", err))
	}
	clear(s.pending)
	s.pending = s.pending[:0]
	s.decided = s.log.next - 1
	s.head.Nudge()
}

// poison lets nothing be appended any more. The caller holds mu.
func (s *Store) poison(err error) {
	s.failed = err
	s.opts.Log.Error("nothing can be appended any more; close the store and open it again", "dir", s.dir, "cause", err)
}

// undo takes back what the write of a group may have left, and everything that was decided since: the log ends where it ended before.
func (s *Store) undo(group []*call) error {
	l := &s.log
	a := l.active
	for _, later := range s.actives[1:] {
		_ = later.file.Close() // what was written to it does not count
		if err := s.fs.Remove(later.segment.path); err != nil {
			return err
		}
	}
	if len(s.actives) > 1 {
		if err := s.fs.SyncDir(s.dir); err != nil {
			return err
		}
	}
	if group[0].segment == a.segment {
		size := 0
		for _, c := range group {
			size += len(c.Bytes)
		}
		if err := zero(a.file, int64(l.end), int64(size)); err != nil {
			return err
		}
		if err := a.file.Sync(); err != nil {
			return err
		}
	}
	var index *tail.Index
	err := guarded(func() (err error) {
		index, err = s.indexOf(a.segment, a.header, l.end)
		return err
	})
	if err != nil {
		return err
	}
	a.tail, a.end = index, l.end
	s.actives = s.actives[:1]
	s.active = a

	v := s.view.Load()
	segments, parts := v.segments, v.parts
	for segments[len(segments)-1] != a.segment {
		segments, parts = segments[:len(segments)-1], parts[:len(parts)-1]
	}
	parts = append(slices.Clone(parts[:len(parts)-1]), part{first: a.segment.first, last: endless, index: a.tail, tail: a.tail})
	s.publish(segments, parts)
	return nil
}

// zero writes zeros.
func zero(file vfs.File, from, size int64) error {
	_, err := file.WriteAt(make([]byte, size), from)
	return err
}
