package search

import (
	"slices"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/diskstore/internal/term"
)

// Query is a dcb.Query in the keys of its terms. It may be used again.
type Query struct {
	// Of is the query that was translated last.
	Of    dcb.Query
	items []item
	keys  []term.Key // of all items
}

// item is one item of a query: without types any will do, and all tags must be there. None is there twice.
type item struct{ types, tags []term.Key }

// Translate sets q to a query, which must not be changed while q is used.
func (q *Query) Translate(query dcb.Query) {
	terms := 0
	for i := range query {
		terms += len(query[i].Types) + len(query[i].Tags)
	}
	if cap(q.keys) < terms {
		q.keys = make([]term.Key, 0, terms)
	}
	q.Of, q.items, q.keys = query, q.items[:0], q.keys[:0]
	for i := range query {
		from := len(q.keys)
		for _, eventType := range query[i].Types {
			q.keys = append(q.keys, term.OfType(eventType))
		}
		types := q.once(from)
		from = len(q.keys)
		for _, tag := range query[i].Tags {
			q.keys = append(q.keys, term.OfTag(tag))
		}
		q.items = append(q.items, item{types: types, tags: q.once(from)})
	}
}

// once returns the keys from a place on, each once.
func (q *Query) once(from int) []term.Key {
	slices.Sort(q.keys[from:])
	q.keys = q.keys[:from+len(slices.Compact(q.keys[from:]))]
	return q.keys[from:]
}
