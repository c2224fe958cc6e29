package dcb

import (
	"context"
	"errors"
	"iter"
)

// Pager is implemented by stores that can end a read after a number of bytes. [ReadPage] uses it.
type Pager interface {
	// ReadPage reads like Read, and also ends the page after a number of bytes, under the rules of the
	// function [ReadPage].
	ReadPage(ctx context.Context, q Query, opts ReadOptions, bytes int) (ReadResult, error)
}

// ReadPage is [Store.Read] with one more bound: the page also ends with the event whose
// [Event.Size] brings the page to the given number of bytes. So a page has at least one event if
// any event matches, and an event larger than bytes ends its page.
//
// The page's More and Head follow the rules of [ReadResult], whether opts.Limit or bytes ended it.
// On a store that is not a [Pager], only opts.Limit bounds a page.
func ReadPage(ctx context.Context, s Store, q Query, opts ReadOptions, bytes int) (ReadResult, error) {
	if pager, ok := s.(Pager); ok {
		return pager.ReadPage(ctx, q, opts, bytes)
	}
	return s.Read(ctx, q, opts)
}

// PageOptions configure [Pages]. The zero value suits a program that reads for itself.
type PageOptions struct {
	// Bytes is the size of a page, as in [ReadPage]. A server holds one page for each of its readers,
	// so it sets a few hundred KiB. Default 4 MiB.
	Bytes int
	// OnHead, if not nil, is called once, before the first page is yielded, with the Head of the
	// whole read. If opts.Limit ends the read earlier, the Head of the last page is lower. It is for
	// servers that send the head before the events. Default nil.
	OnHead func(head Position)
}

// Pages yields the result of one Read with q and opts in pages, so that the caller holds only one
// page at a time. It yields at least one page. The Events of all pages, in order, are the Events of
// the whole read, and the last page has its Head and its More.
//
// All pages together show one prefix of the sequence. The prefix ends at the store's head at the
// time of the first page, so Pages ends however fast others append.
//
// A forward page that is not the last has More true and the position of its last event as Head. A
// reader that stops there resumes with After: page.Head. All backward pages have the same Head.
//
// Iteration follows the rules of [Stream].
//
// A server sends each page before it pulls the next one, and sets [PageOptions].Bytes to bound what
// a slow client costs. If it must mark the last page, it counts the events: a page is the last one
// if its More is false, or if opts.Limit events have been yielded.
func Pages(ctx context.Context, s Store, q Query, opts ReadOptions, page PageOptions) iter.Seq2[ReadResult, error] {
	return func(yield func(ReadResult, error) bool) {
		if err := pages(ctx, s, q, opts, page, yield); err != nil {
			yield(ReadResult{}, err)
		}
	}
}

// pages implements Pages. It also returns nil if the consumer stopped.
func pages(
	ctx context.Context, s Store, q Query, opts ReadOptions, page PageOptions, yield func(ReadResult, error) bool,
) error {
	if err := ValidateRead(q, opts); err != nil {
		return err
	}
	p := pageReader{store: s, query: q, bytes: page.Bytes}
	remaining := opts.Limit // events until the limit; 0 if there is no limit
	var head Position
	for first := true; ; first = false {
		result, err := p.next(ctx, opts, remaining)
		if err != nil {
			return err
		}
		isLast := !result.More || len(result.Events) == remaining
		if first {
			head = result.Head
			if !isLast && !opts.Backwards {
				// The first page is also the beginning of a read up to the present head.
				if head, err = s.Head(ctx); err != nil {
					return err
				}
				head = opts.Top(head)
				opts.Before = head + 1
			}
			if page.OnHead != nil {
				page.OnHead(head)
			}
		}
		if opts.Backwards {
			result.Head = head // a later page has a lower Before, which would lower its Head
		}
		if !yield(result, nil) || isLast {
			return nil
		}
		last := result.Events[len(result.Events)-1].Position
		if opts.Backwards {
			opts.Before = last
		} else {
			opts.After = last
		}
		if remaining > 0 {
			remaining -= len(result.Events)
		}
	}
}

const (
	defaultPageBytes = 4 << 20
	firstPageEvents  = 64   // small, because most reads select less
	maxPageEvents    = 8192 // bounds a page of very small events
	eventOverhead    = 64   // about the bytes that an event takes in memory and on the wire beyond its Size
)

// pageReader reads pages of about the same number of bytes. A [Pager] counts the bytes itself. For
// other stores, pageReader sets Limit, from the size of the events in the page before. So a page is
// too large only where large events follow small ones.
type pageReader struct {
	store  Store
	query  Query
	bytes  int // per page; 0 for the default
	events int // in the next page; 0 for the first
}

// next reads a page of at most remaining events, or of any number if remaining is 0.
func (p *pageReader) next(ctx context.Context, opts ReadOptions, remaining int) (ReadResult, error) {
	if err := ctx.Err(); err != nil {
		return ReadResult{}, err
	}
	if p.bytes <= 0 {
		p.bytes = defaultPageBytes
	}
	if p.events == 0 {
		p.events = firstPageEvents
	}
	opts.Limit = p.events
	if remaining > 0 {
		opts.Limit = min(opts.Limit, remaining)
	}
	result, err := ReadPage(ctx, p.store, p.query, opts, p.bytes)
	if err != nil {
		return ReadResult{}, err
	}
	if result.More && len(result.Events) == 0 {
		return ReadResult{}, errors.New("dcb: read a page: the store returned More without an event")
	}
	p.events = nextPageEvents(p.bytes, result.Events)
	return result, nil
}

// nextPageEvents returns how many events such as those read fit into a page.
func nextPageEvents(bytes int, read []SequencedEvent) int {
	if len(read) == 0 {
		return firstPageEvents
	}
	size := 0
	for i := range read {
		size += eventOverhead + read[i].Size()
	}
	return max(1, min(maxPageEvents, bytes/(size/len(read))))
}
