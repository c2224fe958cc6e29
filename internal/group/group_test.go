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

// fitsAlways lets every value join a batch.
func fitsAlways([]int, int) bool { return true }

// recorder commits batches that take a second each, and records them.
type recorder struct {
	mu      sync.Mutex
	batches [][]int
}

func (r *recorder) commit(ctx context.Context, batch []int) {
	r.mu.Lock()
	r.batches = append(r.batches, slices.Clone(batch))
	r.mu.Unlock()
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
	}
}

func TestCommitterDoCommitsCallersThatArriveDuringACommitTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		c := New(r.commit, fitsAlways)
		began := time.Now()
		var callers sync.WaitGroup
		for i := range 10 {
			callers.Go(func() {
				if started, err := c.Do(t.Context(), i); err != nil || !started {
					t.Errorf("Do = %v, %v, want true, nil", started, err)
				}
			})
			synctest.Wait()
		}
		callers.Wait()
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("ten calls took %v, want two commits of a second", took)
		}
		if len(r.batches) != 2 || !slices.Equal(r.batches[0], []int{0}) || !slices.Equal(r.batches[1], []int{1, 2, 3, 4, 5, 6, 7, 8, 9}) {
			t.Errorf("batches = %v, want one value and then nine", r.batches)
		}
	})
}

func TestCommitterDoKeepsTheOrderOfValuesThatDoNotFit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		c := New(r.commit, func(batch []int, next int) bool { return len(batch) < 3 })
		var callers sync.WaitGroup
		for i := range 8 {
			callers.Go(func() { _, _ = c.Do(t.Context(), i) })
			synctest.Wait()
		}
		callers.Wait()
		want := [][]int{{0}, {1, 2, 3}, {4, 5, 6}, {7}}
		if !slices.EqualFunc(r.batches, want, slices.Equal) {
			t.Errorf("batches = %v, want %v", r.batches, want)
		}
	})
}

func TestCommitterDoWithdrawsAValueWhoseContextEndsBeforeItsCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		c := New(r.commit, fitsAlways)
		go func() { _, _ = c.Do(context.Background(), 1) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if started, err := c.Do(ctx, 2); started || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Do = %v, %v, want false and the context's error", started, err)
		}
		c.Close()
		if len(r.batches) != 1 {
			t.Errorf("batches = %v, want only the first value", r.batches)
		}
	})
}

func TestCommitterDoReturnsWhileTheCommitContinuesIfTheContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		c := New(r.commit, fitsAlways)
		began := time.Now()
		go func() { _, _ = c.Do(context.Background(), 1) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		if started, err := c.Do(ctx, 2); !started || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Do = %v, %v, want true and the context's error", started, err)
		}
		c.Close()
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("the commits took %v, want 2 s for both", took)
		}
	})
}

func TestCommitterCloseWaitsForEarlierCallersAndRefusesLaterOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{}
		c := New(r.commit, fitsAlways)
		var callers sync.WaitGroup
		for i := range 3 {
			callers.Go(func() {
				if _, err := c.Do(t.Context(), i); err != nil {
					t.Errorf("Do before Close = %v, want nil", err)
				}
			})
		}
		synctest.Wait()
		c.Close()
		if _, err := c.Do(t.Context(), 4); !errors.Is(err, dcb.ErrClosed) {
			t.Errorf("Do after Close = %v, want ErrClosed", err)
		}
		callers.Wait()
		if n := len(slices.Concat(r.batches...)); n != 3 {
			t.Errorf("%d values were committed, want 3", n)
		}
	})
}

func TestCommitterDoCommitsEveryValueOnceAndOneBatchAtATime(t *testing.T) {
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

func TestCommitterDoContinuesAfterACommitThatPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(func(_ context.Context, batch []int) {
			if time.Sleep(time.Second); batch[0] == 0 {
				panic("commit failed")
			}
		}, fitsAlways)
		go func() {
			defer func() { _ = recover() }() // like an HTTP server
			_, _ = c.Do(t.Context(), 0)
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for i := range 2 {
			if started, err := c.Do(ctx, 1); err != nil || !started {
				t.Fatalf("Do %d after the panic = %v, %v, want true, nil", i, started, err)
			}
		}
		c.Close()
	})
}
