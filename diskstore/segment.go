package diskstore

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/diskstore/internal/logfile"
	"github.com/dcbstore/dcb/internal/vfs"
)

// The files of a store:
//
//	lock                               locked by the process that has the store open
//	00000000000000000001.log           a segment, named by the position of its first event
//	…0000001-…0004096.index            the index of a range of positions, 20 digits each
//	*.tmp                              unfinished; may be removed while the store is closed
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

// parseSegmentName returns the position of the first event of a segment.
func parseSegmentName(name string) (first dcb.Position, ok bool) {
	digits, ok := strings.CutSuffix(name, logSuffix)
	first, ok2 := parsePosition(digits)
	return first, ok && ok2
}

// parseIndexName returns the range of positions of an index file, both ends included.
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

// segment is one file of the log. It is read through a memory mapping.
type segment struct {
	fs    vfs.FS
	path  string
	first dcb.Position
	salt  logfile.Salt // of its log records
	size  atomic.Int64 // of the file in bytes; only grows while the segment is active

	// Of a sealed segment, from the header of the next one.
	end uint32 // the offset after the last log record
	sum uint32 // of the checksums of its log records, by logfile.ExtendSum

	mapped   atomic.Pointer[[]byte] // the newest mapping
	mapMu    sync.Mutex             // guards mappings, and the creation of one
	mappings []vfs.Mapping          // older ones may still be read
}

func newSegment(fs vfs.FS, dir string, first dcb.Position, size int64) *segment {
	g := &segment{fs: fs, path: filepath.Join(dir, segmentName(first)), first: first}
	g.size.Store(size)
	return g
}

// content returns the mapped file. It has at least the size that the segment had at the call.
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
	if size := min(size, g.size.Load()); int64(len(b)) < size { // sealing may have truncated it
		_ = m.Close() // only read
		return nil, newCorruptError(g.path, int64(len(b)), 0, fmt.Errorf("the file had %d bytes and was truncated", size))
	}
	g.mappings = append(g.mappings, m)
	g.mapped.Store(&b)
	return b, nil
}

// unmap releases the mappings. No goroutine may read the segment any more.
func (g *segment) unmap() {
	g.mapMu.Lock()
	defer g.mapMu.Unlock()
	for _, m := range g.mappings {
		_ = m.Close() // only read
	}
	g.mappings = nil
	g.mapped.Store(nil)
}

// segmentState is the state of a segment after a log record.
type segmentState struct {
	salt       logfile.Salt
	next       dcb.Position // the position of the next event
	end        uint32       // the offset of the next log record
	sum        uint32       // of the checksums so far
	recordedAt int64        // of the last log record, in microseconds since 1970
	clean      bool         // the last log record is a clean-shutdown marker, or there is none
	durable    dcb.Position // the last durable position, as the last log record states it
}

// newSegmentState returns the state before the first log record.
func newSegmentState(header logfile.SegmentHeader) segmentState {
	return segmentState{
		salt: header.Salt(), next: header.First, end: logfile.SegmentHeaderBytes, recordedAt: header.NotBefore, clean: true,
	}
}

// readRecord reads and checks the next log record of b, the content of the segment. It calls
// each with every event and the offset of its entry in the segment. The error is logfile.ErrEnd,
// logfile.ErrBroken or the error of each.
func (s *segmentState) readRecord(b []byte, each func(offset uint32, e *dcb.SequencedEvent) error) error {
	content := b[s.end:]
	h, err := logfile.ReadRecordHeader(s.salt, content)
	if err != nil {
		return err
	}
	if h.First != s.next {
		return fmt.Errorf("%w: the log record has first position %d, want %d", logfile.ErrBroken, h.First, s.next)
	}
	if h.RecordedAt < s.recordedAt {
		return fmt.Errorf("%w: the log record is older than the one before it", logfile.ErrBroken)
	}
	start := s.end
	err = logfile.ReadEntries(s.salt, content[:h.Bytes], h, func(offset uint32, e *dcb.SequencedEvent) error {
		return each(start+offset, e)
	})
	if err != nil {
		return err
	}
	s.next, s.end, s.recordedAt = h.Next(), s.end+h.Bytes, h.RecordedAt
	s.sum = logfile.ExtendSum(s.sum, h.CRC)
	s.clean, s.durable = h.Count == 0, h.Durable()
	return nil
}
