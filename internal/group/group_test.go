package group

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dcbstore/dcb"
)

func all([]int, int) bool { return true }

// slow commits batches that take a second each, and remembers them.
type slow struct {
	mu      sync.Mutex
	batches [][]int
}

func (s *slow) commit(ctx context.Context, batch []int) {
	s.mu.Lock()
	s.batches = append(s.batches, slices.Clone(batch))
	s.mu.Unlock()
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
	}
}

func TestWhoComesDuringACommitIsTheNextBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slow{}
		c := New(s.commit, all)
		began := time.Now()
		var callers sync.WaitGroup
		for i := range 10 {
			callers.Go(func() {
				if started, err := c.Do(t.Context(), i); err != nil || !started {
					t.Errorf("Do: %v, %v", started, err)
				}
			})
			synctest.Wait()
		}
		callers.Wait()
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("ten calls took %v; want two commits of a second", took)
		}
		if len(s.batches) != 2 || !slices.Equal(s.batches[0], []int{0}) || !slices.Equal(s.batches[1], []int{1, 2, 3, 4, 5, 6, 7, 8, 9}) {
			t.Errorf("the batches were %v", s.batches)
		}
	})
}

func TestWhoDoesNotFitIsForALaterBatchInItsTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slow{}
		c := New(s.commit, func(batch []int, next int) bool { return len(batch) < 3 })
		var callers sync.WaitGroup
		for i := range 8 {
			callers.Go(func() { _, _ = c.Do(t.Context(), i) })
			synctest.Wait()
		}
		callers.Wait()
		want := [][]int{{0}, {1, 2, 3}, {4, 5, 6}, {7}}
		if !slices.EqualFunc(s.batches, want, slices.Equal) {
			t.Errorf("the batches were %v; want %v", s.batches, want)
		}
	})
}

func TestACallerWhoseContextEndsBeforeItsCommitIsNotCommitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slow{}
		c := New(s.commit, all)
		go func() { _, _ = c.Do(context.Background(), 1) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if started, err := c.Do(ctx, 2); started || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Do: %v, %v; want not started, and the context's error", started, err)
		}
		c.Close()
		if len(s.batches) != 1 {
			t.Errorf("the batches were %v; want the first alone", s.batches)
		}
	})
}

func TestACallerWhoseContextEndsDuringItsCommitLeavesAndTheCommitGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slow{}
		c := New(s.commit, all)
		began := time.Now()
		go func() { _, _ = c.Do(context.Background(), 1) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		if started, err := c.Do(ctx, 2); !started || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Do: %v, %v; want started, and the context's error", started, err)
		}
		c.Close()
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("the commits took %v; want both whole", took)
		}
	})
}

func TestCloseWaitsForThoseWhoCameBeforeAndRefusesTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slow{}
		c := New(s.commit, all)
		var callers sync.WaitGroup
		for i := range 3 {
			callers.Go(func() {
				if _, err := c.Do(t.Context(), i); err != nil {
					t.Errorf("a caller who came before Close: %v", err)
				}
			})
		}
		synctest.Wait()
		c.Close()
		if _, err := c.Do(t.Context(), 4); !errors.Is(err, dcb.ErrClosed) {
			t.Errorf("Do after Close: %v; want dcb.ErrClosed", err)
		}
		callers.Wait()
		if n := len(slices.Concat(s.batches...)); n != 3 {
			t.Errorf("%d values were committed; want 3", n)
		}
	})
}

func TestEveryValueIsCommittedOnceAndNeverTwoBatchesAtATime(t *testing.T) {
	var (
		mu   sync.Mutex
		seen = make(map[int]int)
	)
	c := New(func(_ context.Context, batch []int) {
		if !mu.TryLock() {
			t.Error("two commits at a time")
			mu.Lock()
		}
		defer mu.Unlock()
		for _, value := range batch {
			seen[value]++
		}
	}, func(batch []int, _ int) bool { return len(batch) < 7 })
	var callers sync.WaitGroup
	for caller := range 16 {
		callers.Go(func() {
			for i := range 500 {
				if _, err := c.Do(t.Context(), caller*500+i); err != nil {
					t.Error(err)
				}
			}
		})
	}
	callers.Wait()
	for value := range 16 * 500 {
		if seen[value] != 1 {
			t.Fatalf("value %d was committed %d times", value, seen[value])
		}
	}
}

func TestACommitThatPanicsDoesNotStopTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(func(_ context.Context, batch []int) {
			if time.Sleep(time.Second); batch[0] == 0 {
				panic("a sentence that was violated")
			}
		}, all)
		go func() {
			defer func() { _ = recover() }() // as an HTTP server does
			_, _ = c.Do(t.Context(), 0)
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for i := range 2 {
			if started, err := c.Do(ctx, 1); err != nil || !started {
				t.Fatalf("call %d after it: %v, %v", i, started, err)
			}
		}
		c.Close()
	})
}
