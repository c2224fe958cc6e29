package memstore

// arena copies slices into blocks of memory that many copies share. One allocation per slice would
// make millions of small objects, which the garbage collector finds and marks one by one.
type arena[T any] struct {
	blockLength int // elements
	block       []T // the memory beyond its length is free
}

// copy returns a copy of from, or nil if from is empty. The copy's capacity is its length, so
// appending to it does not overwrite another copy.
func (a *arena[T]) copy(from []T) []T {
	if len(from) == 0 {
		return nil
	}
	if len(from) > cap(a.block)-len(a.block) {
		a.block = make([]T, 0, max(a.blockLength, len(from)))
	}
	start := len(a.block)
	a.block = append(a.block, from...)
	return a.block[start:len(a.block):len(a.block)]
}
