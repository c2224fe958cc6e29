package dcbtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/dcbstore/dcb"
)

const (
	cancelRule = "A call may end with its context's error; a cancelled one changes nothing."
	closedRule = "After Close every call fails with ErrClosed."
)

// call is one of a store's methods, with valid arguments that need not wait.
type call struct {
	name string
	do   func(ctx context.Context, s dcb.Store) error
}

func calls() []call {
	return []call{
		{"Append", func(ctx context.Context, s dcb.Store) error {
			_, err := s.Append(ctx, []dcb.Event{event("New", "new")}, nil)
			return err
		}},
		{"a conditional Append", func(ctx context.Context, s dcb.Store) error {
			_, err := s.Append(ctx, []dcb.Event{event("New", "new")}, &dcb.AppendCondition{FailIfEventsMatch: tagged("new")})
			return err
		}},
		{"Read", func(ctx context.Context, s dcb.Store) error {
			_, err := s.Read(ctx, dcb.All(), dcb.ReadOptions{})
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

func endingCases() []Case {
	var cases []Case
	for _, call := range calls() {
		cases = append(cases,
			Case{Name: "contexts/" + call.name + " with a cancelled context", Rule: cancelRule, Run: cancelled(call)},
			Case{Name: "contexts/" + call.name + " after its deadline", Rule: cancelRule, Run: expired(call)},
			Case{Name: "closing/" + call.name + " after Close", Rule: closedRule, Run: closed(call)})
	}
	return append(cases,
		Case{
			Name: "contexts/a context that ends after the call changes nothing",
			Rule: "A context ends the call that it was given to, and no other.",
			Run: func(t *T) {
				ctx, cancel := context.WithCancel(t.ctx)
				if _, err := t.Store.Append(ctx, []dcb.Event{event("T")}, nil); err != nil {
					t.Fatalf("Append: %w", err)
				}
				cancel()
				t.append(event("T"))
				t.recorded(event("T"), event("T"))
			},
		},
		Case{
			Name: "contexts/one that ends during an append leaves it whole or nothing",
			Rule: "If the context ends while an append is under way the outcome is unknown to the caller; the store is never left " +
				"half-way, and another caller's append is never affected.",
			Run: cancelDuringAppends,
		},
		Case{
			Name: "closing/twice",
			Rule: closedRule,
			Run: func(t *T) {
				closer, ok := t.Store.(io.Closer)
				if !ok {
					return
				}
				t.append(event("T"))
				if err := closer.Close(); err != nil {
					t.Errorf("Close: %w", err)
				}
				if err := closer.Close(); err != nil && !errors.Is(err, dcb.ErrClosed) {
					t.Errorf("Close again: %w", err)
				}
			},
		},
		Case{
			Name: "closing/while others append, read and wait",
			Rule: closedRule + " A call under way ends as it would have, or with ErrClosed.",
			Run:  closeDuringCalls,
		},
	)
}

func cancelled(c call) func(t *T) {
	return func(t *T) {
		t.append(event("T"))
		ctx, cancel := context.WithCancel(t.ctx)
		cancel()
		if err := c.do(ctx, t.Store); !errors.Is(err, context.Canceled) {
			t.Errorf("%s with a cancelled context returned error %v, want context.Canceled", c.name, err)
		}
		t.recorded(event("T"))
	}
}

func expired(c call) func(t *T) {
	return func(t *T) {
		t.append(event("T"))
		ctx, cancel := context.WithDeadline(t.ctx, time.Now().Add(-time.Hour))
		defer cancel()
		if err := c.do(ctx, t.Store); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s after its deadline returned error %v, want context.DeadlineExceeded", c.name, err)
		}
		t.recorded(event("T"))
	}
}

// closed returns a case function that a store which cannot be closed passes: there is nothing to keep.
func closed(c call) func(t *T) {
	return func(t *T) {
		closer, ok := t.Store.(io.Closer)
		if !ok {
			return
		}
		t.append(event("T"))
		if err := closer.Close(); err != nil {
			t.Fatalf("Close: %w", err)
		}
		if err := c.do(t.ctx, t.Store); !errors.Is(err, dcb.ErrClosed) {
			t.Errorf("%s after Close returned error %v, want ErrClosed", c.name, err)
		}
	}
}

func cancelDuringAppends(t *T) {
	t.atOnce(8, func(caller int) {
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
				t.Errorf("Append whose context ended: %w", err)
			}
			if found := len(t.read(tagged(tag), dcb.ReadOptions{}).Events); err == nil && found != 3 {
				t.Errorf("an append that succeeded left %d events, want 3", found)
			}
		}
	})
	t.dense()
	t.together(3)
}

func closeDuringCalls(t *T) {
	closer, ok := t.Store.(io.Closer)
	if !ok {
		return
	}
	ended := func(call string, err error) bool {
		if err != nil && !errors.Is(err, dcb.ErrClosed) && !errors.Is(err, dcb.ErrUnavailable) {
			t.Errorf("%s while the store was closed: %w", call, err)
		}
		return err != nil
	}
	appended := make(chan struct{}, 4)
	for range 4 {
		t.Go(func() {
			for {
				_, err := t.Store.Append(t.ctx, []dcb.Event{event("T"), event("T")}, nil)
				select {
				case appended <- struct{}{}:
				default:
				}
				if ended("Append", err) {
					return
				}
			}
		})
	}
	t.Go(func() {
		for {
			result, err := t.Store.Read(t.ctx, dcb.All(), dcb.ReadOptions{Backwards: true, Limit: 10})
			if ended("Read", err) {
				return
			}
			if len(result.Events)%2 != 0 {
				t.Errorf("half an append was read while the store was closed")
			}
		}
	})
	t.Go(func() {
		for head := dcb.Position(0); ; {
			var err error
			if head, err = t.Store.Wait(t.ctx, head); ended("Wait", err) {
				return
			}
		}
	})
	for range 4 {
		<-appended
	}
	if err := closer.Close(); err != nil {
		t.Errorf("Close: %w", err)
	}
}
