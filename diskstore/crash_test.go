package diskstore_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/dcbstore/dcb/dcbtest/history"
	"github.com/dcbstore/dcb/diskstore"
	"github.com/dcbstore/dcb/internal/vfs"
)

// crashes counts what the crash tests have tried. A point is one operation of one workload with
// one state of the disk.
type crashes struct {
	points, operations, recrashes, rolls, merges atomic.Int64
}

func (c *crashes) log(t *testing.T) {
	t.Helper()
	t.Logf("%d crash points at %d operations, and %d during recovery; %d new segments and %d merges",
		c.points.Load(), c.operations.Load(), c.recrashes.Load(), c.rolls.Load(), c.merges.Load())
	if c.rolls.Load() == 0 || c.merges.Load() == 0 {
		t.Error("no workload started a new segment, or none merged index files")
	}
}

// count counts the operations that start a new segment.
func (c *crashes) count(op vfs.Op) {
	if op.Kind == vfs.Rename && strings.Contains(op.Name, "spare") {
		c.rolls.Add(1)
	}
}

// crashesVariable, if set, is the number of crash points to try.
const crashesVariable = "DCB_CRASHES"

// forEachSeed calls try with successive seeds, in parallel, until enough returns true. If a seed
// is given, it calls try only with that one.
func forEachSeed(t *testing.T, enough func() bool, try func(ctx context.Context, seed uint64) error) {
	t.Helper()
	seed, given := seedOf(t)
	workers := runtime.GOMAXPROCS(0)
	t.Run("seeds", func(t *testing.T) {
		for n := range workers {
			t.Run(fmt.Sprint(n), func(t *testing.T) {
				t.Parallel()
				for k := seed + uint64(n); ; k += uint64(workers) {
					var err error
					mustFinish(t, fmt.Sprintf("%s=%d", history.SeedVariable, k), func() { err = try(t.Context(), k) })
					if err != nil {
						t.Fatalf("%s=%d: %v", history.SeedVariable, k, err)
					}
					if given || enough() {
						return
					}
				}
			})
			if given {
				return
			}
		}
	})
}

func TestOpenAfterCrash(t *testing.T) {
	t.Parallel()
	var c crashes
	most := int64(intFromEnv(t, crashesVariable, 10_500))
	forEachSeed(t, func() bool { return c.points.Load() >= most }, c.crashEverywhere)
	c.log(t)
}

const dir = "dir"

// crashRun is one workload that is crashed many times.
type crashRun struct {
	*crashes
	*oracle
	seed     uint64
	mem      *vfs.Mem
	opts     *diskstore.Options
	interval int // crash at one of so many operations
	failed   atomic.Pointer[error]
}

// crashEverywhere runs the workload of a seed. At its operations, or at some if the workload is
// long, it crashes copies of the disk in several ways and checks that a store opens them.
func (c *crashes) crashEverywhere(ctx context.Context, seed uint64) error {
	random := randomOf(seed, 1000)
	w := &crashRun{crashes: c, oracle: new(oracle), seed: seed, mem: vfs.NewMem(), interval: 1}
	o := diskstore.Options{SegmentBytes: diskstore.MinSegmentBytes}
	if random.IntN(6) == 0 {
		o.Durability = diskstore.NoSync
	}
	w.opts = o.On(w.mem)
	w.mem.Inject(func(op vfs.Op) error {
		c.count(op)
		if w.failed.Load() == nil {
			w.crashAt(ctx, op)
		}
		return nil
	})
	callers, steps := []int{1, 1, 2, 4}[random.IntN(4)], 10+random.IntN(30)
	if random.IntN(5) == 0 {
		steps, w.interval = 4*steps, 8
	}
	for life := range 3 {
		s, err := diskstore.Open(dir, w.opts)
		if err == nil {
			err = runCallers(ctx, s, w.oracle, seed+uint64(life), callers, steps/callers)
			err = errors.Join(err, s.Close())
			c.merges.Add(s.Metrics().Merges)
		}
		if failed := w.failed.Load(); failed != nil {
			return *failed
		}
		if err != nil {
			return err
		}
	}
	if n := w.mem.OpenHandles(); n != 0 {
		return fmt.Errorf("Close left %d handles open", n)
	}
	return nil
}

// crashAt crashes copies of the disk as it is before an operation.
func (w *crashRun) crashAt(ctx context.Context, op vfs.Op) {
	random := randomOf(w.seed, uint64(op.N)<<8)
	if random.IntN(w.interval) > 0 {
		return
	}
	w.operations.Add(1)
	for _, state := range []struct {
		how   string
		crash func() *vfs.Mem
		power bool
	}{
		{"all unsynced data is lost", func() *vfs.Mem { return w.mem.Crash(nil) }, true},
		{"the process is killed", w.mem.KillClone, false},
		{"some unsynced data is lost", func() *vfs.Mem { return w.mem.Crash(random) }, true},
		{"other unsynced data is lost", func() *vfs.Mem { return w.mem.Crash(random) }, true},
	} {
		if random.IntN(2) == 0 {
			continue
		}
		before := w.snapshot()
		after := state.crash()
		known := between(before, w.snapshot())
		known.lossy = state.power && w.opts.Durability == diskstore.NoSync
		if err := w.survive(ctx, after, known, random, true); err != nil {
			err = fmt.Errorf("crash before operation %d (%s %s, %d bytes), %s: %w", op.N, op.Kind, op.Name, op.Bytes, state.how, err)
			w.failed.CompareAndSwap(nil, &err)
			return
		}
		w.points.Add(1)
	}
}

// survive opens a disk after a crash, compares it with what is known, uses it and opens it
// again. If mayCrash is true, recovery may crash once more.
func (w *crashRun) survive(ctx context.Context, mem *vfs.Mem, known *oracle, random *rand.Rand, mayCrash bool) error {
	var again *vfs.Mem
	var knownAgain *oracle
	if mayCrash && random.IntN(5) == 0 {
		at, kill, own := int64(1+random.IntN(30)), random.IntN(3) == 0, randomOf(random.Uint64(), 0)
		mem.Inject(func(op vfs.Op) error {
			if op.N == at {
				before := known.snapshot()
				if again = mem.Crash(own); kill {
					again = mem.KillClone()
				}
				knownAgain = between(before, known.snapshot())
				knownAgain.lossy = knownAgain.lossy || !kill && w.opts.Durability == diskstore.NoSync
			}
			return nil
		})
	}
	for life, steps := range []int{1 + random.IntN(3), 0} {
		if life > 0 && random.IntN(2) == 0 {
			break
		}
		if err := w.reopenAndUse(ctx, mem, known, random, steps); err != nil {
			return fmt.Errorf("opening %d after it: %w", life, err)
		}
	}
	if again == nil {
		return nil
	}
	w.recrashes.Add(1)
	if err := w.survive(ctx, again, knownAgain, random, false); err != nil {
		return fmt.Errorf("a second crash after it: %w", err)
	}
	return nil
}

// reopenAndUse opens a store, checks it, makes some steps and closes it.
func (w *crashRun) reopenAndUse(ctx context.Context, mem *vfs.Mem, known *oracle, random *rand.Rand, steps int) (err error) {
	o := *w.opts
	s, err := diskstore.Open(dir, o.On(mem))
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, s.Close())
		if n := mem.OpenHandles(); err == nil && n != 0 {
			err = fmt.Errorf("Close left %d handles open", n)
		}
	}()
	if err := known.check(ctx, mem, s, random); err != nil {
		return err
	}
	c := &caller{oracle: known, random: random, store: s}
	for range steps {
		refused, wrong := c.step(ctx)
		if wrong != nil {
			return wrong
		}
		if mustReopen(refused) {
			return fmt.Errorf("the store cannot append any more: %w", refused)
		}
	}
	return nil
}
