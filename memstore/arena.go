package memstore

// arena copies slices into blocks that many of them share. Millions of small pieces of memory would each be a thing to find and
// to mark whenever the garbage collector looks at the store.
type arena[T any] struct {
	size  int // of a block
	block []T // what is beyond its length is free
}

// copy returns a copy of from that nobody else writes to: appending to it moves it elsewhere. It is nil if from is empty.
func (a *arena[T]) copy(from []T) []T {
	if len(from) == 0 {
		return nil
	}
	if len(from) > cap(a.block)-len(a.block) {
		a.block = make([]T, 0, max(a.size, len(from)))
	}
	start := len(a.block)
	a.block = append(a.block, from...)
	return a.block[start:len(a.block):len(a.block)]
}
