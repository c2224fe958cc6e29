package decide

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/dcbstore/dcb"
)

// What is held in memory at once is bounded by pageEvents and, where the store can, by pageBytes: a view may begin far back.
const (
	pageEvents = 1024
	pageBytes  = 4 << 20
)

// near is how many positions views may lie apart and still be read together. It bounds the events that are read again for a view that has
// seen them: what a further read costs is more than that of a few, and less than that of thousands.
const near = 256

// boundary is what one decision looks at. Its views are in use from take until release. It stays on the stack of the decision.
//
// Invariant between calls of look: every view has folded in exactly those events up to head that its item selects.
type boundary struct {
	decider *Decider
	views   []AnyView // each once; they are in use by this decision alone
	command *once     // among the views, or nil
	query   dcb.Query // the union of the views' items
	head    dcb.Position
	looked  bool
	lost    *dcb.QueryItem // of a view that an event was last folded into; nil if there was none
	leave   func()         // the lane that the decision is in; nil if it is in none
}

var errNoViews = errors.New("no views: a decision looks at something; what depends on nothing is for Record")

// take takes views into use. After an error some of them may be; release is called in any case.
func (b *boundary) take(views []AnyView) error {
	if len(views) == 0 {
		return errNoViews
	}
	b.views = make([]AnyView, 0, len(views))
	for _, v := range views {
		if err := b.takeOne(v); err != nil {
			return err
		}
	}
	var err error
	if b.command, err = commandOf(b.views); err != nil {
		return err
	}
	b.query = union(b.views)
	return nil
}

// takeOne takes v into use, unless it is among those taken already.
func (b *boundary) takeOne(v AnyView) error {
	var p *part
	if v != nil {
		p = v.common()
	}
	switch {
	case p == nil:
		return errors.New("one of the views is nil")
	case p.err != nil:
		return p.err
	case p.inUse.CompareAndSwap(false, true):
		b.views = append(b.views, v)
		return b.decider.prepare(v, p)
	}
	for _, taken := range b.views {
		if taken.common() == p {
			return nil
		}
	}
	return errors.New("one of the views is in use by another decision; each needs its own")
}

func (d *Decider) prepare(v AnyView, p *part) error {
	if p.folding {
		return errors.New("a handler of one of the views panicked, and left it halfway; make a new one")
	}
	if p.decider == d {
		return nil
	}
	if p.decider != nil {
		return errors.New("one of the views was read by another decider; make a new one")
	}
	if err := v.bind(d.codec); err != nil {
		return err
	}
	p.decider = d
	v.restore(d)
	return nil
}

// release is also called when the function of the decision panics.
func (b *boundary) release() {
	if b.leave != nil {
		b.leave()
	}
	for _, v := range b.views {
		v.common().inUse.Store(false)
	}
}

// queue waits in a lane, before the views are looked at for the first time, or again.
func (b *boundary) queue(ctx context.Context, name string) {
	b.leave = b.decider.lanes.enter(ctx, name)
	if !b.looked {
		for _, v := range b.views {
			v.restore(b.decider) // those who were first may have left something
		}
	}
}

// changed returns an error if the function of the decision changed one of the views.
func (b *boundary) changed() error {
	for _, v := range b.views {
		if err := v.common().err; err != nil {
			return err
		}
	}
	return nil
}

// again gets ready for another attempt after one that met a conflict, or returns why there is to be none.
func (b *boundary) again(ctx context.Context, attempt int, conflict error) error {
	if attempt == b.decider.attempts {
		return fmt.Errorf("in conflict at each of %d attempts, the last time: %w", attempt, conflict)
	}
	if ended := b.decider.settle(ctx, attempt, conflict); ended != nil {
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

// keep sets the head to what all views have seen, without reading.
func (b *boundary) keep() error {
	for i, v := range b.views {
		p := v.common()
		if !p.read {
			return errors.New("one of the views was not read, or not to the end; call Read first, with the same views")
		}
		if i == 0 || p.seen < b.head {
			b.head = p.seen
		}
	}
	return nil
}

// look brings every view to the head of the store, which is the same for all of them. Where they begin differs: so the first time there
// may be several reads, of which the first says what the head is, and the others stop there. After that, one read of what came
// since is enough.
func (b *boundary) look(ctx context.Context) error {
	for _, v := range b.views {
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

// catchUp reads whatever the views have not seen, up to one head. A store that ends before what was read of it a moment ago makes that
// the head: it is below what some view has seen, or nothing was missed.
func (b *boundary) catchUp(ctx context.Context) (head dcb.Position, err error) {
	if b.looked {
		return b.forward(ctx, b.query, b.views, b.head, 0)
	}
	if together(b.views) {
		return b.forward(ctx, b.query, b.views, b.views[0].common().seen, 0)
	}
	before := dcb.Position(0) // no bound, as long as the head is not known
	for _, group := range apart(b.views) {
		query, after := b.query, group[0].common().seen
		if len(group) < len(b.views) {
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
	for _, v := range b.views {
		p := v.common()
		if !p.onlyLast || before > 0 && p.seen+1 >= before {
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

// together reports whether one read serves all: nearly always, because all views are new.
func together(views []AnyView) bool {
	first := views[0].common().seen
	for _, v := range views {
		if p := v.common(); p.onlyLast || p.seen != first {
			return false
		}
	}
	return true
}

// apart returns the views that are read forwards in groups that lie near each other, each beginning with the one that has seen least.
func apart(views []AnyView) [][]AnyView {
	var sorted []AnyView
	for _, v := range views {
		if !v.common().onlyLast {
			sorted = append(sorted, v)
		}
	}
	slices.SortStableFunc(sorted, func(a, b AnyView) int { return int(int64(a.common().seen) - int64(b.common().seen)) })
	var groups [][]AnyView
	for start, i := 0, 1; i <= len(sorted); i++ {
		if i == len(sorted) || sorted[i].common().seen-sorted[start].common().seen > near {
			groups = append(groups, sorted[start:i])
			start = i
		}
	}
	return groups
}

// forward reads, in pages, what query selects between two positions, folds it into the views, and returns the head that it reached.
func (b *boundary) forward(ctx context.Context, query dcb.Query, views []AnyView, after, before dcb.Position) (dcb.Position, error) {
	for {
		opts := dcb.ReadOptions{After: after, Before: before, Limit: pageEvents}
		page, more, err := dcb.ReadPage(ctx, b.decider.store, query, opts, pageBytes)
		if err != nil {
			return 0, err
		}
		if err := b.fold(page.Events, views); err != nil {
			return 0, err
		}
		if !more {
			return page.Head, nil
		}
		// Between two pages more may be recorded. It is read too: nothing ever appears below what was read.
		after = page.Head
	}
}

// last reads the newest event that v selects and has not seen, and returns the head that the store had then.
func (b *boundary) last(ctx context.Context, v AnyView, before dcb.Position) (dcb.Position, error) {
	p := v.common()
	result, err := b.decider.store.Read(ctx, dcb.Query{p.item}, dcb.ReadOptions{After: p.seen, Before: before, Limit: 1, Backwards: true})
	if err != nil {
		return 0, err
	}
	return result.Head, b.fold(result.Events, []AnyView{v})
}

// fold folds events into those of the views that select them and have not seen them. Each is decoded for the first of them, and the others
// share what cannot be changed.
func (b *boundary) fold(events []dcb.SequencedEvent, views []AnyView) error {
	if len(events) == 0 {
		return nil
	}
	codec, in := b.decider.codec, new(incoming)
	for i := range events {
		event := &events[i]
		*in = incoming{codec: codec, event: event, typ: codec.named(event.Type)}
		for _, v := range views {
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

// forget reports whether the store is behind some view, which is then as if it had read nothing. A view that is only kept by Cached can
// afford that, once; another is an error.
func (b *boundary) forget(head dcb.Position, mayForget bool) (behind bool, err error) {
	for _, v := range b.views {
		p := v.common()
		if p.seen <= head {
			continue
		}
		if !mayForget || !v.forget() {
			return false, fmt.Errorf("the store ends at position %d, and one of the views has seen %d; was it another store, or restored?",
				head, p.seen)
		}
		behind = true
	}
	return behind, nil
}

// arrive notes that all views have seen everything up to head.
func (b *boundary) arrive(head dcb.Position) {
	b.head = head
	for _, v := range b.views {
		p := v.common()
		p.seen, p.read = head, true
		v.publish()
	}
}
