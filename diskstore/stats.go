package diskstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/diskstore/internal/indexfile"
	"github.com/dcbstore/dcb/diskstore/internal/postings"
	"github.com/dcbstore/dcb/diskstore/internal/tail"
	"github.com/dcbstore/dcb/diskstore/internal/term"
)

// Stats is what a store contains.
type Stats struct {
	Events     uint64      `json:"events"`
	Segments   int         `json:"segments"`
	LogBytes   int64       `json:"logBytes"` // includes preallocated space
	IndexFiles int         `json:"indexFiles"`
	IndexBytes int64       `json:"indexBytes"`
	Tags       int         `json:"tags"`  // number of different tags
	IDs        int         `json:"ids"`   // number of events with an ID
	Types      []TypeStats `json:"types"` // the types with most events first
}

// TypeStats is the number of events of one type.
type TypeStats struct {
	Type   string `json:"type"`
	Events uint64 `json:"events"`
}

// Stats counts what the store contains. It reads the dictionary of every index and all of the
// active segment.
func (s *Store) Stats(ctx context.Context) (Stats, error) {
	var stats Stats
	head, err := s.Head(ctx)
	if err != nil {
		return stats, err
	}
	found, err := list(s.fs, s.dir)
	if err != nil {
		return stats, err
	}
	stats.Segments, stats.IndexFiles = len(found.segments), len(found.indexes)
	for _, info := range found.segments {
		stats.LogBytes += info.Size
	}
	if stats.IndexBytes, err = s.totalSize(found.indexes); err != nil {
		return stats, err
	}
	err = s.withSnapshot(ctx, func(snap *snapshot) error {
		return snap.findDamaged(ctx, s.countTerms(ctx, snap, head, &stats))
	})
	return stats, err
}

// findDamaged returns err with the damaged index file, if err reports one of several. It
// verifies every index file of the snapshot.
func (s *snapshot) findDamaged(ctx context.Context, err error) error {
	if !errors.Is(err, indexfile.ErrBroken) {
		return err
	}
	for i := range s.ranges {
		r := &s.ranges[i]
		if r.file == nil {
			continue
		}
		if broken := r.file.Verify(ctx); broken != nil {
			return r.attribute(broken)
		}
	}
	return err
}

// totalSize returns the bytes of the named files.
func (s *Store) totalSize(names []string) (bytes int64, err error) {
	for _, name := range names {
		file, err := s.fs.Open(s.filePath(name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // merged since the directory was listed
		}
		if err != nil {
			return 0, fmt.Errorf("diskstore: stats: %w", err)
		}
		size, err := file.Size()
		_ = file.Close() // only read
		if err != nil {
			return 0, fmt.Errorf("diskstore: stats: %w", err)
		}
		bytes += size
	}
	return bytes, nil
}

// countTerms sets the counts of stats to what is in snap up to head.
func (s *Store) countTerms(ctx context.Context, snap *snapshot, head dcb.Position, stats *Stats) error {
	snap, err := s.snapshotUpTo(snap, head)
	if err != nil {
		return err
	}
	var sources []indexfile.Source
	stats.Events = 0
	for _, r := range snap.ranges {
		stats.Events = uint64(r.last)
		if r.file != nil {
			sources = append(sources, r.file)
		} else {
			sources = append(sources, r.tail)
		}
	}
	if stats.Tags, err = indexfile.CountTerms(ctx, term.Tag, nil, sources...); err != nil {
		return err
	}
	if stats.IDs, err = indexfile.CountTerms(ctx, term.ID, nil, sources...); err != nil {
		return err
	}
	counts := make(map[term.Key]uint64)
	if _, err = indexfile.CountTerms(ctx, term.Type, counts, sources...); err != nil {
		return err
	}
	stats.Types = nil
	var f finder
	for key, count := range counts {
		name, err := f.typeName(snap, key)
		if err != nil {
			return err
		}
		stats.Types = append(stats.Types, TypeStats{name, count})
	}
	slices.SortFunc(stats.Types, func(a, b TypeStats) int {
		return cmp.Or(cmp.Compare(b.Events, a.Events), cmp.Compare(a.Type, b.Type))
	})
	return nil
}

// snapshotUpTo returns a snapshot of what snap has up to head, which was loaded before. It
// rebuilds the indexes in memory: the ones of snap grow while they are read, and contain appends
// that are not durable yet. What is in an index file is durable, and counts even if it was not
// when the head was loaded.
func (s *Store) snapshotUpTo(snap *snapshot, head dcb.Position) (*snapshot, error) {
	for _, r := range snap.ranges {
		if r.file != nil {
			head = max(head, r.last)
		}
	}
	bounded := &snapshot{segments: snap.segments}
	for _, r := range snap.ranges {
		if r.first > head {
			break
		}
		if r.file == nil {
			r.last = min(r.last, head)
			g, _ := snap.segmentOf(r.first)
			index, err := s.indexUpTo(g, r.last)
			if err != nil {
				return nil, err
			}
			r.index, r.tail = index, index
		}
		bounded.ranges = append(bounded.ranges, r)
	}
	return bounded, nil
}

// indexUpTo builds an index in memory of a segment up to position last, which must be durable
// and in the segment.
func (s *Store) indexUpTo(g *segment, last dcb.Position) (*tail.Index, error) {
	header, err := readSegmentHeader(s.fs, g.path)
	if err != nil {
		return nil, newCorruptError(g.path, 0, g.first, err)
	}
	content, err := g.content()
	if err != nil {
		return nil, err
	}
	index, state := tail.New(), newSegmentState(header)
	add := indexer(index)
	for state.next <= last {
		if err := state.readRecord(content, add); err != nil {
			return nil, newCorruptError(g.path, int64(state.end), state.next, err)
		}
	}
	return index, nil
}

// typeName returns the event type with a key. Every range of the snapshot must be bounded.
func (f *finder) typeName(snap *snapshot, key term.Key) (string, error) {
	for i := range snap.ranges {
		r := &snap.ranges[i]
		list, err := r.index.List(key)
		if err != nil {
			return "", r.attribute(err)
		}
		var c postings.Cursor
		c.Reset(list, 0, uint32(r.last-r.first), false)
		ordinal, ok := c.Current()
		if err := c.Err(); err != nil {
			return "", r.attribute(err)
		}
		if !ok {
			continue
		}
		if err := f.load(snap, r.first+dcb.Position(ordinal)); err != nil {
			return "", err
		}
		return string([]byte(f.event.Type)), nil
	}
	return "", fmt.Errorf("diskstore: stats: no event has the type with key %#x: %w", uint64(key), dcb.ErrCorrupt)
}
