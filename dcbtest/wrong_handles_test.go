package dcbtest

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
)

func wrongHandles() []fault {
	return []fault{
		{name: "a handle keeps the head that it saw first", caughtBy: "sharing/what one handle recorded the other reads", wrong: func(p *simple) dcb.Store {
			head := p.seen().Head()
			return &faulty{
				simple: p,
				append: func(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
					position, err := p.Append(ctx, events, condition)
					head = max(head, position)
					return position, err
				},
				head: func(context.Context) (dcb.Position, error) { return head, nil },
			}
		}},
		{name: "an append wakes only those of its handle", caughtBy: "sharing/one handle's append wakes the other's Wait", hangs: true, wrong: deafHandle},
		{name: "an append reaches only followers of its handle", caughtBy: "sharing/one handle's append reaches the other's follower", hangs: true, wrong: deafHandle},
		{name: "each handle has a lock of its own", caughtBy: "sharing/of many with the same condition on two handles exactly one succeeds", wrong: lockPerHandle},
		{name: "each handle has a lock of its own, and counts", caughtBy: "sharing/counting by decisions on two handles leaves no number out and none twice", wrong: lockPerHandle},
		{name: "events of several handles are mixed", caughtBy: "sharing/the events of a call stay together", wrong: mixes},
		{name: "each handle has IDs of its own", caughtBy: "sharing/an append that is sent again through the other handle is recorded once", wrong: idsPerHandle},
		{name: "closing one handle closes all", caughtBy: "sharing/closing one handle leaves the other open", wrong: func() func(p *simple) dcb.Store {
			var mu sync.Mutex
			first := make(map[*shared]*simple)
			return func(p *simple) dcb.Store {
				mu.Lock()
				defer mu.Unlock()
				if first[p.shared] == nil {
					first[p.shared] = p
				}
				return first[p.shared]
			}
		}()},
		{name: "the last event is lost when the store is closed", caughtBy: "reopening/everything is still there", wrong: right, reopened: func(p *simple) {
			p.log = p.log[:max(len(p.log), 1)-1]
		}},
		{name: "positions that were prepared are lost when the store is closed", caughtBy: "reopening/positions go on", wrong: right, reopened: func(p *simple) {
			for i := range p.log {
				p.log[i].Position += 10
			}
		}},
		{name: "tags are not indexed when the store is opened", caughtBy: "reopening/queries select the same", wrong: right, reopened: func(p *simple) {
			for i := range p.log {
				p.log[i].Tags = nil
			}
		}},
		{name: "conditions see what was recorded since opening", caughtBy: "reopening/conditions see what was recorded before", wrong: func(p *simple) dcb.Store {
			opened := p.seen().Head()
			return conditioned(func(c *dcb.AppendCondition, _ *simple) { c.After = max(c.After, opened) })(p)
		}},
		{name: "IDs are forgotten when the store is closed", caughtBy: "reopening/IDs are remembered", wrong: idsPerHandle},
		{name: "the clock begins anew when the store is opened", caughtBy: "reopening/positions go on", wrong: right, reopened: func(p *simple) {
			for i := range p.log {
				p.log[i].RecordedAt = p.log[i].RecordedAt.Add(time.Hour)
			}
		}},
		{name: "the store is recorded anew when it is opened", caughtBy: "reopening/everything is still there", wrong: right, reopened: func(p *simple) {
			meet()
			for i := range p.log {
				p.log[i].RecordedAt = time.Now()
			}
		}},
		{name: "the old handle still appends", caughtBy: "reopening/the old handle is closed", wrong: func(p *simple) dcb.Store {
			return &faulty{simple: p, append: func(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
				return p.open().Append(ctx, events, condition)
			}}
		}},
	}
}

// deafHandle wakes those who wait only at an append of its own.
func deafHandle(p *simple) dcb.Store {
	own := make(chan struct{}, 1000)
	return &faulty{
		simple: p,
		append: func(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
			position, err := p.Append(ctx, events, condition)
			own <- struct{}{}
			return position, err
		},
		wait: func(ctx context.Context, after dcb.Position) (dcb.Position, error) {
			select {
			case <-own:
				return p.Wait(ctx, after)
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		},
	}
}

// lockPerHandle makes checking and recording one step within a handle only.
func lockPerHandle(p *simple) dcb.Store {
	lock := make(chan struct{}, 1) // not a mutex: who waits for one keeps the clock of the bubble from going on
	racing := races(p)
	return &faulty{simple: p, append: func(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
		lock <- struct{}{}
		defer func() { <-lock }()
		return racing.Append(ctx, events, condition)
	}}
}

// idsPerHandle knows the IDs that were appended through it, and no others.
func idsPerHandle(p *simple) dcb.Store {
	known := make(map[uuid.UUID]bool)
	return instead(func(p *simple, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
		own := true
		for i := range events {
			own = own && known[events[i].ID]
			known[events[i].ID] = true
		}
		if own || position(p, events[0].ID) == 0 {
			return p.record(events, condition)
		}
		return recordAnew(p, events)
	})(p)
}
