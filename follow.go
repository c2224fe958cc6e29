package dcb

import (
	"context"
	"iter"
)

// Streamer is implemented by stores that can stream better than page by page. [Stream] uses it.
type Streamer interface {
	// Stream yields the events that one Read with q and opts would return, under the rules of the
	// function [Stream].
	Stream(ctx context.Context, q Query, opts ReadOptions) iter.Seq2[SequencedEvent, error]
}

// Follower is implemented by stores that can follow better than by reading and waiting. [Follow]
// uses it.
type Follower interface {
	// Follow yields the events after a position that match q, in batches without end, under the rules
	// of the function [Follow].
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

// Follow yields the events that match q and come after the position after, in batches without end:
// first the recorded events, then new events as they are recorded. The first batch comes at once,
// even if it is empty.
//
// Every batch carries Head, also if nothing matched. A consumer that stores the Head of each batch
// that it processed can resume from there, and sees every event once. More is true while the next
// batch is already recorded.
//
// Follow ends when the consumer stops, or with the error of ctx, [Store.Read] or [Store.Wait]. It
// does not survive an outage: a client reconnects for as long as its options allow, and any other
// store ends with the first [ErrUnavailable]. A program that follows as long as it runs calls
// Follow in a loop: while the error is [Retryable], it pauses and resumes from the last Head.
//
// Iteration follows the rules of [Stream].
func Follow(ctx context.Context, s Store, q Query, after Position) iter.Seq2[ReadResult, error] {
	if follower, ok := s.(Follower); ok {
		return follower.Follow(ctx, q, after)
	}
	return FollowPages(ctx, s, q, after, 0)
}

// FollowPages follows by reading pages of about the given number of bytes, as in [ReadPage], and
// waiting; 0 means 4 MiB. [Follow] uses it for stores that do not implement [Follower]. FollowPages
// itself never uses Follower, whose batches may be larger.
//
// It is for servers, which hold one batch for each follower until the client takes it. A server
// that reports how far its followers are does so in its loop: the client has taken a batch when
// the loop pulls the next one.
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
