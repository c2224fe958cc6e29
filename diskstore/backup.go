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
	"github.com/dcbstore/dcb/diskstore/internal/frame"
	"github.com/dcbstore/dcb/diskstore/internal/indexfile"
	"github.com/dcbstore/dcb/internal/vfs"
)

// BackupReport is what a backup holds, and what was done for it.
type BackupReport struct {
	// Head is the last position in the backup.
	Head dcb.Position
	// Copied and Kept are the files that were copied, and those that were there from an earlier backup.
	Copied, Reused int
	// CopiedBytes is the size of those that were copied.
	CopiedBytes int64
}

// Backup copies the store in a directory to another directory, whether the store is open or not. What is there from an earlier backup of the same
// store is not copied again, but for the end of the log. The result opens like any store, and has everything that an append was answered for before the backup began.
//
// Every frame is checked on its way: what is damaged is not copied, and the error is a [CorruptError]. A directory that holds events which the store does not
// have, or not any more, is refused. If it ends early, for whatever reason, the
// directory holds a store as it was at some moment not before the earlier backup.
func Backup(ctx context.Context, dir, to string, options *InspectOptions) (BackupReport, error) {
	opts := options.complete()
	return backup(ctx, opts, dir, to, endless)
}

// Backup is the function Backup on an open store, up to the head at the beginning.
func (s *Store) Backup(ctx context.Context, to string, options *InspectOptions) (BackupReport, error) {
	head, err := s.Head(ctx)
	if err != nil {
		return BackupReport{}, err
	}
	opts := options.complete()
	opts.fs = s.fs
	return backup(ctx, opts, s.dir, to, head)
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
		return b.report, fmt.Errorf("diskstore: back up %s: to itself; name another directory", dir)
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

type backupRun struct {
	ctx          context.Context //nolint:containedctx // of the one call that this is the state of
	fs           vfs.FS
	opts         InspectOptions
	from, to     string
	last         dcb.Position // of what is copied
	acknowledged dcb.Position // what an append was answered for, as far as is known
	previous     []byte       // the frames in the last segment that the directory has, without a mark at their end
	report       BackupReport
	done         int64
	total        int64
}

// source returns what there is to copy. What is wrong with it is looked at again: a store that is open may have begun a segment between two looks.
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

// copy copies what is missing of the log, the oldest first, so that what is there is a log at every moment.
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

// kept returns how many segments of the source the directory has already, as they are.
func (b *backupRun) reusable(source segmentChain, there listing) (int, error) {
	if len(there.segments) == 0 {
		return 0, nil
	}
	old, err := readChain(b.fs, b.to, there)
	if err != nil {
		return 0, fmt.Errorf("diskstore: back up to %s, which holds an earlier backup: %w", b.to, err)
	}
	if old.headers[0].StoreID != source.headers[0].StoreID {
		return 0, fmt.Errorf("diskstore: back up to %s: it holds a backup of another store; name another directory", b.to)
	}
	// The last one was not finished when it was copied.
	for i := range old.segments {
		if i >= len(source.segments) || old.headers[i] != source.headers[i] {
			return 0, b.otherEventsError(old.segments[i].first)
		}
	}
	last := len(old.segments) - 1
	return last, b.readPrevious(old.segments[last], old.headers[last])
}

func (b *backupRun) otherEventsError(from dcb.Position) error {
	return fmt.Errorf("diskstore: back up to %s: it holds what %s does not, from position %d on; name another directory", b.to, b.from, from)
}

// firstOther returns the position of the first event that the directory has otherwise than copied has it.
func (b *backupRun) firstDifference(copied []byte, header frame.Segment) dcb.Position {
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

// hold reads what the directory has of its last segment, which is to be a beginning of what takes its place.
func (b *backupRun) readPrevious(g *segment, header frame.Segment) error {
	content, err := b.fileReader(func(int64, int64) {}).readFile(g.path)
	if err != nil {
		return err
	}
	state, end := newSegmentState(header), uint32(frame.SegmentBytes)
	for err == nil {
		if err = state.readRecord(content, checkOnly); err == nil && !state.clean {
			end = state.end
		}
	}
	b.previous = content[:end]
	b.last = max(b.last, state.next-1) // a backup that was begun later may have been there earlier
	return nil
}

// reader returns what reads files.
func (b *backupRun) fileReader(progress func(done, total int64)) *verifier {
	v := &verifier{ctx: b.ctx, fs: b.fs, opts: b.opts}
	v.opts.Progress = progress
	return v
}

// segment copies the frames of a segment, up to end, or if that is 0 all that there are.
func (b *backupRun) copySegment(g *segment, header frame.Segment, end uint32) error {
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
		copied = append(copied, frame.Mark(state.salt, state.next, state.recordedAt)...)
	}
	err = writeAtomically(b.fs, filepath.Join(b.to, base(g.path)), func(file vfs.File) error { return writeAndSync(file, copied) })
	if err != nil {
		return fmt.Errorf("diskstore: back up to %s: %w", b.to, err)
	}
	b.done += int64(len(content))
	b.report.Head = state.next - 1
	b.report.Copied++
	b.report.CopiedBytes += int64(len(copied))
	return nil
}

// read returns the content of a segment.
func (b *backupRun) readFile(g *segment) ([]byte, error) {
	return b.fileReader(func(done, _ int64) { b.opts.Progress(b.done+done, max(b.total, b.done+done)) }).readFile(g.path)
}

// frames reads the frames of a segment, up to end and to the last position that is copied. The error says why there are no more before that.
func (b *backupRun) readRecords(content []byte, header frame.Segment, end uint32) (segmentState, error) {
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

// sealed reads a segment that the next one vouches for. If the log has gone on meanwhile, its end may lie beyond the last position that is copied.
func (b *backupRun) readSealed(g *segment, header frame.Segment, end uint32) ([]byte, segmentState, error) {
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
		return nil, state, &CorruptError{File: g.path, Offset: int64(state.end), Position: state.next, Problem: err, Advice: adviceRestore}
	}
	return content, state, nil
}

// unfinished reads the segment that is appended to. What is behind its last whole frame may just be being written, and is looked at again before it is damage.
func (b *backupRun) readActive(g *segment, header frame.Segment) ([]byte, segmentState, error) {
	for stopped := uint32(0); ; {
		content, err := b.readFile(g)
		if err == nil {
			err = syncFile(b.fs, g.path) // what was read and is not durable yet would otherwise be in the backup, and after a crash not in the store
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
			broken = &CorruptError{
				File: g.path, Offset: int64(state.end), Position: state.next,
				Problem: fmt.Errorf("%w, although an append was answered for up to position %d", err, b.acknowledged), Advice: adviceRestore,
			}
		}
		if broken == nil || state.end == stopped {
			return content, state, broken
		}
		stopped = state.end
	}
}

// syncFile makes durable what is in a file, as far as whoever wants it may do so.
func syncFile(files vfs.FS, path string) error {
	var err error
	for _, open := range []func(string) (vfs.File, error){files.Open, files.OpenWrite} {
		var file vfs.File
		if file, err = open(path); err == nil {
			err = errors.Join(file.Sync(), file.Close())
		}
		if !errors.Is(err, fs.ErrPermission) { // somewhere a file that was opened for reading cannot be synced
			break
		}
	}
	if err != nil && !errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("diskstore: make %s durable: %w", base(path), err)
	}
	return nil
}

func checkOnly(uint32, *dcb.SequencedEvent) error { return nil }

func writeAndSync(file vfs.File, content []byte) error {
	if _, err := file.WriteAt(content, 0); err != nil {
		return err
	}
	return file.Sync()
}

// indexes copies the index files of what was copied, and removes those that the store has not any more.
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

// index copies an index file. One that is damaged, or was merged meanwhile, is left out: the backup makes its own when it is opened.
func (b *backupRun) copyIndex(name string) error {
	path := filepath.Join(b.from, name)
	x, err := indexfile.Open(b.fs, path)
	if err == nil {
		err = x.Verify(b.ctx)
		_ = x.Close() // of what was only read
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
