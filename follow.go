package dcb

import (
	"context"
	"iter"
)

// The pages that the helpers read grow and shrink between these bounds so that each holds about pageBytes, whatever the
// size of the events: a reader's memory stays bounded, and small events do not cost a call each. Where small events are followed by
// large ones, only a [Pager] keeps that page to its bytes.
const (
	firstPage = 64
	maxPage   = 8192
	pageBytes = 4 << 20
)

// Streamer is implemented by a store that can stream better than page by page; [Stream] uses it.
type Streamer interface {
	// Stream is as the function [Stream] says.
	Stream(ctx context.Context, q Query, opts ReadOptions) iter.Seq2[SequencedEvent, error]
}

// Follower is implemented by a store that can follow better than by reading and waiting; [Follow] uses it.
type Follower interface {
	// Follow is as the function [Follow] says.
	Follow(ctx context.Context, q Query, after Position) iter.Seq2[ReadResult, error]
}

// Pager is implemented by a store that can bound a read by its bytes; [ReadPage] uses it.
type Pager interface {
	// ReadPage is as the function [ReadPage] says.
	ReadPage(ctx context.Context, q Query, opts ReadOptions, bytes int) (page ReadResult, more bool, err error)
}

// ReadPage is Read for who wants a little at a time: the page also ends with the event by which its types, tags and data have that many
// bytes. More says that it ended so, or by opts.Limit, and that there may be more events within the bounds; the Head of a
// page is then, if it is not Backwards, the position of its last event. A store that is no [Pager] does not count bytes.
func ReadPage(ctx context.Context, s Store, q Query, opts ReadOptions, bytes int) (page ReadResult, more bool, err error) {
	if pager, ok := s.(Pager); ok {
		return pager.ReadPage(ctx, q, opts, bytes)
	}
	page, err = s.Read(ctx, q, opts)
	return page, opts.Limit > 0 && len(page.Events) == opts.Limit, err
}

// Stream yields what one Read with q and opts would return, without holding it all in memory: the selected events up to the head at
// the first pull. Nothing happens before that. An error comes at most once, last, with a zero event. Breaking off is
// always possible and leaves nothing behind.
func Stream(ctx context.Context, s Store, q Query, opts ReadOptions) iter.Seq2[SequencedEvent, error] {
	if streamer, ok := s.(Streamer); ok {
		return streamer.Stream(ctx, q, opts)
	}
	return func(yield func(SequencedEvent, error) bool) {
		if err := streamPages(ctx, s, q, opts, yield); err != nil {
			yield(SequencedEvent{}, err)
		}
	}
}

// streamPages returns nil also when the consumer broke off.
func streamPages(ctx context.Context, s Store, q Query, opts ReadOptions, yield func(SequencedEvent, error) bool) error {
	if err := ValidateRead(q, opts); err != nil {
		return err
	}
	head, err := s.Head(ctx)
	if err != nil {
		return err
	}
	if opts.Before == 0 || opts.Before > head+1 {
		opts.Before = head + 1
	}
	left := opts.Limit
	for page := firstPage; ; {
		opts.Limit = page
		if left > 0 {
			opts.Limit = min(page, left)
		}
		result, more, err := readPage(ctx, s, q, opts)
		if err != nil {
			return err
		}
		for _, event := range result.Events {
			if !yield(event, nil) {
				return nil
			}
		}
		read := len(result.Events)
		if !more || left == read {
			return nil
		}
		if left > 0 {
			left -= read
		}
		if last := result.Events[read-1].Position; opts.Backwards {
			opts.Before = last
		} else {
			opts.After = last
		}
		page = nextPage(page, result.Events)
	}
}

// Follow yields the events that q selects after the given position, for ever: first what is recorded, in pages, then what is
// being recorded, as it is. Every batch carries the Head that it reached, also when nothing matched: a consumer that keeps it can
// go on from there later and never sees an event twice nor reads past one again. The first batch comes at once, even if it is empty.
//
// Nothing happens before the first pull. It ends when the consumer breaks off, which leaves nothing behind, or with an
// error, which comes last with a zero batch: the context's, ErrClosed, or whatever Read and Wait say.
//
// It does not outlive an outage. The client of a server tries to reach it again, for no longer than its options say (RetryFor), and goes on
// where it was; any other store ends with the first ErrUnavailable of a Read or a Wait. So who wants to follow for as long as the process
// lives calls it in a loop: while the error is [Retryable], after a pause, again from the last Head.
func Follow(ctx context.Context, s Store, q Query, after Position) iter.Seq2[ReadResult, error] {
	if follower, ok := s.(Follower); ok {
		return follower.Follow(ctx, q, after)
	}
	return func(yield func(ReadResult, error) bool) {
		for page := firstPage; ; {
			result, more, err := readPage(ctx, s, q, ReadOptions{After: after, Limit: page})
			if err != nil {
				yield(ReadResult{}, err)
				return
			}
			// A caller may start beyond the head, and must not be sent back by a batch from before that.
			result.Head = max(after, result.Head)
			after = result.Head
			if !yield(result, nil) {
				return
			}
			if more {
				page = nextPage(page, result.Events)
				continue
			}
			if _, err := s.Wait(ctx, after); err != nil {
				yield(ReadResult{}, err)
				return
			}
		}
	}
}

// Subscribe is [Follow] event by event.
func Subscribe(ctx context.Context, s Store, q Query, after Position) iter.Seq2[SequencedEvent, error] {
	return func(yield func(SequencedEvent, error) bool) {
		for batch, err := range Follow(ctx, s, q, after) {
			if err != nil {
				yield(SequencedEvent{}, err)
				return
			}
			for _, event := range batch.Events {
				if !yield(event, nil) {
					return
				}
			}
		}
	}
}

func readPage(ctx context.Context, s Store, q Query, opts ReadOptions) (page ReadResult, more bool, err error) {
	if err := ctx.Err(); err != nil {
		return ReadResult{}, false, err
	}
	return ReadPage(ctx, s, q, opts, pageBytes)
}

// nextPage returns how many events to ask for after a full page.
func nextPage(page int, events []SequencedEvent) int {
	bytes := 0
	for i := range events {
		e := &events[i]
		bytes += len(e.Data)
		for _, tag := range e.Tags {
			bytes += len(tag)
		}
		for key, value := range e.Metadata {
			bytes += len(key) + len(value)
		}
	}
	switch {
	case bytes > pageBytes:
		return max(page/2, 1)
	case bytes < pageBytes/4:
		return min(page*2, maxPage)
	}
	return page
}
