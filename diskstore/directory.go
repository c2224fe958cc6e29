package diskstore

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/diskstore/internal/frame"
	"github.com/dcbstore/dcb/internal/vfs"
)

// listing is what a directory holds.
type listing struct {
	segments   []vfs.Info // ascending
	indexes    []string   // ascending by the first position
	unfinished []string
}

// list returns what the directory of a store holds. What is not a store's is ignored, unless there is nothing else. What is hidden, and what a file system keeps
// at its own root, is nothing: a volume may hold a store there.
func list(files vfs.FS, dir string) (listing, error) {
	infos, err := files.List(dir)
	if err != nil {
		return listing{}, fmt.Errorf("diskstore: open %s: %w", dir, err)
	}
	var found listing
	other := ""
	for _, info := range infos {
		_, isSegment := parseSegmentName(info.Name)
		_, _, isIndex := parseIndexName(info.Name)
		switch {
		case strings.HasPrefix(info.Name, ".") || info.Dir && info.Name == "lost+found":
		case info.Dir:
			other = info.Name
		case isSegment:
			found.segments = append(found.segments, info)
		case isIndex:
			found.indexes = append(found.indexes, info.Name)
		case isUnfinished(info.Name):
			found.unfinished = append(found.unfinished, info.Name)
		case info.Name != lockName:
			other = info.Name
		}
	}
	switch {
	case len(found.segments) > 0:
		return found, nil
	case len(found.indexes) > 0:
		return listing{}, &CorruptError{File: filepath.Join(dir, segmentName(1)), Position: 1, Problem: fs.ErrNotExist, Advice: adviceRestore}
	case other != "":
		return listing{}, fmt.Errorf("%w: %s holds other things (%s) and no log; name a directory that is empty, or not there yet", ErrNoStore, dir, other)
	}
	return found, nil
}

func isUnfinished(name string) bool {
	of, ok := strings.CutSuffix(name, tmpSuffix)
	_, isSegment := parseSegmentName(of)
	_, _, isIndex := parseIndexName(of)
	return ok && (isSegment || isIndex || name == spareName)
}

// chain is the segments of a log, each of which is vouched for by the next.
type segmentChain struct {
	segments []*segment
	headers  []frame.Segment
	unused   []string // the names of segments behind the last that nothing was ever answered for
}

// readChain reads the headers of the segments that were found, and checks that they are one log and that none is missing.
func readChain(files vfs.FS, dir string, found listing) (segmentChain, error) {
	var c segmentChain
	for i, info := range found.segments {
		first, _ := parseSegmentName(info.Name)
		g := newSegment(files, dir, first, info.Size)
		header, err := readSegmentHeader(files, g.path)
		switch {
		case errors.Is(err, frame.ErrVersion):
			return c, fmt.Errorf("%w: %s: %w", ErrVersion, g.path, err)
		case errors.Is(err, frame.ErrBroken):
			if i == 0 {
				return c, brokenHeaderError(g, err)
			}
			for _, unused := range found.segments[i:] {
				c.unused = append(c.unused, unused.Name)
			}
			return c, checkNeverUsed(files, dir, found.segments[i:], c.segments[0].salt)
		case err != nil:
			return c, fmt.Errorf("diskstore: read %s: %w", info.Name, err)
		}
		if err := c.add(g, header, dir); err != nil {
			return c, err
		}
	}
	return c, nil
}

// brokenHeader returns the error of a segment that does not say what it is.
func brokenHeaderError(g *segment, err error) error {
	return &CorruptError{File: g.path, Position: g.first, Problem: err, Advice: adviceRestore}
}

// neverUsed returns nil if the last segments of a log, the first of which has a broken header, hold nothing that an append was answered for. Segments are written
// in their order, each when the one before is durable: so the others have no header either. The salt is that of the segments before them.
func checkNeverUsed(files vfs.FS, dir string, last []vfs.Info, salt frame.Salt) error {
	var first error
	for _, info := range last {
		g := newSegment(files, dir, firstPosition(info), info.Size)
		_, err := readSegmentHeader(files, g.path)
		switch {
		case err == nil:
			return first
		case errors.Is(err, frame.ErrVersion):
			return fmt.Errorf("%w: %s: %w", ErrVersion, g.path, err)
		case !errors.Is(err, frame.ErrBroken):
			return fmt.Errorf("diskstore: read %s: %w", info.Name, err)
		}
		if first == nil {
			first = brokenHeaderError(g, err)
		}
		if proven, err2 := g.hasProof(salt); err2 != nil {
			return err2
		} else if proven {
			return brokenHeaderError(g, err)
		}
	}
	return nil
}

// isProven reports whether a segment whose header is broken has a frame that proves that the first event was durable. It looks at a copy, because a store that
// is open may just be writing to it.
func (g *segment) hasProof(salt frame.Salt) (bool, error) {
	file, err := g.fs.Open(g.path)
	if err != nil {
		return false, fmt.Errorf("diskstore: %w", err)
	}
	defer file.Close()
	content := make([]byte, g.size.Load())
	n, err := file.ReadAt(content, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("diskstore: read %s: %w", base(g.path), err)
	}
	_, found := frame.FindProof(salt, content[:n], g.first)
	return found, nil
}

// add adds a segment that comes behind the others.
func (c *segmentChain) add(g *segment, header frame.Segment, dir string) error {
	corrupt := func(format string, args ...any) error {
		return &CorruptError{File: g.path, Position: g.first, Problem: fmt.Errorf(format, args...), Advice: adviceRestore}
	}
	if header.First != g.first {
		return corrupt("it says that it begins at position %d", header.First)
	}
	if len(c.segments) == 0 {
		if header.First != 1 || header.Before != 0 {
			missing := filepath.Join(dir, segmentName(1))
			return &CorruptError{File: missing, Position: 1, Problem: fmt.Errorf("the first segment: %w", fs.ErrNotExist), Advice: adviceRestore}
		}
	} else {
		before, previous := c.segments[len(c.segments)-1], c.headers[len(c.headers)-1]
		switch {
		case header.StoreID != previous.StoreID:
			return corrupt("it belongs to another store")
		case header.Before != before.first:
			missing := filepath.Join(dir, segmentName(header.Before))
			return &CorruptError{File: missing, Position: before.first, Problem: fmt.Errorf("the segment before %s: %w", base(g.path), fs.ErrNotExist), Advice: adviceRestore}
		case int64(header.End) > before.size.Load():
			return &CorruptError{
				File: before.path, Offset: before.size.Load(), Position: before.first,
				Problem: fmt.Errorf("it has %d bytes, and its frames had %d", before.size.Load(), header.End), Advice: adviceRestore,
			}
		}
		before.end, before.sum = header.End, header.Sum
		before.size.Store(int64(header.End))
	}
	g.salt = header.Salt()
	c.segments = append(c.segments, g)
	c.headers = append(c.headers, header)
	return nil
}

// openIndexes opens the index files of the sealed segments, the largest that there are. A segment of which there is none that belongs to the log has a part without an
// index; its frames are checked.
func (s *Store) openIndexes(found listing, c segmentChain) (ranges []indexRange, err error) {
	sealed := c.segments[:len(c.segments)-1]
	for from := 0; from < len(sealed); {
		file, segments := s.openWidestIndex(found.indexes, sealed[from:], c.segments[len(sealed)].first)
		if file != nil {
			ranges = append(ranges, file.indexRange())
			from += segments
			continue
		}
		next := c.segments[from+1].first
		if err := checkSealed(sealed[from], c.headers[from], next); err != nil {
			return ranges, err
		}
		ranges = append(ranges, indexRange{first: sealed[from].first, last: next - 1})
		from++
	}
	return ranges, nil
}

// checkSealed checks the frames of a segment that the next one vouches for.
func checkSealed(g *segment, header frame.Segment, next dcb.Position) error {
	content, err := g.content()
	if err != nil {
		return err
	}
	defer g.unmap() // somewhere it could not be trimmed otherwise
	state := newSegmentState(header)
	for err == nil && state.end < g.end {
		err = state.readRecord(content[:g.end], checkOnly)
	}
	if err == nil && (state.sum != g.sum || state.next != next) {
		err = errOtherRecords
	}
	if err != nil {
		return &CorruptError{File: g.path, Offset: int64(state.end), Position: state.next, Problem: err, Advice: adviceRestore}
	}
	return nil
}

// makeIndexes makes the indexes that parts are without, and removes the index files that are in none.
func (s *Store) buildMissingIndexes(found listing, c segmentChain, ranges []indexRange) error {
	used := make(map[string]bool)
	rebuilt, segment := 0, 0
	progress := newProgress(s.opts.Log, "making indexes again from the log", len(c.segments)-1)
	for i := range ranges {
		r := &ranges[i]
		for c.segments[segment].first < r.first {
			segment++
		}
		if r.index == nil {
			built, err := s.buildIndex(c.segments[segment], c.headers[segment], r.last)
			if err != nil {
				return err
			}
			*r = built
			rebuilt++
			progress.report(segment + 1)
		}
		if r.file != nil {
			used[base(r.file.path)] = true
		}
	}
	progress.finish(rebuilt)
	for _, name := range found.indexes {
		if !used[name] {
			if err := s.fs.Remove(s.filePath(name)); err != nil {
				return fmt.Errorf("diskstore: remove an index that is out of date: %w", err)
			}
		}
	}
	return nil
}

// indexAnew makes the index of a sealed segment, up to the position last. Where the file cannot be written, for lack of room perhaps, the index is
// in memory until it can, as that of a segment that waits to be sealed.
func (s *Store) buildIndex(g *segment, header frame.Segment, last dcb.Position) (indexRange, error) {
	index, err := s.indexSegment(g, header, g.end)
	if err != nil {
		return indexRange{}, err
	}
	file, err := s.writeIndex(s.sealer.ctx, []*segment{g}, index)
	if err == nil {
		return file.indexRange(), nil
	}
	if len(s.sealer.unsealed) >= maxUnsealed {
		return indexRange{}, fmt.Errorf("diskstore: open %s: %w", s.dir, err)
	}
	s.opts.Log.Warn("an index file could not be made; it will be tried again", "dir", s.dir, "cause", err)
	s.sealer.unsealed = append(s.sealer.unsealed, &activeSegment{segment: g, tail: index})
	return indexRange{first: g.first, last: last, index: index, tail: index}, nil
}

// isWhole returns what is missing if an index knows more than the log. A segment gets an index file when something is durable in the next one.
func (c segmentChain) checkComplete(indexes []string) error {
	g := c.segments[len(c.segments)-1]
	if beyond := lastIndexed(indexes); beyond >= g.first {
		return missingSegmentError(g.path, beyond)
	}
	return nil
}

// missingAfter returns the error of a log whose last segment is the one at path, while there is an index of it up to position beyond.
func missingSegmentError(path string, beyond dcb.Position) error {
	return &CorruptError{
		File: path, Position: beyond + 1,
		Problem: fmt.Errorf("it is the last segment, and there is an index up to its position %d, which is made when the next segment has been begun: that is missing", beyond), Advice: adviceRestore,
	}
}

func firstPosition(segment vfs.Info) dcb.Position {
	first, _ := parseSegmentName(segment.Name)
	return first
}

func lastIndexed(names []string) (last dcb.Position) {
	for _, name := range names {
		_, to, _ := parseIndexName(name)
		last = max(last, to)
	}
	return last
}

// openWidest opens the index file that covers the most of segments from the first on, and belongs to them. Next is the first position behind them.
func (s *Store) openWidestIndex(names []string, segments []*segment, next dcb.Position) (file *indexFile, covered int) {
	var fitting []string
	for _, name := range names {
		if first, last, _ := parseIndexName(name); first == segments[0].first && last < next {
			fitting = append(fitting, name)
		}
	}
	slices.Reverse(fitting) // the names are sorted, and so the widest is the last
	for _, name := range fitting {
		_, last, _ := parseIndexName(name)
		covered, _ = slices.BinarySearchFunc(segments, last+1, func(g *segment, p dcb.Position) int { return cmp.Compare(g.first, p) })
		ends := next
		if covered < len(segments) {
			ends = segments[covered].first
		}
		if ends != last+1 {
			continue
		}
		file, err := openIndexFile(s.fs, s.filePath(name))
		if err != nil {
			s.opts.Log.Warn("an index file is damaged, and is made again", "file", s.filePath(name), "cause", err)
			continue
		}
		meta := file.Meta()
		if meta.StoreID == s.storeID && meta.First == segments[0].first && meta.First+dcb.Position(meta.Count) == last+1 &&
			int(meta.Segments) == covered && meta.Sum == contentSum(segments[:covered]) {
			return file, covered
		}
		s.opts.Log.Warn("an index file does not belong to the log, and is made again", "file", s.filePath(name))
		_ = file.Close()
	}
	return nil, 0
}
