package dcb

import (
	"context"
	"iter"
)

// Wrap returns outer with the optional interfaces of inner that outer does not implement:
// [Streamer], [Follower] and [Pager]. It is for an outer store that adds logging or metrics to
// inner: without Wrap, the helpers of this package no longer find what inner does better.
//
// The added methods call inner directly, so outer does not see those calls. An outer store that
// changes events or queries must implement the optional interfaces itself.
//
// The result has no methods beyond Store and the optional interfaces; in particular, it has no
// Close. If there is nothing to add, the result is outer itself.
func Wrap(outer, inner Store) Store {
	w := wrapped{Store: outer}
	added := false
	w.streamer, added = choose[Streamer](outer, inner, added)
	w.follower, added = choose[Follower](outer, inner, added)
	w.pager, added = choose[Pager](outer, inner, added)
	if !added {
		return outer
	}
	return w
}

// choose returns outer as T, or else inner as T, or else the zero value. It also reports whether
// added is true or inner was chosen.
func choose[T any](outer, inner Store, added bool) (T, bool) {
	if t, ok := outer.(T); ok {
		return t, added
	}
	t, ok := inner.(T)
	return t, added || ok
}

// wrapped implements every optional interface. If a field is nil, its method does what the helper
// of the same name does with a store that lacks the interface.
type wrapped struct {
	Store
	streamer Streamer
	follower Follower
	pager    Pager
}

func (w wrapped) Stream(ctx context.Context, q Query, opts ReadOptions) iter.Seq2[SequencedEvent, error] {
	if w.streamer != nil {
		return w.streamer.Stream(ctx, q, opts)
	}
	return events(Pages(ctx, w, q, opts, PageOptions{}))
}

func (w wrapped) Follow(ctx context.Context, q Query, after Position) iter.Seq2[ReadResult, error] {
	if w.follower != nil {
		return w.follower.Follow(ctx, q, after)
	}
	return FollowPages(ctx, w, q, after, 0)
}

func (w wrapped) ReadPage(ctx context.Context, q Query, opts ReadOptions, bytes int) (ReadResult, error) {
	if w.pager != nil {
		return w.pager.ReadPage(ctx, q, opts, bytes)
	}
	return w.Read(ctx, q, opts)
}
