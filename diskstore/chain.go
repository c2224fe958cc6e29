package diskstore

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/diskstore/internal/logfile"
	"github.com/dcbstore/dcb/internal/vfs"
)

// segmentChain is the segments of a log. The header of each segment certifies the one before it.
type segmentChain struct {
	segments []*segment // ascending
	headers  []logfile.SegmentHeader
	unused   []string // the names of segments after the last one, which have no acknowledged append
}

// readChain reads the headers of the listed segments, and checks that they belong to one log and
// that none is missing.
func readChain(files vfs.FS, dir string, found listing) (segmentChain, error) {
	var c segmentChain
	for i, info := range found.segments {
		first, _ := parseSegmentName(info.Name)
		g := newSegment(files, dir, first, info.Size)
		header, err := readSegmentHeader(files, g.path)
		switch {
		case errors.Is(err, logfile.ErrVersion):
			return c, fmt.Errorf("%w: %s: %w", ErrVersion, g.path, err)
		case errors.Is(err, logfile.ErrBroken):
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

// brokenHeaderError returns the error for a segment with a broken header.
func brokenHeaderError(g *segment, err error) error {
	return newCorruptError(g.path, 0, g.first, err)
}

// checkNeverUsed checks segments at the end of a log whose first header is broken. It returns
// nil if they hold no acknowledged append. Segments are written in order, each after the
// previous one is durable, so none of them may have a valid header. The salt is the salt of the
// log.
func checkNeverUsed(files vfs.FS, dir string, last []vfs.Info, salt logfile.Salt) error {
	var first error
	for _, info := range last {
		g := newSegment(files, dir, firstPosition(info), info.Size)
		_, err := readSegmentHeader(files, g.path)
		switch {
		case err == nil:
			return first
		case errors.Is(err, logfile.ErrVersion):
			return fmt.Errorf("%w: %s: %w", ErrVersion, g.path, err)
		case !errors.Is(err, logfile.ErrBroken):
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

// hasProof reports whether a segment with a broken header contains a log record that proves its
// first event durable. It reads a copy, because an open store may be writing to the file.
func (g *segment) hasProof(salt logfile.Salt) (bool, error) {
	file, err := g.fs.Open(g.path)
	if err != nil {
		return false, fmt.Errorf("diskstore: %w", err)
	}
	defer file.Close()
	content := make([]byte, g.size.Load())
	n, err := file.ReadAt(content, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("diskstore: read %s: %w", filepath.Base(g.path), err)
	}
	_, found := logfile.FindProof(salt, content[:n], g.first)
	return found, nil
}

// add appends the next segment and sets what its header certifies of the previous one.
func (c *segmentChain) add(g *segment, header logfile.SegmentHeader, dir string) error {
	corrupt := func(format string, args ...any) error {
		return newCorruptError(g.path, 0, g.first, fmt.Errorf(format, args...))
	}
	if header.First != g.first {
		return corrupt("its header says that it begins at position %d", header.First)
	}
	if len(c.segments) == 0 {
		if header.First != 1 || header.PrevFirst != 0 {
			missing := filepath.Join(dir, segmentName(1))
			return newCorruptError(missing, 0, 1, fmt.Errorf("the first segment is missing: %w", fs.ErrNotExist))
		}
	} else {
		before, previous := c.segments[len(c.segments)-1], c.headers[len(c.headers)-1]
		switch {
		case header.StoreID != previous.StoreID:
			return corrupt("it belongs to another store")
		case header.PrevFirst != before.first:
			missing := filepath.Join(dir, segmentName(header.PrevFirst))
			return newCorruptError(missing, 0, before.first,
				fmt.Errorf("the segment before %s is missing: %w", filepath.Base(g.path), fs.ErrNotExist))
		case int64(header.PrevEnd) > before.size.Load():
			return newCorruptError(before.path, before.size.Load(), before.first,
				fmt.Errorf("it has %d bytes; its log records had %d", before.size.Load(), header.PrevEnd))
		}
		before.end, before.sum = header.PrevEnd, header.PrevSum
		before.size.Store(int64(header.PrevEnd))
	}
	g.salt = header.Salt()
	c.segments = append(c.segments, g)
	c.headers = append(c.headers, header)
	return nil
}

// checkComplete returns an error if an index covers positions beyond the log. An index file is
// written after the next segment has durable events, so then that segment is missing.
func (c segmentChain) checkComplete(indexes []string) error {
	g := c.segments[len(c.segments)-1]
	if beyond := lastIndexed(indexes); beyond >= g.first {
		return missingSegmentError(g.path, beyond)
	}
	return nil
}

// missingSegmentError returns the error for a log that ends with the segment at path, although
// an index reaches up to position indexed of that segment.
func missingSegmentError(path string, indexed dcb.Position) error {
	return newCorruptError(path, 0, indexed+1,
		fmt.Errorf("the next segment is missing: an index file up to position %d proves that it existed", indexed))
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
