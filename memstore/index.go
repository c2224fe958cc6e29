package memstore

import (
	"sync"
	"sync/atomic"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/chunked"
)

// sequence holds the events. One goroutine at a time adds events. Meanwhile any number of
// goroutines read events at or below a head that they loaded.
type sequence struct {
	array chunked.Array[dcb.SequencedEvent]
}

// add adds the event at its position, which is the next one.
func (s *sequence) add(event dcb.SequencedEvent) { s.array.Push(event) }

// at returns the event itself, which the caller must not change.
func (s *sequence) at(position dcb.Position) *dcb.SequencedEvent {
	return s.array.At(uint64(position - 1))
}

// index maps each term (a tag or a type) to the positions of its events. One goroutine at a time
// adds positions, while any number of goroutines read.
type index struct {
	terms sync.Map // string to *positions
}

func (x *index) add(term string, position dcb.Position) {
	p, ok := x.terms.Load(term)
	if !ok {
		p, _ = x.terms.LoadOrStore(term, new(positions))
	}
	p.(*positions).add(position)
}

// positionsOf returns the positions of term in ascending order. Some may be above the head. The
// caller must not change the slice.
func (x *index) positionsOf(term string) []dcb.Position {
	p, ok := x.terms.Load(term)
	if !ok {
		return nil
	}
	return p.(*positions).all()
}

// positions are the ascending positions of one term. The writer publishes an array before a length
// that needs it, and never writes an element below a published length. So a reader that loads the
// length first and then the array finds the array long enough.
type positions struct {
	length atomic.Int64
	array  atomic.Pointer[[]dcb.Position]
}

func (p *positions) add(position dcb.Position) {
	length, array := int(p.length.Load()), p.array.Load()
	if array == nil || length == len(*array) {
		var old []dcb.Position
		if array != nil {
			old = *array
		}
		grown := append(old, position)
		grown = grown[:cap(grown)]
		array = &grown
		p.array.Store(array)
	}
	(*array)[length] = position
	p.length.Store(int64(length + 1))
}

func (p *positions) all() []dcb.Position {
	length := p.length.Load()
	if length == 0 {
		return nil
	}
	return (*p.array.Load())[:length:length]
}
