package dcbtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
)

func wrongAppending() []fault {
	return []fault{
		{name: "a gap after a failed append", caughtBy: "appending/a refused append leaves no gap", wrong: gaps},
		{name: "what is valid of an invalid append is recorded", caughtBy: "limits/one invalid event spoils the append", wrong: halfOfInvalid},
		{name: "half an append is recorded when its condition fails", caughtBy: "conditions/a batch is recorded whole or not at all", wrong: instead(func(p *simple, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
			position, err := p.record(events, condition)
			if errors.Is(err, dcb.ErrConflict) {
				_, _ = p.record(events[:len(events)/2], nil)
			}
			return position, err
		})},
		{name: "the position returned is that of the first event", caughtBy: "appending/the events of a call have consecutive positions", wrong: instead(func(p *simple, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
			position, err := p.record(events, condition)
			return position - min(position, dcb.Position(len(events))-1), err
		})},
		{name: "an append is recorded backwards", caughtBy: "appending/the events of a call keep their order", wrong: given(func(events []dcb.Event, c *dcb.AppendCondition, _ *simple) ([]dcb.Event, *dcb.AppendCondition) {
			slices.Reverse(events)
			return events, c
		})},
		{name: "repeated tags are kept", caughtBy: "appending/repeated tags are recorded once", wrong: asking(nil, func(_ dcb.Query, _ dcb.ReadOptions, r *dcb.ReadResult, _ *simple) {
			for i := range r.Events {
				r.Events[i].Tags = append(r.Events[i].Tags, r.Events[i].Tags...)
			}
		})},
		{name: "tags are sorted", caughtBy: "appending/repeated tags are recorded once", wrong: each(func(e *dcb.Event) { slices.Sort(e.Tags) })},
		{name: "of repeated tags the last mention counts", caughtBy: "appending/repeated tags are recorded once", wrong: each(func(e *dcb.Event) {
			slices.Reverse(e.Tags)
			e.Tags = slices.Clone(dcb.UniqueTags(e.Tags))
			slices.Reverse(e.Tags)
		})},
		{name: "an event like the last is dropped", caughtBy: "appending/equal events are different events", wrong: instead(func(p *simple, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
			if head := p.log.Head(); head > 0 && events[0].Same(p.log[head-1].Event) {
				return head, nil
			}
			return p.record(events, condition)
		})},
		{name: "data ends at a NUL", caughtBy: "nouns/data is opaque bytes", wrong: each(func(e *dcb.Event) { e.Data, _, _ = bytes.Cut(e.Data, []byte{0}) })},
		{name: "no data becomes null", caughtBy: "nouns/an event may have a type and nothing else", wrong: each(func(e *dcb.Event) {
			if e.Data == nil {
				e.Data = []byte("null")
			}
		})},
		{name: "large data is cut", caughtBy: "appending/events are of any size beside one another", wrong: each(func(e *dcb.Event) { e.Data = e.Data[:min(len(e.Data), 1<<16)] })},
		{name: "metadata is dropped", caughtBy: "nouns/every field comes back as it was given", wrong: each(func(e *dcb.Event) { e.Metadata = nil })},
		{name: "empty metadata values are dropped", caughtBy: "nouns/metadata is opaque text", wrong: each(func(e *dcb.Event) { delete(e.Metadata, "empty") })},
		{name: "a missing ID is made up", caughtBy: "nouns/an ID is any UUID but zero", wrong: each(func(e *dcb.Event) {
			if e.ID == uuid.Nil {
				e.ID = uuid.New()
			}
		})},
		{name: "text is mended", caughtBy: "nouns/a tag is any text", wrong: each(func(e *dcb.Event) {
			for i := range e.Tags {
				e.Tags[i] = string(bytes.ToValidUTF8(bytes.ReplaceAll([]byte(e.Tags[i]), []byte("\ufeff"), nil), nil))
			}
		})},
		lenient("a type may have a byte more", "limits/type bytes", func(events []dcb.Event) { events[len(events)-1].Type = "T" }),
		lenient("a tag may be empty", "limits/tag bytes", func(events []dcb.Event) { events[len(events)-1].Tags = nil }),
		lenient("an event may have a tag more", "limits/tags of an event", func(events []dcb.Event) { events[len(events)-1].Tags = nil }),
		lenient("data may have a byte more", "limits/data bytes", func(events []dcb.Event) { events[0].Data = nil }),
		lenient("metadata is not looked at", "limits/metadata entries", func(events []dcb.Event) { events[0].Metadata = nil }),
		lenient("NUL is allowed", "limits/text is without NUL", func(events []dcb.Event) { events[len(events)-1] = event("T") }),
		lenient("broken UTF-8 is allowed", "limits/text is valid UTF-8", func(events []dcb.Event) { events[len(events)-1] = event("T") }),
		{name: "tags are counted before repetitions are left out", caughtBy: "limits/repeated tags do not count", wrong: instead(func(p *simple, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
			if len(events[0].Tags) > dcb.MaxTags {
				return 0, dcb.ErrInvalid
			}
			return p.record(events, condition)
		})},
		{name: "an invalid argument is not said to be which", caughtBy: "limits/metadata bytes", wrong: func(p *simple) dcb.Store {
			return &faulty{simple: p, append: func(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
				position, err := p.Append(ctx, events, condition)
				if errors.Is(err, dcb.ErrInvalid) {
					err = fmt.Errorf("invalid: %w", dcb.ErrInvalid)
				}
				return position, err
			}}
		}},
		{name: "an append without events succeeds", caughtBy: "limits/an append has events", wrong: func(p *simple) dcb.Store {
			return &faulty{simple: p, append: func(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
				if len(events) == 0 {
					return p.Head(ctx)
				}
				return p.Append(ctx, events, condition)
			}}
		}},
		{name: "After inclusive in conditions", caughtBy: "conditions/an event at After is ignored", wrong: conditioned(func(c *dcb.AppendCondition, _ *simple) { c.After = max(c.After, 1) - 1 })},
		{name: "the event after After is ignored too", caughtBy: "conditions/an event after After matches, so the append conflicts", wrong: conditioned(func(c *dcb.AppendCondition, _ *simple) {
			c.After++
		})},
		{name: "After 0 means no condition", caughtBy: "conditions/After 0 ignores nothing", wrong: given(func(events []dcb.Event, c *dcb.AppendCondition, _ *simple) ([]dcb.Event, *dcb.AppendCondition) {
			if c != nil && c.After == 0 {
				c = nil
			}
			return events, c
		})},
		{name: "After beyond the head is taken for the head before", caughtBy: "conditions/After may be beyond the head", wrong: conditioned(func(c *dcb.AppendCondition, p *simple) {
			if head := p.seen().Head(); c.After > head {
				c.After = head - 1
			}
		})},
		{name: "the events of the call are considered", caughtBy: "conditions/the events of the call are not considered", wrong: instead(func(p *simple, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
			for _, e := range events[1:] {
				if condition != nil && condition.FailIfEventsMatch.Matches(e) {
					return 0, &dcb.ConflictError{Position: 1}
				}
			}
			return p.record(events, condition)
		})},
		{name: "unrelated appends conflict", caughtBy: "conditions/what does not match does not conflict", wrong: conditioned(func(c *dcb.AppendCondition, _ *simple) { c.FailIfEventsMatch = dcb.All() })},
		{name: "unrelated appends conflict when they race", caughtBy: "concurrency/appends that do not concern each other all succeed", wrong: conditioned(func(c *dcb.AppendCondition, _ *simple) {
			c.FailIfEventsMatch = dcb.All()
		})},
		{name: "the first item of a condition alone counts", caughtBy: "conditions/by several items", wrong: conditioned(func(c *dcb.AppendCondition, _ *simple) { c.FailIfEventsMatch = c.FailIfEventsMatch[:1] })},
		{name: "types of a condition are not looked at", caughtBy: "conditions/by types and tags", wrong: conditioned(func(c *dcb.AppendCondition, _ *simple) {
			c.FailIfEventsMatch = cloneQuery(c.FailIfEventsMatch)
			c.FailIfEventsMatch[0].Types = nil
		})},
		{name: "a condition on everything is none", caughtBy: "conditions/by everything", wrong: conditioned(func(c *dcb.AppendCondition, p *simple) {
			if len(c.FailIfEventsMatch[0].Types)+len(c.FailIfEventsMatch[0].Tags) == 0 {
				c.After = p.seen().Head()
			}
		})},
		{name: "the position of a conflict is the head", caughtBy: "conditions/the position of a conflict is that of a matching event", wrong: instead(func(p *simple, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
			position, err := p.record(events, condition)
			if errors.Is(err, dcb.ErrConflict) {
				err = &dcb.ConflictError{Position: p.log.Head()}
			}
			return position, err
		})},
		{name: "a conflict does not say with what", caughtBy: "conditions/an event within a batch conflicts", wrong: instead(func(p *simple, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
			position, err := p.record(events, condition)
			if errors.Is(err, dcb.ErrConflict) {
				err = fmt.Errorf("simple: append: %w", dcb.ErrConflict)
			}
			return position, err
		})},
		{name: "a conflict is said to be retryable", caughtBy: "conditions/a conflict is not worth repeating", wrong: instead(func(p *simple, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
			position, err := p.record(events, condition)
			if errors.Is(err, dcb.ErrConflict) {
				err = &dcb.UnavailableError{Cause: err}
			}
			return position, err
		})},
		{name: "a race between the check and the insert", caughtBy: "concurrency/of many with the same condition exactly one succeeds", wrong: races},
		{name: "two that exclude each other both succeed", caughtBy: "concurrency/of two that exclude each other exactly one succeeds", wrong: races},
		{name: "a race while counting", caughtBy: "concurrency/counting by decisions leaves no number out and none twice", wrong: races},
		{name: "events of several calls are mixed", caughtBy: "concurrency/the events of a call stay together", wrong: mixes},
		{name: "half an append is visible", caughtBy: "concurrency/readers see whole appends, in order, and heads that never fall", wrong: mixes},
	}
}

// each is a store that changes every event that it is given.
func each(change func(e *dcb.Event)) func(p *simple) dcb.Store {
	return given(func(events []dcb.Event, c *dcb.AppendCondition, _ *simple) ([]dcb.Event, *dcb.AppendCondition) {
		for i := range events {
			change(&events[i])
		}
		return events, c
	})
}

// conditioned is a store that changes the condition of an append.
func conditioned(change func(c *dcb.AppendCondition, p *simple)) func(p *simple) dcb.Store {
	return given(func(events []dcb.Event, c *dcb.AppendCondition, p *simple) ([]dcb.Event, *dcb.AppendCondition) {
		if c != nil {
			c = &dcb.AppendCondition{FailIfEventsMatch: c.FailIfEventsMatch, After: c.After}
			change(c, p)
		}
		return events, c
	})
}

// lenient is a store that makes valid what is not, and so accepts it.
func lenient(name, caughtBy string, mend func(events []dcb.Event)) fault {
	return fault{name: name, caughtBy: caughtBy, wrong: func(p *simple) dcb.Store {
		return &faulty{simple: p, append: func(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
			if err := dcb.ValidateAppend(events, condition); errors.Is(err, dcb.ErrInvalid) {
				events = clones(events)
				mend(events)
			}
			return p.Append(ctx, events, condition)
		}}
	}}
}

// gaps gives positions out before it knows whether the append succeeds, as a sequence of a database does.
func gaps(p *simple) dcb.Store {
	lost := dcb.Position(0)
	return &faulty{
		simple: p,
		append: func(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
			position, err := p.Append(ctx, events, condition)
			if errors.Is(err, dcb.ErrConflict) {
				lost++
			}
			if err == nil {
				position += lost
			}
			return position, err
		},
	}
}

func halfOfInvalid(p *simple) dcb.Store {
	return &faulty{simple: p, append: func(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
		position, err := p.Append(ctx, events, condition)
		if errors.Is(err, dcb.ErrInvalid) && len(events) > 1 {
			_, _ = p.Append(ctx, events[:1], nil)
		}
		return position, err
	}}
}

// races checks the condition in one step and records in another.
func races(p *simple) dcb.Store {
	return &faulty{simple: p, append: func(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
		if condition == nil {
			return p.Append(ctx, events, nil)
		}
		for _, e := range p.seen() {
			if e.Position > condition.After && condition.FailIfEventsMatch.Matches(e.Event) {
				return 0, &dcb.ConflictError{Position: e.Position}
			}
		}
		meet()
		return p.Append(ctx, events, nil)
	}}
}

// mixes records the events of an append one by one, and reads between two of them.
func mixes(p *simple) dcb.Store {
	const between = 2 * time.Millisecond
	return &faulty{
		simple: p,
		append: func(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (position dcb.Position, err error) {
			for i := range events {
				if position, err = p.Append(ctx, events[i:i+1], condition); err != nil {
					return position, err
				}
				time.Sleep(between)
			}
			return position, nil
		},
		read: func(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
			time.Sleep(between / 2)
			return p.Read(ctx, q, opts)
		},
	}
}
