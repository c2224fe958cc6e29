// Package chunked is an array that grows while other goroutines read it without a lock.
package chunked

import "sync/atomic"

// Array grows by chunks, so its elements never move. The zero value is empty.
//
// One goroutine at a time calls Push and Next. Meanwhile any number of goroutines call At, for
// elements that were complete before something that they loaded, for example an atomic head.
type Array[T any] struct {
	length uint64 // belongs to the goroutine that adds
	chunks atomic.Pointer[[]*[chunkLength]T]
}

const chunkLength = 2048

// At returns element i, which must exist.
func (a *Array[T]) At(i uint64) *T {
	return &(*a.chunks.Load())[i/chunkLength][i%chunkLength]
}

// Len returns the number of elements. Only the goroutine that adds may call it.
func (a *Array[T]) Len() uint64 { return a.length }

// Next adds a zero element and returns it, so that the caller completes it in place.
func (a *Array[T]) Next() *T {
	if a.length%chunkLength == 0 {
		var chunks []*[chunkLength]T
		if published := a.chunks.Load(); published != nil {
			chunks = *published
		}
		// If append does not copy, readers of the published slice do not see the element beyond its
		// length.
		chunks = append(chunks, new([chunkLength]T))
		a.chunks.Store(&chunks)
	}
	a.length++
	return a.At(a.length - 1)
}

// Push adds a copy of value.
func (a *Array[T]) Push(value T) { *a.Next() = value }
