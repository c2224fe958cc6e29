package edge

import (
	"context"
	"iter"

	"github.com/dcbstore/dcb"
)

// The pages that a server reads: small ones, since it has one in memory for each reader and follower that does not take it. What
// is small is one call of the store.
const (
	PageBytes = 256 << 10 // where the store can count them
	FirstPage = 64        // in events
	maxPage   = 4096
)

// Watcher is implemented by a store that wants to know who follows it, and how far he is.
type Watcher interface {
	// Watch is told of a follower that begins after a position. It is to call at when it has taken everything up to another one, and
	// done in the end.
	Watch(after dcb.Position) (at func(dcb.Position), done func())
}

// Follow is [dcb.Follow] for servers, by small pages, of which a [Watcher] is told.
func Follow(ctx context.Context, store dcb.Store, q dcb.Query, after dcb.Position) iter.Seq2[dcb.ReadResult, error] {
	return func(yield func(dcb.ReadResult, error) bool) {
		at := func(dcb.Position) {}
		if watcher, ok := store.(Watcher); ok {
			var done func()
			at, done = watcher.Watch(after)
			defer done()
		}
		opts := dcb.ReadOptions{After: after, Limit: FirstPage}
		for {
			page, more, err := dcb.ReadPage(ctx, store, q, opts, PageBytes)
			if err != nil {
				yield(dcb.ReadResult{}, err)
				return
			}
			// A caller may start beyond the head, and must not be sent back.
			page.Head = max(opts.After, page.Head)
			opts.After = page.Head
			opts.Limit = NextPage(page.Events)
			if !yield(page, nil) {
				return
			}
			at(page.Head)
			if more {
				continue
			}
			if _, err := store.Wait(ctx, page.Head); err != nil {
				yield(dcb.ReadResult{}, err)
				return
			}
		}
	}
}

// NextPage returns how many events to ask for after those, from a store that does not count bytes.
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

// Size returns about how many bytes e has on a wire, and no fewer.
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
