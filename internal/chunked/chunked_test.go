package chunked_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/dcbstore/dcb/internal/chunked"
)

func TestArrayAtReturnsTheElementsInOrder(t *testing.T) {
	var a chunked.Array[int]
	const n = 10_000
	for i := range n {
		if i%2 == 0 {
			a.Push(i)
		} else {
			*a.Next() = i
		}
	}
	if a.Len() != n {
		t.Errorf("Len() = %d, want %d", a.Len(), n)
	}
	for i := range n {
		if got := *a.At(uint64(i)); got != i {
			t.Fatalf("At(%d) = %d", i, got)
		}
	}
}

func TestArrayElementsDoNotMove(t *testing.T) {
	var a chunked.Array[int]
	a.Push(1)
	first := a.At(0)
	for i := range 10_000 {
		a.Push(i)
	}
	if a.At(0) != first {
		t.Error("element 0 moved")
	}
}

// TestArrayAtBesidePush finds most under the race detector.
func TestArrayAtBesidePush(t *testing.T) {
	const n = 20_000
	var a chunked.Array[uint64]
	var published atomic.Uint64
	var running sync.WaitGroup
	for range 3 {
		running.Go(func() {
			for seen := uint64(0); seen < n; {
				for seen = published.Load(); seen > 0; seen /= 2 {
					if got := *a.At(seen - 1); got != seen-1 {
						t.Errorf("At(%d) = %d", seen-1, got)
						return
					}
				}
				seen = published.Load()
			}
		})
	}
	for i := range uint64(n) {
		a.Push(i)
		published.Store(i + 1)
	}
	running.Wait()
}
