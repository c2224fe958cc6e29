package diskstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/diskstore/internal/indexfile"
	"github.com/dcbstore/dcb/diskstore/internal/logfile"
	"github.com/dcbstore/dcb/diskstore/internal/tail"
	"github.com/dcbstore/dcb/internal/vfs"
)

// InspectOptions configure [Verify] and [Backup]. Nil and the zero value mean the defaults.
type InspectOptions struct {
	// Progress is called many times a second with the number of bytes processed so far and in
	// total. The call is made by the goroutine that verifies or copies. Default nil: not called.
	Progress func(done, total int64)

	fs vfs.FS // the operating system's, except in tests
}

// withDefaults returns a completed copy of o. No value is invalid.
func (o *InspectOptions) withDefaults() InspectOptions {
	var opts InspectOptions
	if o != nil {
		opts = *o
	}
	if opts.Progress == nil {
		opts.Progress = func(int64, int64) {}
	}
	if opts.fs == nil {
		opts.fs = vfs.OS()
	}
	return opts
}

// Report is the result of [Verify].
type Report struct {
	// Events, Segments and IndexFiles count what was checked. Bytes is the size of all of it.
	Events     uint64
	Segments   int
	IndexFiles int
	Bytes      int64
	// InUse is true if a store had the directory open, or opened it meanwhile. Then the end of
	// the log, which that store may have been writing, was not checked.
	InUse bool
	// Unfinished is the number of bytes that a crash left after the end of the log. They belong
	// to no acknowledged append; the next opening removes them.
	Unfinished int64
	// Unindexed is the number of sealed segments without an index file. The next opening builds
	// the files.
	Unindexed int
	// Problems lists the damage. Damage in the log is a [CorruptError], and what it affects is
	// lost. A damaged index file is rebuilt when it is used.
	Problems []error
}

// Verify checks every log record, every event and every position of the store in dir, and every
// index file against the log. It changes nothing. The store may be open, and may be opened
// meanwhile; then Verify checks again what seems wrong. The error means that Verify could not do
// its work; the Report contains what is wrong with the store.
func Verify(ctx context.Context, dir string, opts *InspectOptions) (Report, error) {
	o := opts.withDefaults()
	found, err := listStore(o.fs, dir)
	if _, ok := errors.AsType[*CorruptError](err); ok {
		return Report{Problems: []error{err}}, nil
	}
	if err != nil {
		return Report{}, err
	}
	inUse, err := isOpen(o.fs, dir)
	if err != nil {
		return Report{}, err
	}
	report, err := verify(ctx, o, dir, found, inUse)
	if inUse || err == nil && len(report.Problems) == 0 && report.Unfinished == 0 {
		return report, err
	}
	// A store that was opened meanwhile may have been writing what seems wrong.
	changed, failed := listStore(o.fs, dir)
	if failed != nil {
		return report, err
	}
	if inUse, failed = isOpen(o.fs, dir); failed != nil || !inUse && slices.Equal(found.segments, changed.segments) {
		return report, err
	}
	return verify(ctx, o, dir, changed, true)
}

// verify checks the listed files. If inUse is true it skips what the open store may be writing.
func verify(ctx context.Context, opts InspectOptions, dir string, found listing, inUse bool) (Report, error) {
	v := &verifier{ctx: ctx, fs: opts.fs, dir: dir, opts: opts}
	v.report.InUse = inUse
	err := catchFaults(func() error { return v.verify(found) })
	for _, x := range v.indexes {
		_ = x.Close()
	}
	return v.report, err
}

// listStore lists a directory that must contain a store.
func listStore(files vfs.FS, dir string) (listing, error) {
	found, err := list(files, dir)
	if err == nil && len(found.segments) == 0 {
		err = fmt.Errorf("%w: %s contains no log", ErrNoStore, dir)
	}
	return found, err
}

// isOpen reports whether a process holds the lock of a store, as far as this can be found out
// without changing anything. It releases the lock at once, so that the store can be opened
// during an inspection.
func isOpen(files vfs.FS, dir string) (bool, error) {
	path := filepath.Join(dir, lockName)
	file, err := files.Open(path)
	if err != nil {
		return false, nil //nolint:nilerr // never opened here, or no read permission
	}
	if err := file.Close(); err != nil {
		return false, fmt.Errorf("diskstore: %w", err)
	}
	lock, err := files.Lock(path)
	switch {
	case err == nil:
		err = lock.Close()
	case errors.Is(err, vfs.ErrLocked):
		return true, nil
	case errors.Is(err, fs.ErrPermission): // read permission is enough to verify
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("diskstore: lock %s: %w", dir, err)
	}
	return false, nil
}

// verifier is the state of one verification.
type verifier struct {
	ctx     context.Context //nolint:containedctx // a verifier is the state of one call
	fs      vfs.FS
	dir     string
	opts    InspectOptions
	report  Report
	indexes []*checkedIndex
	buffer  []byte // reused by readFile
	total   int64  // bytes of all segments
}

// checkedIndex is an index file, and what was compared with the log so far.
type checkedIndex struct {
	*indexfile.Index
	path     string
	postings uint64 // entries that the log has
	failed   bool   // a problem was reported already
	covered  uint32 // events that were compared
	sum      uint32 // of the segments that were compared
}

func (v *verifier) addProblem(err error) { v.report.Problems = append(v.report.Problems, err) }

func (v *verifier) verify(found listing) error {
	for _, info := range found.segments {
		v.total += info.Size
	}
	used, err := v.usedSegments(found.segments)
	if err != nil {
		return err
	}
	last := used[len(used)-1]
	if beyond := lastIndexed(found.indexes); !v.report.InUse && beyond >= firstPosition(last) {
		v.addProblem(missingSegmentError(filepath.Join(v.dir, last.Name), beyond))
	}
	if err := v.openIndexes(found.indexes); err != nil {
		return err
	}
	w := verifyState{next: 1}
	for i, info := range used {
		if err := v.verifySegment(&w, used[i:], filepath.Join(v.dir, info.Name)); err != nil {
			return err
		}
	}
	v.report.Events = uint64(w.next) - 1
	for _, x := range v.indexes {
		v.finishIndex(x, w.next)
	}
	return nil
}

// usedSegments returns the segments without those at the end that have no log record yet. These
// are no damage: the next opening removes them.
func (v *verifier) usedSegments(segments []vfs.Info) ([]vfs.Info, error) {
	first, err := readSegmentHeader(v.fs, filepath.Join(v.dir, segments[0].Name))
	if err != nil {
		return segments, nil //nolint:nilerr // verifySegment reports it
	}
	n := len(segments)
	for ; n > 1; n-- {
		_, err := readSegmentHeader(v.fs, filepath.Join(v.dir, segments[n-1].Name))
		isGone := v.report.InUse && errors.Is(err, fs.ErrNotExist)
		if !errors.Is(err, logfile.ErrBroken) && !isGone {
			break
		}
	}
	used, unused := segments[:n], segments[n:]
	if !v.report.InUse {
		err := checkNeverUsed(v.fs, v.dir, unused, first.Salt())
		if errors.Is(err, dcb.ErrCorrupt) {
			return segments, nil // verifySegment reports it
		}
		if err != nil {
			return nil, err
		}
	}
	for _, info := range unused {
		if err := v.countUnused(filepath.Join(v.dir, info.Name)); err != nil {
			return nil, err
		}
	}
	return used, nil
}

// countUnused counts a segment without log records.
func (v *verifier) countUnused(path string) error {
	b, err := v.readFile(path)
	if v.report.InUse && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	v.report.Segments++
	v.report.Bytes += int64(len(b))
	if !v.report.InUse {
		v.report.Unfinished += int64(len(bytes.TrimRight(b, "\x00")))
	}
	return nil
}

// openIndexes opens all index files and verifies each by itself.
func (v *verifier) openIndexes(names []string) error {
	for _, name := range names {
		path := filepath.Join(v.dir, name)
		x, err := indexfile.Open(v.fs, path)
		if err == nil {
			v.indexes = append(v.indexes, &checkedIndex{Index: x, path: path})
			v.report.IndexFiles++
			v.report.Bytes += x.Bytes()
			err = x.Verify(v.ctx)
		}
		switch {
		case err == nil || errors.Is(err, fs.ErrNotExist): // an open store has merged it meanwhile
		case errors.Is(err, indexfile.ErrBroken) || errors.Is(err, indexfile.ErrVersion):
			v.addProblem(fmt.Errorf("diskstore: index file %s: %w; the store rebuilds it on use", path, err))
			if len(v.indexes) > 0 && v.indexes[len(v.indexes)-1].path == path {
				v.indexes[len(v.indexes)-1].failed = true
			}
		default:
			return err
		}
	}
	return nil
}

// verifyState is the state of the log before a segment.
type verifyState struct {
	next       dcb.Position // the first position of the segment
	storeID    [16]byte
	recordedAt int64
}

// verifySegment checks the first of the remaining segments.
func (v *verifier) verifySegment(w *verifyState, left []vfs.Info, path string) error {
	first, _ := parseSegmentName(left[0].Name)
	isLast := len(left) == 1
	corrupt := func(position dcb.Position, format string, args ...any) {
		v.addProblem(newCorruptError(path, 0, position, fmt.Errorf(format, args...)))
	}
	b, err := v.readFile(path)
	if err != nil {
		return err
	}
	v.report.Segments++
	v.report.Bytes += int64(len(b))
	if first != w.next {
		corrupt(w.next, "the events from position %d to %d are missing before this segment", w.next, first-1)
		w.next = first
	}
	header, err := logfile.ReadSegmentHeader(b)
	switch {
	case errors.Is(err, logfile.ErrVersion):
		return fmt.Errorf("%w: %s: %w", ErrVersion, path, err)
	case err != nil:
		corrupt(first, "%w", err)
		return nil
	case header.First != first:
		corrupt(first, "its header says that it begins at position %d", header.First)
		return nil
	case first > 1 && header.StoreID != w.storeID:
		corrupt(first, "it belongs to another store")
	}
	w.storeID = header.StoreID
	state, index, err := v.readRecords(b, header)
	if isLast {
		v.verifyEnd(path, b, state, err)
	} else {
		v.verifySealed(filepath.Join(v.dir, left[1].Name), path, b, state, err)
	}
	w.next, w.recordedAt = state.next, state.recordedAt
	return v.compareIndexes(first, state, index, isLast)
}

// readRecords reads the log records of a segment and builds an index of their events. The error
// says why there are no more.
func (v *verifier) readRecords(b []byte, header logfile.SegmentHeader) (segmentState, *tail.Index, error) {
	state, index := newSegmentState(header), tail.New()
	add := indexer(index)
	for {
		if err := state.readRecord(b, add); err != nil {
			return state, index, err
		}
	}
}

// verifySealed compares the log records of a segment with what the next header certifies.
func (v *verifier) verifySealed(nextPath, path string, b []byte, state segmentState, ended error) {
	next, err := readSegmentHeader(v.fs, nextPath)
	if err != nil {
		return // verifySegment reports it
	}
	switch {
	case state.end < next.PrevEnd:
		v.addProblem(newCorruptError(path, int64(state.end), state.next, ended))
	case state.end != next.PrevEnd || state.sum != next.PrevSum || state.next != next.First:
		v.addProblem(newCorruptError(path, int64(next.PrevEnd), state.next, errOtherRecords))
	case len(bytes.TrimRight(b[state.end:], "\x00")) > 0 && !v.report.InUse:
		v.addProblem(&CorruptError{
			File: path, Offset: int64(state.end), Position: state.next,
			Problem: errors.New("there is data after the last log record, where the store writes none"),
		})
	}
}

var errOtherRecords = errors.New("its log records differ from those certified by the next segment")

// verifyEnd checks what follows the last log record of the log.
func (v *verifier) verifyEnd(path string, b []byte, state segmentState, ended error) {
	if v.report.InUse {
		return
	}
	if err := checkLogEnd(&segment{path: path}, b, state, ended); err != nil {
		v.addProblem(err)
		return
	}
	v.report.Unfinished += int64(len(bytes.TrimRight(b[state.end:], "\x00")))
}

// readFile returns the content of a file. The next call reuses the memory.
func (v *verifier) readFile(path string) ([]byte, error) {
	file, err := v.fs.Open(path)
	if err != nil {
		return nil, fmt.Errorf("diskstore: %w", err)
	}
	defer file.Close()
	size, err := file.Size()
	if err != nil {
		return nil, fmt.Errorf("diskstore: %w", err)
	}
	v.buffer = slices.Grow(v.buffer[:0], int(size))[:size]
	const piece = 4 << 20
	for at := 0; at < len(v.buffer); {
		if err := v.ctx.Err(); err != nil {
			return nil, err
		}
		n, err := file.ReadAt(v.buffer[at:min(at+piece, len(v.buffer))], int64(at))
		at += n
		v.opts.Progress(min(v.report.Bytes+int64(at), v.total), v.total)
		if errors.Is(err, io.EOF) {
			return v.buffer[:at], nil // an open store has truncated it meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("diskstore: read %s: %w", path, err)
		}
	}
	return v.buffer, nil
}
