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

// crashes counts what the tests of crashes have tried. Each point is one operation of one workload, and one way in which the disk was left there.
type crashes struct {
	points, operations, again, rolls, merges atomic.Int64
}

func (c *crashes) log(t *testing.T) {
	t.Helper()
	t.Logf("%d crash points at %d operations, and %d more in what came after; %d rolls and %d merges were crossed",
		c.points.Load(), c.operations.Load(), c.again.Load(), c.rolls.Load(), c.merges.Load())
	if c.rolls.Load() == 0 || c.merges.Load() == 0 {
		t.Error("the workloads crossed no boundary of segments, or no merge")
	}
}

// count counts an operation that begins a new segment.
func (c *crashes) count(op vfs.Op) {
	if op.Kind == vfs.Rename && strings.Contains(op.Name, "spare") {
		c.rolls.Add(1)
	}
}

const crashesVariable = "DCB_CRASHES" // how many crash points are tried, if it is set

// eachSeed calls try with one seed after the other, in parallel, until enough reports true. With a given seed it calls it with that one.
func eachSeed(t *testing.T, enough func() bool, try func(ctx context.Context, seed uint64) error) {
	t.Helper()
	seed, given := seedOf(t)
	workers := runtime.GOMAXPROCS(0)
	t.Run("seeds", func(t *testing.T) {
		for n := range workers {
			t.Run(fmt.Sprint(n), func(t *testing.T) {
				t.Parallel()
				for k := seed + uint64(n); ; k += uint64(workers) {
					var err error
					inTime(t, fmt.Sprintf("%s=%d", history.SeedVariable, k), func() { err = try(t.Context(), k) })
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

func TestWhateverACrashLeavesWhatWasAnsweredIsThere(t *testing.T) {
	t.Parallel()
	var c crashes
	most := int64(number(t, crashesVariable, 10_500))
	eachSeed(t, func() bool { return c.points.Load() >= most }, c.crashEverywhere)
	c.log(t)
}

const dir = "dir"

// crashing is a workload that is crashed again and again.
type crashing struct {
	*crashes
	*oracle
	seed   uint64
	mem    *vfs.Mem
	opts   *diskstore.Options
	rarely int // of so many operations, one is crashed at
	failed atomic.Pointer[error]
}

// crashEverywhere runs the workload of a seed, and at its operations lets the disk crash in several ways, and sees what a store finds there. At each of them if
// the workload is short, and at some if it is long.
func (c *crashes) crashEverywhere(ctx context.Context, seed uint64) error {
	random := randomOf(seed, 1000)
	w := &crashing{crashes: c, oracle: new(oracle), seed: seed, mem: vfs.NewMem(), rarely: 1}
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
		steps, w.rarely = 4*steps, 8
	}
	for life := range 3 {
		s, err := diskstore.Open(dir, w.opts)
		if err == nil {
			err = busy(ctx, s, w.oracle, seed+uint64(life), callers, steps/callers)
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
		return fmt.Errorf("%d handles are open after the store was closed", n)
	}
	return nil
}

// crashAt lets the disk crash as it is just before an operation.
func (w *crashing) crashAt(ctx context.Context, op vfs.Op) {
	random := randomOf(w.seed, uint64(op.N)<<8)
	if random.IntN(w.rarely) > 0 {
		return
	}
	w.operations.Add(1)
	for _, left := range []struct {
		how   string
		crash func() *vfs.Mem
		power bool
	}{
		{"all that was not synced is lost", func() *vfs.Mem { return w.mem.Crash(nil) }, true},
		{"the process is killed", w.mem.KillClone, false},
		{"something that was not synced is lost", func() *vfs.Mem { return w.mem.Crash(random) }, true},
		{"something else that was not synced is lost", func() *vfs.Mem { return w.mem.Crash(random) }, true},
	} {
		if random.IntN(2) == 0 {
			continue
		}
		before := w.snapshot()
		after := left.crash()
		known := around(before, w.snapshot())
		known.lossy = left.power && w.opts.Durability == diskstore.NoSync
		if err := w.survive(ctx, after, known, random, true); err != nil {
			err = fmt.Errorf("crash before operation %d (%s %s, %d bytes), %s: %w", op.N, op.Kind, op.Name, op.Bytes, left.how, err)
			w.failed.CompareAndSwap(nil, &err)
			return
		}
		w.points.Add(1)
	}
}

// survive opens what a crash has left, compares it with what is known, goes on with it, and opens it again. What comes after a crash may crash again.
func (w *crashing) survive(ctx context.Context, mem *vfs.Mem, known *oracle, random *rand.Rand, mayCrash bool) error {
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
				knownAgain = around(before, known.snapshot())
				knownAgain.lossy = knownAgain.lossy || !kill && w.opts.Durability == diskstore.NoSync
			}
			return nil
		})
	}
	for life, steps := range []int{1 + random.IntN(3), 0} {
		if life > 0 && random.IntN(2) == 0 {
			break
		}
		if err := w.liveOn(ctx, mem, known, random, steps); err != nil {
			return fmt.Errorf("life %d after it: %w", life, err)
		}
	}
	if again == nil {
		return nil
	}
	w.again.Add(1)
	if err := w.survive(ctx, again, knownAgain, random, false); err != nil {
		return fmt.Errorf("a further crash after it: %w", err)
	}
	return nil
}

// liveOn opens a store, checks it, makes some steps, and closes it.
func (w *crashing) liveOn(ctx context.Context, mem *vfs.Mem, known *oracle, random *rand.Rand, steps int) (err error) {
	o := *w.opts
	s, err := diskstore.Open(dir, o.On(mem))
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, s.Close())
		if n := mem.OpenHandles(); err == nil && n != 0 {
			err = fmt.Errorf("%d handles are open after the store was closed", n)
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
			return fmt.Errorf("the store does not go on: %w", refused)
		}
	}
	return nil
}
