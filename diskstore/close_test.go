package diskstore_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/dcbtest/history"
	"github.com/dcbstore/dcb/diskstore"
	"github.com/dcbstore/dcb/internal/vfs"
)

func TestCloseUnderLoad(t *testing.T) {
	// Not parallel: it counts goroutines.
	seed, _ := seedOf(t)
	t.Logf("%s=%d", history.SeedVariable, seed)
	mem, o := vfs.NewMem(), new(oracle)
	before := runtime.NumGoroutine()
	merges := int64(0)
	for round := range uint64(60) {
		s, err := diskstore.Open(dir, smallSegments(mem))
		if err != nil {
			t.Fatal(err)
		}
		if err := o.check(t.Context(), mem, s, randomOf(seed, round)); err != nil {
			t.Fatal(err)
		}
		var group sync.WaitGroup
		var steps atomic.Int64
		for n := range uint64(4) {
			group.Go(func() {
				c := &caller{oracle: o, random: randomOf(seed, round<<8|n), store: s}
				for {
					refused, wrong := c.step(t.Context())
					steps.Add(1)
					if wrong != nil {
						t.Error(wrong)
					}
					if wrong != nil || errors.Is(refused, dcb.ErrClosed) {
						return
					}
				}
			})
		}
		group.Go(func() {
			for head := dcb.Position(0); ; {
				now, err := s.Wait(t.Context(), head)
				if err != nil {
					if !errors.Is(err, dcb.ErrClosed) {
						t.Errorf("Wait = %v, want dcb.ErrClosed", err)
					}
					return
				}
				head = now
			}
		})
		for want := int64(randomOf(seed, round).IntN(60)); steps.Load() < want; {
			runtime.Gosched()
		}
		mustFinish(t, "Close", func() { err = s.Close() })
		if err != nil {
			t.Error(err)
		}
		mustFinish(t, "a caller of a closed store", group.Wait)
		merges += s.Metrics().Merges
		if n := mem.OpenHandles(); n != 0 {
			t.Fatalf("round %d: Close left %d handles open", round, n)
		}
		if err := s.Close(); err != nil {
			t.Errorf("a second Close() = %v, want nil", err)
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d merges", merges)
	waitForGoroutines(t, before)
}

// waitForGoroutines waits until there are no more goroutines than before.
func waitForGoroutines(t *testing.T, before int) {
	t.Helper()
	for end := time.Now().Add(hangTimeout); time.Now().Before(end); {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(time.Millisecond) // exiting takes some time
	}
	stacks := make([]byte, 1<<20)
	t.Errorf("there are %d goroutines, want %d as before:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
}

func TestOpenClosesFilesAfterFailure(t *testing.T) {
	t.Parallel()
	original, o := mergedStore(t, 9, 40)
	removeIndexes(t, original)
	for k := int64(1); ; k++ {
		mem, reached := original.KillClone(), false
		mem.Inject(func(op vfs.Op) error {
			if op.N == k {
				reached = true
				return errInjected
			}
			return nil
		})
		s, err := diskstore.Open(dir, smallSegments(mem))
		if err == nil { // Open succeeds without an index file
			mustCheck(t, o.snapshot(), mem, s)
			mustClose(t, mem, s)
		} else if !errors.Is(err, errInjected) || !strings.HasPrefix(err.Error(), "diskstore: ") {
			t.Errorf("Open with a failure of operation %d = %v, want the injected error after diskstore:", k, err)
		}
		if n := mem.OpenHandles(); n != 0 {
			t.Errorf("Open with a failure of operation %d = %v, and %d handles are open", k, err, n)
		}
		if !reached {
			return
		}
		mem.Inject(nil)
		mustClose(t, mem, mustOpen(t, mem, o.snapshot()))
	}
}

func TestCloseWaitsForReads(t *testing.T) {
	t.Parallel()
	mem, o := mergedStore(t, 10, 60)
	for round := range 30 {
		s := open(t, dir, smallSegments(mem))
		var group sync.WaitGroup
		var reads atomic.Int64
		for range 3 {
			group.Go(func() {
				for {
					got, err := s.Read(t.Context(), dcb.All(), dcb.ReadOptions{})
					if err != nil {
						if !errors.Is(err, dcb.ErrClosed) {
							t.Errorf("Read = %v, want dcb.ErrClosed", err)
						}
						return
					}
					if err := o.snapshot().compare(got.Events); err != nil {
						t.Errorf("Read returned wrong events: %v", err)
						return
					}
					reads.Add(1)
				}
			})
		}
		for reads.Load() < int64(round%5) {
			runtime.Gosched()
		}
		mustFinish(t, "Close", func() { mustClose(t, mem, s) })
		mustFinish(t, fmt.Sprintf("a read in round %d", round), group.Wait)
	}
}
