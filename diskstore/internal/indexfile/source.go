package indexfile

import (
	"fmt"

	"github.com/dcbstore/dcb/diskstore/internal/postings"
	"github.com/dcbstore/dcb/diskstore/internal/term"
)

// Source is what an index file is made from: the index of a segment in memory, or an index file. It does not change while it is used, by one
// goroutine, which asks for what follows what it asked for before, twice.
type Source interface {
	// Count returns how many events there are.
	Count() uint32
	// TermCount returns how many terms of a kind there are.
	TermCount(kind term.Kind) int
	// ReadTerms sets into to the terms of a kind from that with a rank on, which are there, ascending by key. Lists are not empty. An event is in
	// the list of its type, and of no other type.
	ReadTerms(kind term.Kind, rank int, into []Term) error
	// ReadEvents sets into to the events from offset on, which are there.
	ReadEvents(offset uint32, into []Event) error
}

// Term is a term and the events that have it.
type Term struct {
	Key  term.Key
	List postings.List
}

// batch is how many terms are asked for at once.
const batch = 256

// merger yields the terms of a kind of several sources, ascending, with the lists of all.
type merger struct {
	kind   term.Kind
	inputs []input
	key    term.Key // the current one
	begun  bool
}

// input is one source of a merger.
type input struct {
	source Source
	base   uint32 // how many events the sources before have
	rank   int    // of the term that is read next
	count  int
	terms  []Term // read; the current one comes first
	buffer []Term
	taken  bool // the current term has the merger's key
}

func newMerger(kind term.Kind, sources []Source) *merger {
	m := &merger{kind: kind, inputs: make([]input, len(sources))}
	base := uint32(0)
	for i, source := range sources {
		count := source.TermCount(kind)
		m.inputs[i] = input{source: source, base: base, count: count, buffer: make([]Term, min(batch, count))}
		base += source.Count()
	}
	return m
}

// next moves on to the next key.
func (m *merger) next() (ok bool, err error) {
	last := m.key
	for i := range m.inputs {
		in := &m.inputs[i]
		if in.taken {
			in.terms, in.taken = in.terms[1:], false
		}
		if len(in.terms) == 0 {
			if err := in.read(m.kind); err != nil {
				return false, err
			}
		}
		if len(in.terms) > 0 && (!ok || in.terms[0].Key < m.key) {
			m.key, ok = in.terms[0].Key, true
		}
	}
	if !ok {
		return false, nil
	}
	if m.key.Kind() != m.kind || m.begun && m.key <= last {
		return false, fmt.Errorf("%w: the terms of a source do not ascend: %#x after %#x", ErrBroken, uint64(m.key), uint64(last))
	}
	m.begun = true
	for i := range m.inputs {
		in := &m.inputs[i]
		in.taken = len(in.terms) > 0 && in.terms[0].Key == m.key
	}
	return true, nil
}

func (in *input) read(kind term.Kind) error {
	n := min(len(in.buffer), in.count-in.rank)
	if n == 0 {
		return nil
	}
	in.terms = in.buffer[:n]
	err := in.source.ReadTerms(kind, in.rank, in.terms)
	in.rank += n
	return err
}

// count returns how many events have the term, by all sources.
func (m *merger) count() (n uint64) {
	for i := range m.inputs {
		if in := &m.inputs[i]; in.taken {
			n += uint64(in.terms[0].List.Len())
		}
	}
	return n
}
