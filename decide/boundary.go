package decide

import (
	"context"
	"errors"
	"fmt"

	"github.com/dcbstore/dcb"
)

// boundary holds the projections of one decision and the head that they were read up to. The
// projections are in use by this decision alone from acquire to release.
//
// Invariant between calls of readToHead: every projection has folded exactly the events up to
// head that its item selects.
type boundary struct {
	runner      *Runner
	projections []AnyProjection // without duplicates
	key         *idempotencyKey // one of the projections, or nil
	query       dcb.Query       // the union of the projections' items
	head        dcb.Position
	isRead      bool           // whether the invariant holds for head
	contended   *dcb.QueryItem // the item that selected the event folded last, or nil
	leaveQueue  func()         // nil while the decision is in no queue
}

var errNoProjections = errors.New("no projections; pass at least one, or use Record for events that depend on nothing")

// acquire marks projections as in use and prepares them for the runner. After an error some of
// them may be marked, so release must be called in any case.
func (b *boundary) acquire(projections []AnyProjection) error {
	if len(projections) == 0 {
		return errNoProjections
	}
	b.projections = make([]AnyProjection, 0, len(projections))
	for i, projection := range projections {
		if err := b.acquireOne(projection); err != nil {
			return fmt.Errorf("projection %d: %w", i+1, err)
		}
	}
	var err error
	if b.key, err = findIdempotencyKey(b.projections); err != nil {
		return err
	}
	b.query = union(b.projections)
	return nil
}

// acquireOne acquires projection unless this boundary already holds it.
func (b *boundary) acquireOne(projection AnyProjection) error {
	var base *projectionBase
	if projection != nil {
		base = projection.base()
	}
	switch {
	case base == nil:
		return errors.New("it is nil")
	case base.err != nil:
		return base.err
	case base.inUse.CompareAndSwap(false, true):
		b.projections = append(b.projections, projection)
		return b.runner.prepare(projection, base)
	}
	for _, held := range b.projections {
		if held.base() == base {
			return nil
		}
	}
	return errors.New("it is in use by another decision; make a new projection for each decision")
}

// prepare binds projection to the runner the first time that the runner uses it.
func (r *Runner) prepare(projection AnyProjection, base *projectionBase) error {
	switch {
	case base.folding:
		return errors.New("one of its handlers panicked, so its state is incomplete; make a new projection")
	case base.runner == r:
		return nil
	case base.runner != nil:
		return errors.New("it was read by another runner; make a new projection")
	}
	if err := projection.bind(r.codec); err != nil {
		return err
	}
	base.runner = r
	projection.loadCached(r)
	return nil
}

// release ends the use of the projections and leaves the queue. Do defers it, so that it also
// runs when the decision function panics.
func (b *boundary) release() {
	if b.leaveQueue != nil {
		b.leaveQueue()
	}
	for _, projection := range b.projections {
		projection.base().inUse.Store(false)
	}
}

// joinQueue waits for the decision's turn in the queue of a key. It must not be called between
// readToHead and the append.
func (b *boundary) joinQueue(ctx context.Context, key string) {
	b.leaveQueue = b.runner.queues.join(ctx, key)
	if !b.isRead {
		for _, projection := range b.projections {
			projection.loadCached(b.runner) // decisions that ran meanwhile may have stored newer states
		}
	}
}

// checkUnchanged returns an error if the decision function changed the query of a projection.
func (b *boundary) checkUnchanged() error {
	for _, projection := range b.projections {
		if err := projection.base().err; err != nil {
			return err
		}
	}
	return nil
}

// prepareRetry waits before another attempt after a conflict. It returns an error if there must
// be no further attempt.
func (b *boundary) prepareRetry(ctx context.Context, attempt int, conflict error) error {
	if attempt == b.runner.opts.Attempts {
		return fmt.Errorf("in conflict at each of %d attempts, the last time: %w", attempt, conflict)
	}
	if ended := b.runner.waitAfterConflict(ctx, attempt, conflict); ended != nil {
		return endedAfterConflicts(attempt, ended, conflict)
	}
	if attempt >= attemptsBeforeQueue && b.leaveQueue == nil && b.contended != nil {
		b.joinQueue(ctx, queueKey(b.contended))
	}
	return nil
}

func endedAfterConflicts(attempts int, cause, conflict error) error {
	return fmt.Errorf("%w after %d attempts; the last one failed: %w", cause, attempts, conflict)
}

func (b *boundary) condition() *dcb.AppendCondition {
	return &dcb.AppendCondition{FailIfEventsMatch: b.query, After: b.head}
}

// keyText returns the idempotency key of the command, or "" if it has none.
func (b *boundary) keyText() string {
	if b.key == nil {
		return ""
	}
	return b.key.key
}

// recordedPosition returns the position recorded for the idempotency key, or 0 if there is none.
func (b *boundary) recordedPosition() dcb.Position {
	if b.key == nil {
		return 0
	}
	return b.key.recorded
}

// useHeadOfLastRead sets head to the position that all projections were read up to, without
// reading.
func (b *boundary) useHeadOfLastRead() error {
	for i, projection := range b.projections {
		base := projection.base()
		if !base.isRead {
			return errors.New("a projection was not read, or its last read failed; call Read first, with the same projections")
		}
		if i == 0 || base.seen < b.head {
			b.head = base.seen
		}
	}
	return nil
}
