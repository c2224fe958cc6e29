package history

import (
	"cmp"
	"context"
	"iter"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dcbstore/dcb"
)

// Stores whose appends are right, and whose reads, waits or followers see them wrongly.

// showsLate hands positions out in order, but a lower one may become visible after a higher: the fault of a database whose
// sequence is drawn before the commit.
type showsLate struct {
	*plain
	hidden map[dcb.Position]bool // guarded by mu
	mu     *sync.Mutex
}

func (s showsLate) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	s.mu.Lock()
	before, _ := s.Head(context.WithoutCancel(ctx))
	last, err := s.plain.Append(ctx, events, condition)
	for position := before + 1; position <= last; position++ {
		s.hidden[position] = true
	}
	s.mu.Unlock()
	yield()
	s.mu.Lock()
	for position := before + 1; position <= last; position++ {
		delete(s.hidden, position)
	}
	s.mu.Unlock()
	return last, err
}

func (s showsLate) Read(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	result, err := s.plain.Read(ctx, q, opts)
	result.Events = slices.DeleteFunc(result.Events, func(e dcb.SequencedEvent) bool { return s.hidden[e.Position] })
	return result, err
}

// readAt reads as of a head in the past.
func readAt(ctx context.Context, s dcb.Store, head dcb.Position, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
	if opts.Before == 0 || opts.Before > head+1 {
		opts.Before = head + 1
	}
	result, err := s.Read(ctx, q, opts)
	result.Head = min(result.Head, head)
	return result, err
}

// readsReplica appends to one store and reads from another, which comes after.
type readsReplica struct {
	*plain
	replica *plain
}

func (s readsReplica) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	position, err := s.plain.Append(ctx, events, condition)
	go s.replicate()
	return position, err
}

func (s readsReplica) replicate() {
	yield()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.replica.mu.Lock()
	defer s.replica.mu.Unlock()
	s.replica.events, s.replica.head = slices.Clone(s.events), s.head
	s.replica.wake()
}

func (s readsReplica) Read(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
	return s.replica.Read(ctx, q, opts)
}

func (s readsReplica) Head(ctx context.Context) (dcb.Position, error) { return s.replica.Head(ctx) }

func (s readsReplica) Wait(ctx context.Context, after dcb.Position) (dcb.Position, error) {
	return s.replica.Wait(ctx, after)
}

// cachesHead is a handle that asks for the head at every fourth read only, and reads as of the one it knows.
type cachesHead struct {
	*plain
	reads *atomic.Uint64
	known *atomic.Uint64
}

func (s cachesHead) Read(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
	if s.reads.Add(1)%4 == 1 {
		head, err := s.Head(ctx)
		if err != nil {
			return dcb.ReadResult{}, err
		}
		s.known.Store(uint64(head))
	}
	return readAt(ctx, s.plain, dcb.Position(s.known.Load()), q, opts)
}

// asksForHeadLater takes the head from another moment than the events.
type asksForHeadLater struct{ *plain }

func (s asksForHeadLater) Read(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
	result, err := s.plain.Read(ctx, q, opts)
	if err != nil || opts.Limit > 0 {
		return result, err
	}
	yield()
	result.Head, err = s.Head(ctx)
	return result, err
}

// asksForHeadBefore is the other way round.
type asksForHeadBefore struct{ *plain }

func (s asksForHeadBefore) Read(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
	head, err := s.Head(ctx)
	if err != nil {
		return dcb.ReadResult{}, err
	}
	yield()
	result, err := s.plain.Read(ctx, q, opts)
	if opts.Limit == 0 {
		result.Head = head
	}
	return result, err
}

// readsItemByItem reads each item of a query at a moment of its own.
type readsItemByItem struct{ *plain }

func (s readsItemByItem) Read(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
	if opts.Limit > 0 || opts.Backwards {
		return s.plain.Read(ctx, q, opts)
	}
	var all dcb.ReadResult
	for i := range q {
		one, err := s.plain.Read(ctx, q[i:i+1], opts)
		if err != nil {
			return dcb.ReadResult{}, err
		}
		all.Events, all.Head = append(all.Events, one.Events...), one.Head
		yield()
	}
	byPosition := func(a, b dcb.SequencedEvent) int { return cmp.Compare(a.Position, b.Position) }
	slices.SortFunc(all.Events, byPosition)
	all.Events = slices.CompactFunc(all.Events, func(a, b dcb.SequencedEvent) bool { return a.Position == b.Position })
	return all, nil
}

// fallsAsleep looks at the head in one step, and in another asks to be woken at the next rise.
type fallsAsleep struct{ *plain }

func (s fallsAsleep) Wait(ctx context.Context, after dcb.Position) (dcb.Position, error) {
	head, err := s.Head(ctx)
	if err != nil || head > after {
		return head, err
	}
	yield()
	if head, err = s.Head(ctx); err != nil {
		return 0, err
	}
	return s.plain.Wait(ctx, max(head, after))
}

// wakesForAnything returns from Wait at the next rise, whatever the head is then.
type wakesForAnything struct{ *plain }

func (s wakesForAnything) Wait(ctx context.Context, after dcb.Position) (dcb.Position, error) {
	head, err := s.Head(ctx)
	if err != nil {
		return 0, err
	}
	return s.plain.Wait(ctx, min(head, after))
}

// dropsNotices tells its followers of each append by a channel, and drops the notice if they are busy.
type dropsNotices struct {
	*plain
	mu      *sync.Mutex
	notices *[]chan notice // guarded by mu
}

// notice says which positions an append recorded.
type notice struct{ after, last dcb.Position }

func (s dropsNotices) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, _ := s.Head(context.WithoutCancel(ctx))
	last, err := s.plain.Append(ctx, events, condition)
	if err == nil && last > before {
		for _, follower := range *s.notices {
			select {
			case follower <- notice{before, last}:
			default:
			}
		}
	}
	return last, err
}

func (s dropsNotices) Follow(ctx context.Context, q dcb.Query, after dcb.Position) iter.Seq2[dcb.ReadResult, error] {
	return func(yield func(dcb.ReadResult, error) bool) {
		s.mu.Lock()
		notices := make(chan notice, 1)
		*s.notices = append(*s.notices, notices)
		batch, err := s.Read(ctx, q, dcb.ReadOptions{After: after})
		s.mu.Unlock()
		for yield(batch, err) && err == nil {
			select {
			case recorded := <-notices:
				batch, err = readAt(ctx, s, recorded.last, q, dcb.ReadOptions{After: recorded.after})
			case <-ctx.Done():
				batch, err = dcb.ReadResult{}, ctx.Err()
			}
		}
	}
}

// goesBack makes its followers go on from a head that was asked for before the batch was read.
type goesBack struct{ *plain }

func (s goesBack) Follow(ctx context.Context, q dcb.Query, after dcb.Position) iter.Seq2[dcb.ReadResult, error] {
	return func(yieldBatch func(dcb.ReadResult, error) bool) {
		for {
			head, _ := s.Head(ctx)
			s.letRise(ctx, head)
			batch, err := s.Read(ctx, q, dcb.ReadOptions{After: after})
			if !yieldBatch(batch, err) || err != nil {
				return
			}
			if after = head; batch.Head > head {
				continue
			}
			if _, err := s.Wait(ctx, head); err != nil {
				yieldBatch(dcb.ReadResult{}, err)
				return
			}
		}
	}
}

// letRise gives others a moment to append.
func (s goesBack) letRise(ctx context.Context, head dcb.Position) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Millisecond)
	defer cancel()
	_, _ = s.Wait(ctx, head)
}

// neverWakes ends a Wait at once or never.
type neverWakes struct{ *plain }

func (s neverWakes) Wait(ctx context.Context, after dcb.Position) (dcb.Position, error) {
	if head, err := s.Head(ctx); err != nil || head > after {
		return head, err
	}
	return s.plain.Wait(ctx, math.MaxUint64)
}
