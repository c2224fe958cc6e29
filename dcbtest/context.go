package dcbtest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/dcbstore/dcb"
)

// call is a method or a helper, with valid arguments. Wait and Follow do not end by themselves.
type call struct {
	subject string // of the names of its cases
	do      func(ctx context.Context, s dcb.Store) error
}

func allCalls() []call {
	return []call{
		{"Append", func(ctx context.Context, s dcb.Store) error {
			_, err := s.Append(ctx, []dcb.Event{event("New", "new")}, nil)
			return err
		}},
		{"Append condition", func(ctx context.Context, s dcb.Store) error {
			_, err := s.Append(ctx, []dcb.Event{event("New", "new")}, &dcb.AppendCondition{FailIfEventsMatch: tagged("new")})
			return err
		}},
		{"Read", func(ctx context.Context, s dcb.Store) error {
			_, err := s.Read(ctx, dcb.All(), dcb.ReadOptions{})
			return err
		}},
		{"ReadPage", func(ctx context.Context, s dcb.Store) error {
			_, err := dcb.ReadPage(ctx, s, dcb.All(), dcb.ReadOptions{}, 1000)
			return err
		}},
		{"Head", func(ctx context.Context, s dcb.Store) error {
			_, err := s.Head(ctx)
			return err
		}},
		{"Wait", func(ctx context.Context, s dcb.Store) error {
			_, err := s.Wait(ctx, math.MaxUint64)
			return err
		}},
		{"Stream", func(ctx context.Context, s dcb.Store) error {
			var last error
			for _, err := range dcb.Stream(ctx, s, dcb.All(), dcb.ReadOptions{}) {
				last = err
			}
			return last
		}},
		{"Follow", func(ctx context.Context, s dcb.Store) error {
			var last error
			for _, err := range dcb.Follow(ctx, s, dcb.All(), 0) {
				last = err
			}
			return last
		}},
	}
}

// contextCases check what the end of a context does to each call.
func contextCases() []Case {
	var cases []Case
	for _, c := range allCalls() {
		cases = append(cases,
			Case{Name: c.subject + "/fails if its context is cancelled", Rule: ruleContext, Run: cancelled(c)},
			Case{Name: c.subject + "/fails if its deadline has passed", Rule: ruleContext, Run: expired(c)})
	}
	return append(cases,
		Case{
			Name: "Append/ignores the end of its context after it has returned",
			Rule: ruleContext,
			Run: func(t *T) {
				ctx, cancel := context.WithCancel(t.ctx)
				if _, err := t.Store.Append(ctx, []dcb.Event{event("T")}, nil); err != nil {
					t.Fatalf("Append: %w", err)
				}
				cancel()
				t.append(event("T"))
				t.holds(event("T"), event("T"))
			},
		},
		Case{
			Name: "Append/records all events or none if its context ends on the way",
			Rule: ruleUnknownOutcome,
			Run:  cancelDuringAppends,
		},
	)
}

func cancelled(c call) func(t *T) {
	return func(t *T) {
		t.append(event("T"))
		ctx, cancel := context.WithCancel(t.ctx)
		cancel()
		if err := c.do(ctx, t.Store); !errors.Is(err, context.Canceled) {
			t.Errorf("%s with a cancelled context returned error %v, want context.Canceled", c.subject, err)
		}
		t.holds(event("T"))
	}
}

func expired(c call) func(t *T) {
	return func(t *T) {
		t.append(event("T"))
		ctx, cancel := context.WithDeadline(t.ctx, time.Now().Add(-time.Hour))
		defer cancel()
		if err := c.do(ctx, t.Store); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s after its deadline returned error %v, want context.DeadlineExceeded", c.subject, err)
		}
		t.holds(event("T"))
	}
}

// cancelDuringAppends has eight callers; every other one cancels each append at a random moment.
func cancelDuringAppends(t *T) {
	t.concurrently(8, func(caller int) {
		for i := range 20 {
			tag := fmt.Sprintf("call:%d:%d", caller, i)
			batch := []dcb.Event{event("T", tag), event("T", tag), event("T", tag)}
			if caller%2 == 0 {
				t.append(batch...)
				continue
			}
			ctx, cancel := context.WithCancel(t.ctx)
			t.Go(cancel)
			_, err := t.Store.Append(ctx, batch, nil)
			cancel()
			if err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("Append with a context cancelled on the way returned error %w, want none or context.Canceled", err)
			}
			if found := len(t.read(tagged(tag), dcb.ReadOptions{}).Events); err == nil && found != 3 {
				t.Errorf("an Append of 3 events succeeded and left %d", found)
			}
		}
	})
	t.wantDense()
	t.wantContiguous(3)
}
