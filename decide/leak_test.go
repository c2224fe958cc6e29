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

func TestStateCacheGetDoesNotKeepNaN(t *testing.T) {
	t.Parallel()
	c := &stateCache[float64, int]{most: 2, byKey: make(map[float64]*list.Element)}
	for range 1000 {
		c.get(math.NaN())
	}
	c.get(1)
	if len(c.byKey) != 1 || c.recent.Len() != 1 {
		t.Errorf("the cache has %d keys and %d entries, want one of each", len(c.byKey), c.recent.Len())
	}
}

type tick struct{ N int }

func TestDoRemovesUnusedQueues(t *testing.T) {
	t.Parallel()
	runner := New(memstore.New(nil), NewCodec(Type[tick]("Tick")), nil)
	var all sync.WaitGroup
	for i := range 32 {
		all.Go(func() {
			defer func() { _ = recover() }()
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*time.Millisecond)
			defer cancel()
			for n := range 40 {
				ticks := NewProjection(0, On(func(n int, _ tick) int { return n + 1 }))
				_, _ = runner.Do(ctx, func() ([]any, error) {
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
	if count := runner.queues.count.Load(); count != 0 || len(runner.queues.byKey) != 0 {
		t.Errorf("the count of queues is %d and %d have a key, want none", count, len(runner.queues.byKey))
	}
}

func TestKeyQueuesJoinRemovesTheQueueAfterItsLastUser(t *testing.T) {
	t.Parallel()
	var queues keyQueues
	leaveFirst := queues.join(t.Context(), "x")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	leaveSecond := queues.join(ended, "x") // without a turn, because its context has ended
	leaveFirst()
	if queues.count.Load() != 1 || queues.byKey["x"] == nil {
		t.Error("the queue was removed before its last user left")
	}
	leaveSecond()
	if queues.count.Load() != 0 || len(queues.byKey) != 0 {
		t.Error("the queue was not removed after its last user left")
	}
}
