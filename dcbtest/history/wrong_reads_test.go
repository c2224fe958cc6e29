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

// The appends of the stores below are correct. Their reads, waits or followers are wrong when they
// overlap with appends, or when they page.

// showsLate assigns positions in order, but a lower one may become visible after a higher one. A
// database does that if it draws positions from a sequence before the transaction commits.
type showsLate struct {
	*simpleStore
	hidden map[dcb.Position]bool // guarded by mu
	mu     *sync.Mutex
}

func (s showsLate) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	s.mu.Lock()
	before, _ := s.Head(context.WithoutCancel(ctx))
	last, err := s.simpleStore.Append(ctx, events, condition)
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
	result, err := s.simpleStore.Read(ctx, q, opts)
	result.Events = slices.DeleteFunc(result.Events, func(e dcb.SequencedEvent) bool { return s.hidden[e.Position] })
	return result, err
}

// readAt reads the prefix of the sequence that ends at head.
func readAt(ctx context.Context, s dcb.Store, head dcb.Position, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
	if opts.Before == 0 || opts.Before > head+1 {
		opts.Before = head + 1
	}
	result, err := s.Read(ctx, q, opts)
	result.Head = min(result.Head, head)
	return result, err
}

// readsReplica appends to one store and reads from a replica, which lags.
type readsReplica struct {
	*simpleStore
	replica *simpleStore
}

func (s readsReplica) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	position, err := s.simpleStore.Append(ctx, events, condition)
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

// cachesHead reads the prefix up to a cached head. Each handle reads the head again at every fourth
// read.
type cachesHead struct {
	*simpleStore
	reads  *atomic.Uint64
	cached *atomic.Uint64
}

func (s cachesHead) Read(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
	if s.reads.Add(1)%4 == 1 {
		head, err := s.Head(ctx)
		if err != nil {
			return dcb.ReadResult{}, err
		}
		s.cached.Store(uint64(head))
	}
	return readAt(ctx, s.simpleStore, dcb.Position(s.cached.Load()), q, opts)
}

// readsHeadAfter reads the events in one step, and then the head in another.
type readsHeadAfter struct{ *simpleStore }

func (s readsHeadAfter) Read(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
	result, err := s.simpleStore.Read(ctx, q, opts)
	if err != nil || opts.Limit > 0 {
		return result, err
	}
	yield()
	result.Head, err = s.Head(ctx)
	return result, err
}

// readsHeadBefore reads the head in one step, and then the events in another.
type readsHeadBefore struct{ *simpleStore }

func (s readsHeadBefore) Read(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
	head, err := s.Head(ctx)
	if err != nil {
		return dcb.ReadResult{}, err
	}
	yield()
	result, err := s.simpleStore.Read(ctx, q, opts)
	if opts.Limit == 0 {
		result.Head = head
	}
	return result, err
}

// readsItemByItem reads the events of each item of a query in a step of its own.
type readsItemByItem struct{ *simpleStore }

func (s readsItemByItem) Read(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
	if opts.Limit > 0 || opts.Backwards {
		return s.simpleStore.Read(ctx, q, opts)
	}
	var all dcb.ReadResult
	for i := range q {
		one, err := s.simpleStore.Read(ctx, q[i:i+1], opts)
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

// hasNoMore never sets More.
type hasNoMore struct{ *simpleStore }

func (s hasNoMore) Read(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
	result, err := s.simpleStore.Read(ctx, q, opts)
	result.More = false
	return result, err
}

// guessesMore sets More on every read that returns as many events as its limit, without checking
// whether there is another one.
type guessesMore struct{ *simpleStore }

func (s guessesMore) Read(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
	result, err := s.simpleStore.Read(ctx, q, opts)
	if err == nil && opts.Limit > 0 && len(result.Events) == opts.Limit {
		result.More = true
		if !opts.Backwards {
			result.Head = result.Events[opts.Limit-1].Position
		}
	}
	return result, err
}

// alwaysHasMore sets More on every batch of its followers.
type alwaysHasMore struct{ *simpleStore }

func (s alwaysHasMore) Follow(ctx context.Context, q dcb.Query, after dcb.Position) iter.Seq2[dcb.ReadResult, error] {
	return func(yieldBatch func(dcb.ReadResult, error) bool) {
		for batch, err := range dcb.Follow(ctx, s.simpleStore, q, after) {
			batch.More = err == nil
			if !yieldBatch(batch, err) {
				return
			}
		}
	}
}

// losesWakeUps compares the head in one step, and begins to wait for the next rise in another.
type losesWakeUps struct{ *simpleStore }

func (s losesWakeUps) Wait(ctx context.Context, after dcb.Position) (dcb.Position, error) {
	head, err := s.Head(ctx)
	if err != nil || head > after {
		return head, err
	}
	yield()
	if head, err = s.Head(ctx); err != nil {
		return 0, err
	}
	return s.simpleStore.Wait(ctx, max(head, after))
}

// wakesEarly returns from Wait at the next rise, even if the head is not above after.
type wakesEarly struct{ *simpleStore }

func (s wakesEarly) Wait(ctx context.Context, after dcb.Position) (dcb.Position, error) {
	head, err := s.Head(ctx)
	if err != nil {
		return 0, err
	}
	return s.simpleStore.Wait(ctx, min(head, after))
}

// dropsNotifications sends its followers a notification for each append, and drops it if the
// follower is busy.
type dropsNotifications struct {
	*simpleStore
	mu       *sync.Mutex
	channels *[]chan notification // of the followers; guarded by mu
}

// notification holds the positions that an append recorded: those in (after, last].
type notification struct{ after, last dcb.Position }

func (s dropsNotifications) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, _ := s.Head(context.WithoutCancel(ctx))
	last, err := s.simpleStore.Append(ctx, events, condition)
	if err == nil && last > before {
		for _, follower := range *s.channels {
			select {
			case follower <- notification{before, last}:
			default:
			}
		}
	}
	return last, err
}

func (s dropsNotifications) Follow(ctx context.Context, q dcb.Query, after dcb.Position) iter.Seq2[dcb.ReadResult, error] {
	return func(yield func(dcb.ReadResult, error) bool) {
		s.mu.Lock()
		notifications := make(chan notification, 1)
		*s.channels = append(*s.channels, notifications)
		batch, err := s.Read(ctx, q, dcb.ReadOptions{After: after})
		s.mu.Unlock()
		for yield(batch, err) && err == nil {
			select {
			case recorded := <-notifications:
				batch, err = readAt(ctx, s, recorded.last, q, dcb.ReadOptions{After: recorded.after})
			case <-ctx.Done():
				batch, err = dcb.ReadResult{}, ctx.Err()
			}
		}
	}
}

// followsFromOldHead continues after each batch from a head that it read before the batch.
type followsFromOldHead struct{ *simpleStore }

func (s followsFromOldHead) Follow(ctx context.Context, q dcb.Query, after dcb.Position) iter.Seq2[dcb.ReadResult, error] {
	return func(yieldBatch func(dcb.ReadResult, error) bool) {
		for {
			head, _ := s.Head(ctx)
			s.awaitRise(ctx, head)
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

// awaitRise waits up to two milliseconds for an append.
func (s followsFromOldHead) awaitRise(ctx context.Context, head dcb.Position) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Millisecond)
	defer cancel()
	_, _ = s.Wait(ctx, head)
}

// neverWakes returns from Wait at once or never.
type neverWakes struct{ *simpleStore }

func (s neverWakes) Wait(ctx context.Context, after dcb.Position) (dcb.Position, error) {
	if head, err := s.Head(ctx); err != nil || head > after {
		return head, err
	}
	return s.simpleStore.Wait(ctx, math.MaxUint64)
}
