package diskstore

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/dcbstore/dcb/diskstore/internal/frame"
	"github.com/dcbstore/dcb/diskstore/internal/tail"
	"github.com/dcbstore/dcb/internal/vfs"
)

// Exists reports whether a directory holds a store. It changes nothing.
func Exists(dir string) (bool, error) {
	found, err := list(vfs.OS(), dir)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrNoStore) {
		return false, nil
	}
	return len(found.segments) > 0, err
}

// Open opens the store in a directory, which is made if it is missing, with a new store if it is empty. What a crash left unfinished is
// dropped, indexes that are missing are made again. Options may be nil.
//
// Errors: ErrNoStore if the directory holds something else, ErrVersion, ErrLocked if it is open already, and a [CorruptError] if something is
// missing or damaged that an append was once answered for. Nothing is changed then.
func Open(dir string, options *Options) (*Store, error) {
	opts, err := options.complete()
	if err != nil {
		return nil, err
	}
	s := &Store{fs: opts.fs, dir: dir, opts: opts, nextChunk: min(initialChunk, int64(opts.SegmentBytes))}
	s.idle.L = &s.mu
	s.sealer.init()
	if err := s.fs.MakeDir(dir); err != nil {
		return nil, fmt.Errorf("diskstore: open %s: %w", dir, err)
	}
	// Looked at before anything is made in it: it may be somebody else's.
	if _, err := list(s.fs, dir); err != nil {
		return nil, err
	}
	if s.lock, err = s.fs.Lock(s.filePath(lockName)); err != nil {
		if errors.Is(err, vfs.ErrLocked) {
			return nil, lockedError(dir)
		}
		return nil, fmt.Errorf("diskstore: lock %s: %w", dir, err)
	}
	if err := catchFaults(s.recover); err != nil {
		s.sealer.stop()
		for _, a := range s.openSegments {
			_ = a.file.Close()
		}
		_ = s.lock.Close()
		return nil, err
	}
	s.startMaintenance()
	return s, nil
}

// recover finds out what the directory holds, and makes the store ready to go on.
func (s *Store) recover() error {
	found, err := list(s.fs, s.dir)
	if err != nil {
		return err
	}
	if len(found.segments) == 0 {
		if err := s.createLog(); err != nil {
			return fmt.Errorf("diskstore: make a new store in %s: %w", s.dir, err)
		}
		if found, err = list(s.fs, s.dir); err != nil {
			return err
		}
	}
	chain, err := readChain(s.fs, s.dir, found)
	if err != nil {
		return err
	}
	if err := chain.checkComplete(found.indexes); err != nil {
		return err
	}
	var ranges []indexRange
	opened := false
	defer func() {
		if opened {
			return
		}
		for _, r := range ranges {
			if r.file != nil {
				_ = r.file.Close()
			}
		}
		for _, g := range chain.segments {
			g.unmap()
		}
	}()
	s.storeID = chain.headers[0].StoreID
	last := len(chain.segments) - 1
	a := &activeSegment{segment: chain.segments[last], header: chain.headers[last], tail: tail.New()}
	if a.file, err = s.fs.OpenWrite(a.segment.path); err != nil {
		return fmt.Errorf("diskstore: open %s: %w", base(a.segment.path), err)
	}
	s.openSegments, s.active = []*activeSegment{a}, a
	// All is judged before anything is changed.
	recovered, err := s.readActive(a)
	if err != nil {
		return err
	}
	if ranges, err = s.openIndexes(found, chain); err != nil {
		return err
	}
	if err := s.removeUnfinished(found, chain); err != nil {
		return err
	}
	state, err := s.makeDurable(a, recovered)
	if err != nil {
		return err
	}
	a.end = state.end
	s.log = logState{active: a, segmentState: state, durable: state.next - 1}
	s.admitted, s.lastRecordedAt = state.next-1, state.recordedAt
	if err := s.buildMissingIndexes(found, chain, ranges); err != nil {
		return err
	}
	ranges = append(ranges, indexRange{first: a.segment.first, last: endless, index: a.tail, tail: a.tail})
	s.publish(chain.segments, ranges)
	s.head.Raise(s.admitted)
	opened = true
	return nil
}

// clear removes what was not finished and what was never used.
func (s *Store) removeUnfinished(found listing, c segmentChain) error {
	for _, name := range append(found.unfinished, c.unused...) {
		if err := s.fs.Remove(s.filePath(name)); err != nil {
			return fmt.Errorf("diskstore: remove what was not finished: %w", err)
		}
	}
	if err := s.trimSealed(found, c); err != nil {
		return err
	}
	// What a process before this one has made or removed may not be durable yet: it may have been killed before it synced the directory.
	if err := s.fs.SyncDir(s.dir); err != nil {
		return fmt.Errorf("diskstore: open %s: %w", s.dir, err)
	}
	return nil
}

// trim gives back the room that was prepared at the end of segments whose index was not made in time, which is when that is done otherwise.
func (s *Store) trimSealed(found listing, c segmentChain) error {
	for i, g := range c.segments[:len(c.segments)-1] {
		if found.segments[i].Size <= int64(g.end) {
			continue
		}
		file, err := s.fs.OpenWrite(g.path)
		if err == nil {
			err = errors.Join(file.Truncate(int64(g.end)), file.Close())
		}
		if err != nil {
			return fmt.Errorf("diskstore: open %s: %w", base(g.path), err)
		}
	}
	return nil
}

// begin makes the first segment of a new store.
func (s *Store) createLog() error {
	header := frame.Segment{First: 1}
	if _, err := rand.Read(header.StoreID[:]); err != nil {
		return err
	}
	return writeAtomically(s.fs, s.filePath(segmentName(1)), func(file vfs.File) error {
		if _, err := file.WriteAt(header.Encode(), 0); err != nil {
			return err
		}
		return file.Sync()
	})
}

// recovered is what the segment holds that was appended to.
type recoveredSegment struct {
	content    []byte
	state      segmentState
	durableEnd uint32 // up to where it is known to be durable
}

// readActive reads the segment that was appended to into its index, up to the last whole frame.
func (s *Store) readActive(a *activeSegment) (recoveredSegment, error) {
	content, err := a.segment.content()
	if err != nil {
		return recoveredSegment{}, err
	}
	state := newSegmentState(a.header)
	add := indexer(a.tail)
	var durable durablePrefix
	for err == nil {
		if err = state.readRecord(content, add); err == nil {
			durable.add(state)
		}
	}
	return recoveredSegment{content, state, durable.end}, checkLogEnd(a.segment, content, state, err)
}

// settle sees to it that what was read of the segment is durable and nothing is behind it.
func (s *Store) makeDurable(a *activeSegment, r recoveredSegment) (segmentState, error) {
	content, state := r.content, r.state
	rest := bytes.TrimRight(content[state.end:], "\x00")
	if len(rest) > 0 {
		s.opts.Log.Info("dropped what a crash had left unfinished; no append was answered for it",
			"file", a.segment.path, "offset", state.end, "bytes", len(rest), "position", state.next)
		if err := writeZeros(a.file, int64(state.end), int64(len(rest))); err != nil {
			return state, fmt.Errorf("diskstore: drop what was not finished in %s: %w", base(a.segment.path), err)
		}
	}
	if err := rewrite(a.file, content[r.durableEnd:state.end], int64(r.durableEnd)); err != nil {
		return state, fmt.Errorf("diskstore: write what may not be durable in %s again: %w", base(a.segment.path), err)
	}
	if state.clean && len(rest) == 0 {
		return state, nil
	}
	return state, s.writeMarker(a, &state)
}

// proven is how much of a segment is known to be durable, from what its frames say.
type durablePrefix struct {
	end     uint32         // behind the last frame that is
	pending []segmentState // behind each frame that may not be
}

// add adds the next frame, which all ends with.
func (p *durablePrefix) add(state segmentState) {
	for len(p.pending) > 0 && p.pending[0].next <= state.durable+1 {
		p.end, p.pending = p.pending[0].end, p.pending[1:]
	}
	p.pending = append(p.pending, state)
}

// rewrite writes again what is in a file at a place, and syncs it. That it could be read there does not mean that it is on the disk, not even if a sync succeeds:
// where one has failed, the system may keep what it could not write, and take it for written.
func rewrite(file vfs.File, content []byte, at int64) error {
	for part := range slices.Chunk(content, 1<<20) {
		if _, err := file.WriteAt(bytes.Clone(part), at); err != nil { // of the file's own memory nothing is written to it
			return err
		}
		at += int64(len(part))
	}
	return file.Sync()
}

// damaged returns what is wrong if reading ended with err where it should not have: if what is behind the last whole frame was once durable.
func checkLogEnd(g *segment, content []byte, state segmentState, err error) error {
	corrupt := &CorruptError{File: g.path, Offset: int64(state.end), Position: state.next, Problem: err, Advice: adviceRestore}
	if !errors.Is(err, frame.ErrEnd) && !errors.Is(err, frame.ErrBroken) {
		return err
	}
	rest := content[state.end:]
	if _, whole := frame.Read(state.salt, rest); whole == nil {
		return corrupt // its checksum is right, so that it was written like this
	}
	if at, found := frame.FindProof(state.salt, rest, state.next); found {
		corrupt.Problem = fmt.Errorf("%w, although what is written at offset %d says that it was durable", err, int64(state.end)+int64(at))
		return corrupt
	}
	return nil
}

// vouch makes durable what is in the active segment, and writes a mark behind it that says so: whatever is found to be wrong with it later is damage. On
// a full disk there may be no room for a mark; then it is as after a crash.
func (s *Store) writeMarker(a *activeSegment, state *segmentState) error {
	marker := frame.Mark(state.salt, state.next, state.recordedAt)
	err := a.file.Sync()
	if err == nil {
		_, err = a.file.WriteAt(marker, int64(state.end))
	}
	if vfs.IsFull(err) {
		s.opts.Log.Warn("the disk is too full to write that the log ends here", "file", a.segment.path)
		return nil
	}
	if err == nil {
		err = a.file.Sync()
	}
	if err != nil {
		return fmt.Errorf("diskstore: make %s durable: %w", base(a.segment.path), err)
	}
	a.segment.size.Store(max(a.segment.size.Load(), int64(state.end)+int64(len(marker))))
	state.sum = frame.Sum(state.sum, binary.LittleEndian.Uint32(marker[4:]))
	state.end += uint32(len(marker))
	state.clean = true
	return nil
}

// finish leaves the directory as it is to be when the store is closed. Nobody appends any more.
func (s *Store) closeLog() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	l := &s.log
	a := l.active
	if s.failed == nil {
		if !l.clean {
			err = s.writeMarker(a, &l.segmentState)
		}
		if err == nil && int64(l.end) < a.segment.size.Load() {
			a.segment.size.Store(int64(l.end))
			_ = a.file.Truncate(int64(l.end)) // as in sealOne
			err = a.file.Sync()
		}
	}
	for _, a := range s.openSegments {
		err = errors.Join(err, a.file.Close())
	}
	s.sealer.mu.Lock()
	for _, a := range s.sealer.unsealed {
		if a.file != nil {
			err = errors.Join(err, a.file.Close())
		}
	}
	s.sealer.mu.Unlock()
	if s.spare != nil {
		err = errors.Join(err, s.spare.file.Close(), s.fs.Remove(s.filePath(spareName)))
	}
	return err
}

// writeAside makes a file that is there as a whole, durable and under its name, or not at all. Write writes it and syncs it.
func writeAtomically(files vfs.FS, path string, write func(file vfs.File) error) error {
	tmp := path + tmpSuffix
	file, err := createReplacing(files, tmp)
	if err != nil {
		return err
	}
	err = write(file)
	if err = errors.Join(err, file.Close()); err == nil {
		err = files.Rename(tmp, path)
	}
	if err != nil {
		_ = files.Remove(tmp) // it is removed at the next opening otherwise
		return err
	}
	return files.SyncDir(filepath.Dir(path))
}

// readHeader returns what a segment says of itself.
func readSegmentHeader(files vfs.FS, path string) (frame.Segment, error) {
	file, err := files.Open(path)
	if err != nil {
		return frame.Segment{}, err
	}
	defer file.Close()
	b := make([]byte, frame.SegmentBytes)
	n, err := file.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return frame.Segment{}, err
	}
	return frame.ReadSegment(b[:n])
}
