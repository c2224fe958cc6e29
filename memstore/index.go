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
	terms sync.Map // string → *atomic.Pointer[[]dcb.Position]
}

func (x *index) add(term string, position dcb.Position) {
	entry, ok := x.terms.Load(term)
	if !ok {
		entry, _ = x.terms.LoadOrStore(term, new(atomic.Pointer[[]dcb.Position]))
	}
	published := entry.(*atomic.Pointer[[]dcb.Position])
	var positions []dcb.Position
	if old := published.Load(); old != nil {
		positions = *old
	}
	// Readers of the old slice look no further than its length, so its spare capacity may be written.
	positions = append(positions, position)
	published.Store(&positions)
}

// positions returns those of term. The slice must not be changed, and may go beyond the head.
func (x *index) positions(term string) []dcb.Position {
	entry, ok := x.terms.Load(term)
	if !ok {
		return nil
	}
	if published := entry.(*atomic.Pointer[[]dcb.Position]).Load(); published != nil {
		return *published
	}
	return nil
}
