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
	Copied, Kept int
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
	b := &backer{ctx: ctx, fs: opts.fs, opts: opts, from: dir, to: to, last: last}
	if last != endless {
		b.answered = last
	}
	var found listing
	var source chain
	err := guarded(func() (err error) {
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
		return b.report, inUse(to)
	}
	if err != nil {
		return b.report, fmt.Errorf("diskstore: back up to %s: %w", to, err)
	}
	defer lock.Close()
	err = guarded(func() error {
		if err := b.copy(source, there); err != nil {
			return err
		}
		return b.indexes(found, source)
	})
	return b.report, err
}

type backer struct {
	ctx      context.Context //nolint:containedctx // of the one call that this is the state of
	fs       vfs.FS
	opts     InspectOptions
	from, to string
	last     dcb.Position // of what is copied
	answered dcb.Position // what an append was answered for, as far as is known
	held     []byte       // the frames in the last segment that the directory has, without a mark at their end
	report   BackupReport
	done     int64
	total    int64
}

// source returns what there is to copy. What is wrong with it is looked at again: a store that is open may have begun a segment between two looks.
func (b *backer) source() (found listing, source chain, err error) {
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
func (b *backer) copy(source chain, there listing) error {
	kept, err := b.kept(source, there)
	if err != nil {
		return err
	}
	for _, g := range source.segments[kept:] {
		b.total += g.size.Load()
	}
	b.report.Kept = kept
	for i, g := range source.segments[kept:] {
		if g.first-1 > b.last {
			break
		}
		end := g.end
		if kept+i == len(source.segments)-1 {
			end = 0
		}
		if err := b.segment(g, source.headers[kept+i], end); err != nil {
			return err
		}
	}
	return nil
}

// kept returns how many segments of the source the directory has already, as they are.
func (b *backer) kept(source chain, there listing) (int, error) {
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
			return 0, b.holdsOther(old.segments[i].first)
		}
	}
	last := len(old.segments) - 1
	return last, b.hold(old.segments[last], old.headers[last])
}

func (b *backer) holdsOther(from dcb.Position) error {
	return fmt.Errorf("diskstore: back up to %s: it holds what %s does not, from position %d on; name another directory", b.to, b.from, from)
}

// firstOther returns the position of the first event that the directory has otherwise than copied has it.
func (b *backer) firstOther(copied []byte, header frame.Segment) dcb.Position {
	same := 0
	for same < min(len(copied), len(b.held)) && copied[same] == b.held[same] {
		same++
	}
	all := newFrames(header)
	for all.read(b.held[:same], nothing) == nil {
		continue
	}
	return all.next
}

// hold reads what the directory has of its last segment, which is to be a beginning of what takes its place.
func (b *backer) hold(g *segment, header frame.Segment) error {
	content, err := b.reader(func(int64, int64) {}).read(g.path)
	if err != nil {
		return err
	}
	all, end := newFrames(header), uint32(frame.SegmentBytes)
	for err == nil {
		if err = all.read(content, nothing); err == nil && !all.marked {
			end = all.end
		}
	}
	b.held = content[:end]
	b.last = max(b.last, all.next-1) // a backup that was begun later may have been there earlier
	return nil
}

// reader returns what reads files.
func (b *backer) reader(progress func(done, total int64)) *verifier {
	v := &verifier{ctx: b.ctx, fs: b.fs, opts: b.opts}
	v.opts.Progress = progress
	return v
}

// segment copies the frames of a segment, up to end, or if that is 0 all that there are.
func (b *backer) segment(g *segment, header frame.Segment, end uint32) error {
	var content []byte
	var all frames
	var err error
	if end == 0 {
		content, all, err = b.unfinished(g, header)
	} else {
		content, all, err = b.sealed(g, header, end)
	}
	if err != nil {
		return err
	}
	copied := bytes.Clone(content[:all.end])
	if !bytes.HasPrefix(copied, b.held) {
		return b.holdsOther(b.firstOther(copied, header))
	}
	b.held = nil
	if !all.marked && (end == 0 || all.end < end) {
		copied = append(copied, frame.Mark(all.salt, all.next, all.recordedAt)...)
	}
	err = writeAside(b.fs, filepath.Join(b.to, base(g.path)), func(file vfs.File) error { return writeAll(file, copied) })
	if err != nil {
		return fmt.Errorf("diskstore: back up to %s: %w", b.to, err)
	}
	b.done += int64(len(content))
	b.report.Head = all.next - 1
	b.report.Copied++
	b.report.CopiedBytes += int64(len(copied))
	return nil
}

// read returns the content of a segment.
func (b *backer) read(g *segment) ([]byte, error) {
	return b.reader(func(done, _ int64) { b.opts.Progress(b.done+done, max(b.total, b.done+done)) }).read(g.path)
}

// frames reads the frames of a segment, up to end and to the last position that is copied. The error says why there are no more before that.
func (b *backer) frames(content []byte, header frame.Segment, end uint32) (frames, error) {
	all := newFrames(header)
	for all.end < end {
		before := all
		if err := all.read(content, nothing); err != nil {
			return all, err
		}
		if all.next-1 > b.last {
			return before, nil
		}
	}
	return all, nil
}

// sealed reads a segment that the next one vouches for. If the log has gone on meanwhile, its end may lie beyond the last position that is copied.
func (b *backer) sealed(g *segment, header frame.Segment, end uint32) ([]byte, frames, error) {
	content, err := b.read(g)
	if err != nil {
		return nil, frames{}, err
	}
	all, err := b.frames(content, header, end)
	if err == nil && all.end != end && all.next-1 == b.last {
		return content, all, nil
	}
	if err == nil && (all.end != end || all.sum != g.sum) {
		err = errOtherFrames
	}
	if err != nil {
		return nil, all, &CorruptError{File: g.path, Offset: int64(all.end), Position: all.next, Problem: err, Advice: restore}
	}
	return content, all, nil
}

// unfinished reads the segment that is appended to. What is behind its last whole frame may just be being written, and is looked at again before it is damage.
func (b *backer) unfinished(g *segment, header frame.Segment) ([]byte, frames, error) {
	for stopped := uint32(0); ; {
		content, err := b.read(g)
		if err == nil {
			err = syncFile(b.fs, g.path) // what was read and is not durable yet would otherwise be in the backup, and after a crash not in the store
		}
		if err != nil {
			return nil, frames{}, err
		}
		all, err := b.frames(content, header, math.MaxUint32)
		if err == nil {
			return content, all, nil
		}
		broken := damaged(g, content, all, err)
		if broken == nil && all.next-1 < b.answered {
			broken = &CorruptError{
				File: g.path, Offset: int64(all.end), Position: all.next,
				Problem: fmt.Errorf("%w, although an append was answered for up to position %d", err, b.answered), Advice: restore,
			}
		}
		if broken == nil || all.end == stopped {
			return content, all, broken
		}
		stopped = all.end
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

func nothing(uint32, *dcb.SequencedEvent) error { return nil }

func writeAll(file vfs.File, content []byte) error {
	if _, err := file.WriteAt(content, 0); err != nil {
		return err
	}
	return file.Sync()
}

// indexes copies the index files of what was copied, and removes those that the store has not any more.
func (b *backer) indexes(found listing, source chain) error {
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
			b.report.Kept++
			delete(wanted, name)
		} else if err := b.fs.Remove(filepath.Join(b.to, name)); err != nil {
			return fmt.Errorf("diskstore: back up to %s: %w", b.to, err)
		}
	}
	for name := range wanted {
		if err := b.index(name); err != nil {
			return err
		}
	}
	return nil
}

// index copies an index file. One that is damaged, or was merged meanwhile, is left out: the backup makes its own when it is opened.
func (b *backer) index(name string) error {
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
	content, err := b.reader(func(int64, int64) {}).read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	err = writeAside(b.fs, filepath.Join(b.to, name), func(file vfs.File) error { return writeAll(file, content) })
	if err != nil {
		return fmt.Errorf("diskstore: back up to %s: %w", b.to, err)
	}
	b.report.Copied++
	b.report.CopiedBytes += int64(len(content))
	return nil
}
