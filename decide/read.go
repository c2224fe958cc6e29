package decide

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/dcbstore/dcb"
)

// A page bounds the memory of one read by events and, if the store implements [dcb.Pager], by
// bytes. A new projection may have to fold a long history.
const (
	pageEvents = 1024
	pageBytes  = 4 << 20
)

// batchWindow is the number of positions by which projections may differ and still share one
// read. In a shared read, some projections skip events that they have folded before. Skipping a
// few hundred events costs less than another read; skipping thousands costs more.
const batchWindow = 256

// readToHead reads every projection up to the head of the store, the same head for all of them.
// The projections may start at different positions. So the first time there may be several reads:
// the first determines the head, and the others stop there. Later calls read only the new events,
// with one read.
func (b *boundary) readToHead(ctx context.Context) error {
	for _, projection := range b.projections {
		projection.base().isRead = false // until all projections have reached the head
	}
	for mayReset := true; ; mayReset = false {
		head, err := b.catchUp(ctx)
		if err != nil {
			return err
		}
		reset, err := b.resetIfAhead(head, mayReset)
		if err != nil {
			return err
		}
		if !reset {
			b.isRead = true
			b.advanceTo(head)
			return nil
		}
		b.isRead = false
	}
}

// catchUp folds the events that the projections lack and returns the head that all of them have
// reached. If a later read finds that the store ends before an earlier read did, that lower
// position is the head. Then no events are missing, or readToHead finds a projection ahead of the
// head.
func (b *boundary) catchUp(ctx context.Context) (head dcb.Position, err error) {
	if b.isRead {
		return b.readForward(ctx, b.query, b.projections, b.head, 0)
	}
	if canShareOneRead(b.projections) {
		return b.readForward(ctx, b.query, b.projections, b.projections[0].base().seen, 0)
	}
	before := dcb.Position(0) // no bound until the first read determines the head
	for _, group := range groupByPosition(b.projections) {
		query, after := b.query, group[0].base().seen
		if len(group) < len(b.projections) {
			query = union(group)
		}
		if before > 0 && after+1 >= before {
			continue
		}
		reached, err := b.readForward(ctx, query, group, after, before)
		if err != nil {
			return 0, err
		}
		head, before = lowerHead(head, before, reached)
	}
	for _, projection := range b.projections {
		base := projection.base()
		if !base.onlyLastEvent || before > 0 && base.seen+1 >= before {
			continue
		}
		reached, err := b.readLast(ctx, projection, before)
		if err != nil {
			return 0, err
		}
		head, before = lowerHead(head, before, reached)
	}
	return head, nil
}

// lowerHead returns the head after a read that reached a position, and the bound for the next
// read. before is 0 if there was no read yet.
func lowerHead(head, before, reached dcb.Position) (newHead, newBefore dcb.Position) {
	if before > 0 {
		reached = min(reached, head)
	}
	return reached, reached + 1
}

// canShareOneRead reports whether one read suffices. That is the usual case: all projections are
// new.
func canShareOneRead(projections []AnyProjection) bool {
	first := projections[0].base().seen
	for _, projection := range projections {
		if base := projection.base(); base.onlyLastEvent || base.seen != first {
			return false
		}
	}
	return true
}

// groupByPosition returns the projections that are read forwards, in groups whose positions are
// within batchWindow. The first projection of a group has the lowest position.
func groupByPosition(projections []AnyProjection) [][]AnyProjection {
	var sorted []AnyProjection
	for _, projection := range projections {
		if !projection.base().onlyLastEvent {
			sorted = append(sorted, projection)
		}
	}
	slices.SortStableFunc(sorted, func(a, b AnyProjection) int { return cmp.Compare(a.base().seen, b.base().seen) })
	var groups [][]AnyProjection
	for start, i := 0, 1; i <= len(sorted); i++ {
		if i == len(sorted) || sorted[i].base().seen-sorted[start].base().seen > batchWindow {
			groups = append(groups, sorted[start:i])
			start = i
		}
	}
	return groups
}

// readForward reads the events that query selects between after and before, page by page, and
// folds them into projections. It returns the head that it reached. A before of 0 is no bound.
//
// It does not use [dcb.Pages], which asks for the head after a small first page. Here one round
// trip reads the history of nearly every decision, and events that are recorded between two pages
// are folded too, which saves a conflict.
func (b *boundary) readForward(
	ctx context.Context, query dcb.Query, projections []AnyProjection, after, before dcb.Position,
) (dcb.Position, error) {
	for {
		opts := dcb.ReadOptions{After: after, Before: before, Limit: pageEvents}
		page, err := dcb.ReadPage(ctx, b.runner.store, query, opts, pageBytes)
		if err != nil {
			return 0, err
		}
		if err := b.fold(page.Events, projections); err != nil {
			return 0, err
		}
		if !page.More {
			return page.Head, nil
		}
		after = page.Head
	}
}

// readLast reads the most recent event that projection selects and lacks, and folds it. It
// returns the head that the store had at that moment.
func (b *boundary) readLast(ctx context.Context, projection AnyProjection, before dcb.Position) (dcb.Position, error) {
	base := projection.base()
	opts := dcb.ReadOptions{After: base.seen, Before: before, Limit: 1, Backwards: true}
	result, err := b.runner.store.Read(ctx, dcb.Query{base.item}, opts)
	if err != nil {
		return 0, err
	}
	return result.Head, b.fold(result.Events, []AnyProjection{projection})
}

// fold folds events into the projections that select them and lack them. An event is decoded once
// and shared, unless its type holds memory that a handler could change.
func (b *boundary) fold(events []dcb.SequencedEvent, projections []AnyProjection) error {
	if len(events) == 0 {
		return nil
	}
	codec, in := b.runner.codec, new(incoming)
	for i := range events {
		event := &events[i]
		*in = incoming{codec: codec, event: event, typ: codec.byTypeName(event.Type)}
		for _, projection := range projections {
			base := projection.base()
			if event.Position <= base.seen || !base.item.Matches(event.Event) {
				continue
			}
			if err := projection.fold(in); err != nil {
				return fmt.Errorf("event at position %d: %w", event.Position, err)
			}
			base.seen = event.Position
			b.contended = &base.item
		}
	}
	return nil
}

// resetIfAhead resets projections that have seen events after head, and reports whether it reset
// any. A store whose head is lower than before was restored, or answers from a copy that lags.
// Only a projection that started from a cached state can be reset, and only if mayReset is set;
// any other is an error.
func (b *boundary) resetIfAhead(head dcb.Position, mayReset bool) (reset bool, err error) {
	for _, projection := range b.projections {
		base := projection.base()
		if base.seen <= head {
			continue
		}
		if !mayReset || !projection.reset() {
			return false, fmt.Errorf("the store ends at position %d, but a projection has read up to position %d; "+
				"the store was replaced, or a copy that lags answered: make a new projection and try again", head, base.seen)
		}
		reset = true
	}
	return reset, nil
}

// advanceTo records that all projections have seen every event up to head.
func (b *boundary) advanceTo(head dcb.Position) {
	b.head = head
	for _, projection := range b.projections {
		base := projection.base()
		base.seen, base.isRead = head, true
		projection.storeCached()
	}
}
