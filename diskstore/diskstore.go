// Package diskstore keeps events in a directory, for one process at a time: the embedded default.
//
// Events are only ever appended, so the log is the truth: segment files with one frame an append, each checked before it is believed. Everything
// else is an index, made from the log and made again from it where it is missing or damaged. docs/diskstore.md tells why it is built so.
//
// # How it keeps its promises
//
// An append is decided under one lock against everything decided before it, gets its positions, and waits. Whoever finds nobody
// writing writes for all who wait, with one write and one sync, while the next ones are being decided; then the head rises, and they are
// answered. So what was answered is durable, and positions become visible in order. A caller that is alone does all of
// it itself, at the cost of the write and the sync.
//
// A reader loads the head and looks at nothing beyond. It takes no lock: what it looks at is never changed, only replaced.
//
// # Where to start reading
//
// [Open]; then an append, from [Store.Append] in append.go to the disk in commit.go; then a read, from [Store.Read] in read.go to
// package search. The format of the log is package frame, and that of index files package indexfile; segment.go says
// what the files are called. recover.go opens what a crash left behind; seal.go makes index files, and merge.go larger ones of them.
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

// Durability says what an append that returned survives.
type Durability int

const (
	// Sync is the default: an append that returned survives a crash of the process, of the system, and a loss of power.
	Sync Durability = iota
	// NoSync leaves it to the operating system when something is written to the disk: an append that returned survives a crash of the process, but after one of
	// the system or a loss of power the last appends may be missing. What is there is whole, and nothing is missing before it. It is
	// for tests and for bulk loads that can be repeated.
	NoSync
)

// The bounds of Options.SegmentBytes.
const (
	DefaultSegmentBytes = 64 << 20
	MinSegmentBytes     = 4 << 10
	MaxSegmentBytes     = 1 << 30
)

// Options for Open. The zero value has the defaults.
type Options struct {
	// Durability says what an append that returned survives. Default Sync.
	Durability Durability
	// SegmentBytes is how large a file of the log becomes before the next one is begun; a single append may make one larger. An opening reads one, and
	// the memory that the store takes is in proportion to it. Default DefaultSegmentBytes.
	SegmentBytes int
	// Now is the clock that RecordedAt is read from. Default time.Now.
	Now func() time.Time
	// Log is told of what an operator wants to know: what recovery did, that an index is being made again, that the store has failed. Default: nobody is.
	Log *slog.Logger

	fs vfs.FS // the operating system's, but in tests
}

func (o *Options) complete() (Options, error) {
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
		return opts, fmt.Errorf("diskstore: Options.Durability is %d; it is Sync or NoSync", opts.Durability)
	case opts.SegmentBytes < MinSegmentBytes || opts.SegmentBytes > MaxSegmentBytes:
		return opts, fmt.Errorf("diskstore: Options.SegmentBytes is %d; it is %d to %d", opts.SegmentBytes, MinSegmentBytes, MaxSegmentBytes)
	}
	return opts, nil
}

// Store is a dcb.Store in a directory. Any number of goroutines may use it.
//
// Invariants: everything at and below head is durable and is never written again. At and below decided, every position belongs to
// an append that is recorded or waits in pending, in this order. Lock order: maintaining, mu; nobody waits for a disk while he holds mu, but where the log
// goes on in a new file, and where a write has failed.
type Store struct {
	fs       vfs.FS
	dir      string
	opts     Options
	storeID  [16]byte // of the store, in all its files
	lock     io.Closer
	head     head.Watch
	counters counters

	requests sync.Pool // of the package it cannot be: where a test has its own time, a channel belongs to that test

	snapshot  atomic.Pointer[snapshot] // nil when the store is closed
	snapshots sync.WaitGroup           // the views that somebody holds

	mu                  sync.Mutex       // guards what follows, and replacing the view
	openSegments        []*activeSegment // from the segment that was last written to, to active
	active              *activeSegment   // what is appended to
	admitted            dcb.Position
	lastRecordedAt      int64            // microseconds since 1970
	pending             []*appendRequest // decided, in the order of their positions, and not being written
	expectedRequests    int              // how many may be waiting when the next group is taken: those who do, and those who were just answered
	averageGroupBytes   int64            // how large a group was lately
	hasLeader           bool             // somebody is writing, or was told to
	idle                sync.Cond
	closing             bool
	failed              error // why nothing can be appended any more
	preallocating       *preallocation
	preallocationFailed bool // the last preparation failed
	spare               *spareSegment
	nextChunk           int64 // how much room is prepared next

	log    logState // of whoever is leading
	sealer sealer
}

var (
	_ dcb.Store = (*Store)(nil)
	_ dcb.Pager = (*Store)(nil)
)

// Head implements dcb.Store.
func (s *Store) Head(ctx context.Context) (dcb.Position, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	return s.head.Load()
}

// Wait implements dcb.Store.
func (s *Store) Wait(ctx context.Context, after dcb.Position) (dcb.Position, error) {
	return s.head.Wait(ctx, after)
}

// Close waits for the appends under way, ends every Wait, and lets every later call fail with dcb.ErrClosed. It leaves a directory of
// the exact size, which says of itself that it was closed.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		return fmt.Errorf("diskstore: close: %w", dcb.ErrClosed)
	}
	s.closing = true
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
	s.snapshots.Wait() // for those who are reading
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
