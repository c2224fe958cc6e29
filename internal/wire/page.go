package wire

import (
	"context"
	"iter"

	"github.com/dcbstore/dcb"
)

// Sizes of the pages that a server reads from its store. They are small, because the server holds
// one page in memory for each reader and each subscription that does not take it. A result that fits
// the first page takes one call of the store.
const (
	PageBytes = 256 << 10 // bound by bytes, for stores that implement dcb.Pager
	FirstPage = 64        // events of the first page
	maxPage   = 4096      // events of any page
)

// FollowerObserver is implemented by a store that observes followers, for example to export how far
// they lag.
type FollowerObserver interface {
	// ObserveFollower is called when a follower begins after a position. The follower calls reached
	// after it took everything up to a position, and done at its end.
	ObserveFollower(after dcb.Position) (reached func(dcb.Position), done func())
}

// Follow is [dcb.Follow] for servers: it reads small pages, and reports to a [FollowerObserver].
func Follow(ctx context.Context, store dcb.Store, q dcb.Query, after dcb.Position) iter.Seq2[dcb.ReadResult, error] {
	return func(yield func(dcb.ReadResult, error) bool) {
		reached := func(dcb.Position) {}
		if observer, ok := store.(FollowerObserver); ok {
			var done func()
			reached, done = observer.ObserveFollower(after)
			defer done()
		}
		opts := dcb.ReadOptions{After: after, Limit: FirstPage}
		for {
			page, err := dcb.ReadPage(ctx, store, q, opts, PageBytes)
			if err != nil {
				yield(dcb.ReadResult{}, err)
				return
			}
			// A follower may begin beyond the head. Its position must not move backwards.
			page.Head = max(opts.After, page.Head)
			opts.After = page.Head
			opts.Limit = NextPage(page.Events)
			if !yield(page, nil) {
				return
			}
			reached(page.Head)
			if page.More {
				continue
			}
			if _, err := store.Wait(ctx, page.Head); err != nil {
				yield(dcb.ReadResult{}, err)
				return
			}
		}
	}
}

// NextPage returns the number of events to ask for after a page, from a store that cannot bound a
// page by bytes. It assumes that the next events are as large as those of the page.
func NextPage(events []dcb.SequencedEvent) int {
	if len(events) == 0 {
		return FirstPage
	}
	bytes := 0
	for i := range events {
		bytes += Size(&events[i].Event)
	}
	return max(1, min(maxPage, PageBytes/max(1, bytes/len(events))))
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
