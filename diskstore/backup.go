package diskstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
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
// Every frame is checked on its way: what is damaged is not copied, and the error is a [CorruptError]. If it ends early, for whatever reason, the
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
	found, err := listStore(b.fs, dir)
	if err != nil {
		return b.report, err
	}
	source, err := readChain(b.fs, dir, found)
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
	err = guarded(func() error { return b.copy(source, there) })
	if err == nil {
		err = b.indexes(found, source)
	}
	return b.report, err
}

type backer struct {
	ctx      context.Context //nolint:containedctx // of the one call that this is the state of
	fs       vfs.FS
	opts     InspectOptions
	from, to string
	last     dcb.Position // of what is copied
	report   BackupReport
	done     int64
	total    int64
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
			return 0, fmt.Errorf("diskstore: back up to %s: it holds what %s does not, from position %d on; name another directory", b.to, b.from, old.segments[i].first)
		}
	}
	return len(old.segments) - 1, nil
}

// segment copies the frames of a segment, up to end, or if that is 0 all that there are.
func (b *backer) segment(g *segment, header frame.Segment, end uint32) error {
	v := verifier{ctx: b.ctx, fs: b.fs, opts: b.opts}
	v.opts.Progress = func(done, _ int64) { b.opts.Progress(b.done+done, max(b.total, b.done+done)) }
	content, err := v.read(g.path)
	if err != nil {
		return err
	}
	all := newFrames(header)
	for end == 0 || all.end < end {
		before := all
		err := all.read(content, nothing)
		if end == 0 && errors.Is(err, frame.ErrBroken) || errors.Is(err, frame.ErrEnd) && end == 0 {
			break // what follows is being written
		}
		if err != nil {
			return &CorruptError{File: g.path, Offset: int64(all.end), Position: all.next, Problem: err, Advice: restore}
		}
		if all.next-1 > b.last {
			all = before
			break
		}
	}
	if end != 0 && (all.end != end || all.sum != g.sum) {
		return &CorruptError{File: g.path, Offset: int64(all.end), Position: all.next, Problem: errOtherFrames, Advice: restore}
	}
	copied := bytes.Clone(content[:all.end])
	if end == 0 && !all.marked {
		copied = append(copied, frame.Mark(all.salt, all.next, all.recordedAt)...)
	}
	err = writeAside(b.fs, filepath.Join(b.to, base(g.path)), func(file writeFile) error { return writeAll(file, copied) })
	if err != nil {
		return fmt.Errorf("diskstore: back up to %s: %w", b.to, err)
	}
	b.done += int64(len(content))
	b.report.Head = all.next - 1
	b.report.Copied++
	b.report.CopiedBytes += int64(len(copied))
	return nil
}

func nothing(uint32, *dcb.SequencedEvent) error { return nil }

func writeAll(file writeFile, content []byte) error {
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
	v := verifier{ctx: b.ctx, fs: b.fs, opts: b.opts}
	v.opts.Progress = func(int64, int64) {}
	content, err := v.read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	err = writeAside(b.fs, filepath.Join(b.to, name), func(file writeFile) error { return writeAll(file, content) })
	if err != nil {
		return fmt.Errorf("diskstore: back up to %s: %w", b.to, err)
	}
	b.report.Copied++
	b.report.CopiedBytes += int64(len(content))
	return nil
}
