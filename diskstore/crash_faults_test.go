package diskstore_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/diskstore"
	"github.com/dcbstore/dcb/internal/vfs"
)

func TestStoreSurvivesFaults(t *testing.T) {
	t.Parallel()
	var c crashes
	most := int64(intFromEnv(t, crashesVariable, 10_500)) / 10
	var f faults
	forEachSeed(t, func() bool { return f.points.Load() >= most }, func(ctx context.Context, seed uint64) error {
		return f.failOnce(ctx, &c, seed)
	})
	t.Logf("%d operations failed: %d stores had to be opened again, %d could not be opened at first",
		f.points.Load(), f.reopened.Load(), f.notOpened.Load())
	c.log(t)
}

// faults counts the failures that were tried. Each is one operation or a few in a row.
type faults struct{ points, reopened, notOpened atomic.Int64 }

var errInjected = errors.New("injected")

// fault makes operations fail from number first to last.
type fault struct {
	mu          sync.Mutex
	random      *rand.Rand
	first, last int64
	kind        vfs.Kind // only operations of this kind, or "" for all
	began       bool     // an operation failed
}

func newFault(random *rand.Rand) *fault {
	f := &fault{random: random, first: 1 + random.Int64N(150)}
	f.last = f.first + []int64{0, 0, 0, 1, 4, 20}[random.IntN(6)]
	if random.IntN(2) == 0 { // starting with the next operation of this kind
		kinds := []vfs.Kind{vfs.Write, vfs.Sync, vfs.Rename, vfs.SyncDir, vfs.Preallocate, vfs.Remove, vfs.Truncate, vfs.Create}
		f.kind = kinds[random.IntN(len(kinds))]
	}
	return f
}

func (f *fault) hook(op vfs.Op) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.began && f.kind != "" && op.Kind != f.kind && op.N >= f.first {
		f.first++
		f.last++
	}
	if op.N < f.first || op.N > f.last {
		return nil
	}
	f.began = true
	switch f.random.IntN(4) {
	case 0:
		return vfs.Partial{Bytes: op.Bytes, Err: errInjected}
	case 1:
		return vfs.Partial{Bytes: f.random.IntN(op.Bytes + 1), Err: syscall.ENOSPC}
	default:
		return errInjected
	}
}

// isActive reports whether operations may still fail.
func (f *fault) isActive() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last < 1<<60
}

// stop ends all failures, and reports whether there was one.
func (f *fault) stop() (began bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.first, f.last = 1<<60, 1<<60
	return f.began
}

// errorLog is a log handler that notes whether the store logged an error, which means that it
// cannot append any more.
type errorLog struct {
	slog.Handler
	logged atomic.Bool
}

func (a *errorLog) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelError }

func (a *errorLog) Handle(context.Context, slog.Record) error {
	a.logged.Store(true)
	return nil
}

// faultRun is one workload with a fault.
type faultRun struct {
	*faults
	*crashes
	*oracle
	*fault
	seed   uint64
	random *rand.Rand
	mem    *vfs.Mem
}

// failOnce runs the workload of a seed with a fault. Then it opens the store again after a
// crash.
func (f *faults) failOnce(ctx context.Context, c *crashes, seed uint64) error {
	random := randomOf(seed, 2000)
	w := &faultRun{faults: f, crashes: c, oracle: new(oracle), fault: newFault(random), seed: seed, random: randomOf(seed, 2001), mem: vfs.NewMem()}
	w.mem.Inject(func(op vfs.Op) error {
		c.count(op)
		return w.fault.hook(op)
	})
	for life := range 3 {
		if err := w.runLife(ctx, uint64(life)); err != nil {
			return fmt.Errorf("with failures from operation %d to %d (%s), opening %d: %w", w.first, w.last, w.kind, life, err)
		}
	}
	if w.stop() {
		f.points.Add(1)
	}
	known := w.snapshot()
	after := &crashRun{crashes: c, seed: seed, opts: smallSegments(w.mem)}
	if err := after.survive(ctx, w.mem.Crash(w.random), known, w.random, true); err != nil {
		return fmt.Errorf("a crash after the failures: %w", err)
	}
	return nil
}

// runLife opens the store, runs callers until it has failed or they are done, and closes it.
func (w *faultRun) runLife(ctx context.Context, life uint64) error {
	var failed errorLog
	o := diskstore.Options{SegmentBytes: diskstore.MinSegmentBytes, Log: slog.New(&failed)}
	s, err := diskstore.Open(dir, o.On(w.mem))
	if err != nil && w.isActive() {
		if n := w.mem.OpenHandles(); n != 0 {
			return fmt.Errorf("Open failed and left %d handles open: %w", n, err)
		}
		w.notOpened.Add(1)
		w.stop()
		s, err = diskstore.Open(dir, o.On(w.mem))
	}
	if err != nil {
		return err
	}
	callers := []int{1, 1, 3}[w.random.IntN(3)]
	if life == 2 {
		w.stop()
	}
	if err = w.check(ctx, w.mem, s, w.random); err == nil {
		err = w.runCallers(ctx, s, &failed, life, callers)
	}
	if failed.logged.Load() {
		w.reopened.Add(1)
	}
	if w.random.IntN(2) == 0 {
		w.stop()
	}
	if closed := s.Close(); closed != nil && !w.isActive() && !failed.logged.Load() {
		err = errors.Join(err, closed)
	}
	w.merges.Add(s.Metrics().Merges)
	if n := w.mem.OpenHandles(); n != 0 && err == nil {
		err = fmt.Errorf("Close left %d handles open", n)
	}
	return err
}

func (w *faultRun) runCallers(ctx context.Context, s *diskstore.Store, failed *errorLog, life uint64, callers int) error {
	errs := make([]error, callers)
	steps := (4 + w.random.IntN(25)) / callers
	var group sync.WaitGroup
	for n := range callers {
		group.Go(func() {
			c := &caller{oracle: w.oracle, random: randomOf(w.seed, life<<8|uint64(n)), store: s}
			for range steps {
				if errs[n] = w.step(ctx, c, failed); errs[n] != nil || failed.logged.Load() {
					return
				}
			}
		})
	}
	group.Wait()
	return errors.Join(errs...)
}

// step makes one step. If the step fails after the last injected failure, the store must soon
// append again, unless it has logged that it cannot.
func (w *faultRun) step(ctx context.Context, c *caller, failed *errorLog) error {
	refused, wrong := c.step(ctx)
	if wrong != nil || !errors.Is(refused, dcb.ErrUnavailable) || c.random.IntN(2) == 0 {
		return wrong
	}
	if c.random.IntN(4) == 0 {
		if err := w.checkKilled(ctx, c.random); err != nil {
			return fmt.Errorf("a kill after a refused append: %w", err)
		}
	}
	if mustReopen(refused) && !failed.logged.Load() {
		return fmt.Errorf("the outcome of an append is unknown, but the store still appends: %w", refused)
	}
	w.stop()
	var err error
	for range 4 { // work that started before the stop may still fail
		if failed.logged.Load() {
			return nil
		}
		var err2 error
		if err, err2 = c.send(ctx, c.store, c.add(randomEvents(c.random), nil)); err == nil {
			return err2
		}
	}
	return fmt.Errorf("the store does not append, and logged no error: %w", err)
}

// checkKilled checks what the next process finds if this one is killed now.
func (w *faultRun) checkKilled(ctx context.Context, random *rand.Rand) error {
	before := w.snapshot()
	mem := w.mem.KillClone()
	known := between(before, w.snapshot())
	after := &crashRun{crashes: w.crashes, seed: w.seed, opts: smallSegments(mem)}
	return after.survive(ctx, mem, known, random, false)
}
