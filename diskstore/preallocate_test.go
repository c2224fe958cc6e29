package diskstore_test

import (
	"errors"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/diskstore"
	"github.com/dcbstore/dcb/internal/vfs"
)

// TestPreallocateReportsFailedSync checks that a failed sync of a preallocation is not lost. The
// preallocation syncs the active segment. If that sync fails, the disk may have lost appends
// written meanwhile, and may report this only once.
func TestPreallocateReportsFailedSync(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	s := open(t, dir, diskstore.Options{SegmentBytes: diskstore.DefaultSegmentBytes}.On(mem))
	log := filepath.Join(dir, "00000000000000000001.log")
	started, written := make(chan struct{}), make(chan struct{})
	var preallocations, syncs atomic.Int64
	mem.Inject(func(op vfs.Op) error {
		switch {
		case op.Kind == vfs.Preallocate && preallocations.Add(1) == 2: // the first append waited for the first one; this one is ahead of need
			close(started)
			<-written
			return errors.New("lost data")
		case op.Kind == vfs.Sync && op.Name == log && syncs.Add(1) == 2: // of the second append
			<-started
			close(written)
			for !s.Failed() { // the preallocation fails before this sync succeeds
				time.Sleep(time.Millisecond)
			}
		}
		return nil
	})
	var acknowledged []dcb.Position
	var err error
	mustFinish(t, "appending", func() {
		for err == nil {
			var position dcb.Position
			if position, err = s.Append(t.Context(), []dcb.Event{{Type: "T", Data: make([]byte, 30_000)}}, nil); err == nil {
				acknowledged = append(acknowledged, position)
			}
		}
	})
	if !errors.Is(err, dcb.ErrUnavailable) || len(acknowledged) != 1 {
		t.Errorf("Append number %d = %v, want dcb.ErrUnavailable for the second", len(acknowledged)+1, err)
	}
	mem.Inject(nil)
	after := mem.Crash(nil)
	again := open(t, dir, diskstore.Options{}.On(after))
	if head, err := again.Head(t.Context()); err != nil || int(head) < len(acknowledged) {
		t.Errorf("Head after a crash = %d, %v, want at least %d", head, err, len(acknowledged))
	}
	if _, err := s.Append(t.Context(), []dcb.Event{{Type: "T"}}, nil); !errors.Is(err, dcb.ErrUnavailable) || !strings.Contains(err.Error(), "opened again") {
		t.Errorf("a later Append = %v, want the advice to open the store again", err)
	}
}
