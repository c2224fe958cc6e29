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

func TestWhateverFailsTheStoreGoesOnOrAsksToBeOpenedAgain(t *testing.T) {
	t.Parallel()
	var c crashes
	most := int64(number(t, crashesVariable, 10_500)) / 10
	var f faults
	eachSeed(t, func() bool { return f.points.Load() >= most }, func(ctx context.Context, seed uint64) error {
		return f.failOnce(ctx, &c, seed)
	})
	t.Logf("%d operations failed: %d stores had to be opened again, %d could not be opened at first", f.points.Load(), f.reopened.Load(), f.notOpened.Load())
	c.log(t)
}

// faults counts the failures that were tried, one operation or a few in a row each.
type faults struct{ points, reopened, notOpened atomic.Int64 }

var errInjected = errors.New("injected")

// fault lets operations fail, from the first one on, some in a row.
type fault struct {
	mu          sync.Mutex
	random      *rand.Rand
	first, last int64
	kind        vfs.Kind // or any
	began       bool
}

func newFault(random *rand.Rand) *fault {
	f := &fault{random: random, first: 1 + random.Int64N(150)}
	f.last = f.first + []int64{0, 0, 0, 1, 4, 20}[random.IntN(6)]
	if random.IntN(2) == 0 { // the first of this kind from there on
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

// isOn reports whether operations may still fail.
func (f *fault) isOn() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last < 1<<60
}

// end lets nothing fail any more.
func (f *fault) end() (began bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.first, f.last = 1<<60, 1<<60
	return f.began
}

// alarm is a log that knows whether the store has said that it has failed.
type alarm struct {
	slog.Handler
	rung atomic.Bool
}

func (a *alarm) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelError }

func (a *alarm) Handle(context.Context, slog.Record) error {
	a.rung.Store(true)
	return nil
}

// failing is a workload in which something fails.
type failing struct {
	*faults
	*crashes
	*oracle
	*fault
	seed   uint64
	random *rand.Rand
	mem    *vfs.Mem
}

// failOnce runs the workload of a seed, in which an operation fails, and perhaps some after it; then it opens the store again, and lets it crash.
func (f *faults) failOnce(ctx context.Context, c *crashes, seed uint64) error {
	random := randomOf(seed, 2000)
	w := &failing{faults: f, crashes: c, oracle: new(oracle), fault: newFault(random), seed: seed, random: randomOf(seed, 2001), mem: vfs.NewMem()}
	w.mem.Inject(func(op vfs.Op) error {
		c.count(op)
		return w.fault.hook(op)
	})
	for life := range 3 {
		if err := w.live(ctx, uint64(life)); err != nil {
			return fmt.Errorf("operations from %d to %d (%s) failed, life %d: %w", w.first, w.last, w.kind, life, err)
		}
	}
	if w.end() {
		f.points.Add(1)
	}
	known := w.snapshot()
	after := &crashing{crashes: c, seed: seed, opts: small(w.mem)}
	if err := after.survive(ctx, w.mem.Crash(w.random), known, w.random, true); err != nil {
		return fmt.Errorf("operations failed, and then a crash: %w", err)
	}
	return nil
}

// live opens the store, has callers use it until it has failed or they have had enough, and closes it.
func (w *failing) live(ctx context.Context, life uint64) error {
	var failed alarm
	o := diskstore.Options{SegmentBytes: diskstore.MinSegmentBytes, Log: slog.New(&failed)}
	s, err := diskstore.Open(dir, o.On(w.mem))
	if err != nil && w.isOn() {
		if n := w.mem.OpenHandles(); n != 0 {
			return fmt.Errorf("%d handles are open after an opening that failed: %w", n, err)
		}
		w.notOpened.Add(1)
		w.end()
		s, err = diskstore.Open(dir, o.On(w.mem))
	}
	if err != nil {
		return err
	}
	callers := []int{1, 1, 3}[w.random.IntN(3)]
	if life == 2 {
		w.end()
	}
	if err = w.check(ctx, w.mem, s, w.random); err == nil {
		err = w.useAll(ctx, s, &failed, life, callers)
	}
	if failed.rung.Load() {
		w.reopened.Add(1)
	}
	if w.random.IntN(2) == 0 {
		w.end()
	}
	if closed := s.Close(); closed != nil && !w.isOn() && !failed.rung.Load() {
		err = errors.Join(err, closed)
	}
	w.merges.Add(s.Metrics().Merges)
	if n := w.mem.OpenHandles(); n != 0 && err == nil {
		err = fmt.Errorf("%d handles are open after the store was closed", n)
	}
	return err
}

func (w *failing) useAll(ctx context.Context, s *diskstore.Store, failed *alarm, life uint64, callers int) error {
	errs := make([]error, callers)
	steps := (4 + w.random.IntN(25)) / callers
	var group sync.WaitGroup
	for n := range callers {
		group.Go(func() {
			c := &caller{oracle: w.oracle, random: randomOf(w.seed, life<<8|uint64(n)), store: s}
			for range steps {
				if errs[n] = w.use(ctx, c, failed); errs[n] != nil || failed.rung.Load() {
					return
				}
			}
		})
	}
	group.Wait()
	return errors.Join(errs...)
}

// use makes a step. If that fails although nothing fails any more, the store must soon go on, unless it has said that it does not.
func (w *failing) use(ctx context.Context, c *caller, failed *alarm) error {
	refused, wrong := c.step(ctx)
	if wrong != nil || !errors.Is(refused, dcb.ErrUnavailable) || c.random.IntN(2) == 0 {
		return wrong
	}
	if c.random.IntN(4) == 0 {
		if err := w.killed(ctx, c.random); err != nil {
			return fmt.Errorf("killed after an append was refused: %w", err)
		}
	}
	if mustReopen(refused) && !failed.rung.Load() {
		return fmt.Errorf("the outcome of an append is unknown, and the store goes on: %w", refused)
	}
	w.end()
	var err error
	for range 4 { // what was begun while operations failed may still be refused
		if failed.rung.Load() {
			return nil
		}
		var err2 error
		if err, err2 = c.send(ctx, c.store, c.add(randomEvents(c.random), nil)); err == nil {
			return err2
		}
	}
	return fmt.Errorf("the store neither goes on nor says that it has failed: %w", err)
}

// killed sees what the next process would find if this one was killed now.
func (w *failing) killed(ctx context.Context, random *rand.Rand) error {
	before := w.snapshot()
	mem := w.mem.KillClone()
	known := around(before, w.snapshot())
	after := &crashing{crashes: w.crashes, seed: w.seed, opts: small(mem)}
	return after.survive(ctx, mem, known, random, false)
}
