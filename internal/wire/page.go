package wire

import (
	"context"
	"iter"

	"github.com/dcbstore/dcb"
)

// PageBytes is the size of the pages that a server reads from its store. It is small, because the
// server holds one page in memory for each reader and each subscription whose client does not
// take it.
const PageBytes = 256 << 10

// FollowerObserver is implemented by a store that observes followers, for example to export how
// far they lag.
type FollowerObserver interface {
	// ObserveFollower is called when a follower begins after a position. The follower calls reached
	// after it took everything up to a position, and done at its end.
	ObserveFollower(after dcb.Position) (reached func(dcb.Position), done func())
}

// Follow is [dcb.FollowPages] in pages of PageBytes. It reports to a [FollowerObserver].
func Follow(ctx context.Context, store dcb.Store, q dcb.Query, after dcb.Position) iter.Seq2[dcb.ReadResult, error] {
	return func(yield func(dcb.ReadResult, error) bool) {
		reached := func(dcb.Position) {}
		if observer, ok := store.(FollowerObserver); ok {
			var done func()
			reached, done = observer.ObserveFollower(after)
			defer done()
		}
		for page, err := range dcb.FollowPages(ctx, store, q, after, PageBytes) {
			if !yield(page, err) || err != nil {
				return
			}
			reached(page.Head)
		}
	}
}

// Size returns an upper bound of the encoded size of e in bytes.
func Size(e *dcb.Event) int {
	size := 48 + len(e.Type) + len(e.Data)
	for _, tag := range e.Tags {
		size += len(tag) + 4
	}
	for key, value := range e.Metadata {
		size += len(key) + len(value) + 12
	}
	return size
}
