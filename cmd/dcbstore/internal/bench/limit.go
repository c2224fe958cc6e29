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
	limitFileBytes = 64 << 20 // the file is gone through again and again
	blockBytes     = 1 << 20  // of the writes that show the disk's bandwidth
)

// Limit measures what the disk lets one client of a log do at best, in a file of its own in dir, which it removes: write the bytes that an append
// comes to behind those before, sync, and again. The room was written and synced before. Then it writes and syncs a mebibyte each time, to see the
// disk's bandwidth; each of the two takes s.Duration.
func (s Settings) Limit(ctx context.Context, files vfs.FS, dir string) (result Result, err error) {
	one := &writes{b: bytes.Repeat([]byte{7}, frameBytes(s.Batch, s.Size)), events: s.Batch}
	room := int64(max(limitFileBytes, len(one.b)))
	path := filepath.Join(dir, "dcb-bench-"+runID()+".tmp")
	file, err := files.Create(path)
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, file.Close(), files.Remove(path)) }()
	if err := errors.Join(file.Preallocate(room), files.SyncDir(dir)); err != nil {
		return Result{}, err
	}
	block := &writes{b: bytes.Repeat([]byte{7}, blockBytes)}
	for _, w := range []*writes{one, block} {
		w.file, w.room = file, room
	}
	tally, err := Measure(ctx, s.load(1), one.client)
	if err != nil {
		return Result{}, err
	}
	blocks, err := Measure(ctx, s.load(1), block.client)
	if err != nil {
		return Result{}, err
	}
	return Result{
		Workload: s.Workload, Store: s.Store, Clients: 1, Batch: s.Batch, Size: s.Size, Figures: tally.Figures(),
		WriteBytes: len(one.b), BytesPerSecond: rounded(perSecond(blockBytes*blocks.Ops, blocks.Elapsed), 0),
		Interrupted: ctx.Err() != nil,
	}, nil
}

// writes are those of one client, one behind the other.
type writes struct {
	b      []byte
	events int // that one write stands for
	file   vfs.File
	place  int64 // of the next one
	room   int64
}

func (w *writes) client(int) Operation {
	return func(context.Context) (int, error) {
		if w.place+int64(len(w.b)) > w.room {
			w.place = 0
		}
		if _, err := w.file.WriteAt(w.b, w.place); err != nil {
			return 0, err
		}
		w.place += int64(len(w.b))
		return w.events, w.file.Sync()
	}
}

// frameBytes is what diskstore writes for an append of the append workload: a header and the events, each with its type, its tag, the lengths and
// flags, and what an event has that is one of several.
func frameBytes(batch, size int) int {
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
