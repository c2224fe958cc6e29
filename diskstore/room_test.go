package diskstore_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/diskstore"
	"github.com/dcbstore/dcb/internal/vfs"
)

// TestAnErrorOfTheDiskThatPreparingRoomWasToldIsNotLost: room is prepared, with a sync, in the file that is appended to. Where that fails the disk may have lost what was
// appended meanwhile, and may say so only once.
func TestAnErrorOfTheDiskThatPreparingRoomWasToldIsNotLost(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	s := open(t, dir, diskstore.Options{SegmentBytes: diskstore.DefaultSegmentBytes}.On(mem))
	log := filepath.Join(dir, "00000000000000000001.log")
	begun, written := make(chan struct{}), make(chan struct{})
	var preparations, syncs atomic.Int64
	mem.Inject(func(op vfs.Op) error {
		switch {
		case op.Kind == vfs.Preallocate && preparations.Add(1) == 2: // the first was waited for, this one is ahead
			close(begun)
			<-written
			return errors.New("the disk has lost something")
		case op.Kind == vfs.Sync && op.Name == log && syncs.Add(1) == 2: // of the second append, which has been written
			<-begun
			close(written)
			for !s.Failed() { // the preparation has, before this succeeds
				time.Sleep(time.Millisecond)
			}
		}
		return nil
	})
	var acknowledged []dcb.Position
	var err error
	inTime(t, "appending", func() {
		for err == nil {
			var position dcb.Position
			if position, err = s.Append(t.Context(), []dcb.Event{{Type: "T", Data: make([]byte, 30_000)}}, nil); err == nil {
				acknowledged = append(acknowledged, position)
			}
		}
	})
	if !errors.Is(err, dcb.ErrUnavailable) || len(acknowledged) != 1 {
		t.Errorf("append %d ended with %v; want ErrUnavailable for the second", len(acknowledged)+1, err)
	}
	mem.Inject(nil)
	after := mem.Crash(nil)
	again := open(t, dir, diskstore.Options{}.On(after))
	if head, err := again.Head(t.Context()); err != nil || int(head) < len(acknowledged) {
		t.Errorf("after a crash the head is %d (%v), and %d appends were answered", head, err, len(acknowledged))
	}
	if _, err := s.Append(t.Context(), []dcb.Event{{Type: "T"}}, nil); !errors.Is(err, dcb.ErrUnavailable) || !strings.Contains(err.Error(), "opened again") {
		t.Errorf("a later append: %v; want that the store must be opened again", err)
	}
}

// slowMerges is a file system on which index files of several segments are written when the test says so.
type slowMerges struct {
	vfs.FS
	begun chan struct{}
	goOn  chan struct{}
	once  atomic.Bool
}

type slowFile struct {
	vfs.File
	on *slowMerges
}

func (f slowFile) WriteAt(p []byte, at int64) (int, error) {
	if !f.on.once.Swap(true) {
		close(f.on.begun)
	}
	<-f.on.goOn
	return f.File.WriteAt(p, at)
}

// Create makes the file slow if it is the index of more than a few events.
func (s *slowMerges) Create(name string) (vfs.File, error) {
	file, err := s.FS.Create(name)
	var first, last int
	if n, _ := fmt.Sscanf(filepath.Base(name), "%d-%d.index", &first, &last); err == nil && n == 2 && last-first > 20 {
		return slowFile{file, s}, nil
	}
	return file, err
}

func TestNobodyWaitsForAMerge(t *testing.T) {
	t.Parallel()
	files := &slowMerges{FS: vfs.NewMem(), begun: make(chan struct{}), goOn: make(chan struct{})}
	s := open(t, dir, small(files))
	inTime(t, "appending while files are merged", func() {
		more := 0 // segments begun since the merge was
		for i := 0; more < 60; i++ {
			if _, err := s.Append(t.Context(), []dcb.Event{{Type: "T", Tags: []string{fmt.Sprint(i)}, Data: make([]byte, 500)}}, nil); err != nil {
				t.Error(err)
				return
			}
			if files.once.Load() {
				more++
			}
		}
		close(files.goOn)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestASearchThatFindsNothingEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s := open(t, dir, diskstore.Options{}.On(vfs.NewMem()))
	for range 20 {
		var events []dcb.Event
		for i := range 10_000 {
			events = append(events, dcb.Event{Type: "T", Tags: []string{[]string{"even", "odd"}[i%2]}})
		}
		if _, err := s.Append(t.Context(), events, nil); err != nil {
			t.Fatal(err)
		}
	}
	q := dcb.Query{{Tags: []string{"even", "odd"}}}
	ctx := &endsSoon{Context: t.Context(), asked: new(atomic.Int64)}
	if _, err := s.Read(ctx, q, dcb.ReadOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Read: %v; want the context's error", err)
	}
	ctx.asked.Store(0)
	if _, err := s.Append(ctx, []dcb.Event{{Type: "T"}}, &dcb.AppendCondition{FailIfEventsMatch: q}); !errors.Is(err, context.Canceled) {
		t.Errorf("Append: %v; want the context's error", err)
	}
}

// endsSoon is a context that has ended from the third time on that it is asked.
type endsSoon struct {
	context.Context //nolint:containedctx // it is one
	asked           *atomic.Int64
}

func (c *endsSoon) Err() error {
	if c.asked.Add(1) > 2 {
		return context.Canceled
	}
	return nil
}

// mapped is a file system that calls then when a file was mapped.
type mapped struct {
	vfs.FS
	then func()
}

type mappedFile struct {
	vfs.File
	then func()
}

func (m mapped) Open(name string) (vfs.File, error) {
	file, err := m.FS.Open(name)
	return mappedFile{file, m.then}, err
}

func (f mappedFile) Map() (vfs.Mapping, error) {
	mapping, err := f.File.Map()
	f.then()
	return mapping, err
}

func TestASegmentMayGrowWhileItIsMapped(t *testing.T) {
	t.Parallel()
	var s *diskstore.Store
	grown := 0
	files := mapped{FS: vfs.NewMem()}
	files.then = func() {
		if s == nil || grown > 0 {
			return
		}
		for grown = 1; grown < 20; grown++ {
			if _, err := s.Append(t.Context(), []dcb.Event{{Type: "T", Data: make([]byte, 100_000)}}, nil); err != nil {
				t.Error(err)
			}
		}
	}
	s = open(t, dir, diskstore.Options{}.On(&files))
	if _, err := s.Append(t.Context(), []dcb.Event{{Type: "First"}}, nil); err != nil {
		t.Fatal(err)
	}
	inTime(t, "reading", func() {
		if result, err := s.Read(t.Context(), dcb.Query{{Types: []string{"First"}}}, dcb.ReadOptions{}); err != nil || len(result.Events) != 1 || grown != 20 {
			t.Errorf("read %d events, %v, while the segment grew %d times", len(result.Events), err, grown)
		}
	})
}
