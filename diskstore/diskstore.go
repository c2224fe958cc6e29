// Package diskstore stores events in a directory, for one process at a time. It is the embedded
// default.
//
// Events are only appended, so the log is the truth: segment files with one log record per append.
// Every log record is checked before it is used. Everything else is an index. It is built from the
// log, and rebuilt where it is missing or damaged. docs/diskstore.md explains the design.
//
// # How it keeps its promises
//
// An append is checked under one lock against all appends admitted before it. It gets its
// positions and joins the queue. The caller that finds no write under way becomes the leader: it
// writes everything in the queue with one write and one sync, while further appends are being
// checked. Then the head rises and the callers get their answers. So an acknowledged append is
// durable, and positions become visible in order. A single caller does all of this itself, at
// the cost of the write and the sync.
//
// A reader loads the head and reads nothing beyond it. It takes no lock: the data it uses is
// never changed, only replaced.
//
// # Where to start reading
//
// Start with [Open]. Follow an append from [Store.Append] in append.go to the disk in commit.go,
// and a read from [Store.Read] in read.go to package search. Package logfile defines the format
// of the log, package indexfile the format of index files, and segment.go the names of the files.
// recover.go opens what a crash left; seal.go builds index files and merge.go merges them.
package diskstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/head"
	"github.com/dcbstore/dcb/internal/vfs"
)

// Durability is what an acknowledged append survives.
type Durability int

const (
	// Sync is the default. An acknowledged append survives a crash of the process, a crash of
	// the system and a loss of power.
	Sync Durability = iota
	// NoSync leaves the time of each write to the operating system. An acknowledged append
	// survives a crash of the process. After a crash of the system or a loss of power the last
	// appends may be missing; what remains is whole and has no gaps. NoSync is for tests, and
	// for bulk loads that can be repeated.
	NoSync
)

// The default and the bounds of Options.SegmentBytes.
const (
	DefaultSegmentBytes = 64 << 20
	MinSegmentBytes     = 4 << 10
	MaxSegmentBytes     = 1 << 30
)

// Options configure [Open]. Nil and the zero value mean the defaults.
type Options struct {
	// Durability is what an acknowledged append survives. Default Sync.
	Durability Durability
	// SegmentBytes is the size at which the log continues in a new segment file; a single larger
	// append makes a larger file. Open reads one segment, and the memory of the store is
	// proportional to it. Default DefaultSegmentBytes.
	SegmentBytes int
	// Now is the clock for RecordedAt. Default time.Now.
	Now func() time.Time
	// Log receives what an operator needs to know: what recovery did, that an index is being
	// rebuilt, that the store cannot append any more. Default slog.DiscardHandler.
	Log *slog.Logger

	fs vfs.FS // the operating system's, except in tests
}

// withDefaults returns a completed copy of o, or an error that names the invalid field.
func (o *Options) withDefaults() (Options, error) {
	var opts Options
	if o != nil {
		opts = *o
	}
	if opts.SegmentBytes == 0 {
		opts.SegmentBytes = DefaultSegmentBytes
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.fs == nil {
		opts.fs = vfs.OS()
	}
	switch {
	case opts.Durability != Sync && opts.Durability != NoSync:
		return opts, fmt.Errorf("diskstore: Options.Durability is %d; it must be Sync or NoSync", opts.Durability)
	case opts.SegmentBytes < MinSegmentBytes || opts.SegmentBytes > MaxSegmentBytes:
		return opts, fmt.Errorf("diskstore: Options.SegmentBytes is %d; it must be %d to %d",
			opts.SegmentBytes, MinSegmentBytes, MaxSegmentBytes)
	}
	return opts, nil
}

// Store is a [dcb.Store] in a directory. It is safe for concurrent use.
//
// Invariants:
//   - Everything at or below head is durable and is never written again.
//   - Every position at or below admitted belongs to an append that is recorded, being written,
//     or in pending, in this order.
//   - openSegments is never empty, and its last element is active.
//
// Lock order: sealer.indexMu, then mu, then sealer.mu; the mutex of a segment comes last. No
// goroutine waits for the disk while it holds mu, with two exceptions: the log continues in a
// new file, or a write has failed.
type Store struct {
	fs       vfs.FS
	dir      string
	opts     Options
	storeID  [16]byte // in the header of each of the store's files
	lock     io.Closer
	head     head.Watch
	counters counters

	// requests reuses *appendRequest. The pool belongs to the store, because the channel of a
	// request belongs to one synctest bubble.
	requests sync.Pool

	snapshot  atomic.Pointer[snapshot] // nil after Close
	snapshots sync.WaitGroup           // counts the snapshots that are not released yet

	// mu guards the fields down to nextChunk, and the replacement of snapshot.
	mu                  sync.Mutex
	openSegments        []*activeSegment // from the segment last written to, up to active
	active              *activeSegment   // the segment that the next append goes to
	admitted            dcb.Position     // the last position given to an append
	lastRecordedAt      int64            // of the last admitted append, in microseconds since 1970
	pending             []*appendRequest // admitted in this order, and not taken by a leader yet
	expectedRequests    int              // how many requests coalesce expects in the next group
	averageGroupBytes   int64            // moving average of the size of groups
	hasLeader           bool             // a caller or a goroutine is writing, or was chosen to
	idle                sync.Cond        // signals that hasLeader became false
	closing             bool             // Close was called
	failed              error            // why the store cannot append any more, or nil
	preallocating       *preallocation   // the preallocation under way, or nil
	preallocationFailed bool             // the last one did
	spare               *spareSegment    // the next segment file, or nil
	nextChunk           int64            // how many bytes the next preallocation adds

	closed chan struct{} // closed when Close is done

	log    logState // belongs to the leader
	sealer sealer
}

var (
	_ dcb.Store = (*Store)(nil)
	_ dcb.Pager = (*Store)(nil)
)

// Head implements [dcb.Store]. It returns the last durable position.
func (s *Store) Head(ctx context.Context) (dcb.Position, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	return s.head.Load()
}

// Wait implements [dcb.Store].
func (s *Store) Wait(ctx context.Context, after dcb.Position) (dcb.Position, error) {
	return s.head.Wait(ctx, after)
}

// Close waits for the appends under way, ends every Wait, and makes every later call fail with
// [dcb.ErrClosed]. It waits for reads under way, too. The closed directory has no preallocated
// space, and a clean-shutdown marker ends its log. A second Close waits for the first and
// returns nil.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		<-s.closed
		return nil
	}
	s.closing = true
	defer close(s.closed)
	for s.hasLeader {
		s.idle.Wait()
	}
	preallocating := s.preallocating
	s.mu.Unlock()
	s.head.Close()
	s.sealer.stop()
	if preallocating != nil {
		<-preallocating.done
	}
	err := s.closeLog()
	s.mu.Lock()
	snap := s.snapshot.Swap(nil)
	s.mu.Unlock()
	segments := snap.segments
	snap.release()
	s.snapshots.Wait() // for reads under way
	for _, g := range segments {
		g.unmap()
	}
	err = errors.Join(err, s.lock.Close())
	if err != nil {
		return fmt.Errorf("diskstore: close: %w", err)
	}
	return nil
}

func (s *Store) filePath(name string) string { return filepath.Join(s.dir, name) }
