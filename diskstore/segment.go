package diskstore

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/diskstore/internal/frame"
	"github.com/dcbstore/dcb/internal/vfs"
)

// The files of a store:
//
//	lock                                                 held by the kernel for the process that has the store open
//	00000000000000000001.log                             a segment of the log, by the position of its first event
//	00000000000000000001-00000000000000004096.index      the index of the events from one position to another
//	*.tmp                                                what is not finished yet; anyone may remove it when the store is closed
const (
	lockName    = "lock"
	logSuffix   = ".log"
	indexSuffix = ".index"
	tmpSuffix   = ".tmp"
	spareName   = "spare" + logSuffix + tmpSuffix
)

func segmentName(first dcb.Position) string { return fmt.Sprintf("%020d%s", first, logSuffix) }

func indexName(first, last dcb.Position) string {
	return fmt.Sprintf("%020d-%020d%s", first, last, indexSuffix)
}

// parseSegmentName returns the position that a segment is named by.
func parseSegmentName(name string) (first dcb.Position, ok bool) {
	digits, ok := strings.CutSuffix(name, logSuffix)
	first, ok2 := parsePosition(digits)
	return first, ok && ok2
}

func parseIndexName(name string) (first, last dcb.Position, ok bool) {
	both, ok := strings.CutSuffix(name, indexSuffix)
	a, b, ok2 := strings.Cut(both, "-")
	first, ok3 := parsePosition(a)
	last, ok4 := parsePosition(b)
	return first, last, ok && ok2 && ok3 && ok4 && first <= last
}

func parsePosition(digits string) (dcb.Position, bool) {
	n, err := strconv.ParseUint(digits, 10, 64)
	return dcb.Position(n), err == nil && len(digits) == 20 && n > 0
}

// segment is one file of the log. Its content is read as memory.
type segment struct {
	fs    vfs.FS
	path  string
	first dcb.Position
	salt  frame.Salt   // of the frames
	size  atomic.Int64 // of the file; only grows while it is appended to

	// Of a sealed segment. What comes next vouches for it.
	end uint32 // where the frames end
	sum uint32 // of the content, as package frame says

	mapped   atomic.Pointer[[]byte]
	mapMu    sync.Mutex    // guards maps, and the making of another
	mappings []vfs.Mapping // the last one is mapped; those before may still be looked at
}

func newSegment(fs vfs.FS, dir string, first dcb.Position, size int64) *segment {
	g := &segment{fs: fs, path: filepath.Join(dir, segmentName(first)), first: first}
	g.size.Store(size)
	return g
}

// content returns the file as memory, of at least the size that it had when this was called.
func (g *segment) content() ([]byte, error) {
	size := g.size.Load()
	if b := g.mapped.Load(); b != nil && int64(len(*b)) >= size {
		return *b, nil
	}
	g.mapMu.Lock()
	defer g.mapMu.Unlock()
	if b := g.mapped.Load(); b != nil && int64(len(*b)) >= size {
		return *b, nil
	}
	file, err := g.fs.Open(g.path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	m, err := file.Map()
	if err != nil {
		return nil, err
	}
	b := m.Bytes()
	if size := min(size, g.size.Load()); int64(len(b)) < size { // it may have grown meanwhile, or been sealed
		_ = m.Close() // of what was only read
		return nil, &CorruptError{File: g.path, Offset: int64(len(b)), Problem: fmt.Errorf("it has had %d bytes before", size), Advice: adviceRestore}
	}
	g.mappings = append(g.mappings, m)
	g.mapped.Store(&b)
	return b, nil
}

// unmap gives the memory back. Nobody may look at it any more.
func (g *segment) unmap() {
	g.mapMu.Lock()
	defer g.mapMu.Unlock()
	for _, m := range g.mappings {
		_ = m.Close() // of what was only read
	}
	g.mappings = nil
	g.mapped.Store(nil)
}

// frames are those of a segment that were read one after the other.
type segmentState struct {
	salt       frame.Salt
	next       dcb.Position // that a further event would have
	end        uint32       // where a further frame would begin
	sum        uint32       // of the content
	recordedAt int64        // of the last frame, microseconds since 1970
	clean      bool         // the last frame is a mark, or there is none
	durable    dcb.Position // was when the last frame was written, as that says
}

// newFrames returns what is known before the first frame.
func newSegmentState(header frame.Segment) segmentState {
	return segmentState{salt: header.Salt(), next: header.First, end: frame.SegmentBytes, recordedAt: header.After, clean: true}
}

// read reads the next frame of b, and the events in it, each of which is passed to each with the place of its record. The error is frame.ErrEnd, frame.ErrBroken, or
// what each returned.
func (s *segmentState) readRecord(b []byte, each func(offset uint32, e *dcb.SequencedEvent) error) error {
	content := b[s.end:]
	h, err := frame.Read(s.salt, content)
	if err != nil {
		return err
	}
	if h.First != s.next {
		return fmt.Errorf("%w: a frame whose first position is %d", frame.ErrBroken, h.First)
	}
	if h.RecordedAt < s.recordedAt {
		return fmt.Errorf("%w: a frame that was recorded before the one before it", frame.ErrBroken)
	}
	if each != nil {
		at := s.end
		err := frame.Check(s.salt, content[:h.Bytes], h, func(offset uint32, e *dcb.SequencedEvent) error { return each(at+offset, e) })
		if err != nil {
			return err
		}
	}
	s.next, s.end, s.recordedAt = h.Next(), s.end+h.Bytes, h.RecordedAt
	s.sum = frame.Sum(s.sum, h.CRC)
	s.clean, s.durable = h.Count == 0, h.Durable()
	return nil
}
