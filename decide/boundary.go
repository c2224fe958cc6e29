package decide

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/dcbstore/dcb"
)

// What is held in memory at once is bounded by pageEvents and, where the store can, by pageBytes: a projection may begin far back.
const (
	pageEvents = 1024
	pageBytes  = 4 << 20
)

// near is how many positions projections may lie apart and still be read together. It bounds the events that are read again for a projection that has
// seen them: what a further read costs is more than that of a few, and less than that of thousands.
const near = 256

// boundary is what one decision looks at. Its projections are in use from take until release. It stays on the stack of the decision.
//
// Invariant between calls of look: every projection has folded in exactly those events up to head that its item selects.
type boundary struct {
	runner      *Runner
	projections []AnyProjection // each once; they are in use by this decision alone
	command     *idempotencyKey // among the projections, or nil
	query       dcb.Query       // the union of the projections' items
	head        dcb.Position
	looked      bool
	lost        *dcb.QueryItem // of a projection that an event was last folded into; nil if there was none
	leave       func()         // the lane that the decision is in; nil if it is in none
}

var errNoProjections = errors.New("no projections: a decision looks at something; what depends on nothing is for Record")

// take takes projections into use. After an error some of them may be; release is called in any case.
func (b *boundary) take(projections []AnyProjection) error {
	if len(projections) == 0 {
		return errNoProjections
	}
	b.projections = make([]AnyProjection, 0, len(projections))
	for _, v := range projections {
		if err := b.takeOne(v); err != nil {
			return err
		}
	}
	var err error
	if b.command, err = commandOf(b.projections); err != nil {
		return err
	}
	b.query = union(b.projections)
	return nil
}

// takeOne takes v into use, unless it is among those taken already.
func (b *boundary) takeOne(v AnyProjection) error {
	var p *part
	if v != nil {
		p = v.common()
	}
	switch {
	case p == nil:
		return errors.New("one of the projections is nil")
	case p.err != nil:
		return p.err
	case p.inUse.CompareAndSwap(false, true):
		b.projections = append(b.projections, v)
		return b.runner.prepare(v, p)
	}
	for _, taken := range b.projections {
		if taken.common() == p {
			return nil
		}
	}
	return errors.New("one of the projections is in use by another decision; each needs its own")
}

func (d *Runner) prepare(v AnyProjection, p *part) error {
	if p.folding {
		return errors.New("a handler of one of the projections panicked, and left it halfway; make a new one")
	}
	if p.runner == d {
		return nil
	}
	if p.runner != nil {
		return errors.New("one of the projections was read by another runner; make a new one")
	}
	if err := v.bind(d.codec); err != nil {
		return err
	}
	p.runner = d
	v.restore(d)
	return nil
}

// release is also called when the function of the decision panics.
func (b *boundary) release() {
	if b.leave != nil {
		b.leave()
	}
	for _, v := range b.projections {
		v.common().inUse.Store(false)
	}
}

// queue waits in a lane, before the projections are looked at for the first time, or again.
func (b *boundary) queue(ctx context.Context, name string) {
	b.leave = b.runner.lanes.enter(ctx, name)
	if !b.looked {
		for _, v := range b.projections {
			v.restore(b.runner) // those who were first may have left something
		}
	}
}

// changed returns an error if the function of the decision changed one of the projections.
func (b *boundary) changed() error {
	for _, v := range b.projections {
		if err := v.common().err; err != nil {
			return err
		}
	}
	return nil
}

// again gets ready for another attempt after one that met a conflict, or returns why there is to be none.
func (b *boundary) again(ctx context.Context, attempt int, conflict error) error {
	if attempt == b.runner.attempts {
		return fmt.Errorf("in conflict at each of %d attempts, the last time: %w", attempt, conflict)
	}
	if ended := b.runner.settle(ctx, attempt, conflict); ended != nil {
		return endedAfter(attempt, ended, conflict)
	}
	if attempt >= patientAttempts && b.leave == nil && b.lost != nil {
		b.queue(ctx, laneOf(b.lost))
	}
	return nil
}

func endedAfter(attempts int, why, conflict error) error {
	return fmt.Errorf("%w after %d attempts, the last of which failed: %w", why, attempts, conflict)
}

func (b *boundary) condition() *dcb.AppendCondition {
	return &dcb.AppendCondition{FailIfEventsMatch: b.query, After: b.head}
}

// key returns that of the command, "" if it has none.
func (b *boundary) key() string {
	if b.command == nil {
		return ""
	}
	return b.command.key
}

// answered returns the position that was recorded for the command's key, 0 if none was.
func (b *boundary) answered() dcb.Position {
	if b.command == nil {
		return 0
	}
	return b.command.recorded
}

// keep sets the head to what all projections have seen, without reading.
func (b *boundary) keep() error {
	for i, v := range b.projections {
		p := v.common()
		if !p.read {
			return errors.New("one of the projections was not read, or not to the end; call Read first, with the same projections")
		}
		if i == 0 || p.seen < b.head {
			b.head = p.seen
		}
	}
	return nil
}

// look brings every projection to the head of the store, which is the same for all of them. Where they begin differs: so the first time there
// may be several reads, of which the first says what the head is, and the others stop there. After that, one read of what came
// since is enough.
func (b *boundary) look(ctx context.Context) error {
	for _, v := range b.projections {
		v.common().read = false // until they have arrived, all of them
	}
	for isFirst := true; ; isFirst = false {
		head, err := b.catchUp(ctx)
		if err != nil {
			return err
		}
		behind, err := b.forget(head, isFirst)
		if err != nil {
			return err
		}
		if !behind {
			b.looked = true
			b.arrive(head)
			return nil
		}
		b.looked = false
	}
}

// catchUp reads whatever the projections have not seen, up to one head. A store that ends before what was read of it a moment ago makes that
// the head: it is below what some projection has seen, or nothing was missed.
func (b *boundary) catchUp(ctx context.Context) (head dcb.Position, err error) {
	if b.looked {
		return b.forward(ctx, b.query, b.projections, b.head, 0)
	}
	if together(b.projections) {
		return b.forward(ctx, b.query, b.projections, b.projections[0].common().seen, 0)
	}
	before := dcb.Position(0) // no bound, as long as the head is not known
	for _, group := range apart(b.projections) {
		query, after := b.query, group[0].common().seen
		if len(group) < len(b.projections) {
			query = union(group)
		}
		if before > 0 && after+1 >= before {
			continue
		}
		at, err := b.forward(ctx, query, group, after, before)
		if err != nil {
			return 0, err
		}
		head, before = lower(head, before, at)
	}
	for _, v := range b.projections {
		p := v.common()
		if !p.onlyLastEvent || before > 0 && p.seen+1 >= before {
			continue
		}
		at, err := b.last(ctx, v, before)
		if err != nil {
			return 0, err
		}
		head, before = lower(head, before, at)
	}
	return head, nil
}

// lower returns the head after a further read, and the bound for the next. There is none yet before the first.
func lower(head, before, at dcb.Position) (newHead, newBefore dcb.Position) {
	if before > 0 {
		at = min(at, head)
	}
	return at, at + 1
}

// together reports whether one read serves all: nearly always, because all projections are new.
func together(projections []AnyProjection) bool {
	first := projections[0].common().seen
	for _, v := range projections {
		if p := v.common(); p.onlyLastEvent || p.seen != first {
			return false
		}
	}
	return true
}

// apart returns the projections that are read forwards in groups that lie near each other, each beginning with the one that has seen least.
func apart(projections []AnyProjection) [][]AnyProjection {
	var sorted []AnyProjection
	for _, v := range projections {
		if !v.common().onlyLastEvent {
			sorted = append(sorted, v)
		}
	}
	slices.SortStableFunc(sorted, func(a, b AnyProjection) int { return int(int64(a.common().seen) - int64(b.common().seen)) })
	var groups [][]AnyProjection
	for start, i := 0, 1; i <= len(sorted); i++ {
		if i == len(sorted) || sorted[i].common().seen-sorted[start].common().seen > near {
			groups = append(groups, sorted[start:i])
			start = i
		}
	}
	return groups
}

// forward reads, in pages, what query selects between two positions, folds it into the projections, and returns the head that it reached.
func (b *boundary) forward(ctx context.Context, query dcb.Query, projections []AnyProjection, after, before dcb.Position) (dcb.Position, error) {
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
		// Between two pages more may be recorded. It is read too: nothing ever appears below what was read.
		after = page.Head
	}
}

// last reads the newest event that v selects and has not seen, and returns the head that the store had then.
func (b *boundary) last(ctx context.Context, v AnyProjection, before dcb.Position) (dcb.Position, error) {
	p := v.common()
	result, err := b.runner.store.Read(ctx, dcb.Query{p.item}, dcb.ReadOptions{After: p.seen, Before: before, Limit: 1, Backwards: true})
	if err != nil {
		return 0, err
	}
	return result.Head, b.fold(result.Events, []AnyProjection{v})
}

// fold folds events into those of the projections that select them and have not seen them. Each is decoded for the first of them, and the others
// share what cannot be changed.
func (b *boundary) fold(events []dcb.SequencedEvent, projections []AnyProjection) error {
	if len(events) == 0 {
		return nil
	}
	codec, in := b.runner.codec, new(incoming)
	for i := range events {
		event := &events[i]
		*in = incoming{codec: codec, event: event, typ: codec.named(event.Type)}
		for _, v := range projections {
			p := v.common()
			if event.Position <= p.seen || !p.item.Matches(event.Event) {
				continue
			}
			if err := v.fold(in); err != nil {
				return fmt.Errorf("event at position %d: %w", event.Position, err)
			}
			p.seen = event.Position
			b.lost = &p.item
		}
	}
	return nil
}

// forget reports whether the store is behind some projection, which is then as if it had read nothing. A projection that is only kept by Cached can
// afford that, once; another is an error.
func (b *boundary) forget(head dcb.Position, mayForget bool) (behind bool, err error) {
	for _, v := range b.projections {
		p := v.common()
		if p.seen <= head {
			continue
		}
		if !mayForget || !v.forget() {
			return false, fmt.Errorf("the store ends at position %d, and one of the projections has seen %d; was it another store, or restored?",
				head, p.seen)
		}
		behind = true
	}
	return behind, nil
}

// arrive notes that all projections have seen everything up to head.
func (b *boundary) arrive(head dcb.Position) {
	b.head = head
	for _, v := range b.projections {
		p := v.common()
		p.seen, p.read = head, true
		v.publish()
	}
}
