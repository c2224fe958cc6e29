package decide

import (
	"container/list"
	"context"
	"errors"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/dcbstore/dcb/memstore"
)

func TestAKeyThatIsNeverFoundAgainIsNotKept(t *testing.T) {
	t.Parallel()
	c := &cache[float64, int]{most: 2, slots: make(map[float64]*list.Element)}
	for range 1000 {
		c.slot(math.NaN())
	}
	c.slot(1)
	if len(c.slots) != 1 || c.recent.Len() != 1 {
		t.Errorf("%d and %d slots are kept; want that of 1 alone", len(c.slots), c.recent.Len())
	}
}

type tick struct{ N int }

func TestNoLaneIsLeftBehind(t *testing.T) {
	t.Parallel()
	d := New(memstore.New(nil), NewCodec(Type[tick]("Tick")), nil)
	var all sync.WaitGroup
	for i := range 32 {
		all.Go(func() {
			defer func() { _ = recover() }()
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*time.Millisecond)
			defer cancel()
			for n := range 40 {
				ticks := NewProjection(0, On(func(n int, _ tick) int { return n + 1 }))
				_, _ = d.Do(ctx, func() ([]any, error) {
					switch {
					case n == 30+i:
						panic("function")
					case n%7 == 6:
						return nil, errors.New("refused")
					}
					return Events(tick{n}), nil
				}, ticks)
			}
		})
	}
	all.Wait()
	if busy := d.lanes.busy.Load(); busy != 0 || len(d.lanes.byTags) != 0 {
		t.Errorf("%d lanes are left, and %d have a name", busy, len(d.lanes.byTags))
	}
}

func TestWhoLeavesALaneLastTakesItAway(t *testing.T) {
	t.Parallel()
	var l lanes
	first := l.enter(t.Context(), "x")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	second := l.enter(ended, "x") // gives up waiting
	first()
	if l.busy.Load() != 1 || l.byTags["x"] == nil {
		t.Error("the lane is gone, and somebody is in it")
	}
	second()
	if l.busy.Load() != 0 || len(l.byTags) != 0 {
		t.Error("the lane is there, and nobody is in it")
	}
}
