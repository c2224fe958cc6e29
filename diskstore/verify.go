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
	"github.com/dcbstore/dcb/diskstore/internal/frame"
	"github.com/dcbstore/dcb/diskstore/internal/indexfile"
	"github.com/dcbstore/dcb/diskstore/internal/tail"
	"github.com/dcbstore/dcb/internal/vfs"
)

// InspectOptions are for [Verify] and [Backup]. The zero value has the defaults.
type InspectOptions struct {
	// Progress is told how many bytes of how many were dealt with, many times a second. Default: nobody is.
	Progress func(done, total int64)

	fs vfs.FS // the operating system's, but in tests
}

func (o *InspectOptions) complete() InspectOptions {
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

// Report is what [Verify] found.
type Report struct {
	// Events, Segments and IndexFiles are how many were checked, Bytes the size of all of them.
	Events     uint64
	Segments   int
	IndexFiles int
	Bytes      int64
	// InUse says that a store had the directory open, or opened it meanwhile. What it was writing meanwhile was not judged.
	InUse bool
	// Unfinished is how many bytes a crash left behind the end of the log. No append was answered for them; the next opening drops them.
	Unfinished int64
	// Unindexed is how many sealed segments have no index file. The next opening makes it.
	Unindexed int
	// Problems are what is damaged, in the log each a [CorruptError]. An index file that is damaged is made again when it is used; what is
	// damaged in the log is lost.
	Problems []error
}

// Verify checks every frame, every event and every position of the store in a directory, and every index file against the log, whether the store is open
// or not; it may be opened meanwhile, and what seems wrong then is looked at again. It changes nothing. The error says that it could not be done; what is wrong with the store is in the report.
func Verify(ctx context.Context, dir string, options *InspectOptions) (Report, error) {
	opts := options.complete()
	found, err := listStore(opts.fs, dir)
	if _, ok := errors.AsType[*CorruptError](err); ok {
		return Report{Problems: []error{err}}, nil
	}
	if err != nil {
		return Report{}, err
	}
	inUse, err := isOpen(opts.fs, dir)
	if err != nil {
		return Report{}, err
	}
	report, err := verify(ctx, opts, dir, found, inUse)
	if inUse || err == nil && len(report.Problems) == 0 && report.Unfinished == 0 {
		return report, err
	}
	// What is wrong may be what a store was just writing that was opened meanwhile.
	changed, failed := listStore(opts.fs, dir)
	if failed != nil {
		return report, err
	}
	if inUse, failed = isOpen(opts.fs, dir); failed != nil || !inUse && slices.Equal(found.segments, changed.segments) {
		return report, err
	}
	return verify(ctx, opts, dir, changed, true)
}

// verify verifies what was found in a directory. What was just being written is not judged if the store is, or was, in use.
func verify(ctx context.Context, opts InspectOptions, dir string, found listing, inUse bool) (Report, error) {
	v := &verifier{ctx: ctx, fs: opts.fs, dir: dir, opts: opts}
	v.report.InUse = inUse
	err := catchFaults(func() error { return v.verify(found) })
	for _, x := range v.indexes {
		_ = x.Close()
	}
	return v.report, err
}

// listStore is list for a directory that has to hold a store.
func listStore(files vfs.FS, dir string) (listing, error) {
	found, err := list(files, dir)
	if err == nil && len(found.segments) == 0 {
		err = fmt.Errorf("%w: %s holds no log", ErrNoStore, dir)
	}
	return found, err
}

// isOpen reports whether somebody has the lock of a store, as far as that can be found out without changing anything. It is not kept, so that nobody who
// opens the store has to wait for whoever inspects it.
func isOpen(files vfs.FS, dir string) (bool, error) {
	path := filepath.Join(dir, lockName)
	file, err := files.Open(path)
	if err != nil {
		return false, nil //nolint:nilerr // it was never opened here, or it may only be read
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
	case errors.Is(err, fs.ErrPermission): // what one may only read one may verify
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("diskstore: lock %s: %w", dir, err)
	}
	return false, nil
}

type verifier struct {
	ctx     context.Context //nolint:containedctx // of the one call that this is the state of
	fs      vfs.FS
	dir     string
	opts    InspectOptions
	report  Report
	indexes []*checkedIndex
	buffer  []byte
	total   int64
}

// checkedIndex is an index file, and how much of what it says the log has said too.
type checkedIndex struct {
	*indexfile.Index
	path     string
	postings uint64 // that the log has
	failed   bool   // it was said already
	covered  uint32 // events of the log that were compared
	sum      uint32
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

// used returns the segments without those at the end that nothing was written to yet, which are no damage: the next opening removes them.
func (v *verifier) usedSegments(segments []vfs.Info) ([]vfs.Info, error) {
	first, err := readSegmentHeader(v.fs, filepath.Join(v.dir, segments[0].Name))
	if err != nil {
		return segments, nil //nolint:nilerr // it is told when it is its turn
	}
	n := len(segments)
	for ; n > 1; n-- {
		_, err := readSegmentHeader(v.fs, filepath.Join(v.dir, segments[n-1].Name))
		isGone := v.report.InUse && errors.Is(err, fs.ErrNotExist)
		if !errors.Is(err, frame.ErrBroken) && !isGone {
			break
		}
	}
	used, unused := segments[:n], segments[n:]
	if !v.report.InUse {
		err := checkNeverUsed(v.fs, v.dir, unused, first.Salt())
		if errors.Is(err, dcb.ErrCorrupt) {
			return segments, nil // it is told when it is its turn
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

// unused counts a segment that nothing was written to, or nothing that counts.
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

// openIndexes opens all index files, and checks each by itself.
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
		case err == nil || errors.Is(err, fs.ErrNotExist): // a store that is open has merged it meanwhile
		case errors.Is(err, indexfile.ErrBroken) || errors.Is(err, indexfile.ErrVersion):
			v.addProblem(fmt.Errorf("diskstore: index file %s: %w; it is made again when it is used", path, err))
			if len(v.indexes) > 0 && v.indexes[len(v.indexes)-1].path == path {
				v.indexes[len(v.indexes)-1].failed = true
			}
		default:
			return err
		}
	}
	return nil
}

// segmentWalk is what is known before a segment is read.
type verifyState struct {
	next       dcb.Position // the first position of the next segment
	storeID    [16]byte
	recordedAt int64 // when the last event was
}

// segment checks the first of the segments that are left.
func (v *verifier) verifySegment(w *verifyState, left []vfs.Info, path string) error {
	first, _ := parseSegmentName(left[0].Name)
	isLast := len(left) == 1
	corrupt := func(position dcb.Position, format string, args ...any) {
		v.addProblem(&CorruptError{File: path, Position: position, Problem: fmt.Errorf(format, args...), Advice: adviceRestore})
	}
	b, err := v.readFile(path)
	if err != nil {
		return err
	}
	v.report.Segments++
	v.report.Bytes += int64(len(b))
	if first != w.next {
		corrupt(w.next, "it is the next segment, and events from position %d to %d are missing before it", w.next, first-1)
		w.next = first
	}
	header, err := frame.ReadSegment(b)
	switch {
	case errors.Is(err, frame.ErrVersion):
		return fmt.Errorf("%w: %s: %w", ErrVersion, path, err)
	case err != nil:
		corrupt(first, "%w", err)
		return nil
	case header.First != first:
		corrupt(first, "it says that it begins at position %d", header.First)
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

// frames reads all frames of a segment into an index of their events. The error says why there are no more.
func (v *verifier) readRecords(b []byte, header frame.Segment) (segmentState, *tail.Index, error) {
	state, index := newSegmentState(header), tail.New()
	add := indexer(index)
	for {
		if err := state.readRecord(b, add); err != nil {
			return state, index, err
		}
	}
}

// sealed checks that the frames of a segment are those that the next one vouches for.
func (v *verifier) verifySealed(nextPath, path string, b []byte, state segmentState, ended error) {
	next, err := readSegmentHeader(v.fs, nextPath)
	if err != nil {
		return // that is told when it is its turn
	}
	switch {
	case state.end < next.End:
		v.addProblem(&CorruptError{File: path, Offset: int64(state.end), Position: state.next, Problem: ended, Advice: adviceRestore})
	case state.end != next.End || state.sum != next.Sum || state.next != next.First:
		v.addProblem(&CorruptError{
			File: path, Offset: int64(next.End), Position: state.next,
			Problem: errOtherRecords, Advice: adviceRestore,
		})
	case len(bytes.TrimRight(b[state.end:], "\x00")) > 0 && !v.report.InUse:
		v.addProblem(&CorruptError{File: path, Offset: int64(state.end), Position: state.next, Problem: errors.New("there is something behind its last frame, where nothing was ever written")})
	}
}

var errOtherRecords = errors.New("its frames are not those that were there when the next segment was begun")

// end checks what is behind the last frame of the log.
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

// read returns the content of a segment, in a buffer that the next call uses again.
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
			return v.buffer[:at], nil // a store that is open has made it shorter meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("diskstore: read %s: %w", path, err)
		}
	}
	return v.buffer, nil
}
