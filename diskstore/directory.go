package diskstore

import (
	"errors"
	"fmt"
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

// list returns what the directory of a store holds. What is not a store's is ignored, unless there is nothing else.
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
		case info.Dir:
			other = info.Name
		case isSegment:
			found.segments = append(found.segments, info)
		case isIndex:
			found.indexes = append(found.indexes, info.Name)
		case isUnfinished(info.Name):
			found.unfinished = append(found.unfinished, info.Name)
		case info.Name != lockName && !strings.HasPrefix(info.Name, "."):
			other = info.Name
		}
	}
	switch {
	case len(found.segments) > 0:
		return found, nil
	case len(found.indexes) > 0:
		return listing{}, &CorruptError{File: filepath.Join(dir, segmentName(1)), Position: 1, Problem: fs.ErrNotExist, Advice: restore}
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
type chain struct {
	segments []*segment
	headers  []frame.Segment
	unused   []string // the names of segments behind the last that nothing was ever answered for
}

// readChain reads the headers of the segments that were found, and checks that they are one log and that none is missing.
func readChain(files vfs.FS, dir string, found listing) (chain, error) {
	var c chain
	var broken error // of the first that was never used, if it was used after all
	for _, info := range found.segments {
		first, _ := parseSegmentName(info.Name)
		g := newSegment(files, dir, first, info.Size)
		header, err := readHeader(files, g.path)
		switch {
		case errors.Is(err, frame.ErrVersion):
			return c, fmt.Errorf("%w: %s: %w", ErrVersion, g.path, err)
		case errors.Is(err, frame.ErrBroken):
			corrupt := &CorruptError{File: g.path, Position: first, Problem: err, Advice: restore}
			if len(c.segments) == 0 {
				return c, corrupt
			}
			if err := neverUsed(g, c.segments[0].salt, corrupt); err != nil {
				return c, err
			}
			if broken == nil {
				broken = corrupt
			}
			c.unused = append(c.unused, info.Name)
			continue
		case err != nil:
			return c, fmt.Errorf("diskstore: read %s: %w", info.Name, err)
		case broken != nil: // segments are written in their order, each when the one before is durable
			return c, broken
		}
		if err := c.add(g, header, dir); err != nil {
			return c, err
		}
	}
	return c, nil
}

// neverUsed returns nil if the segment, whose header is broken, holds nothing that an append was answered for, and corrupt otherwise. The salt is that of the
// segments before it.
func neverUsed(g *segment, salt frame.Salt, corrupt *CorruptError) error {
	content, err := g.content()
	if err != nil {
		return err
	}
	defer g.unmap()
	if _, found := frame.FindProof(salt, content, g.first); found {
		return corrupt
	}
	return nil
}

// add adds a segment that comes behind the others.
func (c *chain) add(g *segment, header frame.Segment, dir string) error {
	corrupt := func(format string, args ...any) error {
		return &CorruptError{File: g.path, Position: g.first, Problem: fmt.Errorf(format, args...), Advice: restore}
	}
	if header.First != g.first {
		return corrupt("it says that it begins at position %d", header.First)
	}
	if len(c.segments) == 0 {
		if header.First != 1 || header.Before != 0 {
			missing := filepath.Join(dir, segmentName(1))
			return &CorruptError{File: missing, Position: 1, Problem: fmt.Errorf("the first segment: %w", fs.ErrNotExist), Advice: restore}
		}
	} else {
		before, its := c.segments[len(c.segments)-1], c.headers[len(c.headers)-1]
		switch {
		case header.StoreID != its.StoreID:
			return corrupt("it belongs to another store")
		case header.Before != before.first:
			missing := filepath.Join(dir, segmentName(header.Before))
			return &CorruptError{File: missing, Position: before.first, Problem: fmt.Errorf("the segment before %s: %w", base(g.path), fs.ErrNotExist), Advice: restore}
		case int64(header.End) > before.size.Load():
			return &CorruptError{
				File: before.path, Offset: before.size.Load(), Position: before.first,
				Problem: fmt.Errorf("it has %d bytes, and its frames had %d", before.size.Load(), header.End), Advice: restore,
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

// openIndexes opens the index files of the sealed segments, the largest that there are, and makes those that are missing or do not belong to the log. All others
// are removed.
func (s *Store) openIndexes(found listing, c chain) ([]part, error) {
	var parts []part
	release := func() {
		for _, p := range parts {
			if p.file != nil {
				_ = p.file.Close()
			}
		}
	}
	kept := make(map[string]bool)
	sealed := c.segments[:len(c.segments)-1]
	rebuilt := 0
	progress := newProgress(s.opts.Log, "making indexes again from the log", len(sealed))
	for from := 0; from < len(sealed); {
		file, segments := s.openWidest(found.indexes, sealed[from:], c.segments[len(sealed)].first)
		if file != nil {
			kept[base(file.path)] = true
			parts = append(parts, file.part())
			from += segments
			continue
		}
		remade, err := s.indexAnew(sealed[from], c.headers[from], c.segments[from+1].first-1)
		if err != nil {
			release()
			return nil, err
		}
		if remade.file != nil {
			kept[base(remade.file.path)] = true
		}
		parts = append(parts, remade)
		from++
		rebuilt++
		progress.tell(from)
	}
	progress.end(rebuilt)
	for _, name := range found.indexes {
		if !kept[name] {
			if err := s.fs.Remove(s.path(name)); err != nil {
				release()
				return nil, fmt.Errorf("diskstore: remove an index that is out of date: %w", err)
			}
		}
	}
	return parts, nil
}

// indexAnew makes the index of a sealed segment, up to the position last. Where the file cannot be written, for lack of room perhaps, the index is
// in memory until it can, as that of a segment that waits to be sealed.
func (s *Store) indexAnew(g *segment, header frame.Segment, last dcb.Position) (part, error) {
	index, err := s.indexOf(g, header, g.end)
	if err != nil {
		return part{}, err
	}
	file, err := s.writeIndex(s.sealer.ending, []*segment{g}, index)
	if err == nil {
		return file.part(), nil
	}
	if len(s.sealer.waiting) >= backlog {
		return part{}, fmt.Errorf("diskstore: open %s: %w", s.dir, err)
	}
	s.opts.Log.Warn("an index file could not be made; it will be tried again", "dir", s.dir, "cause", err)
	s.sealer.waiting = append(s.sealer.waiting, &active{segment: g, tail: index})
	return part{first: g.first, last: last, index: index, tail: index}, nil
}

// isWhole returns what is missing if an index knows more than the log. A segment gets an index file when something is durable in the next one.
func (c chain) isWhole(indexes []string) error {
	g := c.segments[len(c.segments)-1]
	if beyond := lastIndexed(indexes); beyond >= g.first {
		return missingAfter(g.path, beyond)
	}
	return nil
}

// missingAfter returns the error of a log whose last segment is the one at path, while there is an index of it up to position beyond.
func missingAfter(path string, beyond dcb.Position) error {
	return &CorruptError{
		File: path, Position: beyond + 1,
		Problem: fmt.Errorf("it is the last segment, and there is an index up to its position %d, which is made when the next segment has been begun: that is missing", beyond), Advice: restore,
	}
}

func firstOf(segment vfs.Info) dcb.Position {
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
func (s *Store) openWidest(names []string, segments []*segment, next dcb.Position) (file *indexFile, covered int) {
	var fitting []string
	for _, name := range names {
		if first, last, _ := parseIndexName(name); first == segments[0].first && last < next {
			fitting = append(fitting, name)
		}
	}
	slices.Reverse(fitting) // the names are sorted, and so the widest is the last
	for _, name := range fitting {
		_, last, _ := parseIndexName(name)
		covered, _ = slices.BinarySearchFunc(segments, last+1, func(g *segment, p dcb.Position) int { return comparePositions(g.first, p) })
		ends := next
		if covered < len(segments) {
			ends = segments[covered].first
		}
		if ends != last+1 {
			continue
		}
		file, err := openIndex(s.fs, s.path(name))
		if err != nil {
			s.opts.Log.Warn("an index file is damaged, and is made again", "file", s.path(name), "cause", err)
			continue
		}
		meta := file.Meta()
		if meta.StoreID == s.id && meta.First == segments[0].first && meta.First+dcb.Position(meta.Count) == last+1 &&
			int(meta.Segments) == covered && meta.Sum == contentSum(segments[:covered]) {
			return file, covered
		}
		s.opts.Log.Warn("an index file does not belong to the log, and is made again", "file", s.path(name))
		_ = file.Close()
	}
	return nil, 0
}
