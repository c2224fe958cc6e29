package diskstore

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"github.com/dcbstore/dcb/diskstore/internal/logfile"
	"github.com/dcbstore/dcb/diskstore/internal/tail"
	"github.com/dcbstore/dcb/internal/vfs"
)

// Open opens the store in a directory. It creates the directory if it is missing, and a store if
// the directory is empty. It removes unfinished appends and files that a crash left, and
// rebuilds missing indexes. A nil opts means the defaults.
//
// The error is ErrNoStore if the directory contains other files, and ErrLocked if it is already
// open. ErrVersion means that a newer version wrote it. A [CorruptError] means that data of an
// acknowledged append is missing or damaged. In all these cases nothing was changed.
func Open(dir string, opts *Options) (*Store, error) {
	o, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Store{
		fs: o.fs, dir: dir, opts: o, closed: make(chan struct{}),
		nextChunk: min(initialChunk, int64(o.SegmentBytes)),
	}
	s.idle.L = &s.mu
	s.sealer.init()
	if err := s.fs.MakeDir(dir); err != nil {
		return nil, fmt.Errorf("diskstore: open %s: %w", dir, err)
	}
	// Before the lock file is created: the directory may belong to another program.
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

// recover reads the directory and prepares the store for appending.
func (s *Store) recover() error {
	found, err := list(s.fs, s.dir)
	if err != nil {
		return err
	}
	if len(found.segments) == 0 {
		if err := s.createLog(); err != nil {
			return fmt.Errorf("diskstore: create a store in %s: %w", s.dir, err)
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
		return fmt.Errorf("diskstore: open %s: %w", filepath.Base(a.segment.path), err)
	}
	s.openSegments, s.active = []*activeSegment{a}, a
	// Everything is checked before anything is changed.
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
	ranges = append(ranges, a.indexRange())
	s.publish(chain.segments, ranges)
	s.head.Raise(s.admitted)
	opened = true
	return nil
}

// removeUnfinished removes files that were not finished, or never used.
func (s *Store) removeUnfinished(found listing, c segmentChain) error {
	for _, name := range append(found.unfinished, c.unused...) {
		if err := s.fs.Remove(s.filePath(name)); err != nil {
			return fmt.Errorf("diskstore: remove the unfinished %s: %w", name, err)
		}
	}
	if err := s.trimSealed(found, c); err != nil {
		return err
	}
	// An earlier process may have been killed between a change of the directory and its sync.
	if err := s.fs.SyncDir(s.dir); err != nil {
		return fmt.Errorf("diskstore: open %s: %w", s.dir, err)
	}
	return nil
}

// trimSealed truncates sealed segments to their last log record. A segment is longer if the
// store was closed before its index file was built.
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
			return fmt.Errorf("diskstore: open %s: %w", filepath.Base(g.path), err)
		}
	}
	return nil
}

// createLog creates the first segment of a new store.
func (s *Store) createLog() error {
	header := logfile.SegmentHeader{First: 1}
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

// recoveredSegment is the content of the active segment, as recovery found it.
type recoveredSegment struct {
	content    []byte
	state      segmentState // after the last valid log record
	durableEnd uint32       // the offset up to which the segment is proven durable
}

// readActive reads the log records of the active segment, up to the first that is not valid,
// into its tail index.
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

// makeDurable syncs the recovered part of the segment and zeros what follows it.
func (s *Store) makeDurable(a *activeSegment, r recoveredSegment) (segmentState, error) {
	content, state := r.content, r.state
	rest := bytes.TrimRight(content[state.end:], "\x00")
	if !state.clean || len(rest) > 0 {
		s.opts.Log.Info("recovering the log after an unclean shutdown",
			"file", a.segment.path, "head", state.next-1, "unacknowledgedBytes", len(rest))
	}
	if len(rest) > 0 {
		if err := writeZeros(a.file, int64(state.end), int64(len(rest))); err != nil {
			return state, fmt.Errorf("diskstore: discard an unfinished append in %s: %w", filepath.Base(a.segment.path), err)
		}
	}
	if err := rewrite(a.file, content[r.durableEnd:state.end], int64(r.durableEnd)); err != nil {
		return state, fmt.Errorf("diskstore: rewrite the last appends in %s: %w", filepath.Base(a.segment.path), err)
	}
	if state.clean && len(rest) == 0 {
		return state, nil
	}
	return state, s.writeMarker(a, &state)
}

// durablePrefix is the part of a segment that its own log records prove durable.
type durablePrefix struct {
	end     uint32         // the offset after the last log record that is proven
	pending []segmentState // the states after each log record that is not
}

// add adds the next log record; state is the state after it.
func (p *durablePrefix) add(state segmentState) {
	for len(p.pending) > 0 && p.pending[0].next <= state.durable+1 {
		p.end, p.pending = p.pending[0].end, p.pending[1:]
	}
	p.pending = append(p.pending, state)
}

// rewrite writes content to file at offset at and syncs it. Recovery read that content from the
// same place, but a sync alone would not be enough. After a failed sync the page cache may hold
// data that the disk does not have, and the system may consider it written.
func rewrite(file vfs.File, content []byte, at int64) error {
	for part := range slices.Chunk(content, 1<<20) {
		// A clone, because content is the mapped file itself.
		if _, err := file.WriteAt(bytes.Clone(part), at); err != nil {
			return err
		}
		at += int64(len(part))
	}
	return file.Sync()
}

// checkLogEnd returns nil if the log may end where state does, after readRecord returned err
// there. It returns a [CorruptError] if a log record after that place was once durable.
func checkLogEnd(g *segment, content []byte, state segmentState, err error) error {
	corrupt := newCorruptError(g.path, int64(state.end), state.next, err)
	if !errors.Is(err, logfile.ErrEnd) && !errors.Is(err, logfile.ErrBroken) {
		return err
	}
	rest := content[state.end:]
	if _, whole := logfile.ReadRecordHeader(state.salt, rest); whole == nil {
		return corrupt // the log record is complete, so this is no torn write
	}
	if at, found := logfile.FindProof(state.salt, rest, state.next); found {
		at += int(state.end)
		corrupt.Problem = fmt.Errorf("%w, but the log record at offset %d proves that it was durable", err, at)
		return corrupt
	}
	return nil
}

// writeMarker makes the active segment durable and appends a clean-shutdown marker, which
// certifies everything before it: any fault found there later is damage. If the disk is full
// there is no marker, and the next opening recovers as after a crash.
func (s *Store) writeMarker(a *activeSegment, state *segmentState) error {
	marker := logfile.ShutdownMarker(state.salt, state.next, state.recordedAt)
	err := a.file.Sync()
	if err == nil {
		_, err = a.file.WriteAt(marker, int64(state.end))
	}
	if vfs.IsFull(err) {
		s.opts.Log.Warn("no clean-shutdown marker was written, because the disk is full", "file", a.segment.path)
		return nil
	}
	if err == nil {
		err = a.file.Sync()
	}
	if err != nil {
		return fmt.Errorf("diskstore: write the clean-shutdown marker to %s: %w", filepath.Base(a.segment.path), err)
	}
	a.segment.size.Store(max(a.segment.size.Load(), int64(state.end)+int64(len(marker))))
	state.sum = logfile.ExtendSum(state.sum, binary.LittleEndian.Uint32(marker[4:]))
	state.end += uint32(len(marker))
	state.clean = true
	return nil
}

// closeLog writes the clean-shutdown marker, truncates the preallocated space and closes the
// files of the log. No append is under way.
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
			_ = a.file.Truncate(int64(l.end)) // fails on Windows if the file is mapped
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

// writeAtomically creates a file that is complete and durable under its name, or does not exist.
// The function write writes and syncs the content.
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
		_ = files.Remove(tmp) // otherwise the next opening removes it
		return err
	}
	return files.SyncDir(filepath.Dir(path))
}

// readSegmentHeader reads and checks the header of a segment.
func readSegmentHeader(files vfs.FS, path string) (logfile.SegmentHeader, error) {
	file, err := files.Open(path)
	if err != nil {
		return logfile.SegmentHeader{}, err
	}
	defer file.Close()
	b := make([]byte, logfile.SegmentHeaderBytes)
	n, err := file.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return logfile.SegmentHeader{}, err
	}
	return logfile.ReadSegmentHeader(b[:n])
}
