package bench

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"path/filepath"
	"time"

	"github.com/dcbstore/dcb/internal/vfs"
)

const (
	limitFileBytes = 64 << 20 // the file is overwritten from the start when it is full
	blockBytes     = 1 << 20  // one write of the bandwidth measurement
)

// Limit measures the best rate that the disk of dir allows to one client of a log. It creates a
// file there and removes it at the end. The file is written with zeros and synced before.
//
// First it writes the bytes of one append after the bytes of the append before, and syncs,
// repeatedly. Then it does the same with one mebibyte at a time, which shows the disk's
// bandwidth. Each of the two takes s.Duration.
func (s Settings) Limit(ctx context.Context, files vfs.FS, dir string) (result Result, err error) {
	record := &writer{b: bytes.Repeat([]byte{7}, recordBytes(s.Batch, s.Size)), events: s.Batch}
	block := &writer{b: bytes.Repeat([]byte{7}, blockBytes)}
	size := int64(max(limitFileBytes, len(record.b)))
	path := filepath.Join(dir, "dcb-bench-"+runID()+".tmp")
	file, err := files.Create(path)
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, file.Close(), files.Remove(path)) }()
	if err := errors.Join(file.Preallocate(size), files.SyncDir(dir)); err != nil {
		return Result{}, err
	}
	for _, w := range []*writer{record, block} {
		w.file, w.size = file, size
	}
	records, err := Measure(ctx, s.load(1), record.client)
	if err != nil {
		return Result{}, err
	}
	blocks, err := Measure(ctx, s.load(1), block.client)
	if err != nil {
		return Result{}, err
	}
	return Result{
		Workload: s.Workload, Store: s.Store, Clients: 1, Batch: s.Batch, Size: s.Size, Figures: records.Figures(),
		WriteBytes: len(record.b), BytesPerSecond: rounded(perSecond(blockBytes*blocks.Ops, blocks.Elapsed), 0),
		Interrupted: ctx.Err() != nil,
	}, nil
}

// writer writes b to the file, each time after the write before.
type writer struct {
	b      []byte
	events int // the number of events that one write counts as
	file   vfs.File
	offset int64 // of the next write
	size   int64 // of the file
}

func (w *writer) client(int) Operation {
	return func(context.Context) (int, error) {
		if w.offset+int64(len(w.b)) > w.size {
			w.offset = 0
		}
		if _, err := w.file.WriteAt(w.b, w.offset); err != nil {
			return 0, err
		}
		w.offset += int64(len(w.b))
		return w.events, w.file.Sync()
	}
}

// recordBytes returns the size of diskstore's log record for an append of the append workload.
// The record is a header and then each event entry with its type, tag, data, lengths and flags.
// Where an append has several events, each entry also has a checksum of its own.
func recordBytes(batch, size int) int {
	const (
		header  = 32
		several = 12
		tag     = len("tABCDEFGHIJ-0-1a2b")
	)
	event := 1 + 1 + len(eventType) + 1 + 1 + tag + len(binary.AppendUvarint(nil, uint64(size))) + size
	if batch > 1 {
		event += several
	}
	return header + batch*event
}

func perSecond(n int64, elapsed time.Duration) float64 {
	if elapsed <= 0 {
		return 0
	}
	return float64(n) / elapsed.Seconds()
}
