package dcb

import (
	"context"
	"iter"
)

// Streamer is implemented by stores that can stream better than page by page. [Stream] uses it.
type Streamer interface {
	// Stream does what the function [Stream] says.
	Stream(ctx context.Context, q Query, opts ReadOptions) iter.Seq2[SequencedEvent, error]
}

// Follower is implemented by stores that can follow better than by reading and waiting. [Follow]
// uses it.
type Follower interface {
	// Follow does what the function [Follow] says.
	Follow(ctx context.Context, q Query, after Position) iter.Seq2[ReadResult, error]
}

// Stream yields the events that one Read with q and opts would return, without holding all of them
// in memory. It ends at the store's head at the time of the first pull.
//
// These rules hold for every iterator of this package. Nothing happens before the first pull. An
// error comes at most once, last, with a zero value. The consumer may stop at any time; nothing
// needs to be closed. A cancelled context ends the iteration with the context's error.
func Stream(ctx context.Context, s Store, q Query, opts ReadOptions) iter.Seq2[SequencedEvent, error] {
	if streamer, ok := s.(Streamer); ok {
		return streamer.Stream(ctx, q, opts)
	}
	return events(Pages(ctx, s, q, opts, PageOptions{}))
}

// Follow yields the events after a position that q selects, without end: first the recorded events,
// in batches, then new events as they are recorded. The first batch comes at once, even if it is
// empty.
//
// Every batch carries a Head, also if nothing matched. A consumer that stores the Head of the last
// batch it processed resumes from there with after, and sees every event once. More is true while
// further batches are known to follow at once.
//
// Follow ends when the consumer stops, or with an error of ctx, [Store.Read] or [Store.Wait].
// It does not survive an outage: the client of a server reconnects for as long as its options say,
// and any other store ends with the first [ErrUnavailable]. A program that follows as long as it
// runs calls Follow in a loop: while the error is [Retryable], it pauses and resumes from the last
// Head.
//
// Iteration follows the rules of [Stream].
func Follow(ctx context.Context, s Store, q Query, after Position) iter.Seq2[ReadResult, error] {
	if follower, ok := s.(Follower); ok {
		return follower.Follow(ctx, q, after)
	}
	return FollowPages(ctx, s, q, after, 0)
}

// FollowPages is [Follow] by reading and waiting, in batches of about the given number of bytes, as
// in [ReadPage]; 0 means 4 MiB. It does not use [Follower], whose batches may be larger.
//
// It is for servers, which hold a batch for each follower until its client takes it. A server that
// keeps account of its followers and how far they are does so around its loop: the consumer has
// taken a batch when the next one is pulled.
func FollowPages(ctx context.Context, s Store, q Query, after Position, bytes int) iter.Seq2[ReadResult, error] {
	return func(yield func(ReadResult, error) bool) {
		p := pageReader{store: s, query: q, bytes: bytes}
		for {
			batch, err := p.next(ctx, ReadOptions{After: after}, 0)
			if err != nil {
				yield(ReadResult{}, err)
				return
			}
			// A consumer may start beyond the head. A lower head would send it back.
			batch.Head = max(after, batch.Head)
			after = batch.Head
			if !yield(batch, nil) {
				return
			}
			if batch.More {
				continue
			}
			if _, err := s.Wait(ctx, after); err != nil {
				yield(ReadResult{}, err)
				return
			}
		}
	}
}

// Subscribe is [Follow], event by event.
func Subscribe(ctx context.Context, s Store, q Query, after Position) iter.Seq2[SequencedEvent, error] {
	return events(Follow(ctx, s, q, after))
}

// events yields the events of pages one by one, and then the error of pages, if there is one.
func events(pages iter.Seq2[ReadResult, error]) iter.Seq2[SequencedEvent, error] {
	return func(yield func(SequencedEvent, error) bool) {
		for page, err := range pages {
			if err != nil {
				yield(SequencedEvent{}, err)
				return
			}
			for _, event := range page.Events {
				if !yield(event, nil) {
					return
				}
			}
		}
	}
}
