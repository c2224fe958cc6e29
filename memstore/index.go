package memstore

import (
	"sync"
	"sync/atomic"

	"github.com/dcbstore/dcb"
)

const chunkEvents = 1024

// sequence holds the events. One goroutine at a time adds; any number read what lies at or below a head that they have loaded
// after it was added, while more is being added.
type sequence struct {
	chunks atomic.Pointer[[]*[chunkEvents]dcb.SequencedEvent]
}

func (s *sequence) add(event dcb.SequencedEvent) {
	chunk, offset := locate(event.Position)
	if offset == 0 {
		var chunks []*[chunkEvents]dcb.SequencedEvent
		if published := s.chunks.Load(); published != nil {
			chunks = *published
		}
		chunks = append(chunks, new([chunkEvents]dcb.SequencedEvent))
		s.chunks.Store(&chunks)
	}
	(*s.chunks.Load())[chunk][offset] = event
}

// at returns the event itself, which must not be changed.
func (s *sequence) at(position dcb.Position) *dcb.SequencedEvent {
	chunk, offset := locate(position)
	return &(*s.chunks.Load())[chunk][offset]
}

func locate(position dcb.Position) (chunk, offset uint64) {
	return uint64(position-1) / chunkEvents, uint64(position-1) % chunkEvents
}

// index says for each term (a tag, or a type) which positions have it, ascending. One goroutine at a time adds; any number read.
type index struct {
	terms sync.Map // string → *positions
}

// positions are those of one term. A reader loads the length first and then the array, which is never shorter: the writer
// publishes an array before a length that needs it, and writes no element below a published length.
type positions struct {
	length atomic.Int64
	array  atomic.Pointer[[]dcb.Position]
}

func (x *index) add(term string, position dcb.Position) {
	entry, ok := x.terms.Load(term)
	if !ok {
		entry, _ = x.terms.LoadOrStore(term, new(positions))
	}
	entry.(*positions).add(position)
}

// of returns the positions of term. The slice must not be changed, and may go beyond the head.
func (x *index) of(term string) []dcb.Position {
	entry, ok := x.terms.Load(term)
	if !ok {
		return nil
	}
	return entry.(*positions).all()
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
