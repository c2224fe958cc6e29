package diskstore

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/diskstore/internal/logfile"
)

// openIndexes opens the index files of the sealed segments; where several files start with the
// same segment, the widest. A segment without a valid index file gets a range without an index,
// after its log records are checked.
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

// checkSealed checks the log records of a segment against what the next header certifies. The
// next segment begins at position next.
func checkSealed(g *segment, header logfile.SegmentHeader, next dcb.Position) error {
	content, err := g.content()
	if err != nil {
		return err
	}
	defer g.unmap() // Windows cannot truncate a mapped file
	state := newSegmentState(header)
	for err == nil && state.end < g.end {
		err = state.readRecord(content[:g.end], checkOnly)
	}
	if err == nil && (state.sum != g.sum || state.next != next) {
		err = errOtherRecords
	}
	if err != nil {
		return newCorruptError(g.path, int64(state.end), state.next, err)
	}
	return nil
}

// buildMissingIndexes builds the indexes that ranges lack, and removes the index files that no
// range uses.
func (s *Store) buildMissingIndexes(found listing, c segmentChain, ranges []indexRange) error {
	used := make(map[string]bool)
	rebuilt, segment := 0, 0
	progress := newProgress(s.opts.Log, "building missing indexes from the log", len(c.segments)-1)
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
			used[filepath.Base(r.file.path)] = true
		}
	}
	progress.finish(rebuilt)
	for _, name := range found.indexes {
		if !used[name] {
			if err := s.fs.Remove(s.filePath(name)); err != nil {
				return fmt.Errorf("diskstore: remove the outdated index file %s: %w", name, err)
			}
		}
	}
	return nil
}

// buildIndex builds the index of a sealed segment, up to position last. If the file cannot be
// written, for example on a full disk, the index stays in memory and the segment waits to be
// sealed.
func (s *Store) buildIndex(g *segment, header logfile.SegmentHeader, last dcb.Position) (indexRange, error) {
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
	s.opts.Log.Warn("cannot write an index file; the store tries again later", "dir", s.dir, "cause", err)
	s.sealer.unsealed = append(s.sealer.unsealed, &activeSegment{segment: g, tail: index})
	return indexRange{first: g.first, last: last, index: index, tail: index}, nil
}

// openWidestIndex opens the valid index file that starts with the first of segments and covers
// the most of them. The segments end before position next.
func (s *Store) openWidestIndex(names []string, segments []*segment, next dcb.Position) (file *indexFile, covered int) {
	var fitting []string
	for _, name := range names {
		if first, last, _ := parseIndexName(name); first == segments[0].first && last < next {
			fitting = append(fitting, name)
		}
	}
	slices.Reverse(fitting) // widest first: the names are sorted
	for _, name := range fitting {
		_, last, _ := parseIndexName(name)
		covered, _ = slices.BinarySearchFunc(segments, last+1, func(g *segment, p dcb.Position) int {
			return cmp.Compare(g.first, p)
		})
		ends := next
		if covered < len(segments) {
			ends = segments[covered].first
		}
		if ends != last+1 {
			continue
		}
		file, err := openIndexFile(s.fs, s.filePath(name))
		if err != nil {
			s.opts.Log.Warn("rebuilding a damaged index file", "file", s.filePath(name), "cause", err)
			continue
		}
		meta := file.Meta()
		if meta.StoreID == s.storeID && meta.First == segments[0].first && meta.First+dcb.Position(meta.Count) == last+1 &&
			int(meta.Segments) == covered && meta.Sum == contentSum(segments[:covered]) {
			return file, covered
		}
		s.opts.Log.Warn("rebuilding an index file that does not belong to the log", "file", s.filePath(name))
		_ = file.Close()
	}
	return nil, 0
}
