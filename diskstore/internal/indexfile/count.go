package indexfile

import (
	"context"

	"github.com/dcbstore/dcb/diskstore/internal/term"
)

// CountTerms returns how many different terms of a kind the sources have together. Events, if it is not nil, is set to how many events have each.
func CountTerms(ctx context.Context, kind term.Kind, events map[term.Key]uint64, sources ...Source) (terms int, err error) {
	m := newMerger(kind, sources)
	for {
		if terms%batch == 0 {
			if err := ctx.Err(); err != nil {
				return 0, err
			}
		}
		ok, err := m.next()
		if err != nil || !ok {
			return terms, err
		}
		terms++
		if events != nil {
			events[m.key] = m.count()
		}
	}
}
