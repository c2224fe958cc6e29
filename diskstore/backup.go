package diskstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/diskstore/internal/indexfile"
	"github.com/dcbstore/dcb/diskstore/internal/logfile"
	"github.com/dcbstore/dcb/internal/vfs"
)

// BackupReport is the content of a backup, and what was done for it.
type BackupReport struct {
	// Head is the last position in the backup.
	Head dcb.Position
	// Copied counts the files that were copied, Reused those that were there from an earlier
	// backup.
	Copied, Reused int
	// CopiedBytes is the size of the copied files.
	CopiedBytes int64
}

// Backup copies the store in dir to the directory to. The store may be open. From an earlier
// backup of the same store in to, everything is reused but the end of the log. The result opens
// like any store. It contains every append that was acknowledged before Backup was called.
//
// Backup checks every log record that it copies. It copies no damaged segment; the error is then
// a [CorruptError]. It refuses a directory with events that the store does not have. If Backup
// ends early, the directory contains a valid store, at least as new as the earlier backup.
func Backup(ctx context.Context, dir, to string, opts *InspectOptions) (BackupReport, error) {
	return backup(ctx, opts.withDefaults(), dir, to, endless)
}

// Backup does the same as the function [Backup] for an open store, up to the head at the time of
// the call.
func (s *Store) Backup(ctx context.Context, to string, opts *InspectOptions) (BackupReport, error) {
	head, err := s.Head(ctx)
	if err != nil {
		return BackupReport{}, err
	}
	o := opts.withDefaults()
	o.fs = s.fs
	return backup(ctx, o, s.dir, to, head)
}

func backup(ctx context.Context, opts InspectOptions, dir, to string, last dcb.Position) (BackupReport, error) {
	b := &backupRun{ctx: ctx, fs: opts.fs, opts: opts, from: dir, to: to, last: last}
	if last != endless {
		b.acknowledged = last
	}
	var found listing
	var source segmentChain
	err := catchFaults(func() (err error) {
		found, source, err = b.source()
		return err
	})
	if err != nil {
		return b.report, err
	}
	if filepath.Clean(dir) == filepath.Clean(to) {
		return b.report, fmt.Errorf("diskstore: back up %s to itself; name another directory", dir)
	}
	if err := b.fs.MakeDir(to); err != nil {
		return b.report, fmt.Errorf("diskstore: back up to %s: %w", to, err)
	}
	there, err := list(b.fs, to)
	if err != nil {
		return b.report, err
	}
	lock, err := b.fs.Lock(filepath.Join(to, lockName))
	if errors.Is(err, vfs.ErrLocked) {
		return b.report, lockedError(to)
	}
	if err != nil {
		return b.report, fmt.Errorf("diskstore: back up to %s: %w", to, err)
	}
	defer lock.Close()
	err = catchFaults(func() error {
		if err := b.copyLog(source, there); err != nil {
			return err
		}
		return b.copyIndexes(found, source)
	})
	return b.report, err
}

// backupRun is the state of one backup.
type backupRun struct {
	ctx          context.Context //nolint:containedctx // a backupRun is the state of one call
	fs           vfs.FS
	opts         InspectOptions
	from, to     string
	last         dcb.Position // no later position is copied
	acknowledged dcb.Position // the last acknowledged position, as far as is known
	previous     []byte       // the last segment of the earlier backup, without a marker at its end
	report       BackupReport
	done         int64 // bytes read so far
	total        int64 // bytes to read
}

// source reads what there is to copy. It tries again if the log seems damaged: an open store may
// start a segment between the two steps.
func (b *backupRun) source() (found listing, source segmentChain, err error) {
	for range 2 {
		if found, err = listStore(b.fs, b.from); err != nil {
			return found, source, err
		}
		if source, err = readChain(b.fs, b.from, found); !errors.Is(err, dcb.ErrCorrupt) {
			break
		}
	}
	return found, source, err
}

// copyLog copies the missing part of the log, the oldest segment first, so that the destination
// is a valid log at any time.
func (b *backupRun) copyLog(source segmentChain, there listing) error {
	kept, err := b.reusable(source, there)
	if err != nil {
		return err
	}
	for _, g := range source.segments[kept:] {
		b.total += g.size.Load()
	}
	b.report.Reused = kept
	for i, g := range source.segments[kept:] {
		if g.first-1 > b.last {
			break
		}
		end := g.end
		if kept+i == len(source.segments)-1 {
			end = 0
		}
		if err := b.copySegment(g, source.headers[kept+i], end); err != nil {
			return err
		}
	}
	return nil
}

// reusable returns how many segments of the earlier backup can stay as they are.
func (b *backupRun) reusable(source segmentChain, there listing) (int, error) {
	if len(there.segments) == 0 {
		return 0, nil
	}
	old, err := readChain(b.fs, b.to, there)
	if err != nil {
		return 0, fmt.Errorf("diskstore: back up to %s: read the earlier backup: %w", b.to, err)
	}
	if old.headers[0].StoreID != source.headers[0].StoreID {
		return 0, fmt.Errorf("diskstore: back up to %s: it contains another store; name another directory", b.to)
	}
	// The last segment was still active when it was copied.
	for i := range old.segments {
		if i >= len(source.segments) || old.headers[i] != source.headers[i] {
			return 0, b.otherEventsError(old.segments[i].first)
		}
	}
	last := len(old.segments) - 1
	return last, b.readPrevious(old.segments[last], old.headers[last])
}

// otherEventsError returns the error for a destination whose events differ from position from
// on.
func (b *backupRun) otherEventsError(from dcb.Position) error {
	return fmt.Errorf("diskstore: back up to %s: from position %d on it has other events than %s; "+
		"name another directory", b.to, from, b.from)
}

// firstDifference returns the position of the first event in which the earlier backup differs
// from copied.
func (b *backupRun) firstDifference(copied []byte, header logfile.SegmentHeader) dcb.Position {
	same := 0
	for same < min(len(copied), len(b.previous)) && copied[same] == b.previous[same] {
		same++
	}
	state := newSegmentState(header)
	for state.readRecord(b.previous[:same], checkOnly) == nil {
		continue
	}
	return state.next
}

// readPrevious reads the last segment of the earlier backup. It must be a prefix of the segment
// that replaces it.
func (b *backupRun) readPrevious(g *segment, header logfile.SegmentHeader) error {
	content, err := b.fileReader(func(int64, int64) {}).readFile(g.path)
	if err != nil {
		return err
	}
	state, end := newSegmentState(header), uint32(logfile.SegmentHeaderBytes)
	for err == nil {
		if err = state.readRecord(content, checkOnly); err == nil && !state.clean {
			end = state.end
		}
	}
	b.previous = content[:end]
	b.last = max(b.last, state.next-1) // another backup may have been faster
	return nil
}

// fileReader returns a reader of files that reports to progress.
func (b *backupRun) fileReader(progress func(done, total int64)) *verifier {
	v := &verifier{ctx: b.ctx, fs: b.fs, opts: b.opts}
	v.opts.Progress = progress
	return v
}

// copySegment copies the log records of a segment up to offset end, or all that there are if end
// is 0.
func (b *backupRun) copySegment(g *segment, header logfile.SegmentHeader, end uint32) error {
	var content []byte
	var state segmentState
	var err error
	if end == 0 {
		content, state, err = b.readActive(g, header)
	} else {
		content, state, err = b.readSealed(g, header, end)
	}
	if err != nil {
		return err
	}
	copied := bytes.Clone(content[:state.end])
	if !bytes.HasPrefix(copied, b.previous) {
		return b.otherEventsError(b.firstDifference(copied, header))
	}
	b.previous = nil
	if !state.clean && (end == 0 || state.end < end) {
		copied = append(copied, logfile.ShutdownMarker(state.salt, state.next, state.recordedAt)...)
	}
	to := filepath.Join(b.to, filepath.Base(g.path))
	err = writeAtomically(b.fs, to, func(file vfs.File) error { return writeAndSync(file, copied) })
	if err != nil {
		return fmt.Errorf("diskstore: back up to %s: %w", b.to, err)
	}
	b.done += int64(len(content))
	b.report.Head = state.next - 1
	b.report.Copied++
	b.report.CopiedBytes += int64(len(copied))
	return nil
}

// readFile returns the content of a segment.
func (b *backupRun) readFile(g *segment) ([]byte, error) {
	return b.fileReader(func(done, _ int64) { b.opts.Progress(b.done+done, max(b.total, b.done+done)) }).readFile(g.path)
}

// readRecords reads the log records of a segment, up to offset end and to the last position to
// copy. The error says why there are no more.
func (b *backupRun) readRecords(content []byte, header logfile.SegmentHeader, end uint32) (segmentState, error) {
	state := newSegmentState(header)
	for state.end < end {
		before := state
		if err := state.readRecord(content, checkOnly); err != nil {
			return state, err
		}
		if state.next-1 > b.last {
			return before, nil
		}
	}
	return state, nil
}

// readSealed reads a sealed segment. If it was sealed during the backup, the last position to
// copy may be before its end.
func (b *backupRun) readSealed(g *segment, header logfile.SegmentHeader, end uint32) ([]byte, segmentState, error) {
	content, err := b.readFile(g)
	if err != nil {
		return nil, segmentState{}, err
	}
	state, err := b.readRecords(content, header, end)
	if err == nil && state.end != end && state.next-1 == b.last {
		return content, state, nil
	}
	if err == nil && (state.end != end || state.sum != g.sum) {
		err = errOtherRecords
	}
	if err != nil {
		return nil, state, newCorruptError(g.path, int64(state.end), state.next, err)
	}
	return content, state, nil
}

// readActive reads the active segment. What follows its last whole log record may be a write in
// progress, so it is read again before it is reported as damage.
func (b *backupRun) readActive(g *segment, header logfile.SegmentHeader) ([]byte, segmentState, error) {
	for stopped := uint32(0); ; {
		content, err := b.readFile(g)
		if err == nil {
			err = syncFile(b.fs, g.path) // so that the backup has no append that a crash takes from the store
		}
		if err != nil {
			return nil, segmentState{}, err
		}
		state, err := b.readRecords(content, header, math.MaxUint32)
		if err == nil {
			return content, state, nil
		}
		broken := checkLogEnd(g, content, state, err)
		if broken == nil && state.next-1 < b.acknowledged {
			broken = newCorruptError(g.path, int64(state.end), state.next,
				fmt.Errorf("%w, but the appends up to position %d were acknowledged", err, b.acknowledged))
		}
		if broken == nil || state.end == stopped {
			return content, state, broken
		}
		stopped = state.end
	}
}

// syncFile makes the content of a file durable, if the process has the permission to.
func syncFile(files vfs.FS, path string) error {
	var err error
	for _, open := range []func(string) (vfs.File, error){files.Open, files.OpenWrite} {
		var file vfs.File
		if file, err = open(path); err == nil {
			err = errors.Join(file.Sync(), file.Close())
		}
		if !errors.Is(err, fs.ErrPermission) { // Windows cannot sync a file opened for reading
			break
		}
	}
	if err != nil && !errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("diskstore: sync %s: %w", filepath.Base(path), err)
	}
	return nil
}

// checkOnly is the callback for readRecord of a caller that does not use the events.
func checkOnly(uint32, *dcb.SequencedEvent) error { return nil }

func writeAndSync(file vfs.File, content []byte) error {
	if _, err := file.WriteAt(content, 0); err != nil {
		return err
	}
	return file.Sync()
}

// copyIndexes copies the index files for what was copied, and removes those that the store does
// not have any more.
func (b *backupRun) copyIndexes(found listing, source segmentChain) error {
	there, err := list(b.fs, b.to)
	if err != nil {
		return err
	}
	wanted := make(map[string]bool)
	sealed := source.segments[len(source.segments)-1].first
	for _, name := range found.indexes {
		if _, last, _ := parseIndexName(name); last < sealed && last <= b.last {
			wanted[name] = true
		}
	}
	for _, name := range there.indexes {
		if wanted[name] {
			b.report.Reused++
			delete(wanted, name)
		} else if err := b.fs.Remove(filepath.Join(b.to, name)); err != nil {
			return fmt.Errorf("diskstore: back up to %s: %w", b.to, err)
		}
	}
	for name := range wanted {
		if err := b.copyIndex(name); err != nil {
			return err
		}
	}
	return nil
}

// copyIndex copies an index file. It leaves out a file that is damaged or was merged meanwhile:
// opening the backup builds it.
func (b *backupRun) copyIndex(name string) error {
	path := filepath.Join(b.from, name)
	x, err := indexfile.Open(b.fs, path)
	if err == nil {
		err = x.Verify(b.ctx)
		_ = x.Close() // only read
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, indexfile.ErrBroken) || errors.Is(err, indexfile.ErrVersion) {
		return nil
	}
	if err != nil {
		return err
	}
	content, err := b.fileReader(func(int64, int64) {}).readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	err = writeAtomically(b.fs, filepath.Join(b.to, name), func(file vfs.File) error { return writeAndSync(file, content) })
	if err != nil {
		return fmt.Errorf("diskstore: back up to %s: %w", b.to, err)
	}
	b.report.Copied++
	b.report.CopiedBytes += int64(len(content))
	return nil
}
