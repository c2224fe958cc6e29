package dcbtest

import (
	"context"
	"errors"
	"io"
	"math"
	"time"

	"github.com/dcbstore/dcb"
)

func waitCases() []Case {
	return []Case{
		{
			Name: "Wait/returns at once if the head is greater",
			Rule: ruleWait,
			Run: func(t *T) {
				t.append(event("T"), event("T"), event("T"))
				for after := range dcb.Position(3) {
					if head := t.wait(t.Store, after); head != 3 {
						t.Errorf("Wait(%d) = %d, want 3", after, head)
					}
				}
			},
		},
		{
			Name: "Wait/returns after an append",
			Rule: ruleWait,
			Run: func(t *T) {
				for range 20 {
					head := t.head()
					t.background(func() { t.waitPast(t.Store, head) })
					t.append(event("T"))
					t.goroutines.Wait()
				}
			},
		},
		{
			Name: "Wait/does not return before the head is greater",
			Rule: ruleWait,
			Run: func(t *T) {
				for range 20 {
					after := t.head() + 3
					t.background(func() { t.waitPast(t.Store, after) })
					for range 3 {
						t.append(event("T"))
					}
					t.pause() // a Wait that returns now returns too early
					t.append(event("T"))
					t.goroutines.Wait()
				}
			},
		},
		{
			Name: "Wait/does not return after a failed append",
			Rule: ruleWait + " " + ruleFailedAppend,
			Run: func(t *T) {
				t.append(event("T"))
				t.background(func() { t.waitPast(t.Store, 1) })
				for range 10 {
					t.appendConflicts(dcb.All(), 0, event("T"))
					t.appendFails(dcb.ErrInvalid, nil, event(""))
				}
				t.append(event("T"))
			},
		},
		{
			Name: "Wait/one append ends the waits of many callers",
			Rule: ruleGoroutines + " " + ruleWait,
			Run: func(t *T) {
				for range 50 {
					t.Go(func() { t.waitPast(t.Store, 0) })
				}
				t.append(event("T"))
			},
		},
		{
			Name: "Wait/many callers wait for different positions",
			Rule: ruleGoroutines + " " + ruleWait,
			Run: func(t *T) {
				for after := range dcb.Position(30) {
					t.Go(func() { t.waitPast(t.Store, after) })
				}
				for range 30 {
					t.append(event("T"))
				}
			},
		},
		{
			Name: "Wait/Read sees the head that Wait returned",
			Rule: ruleVisibleInOrder,
			Run: func(t *T) {
				t.Go(func() {
					for range 30 {
						t.append(event("T", "x"), event("T", "x"))
					}
				})
				for head := dcb.Position(0); head < 60; {
					head = t.wait(t.Store, head)
					if result := t.read(tagged("x"), dcb.ReadOptions{}); result.Head < head || len(result.Events) < int(head) {
						t.Fatalf("Read after Wait = %d returned head %d and %d events", head, result.Head, len(result.Events))
					}
				}
			},
		},
		{
			Name: "Wait/loses no wake-up",
			Rule: ruleWait,
			Run: func(t *T) {
				const rounds = 200
				play := func(own dcb.Position) { // one player appends odd positions, the other even ones
					for next := own; next <= rounds; next += 2 {
						if next > 1 {
							t.wait(t.Store, next-2)
						}
						t.append(event("T"))
					}
				}
				t.Go(func() { play(1) })
				t.Go(func() { play(2) })
				t.goroutines.Wait()
				if head := t.head(); head != rounds {
					t.Errorf("Head = %d, want %d", head, rounds)
				}
			},
		},
		{
			Name: "Wait/returns when its context is cancelled",
			Rule: ruleContext,
			Run: func(t *T) {
				t.append(event("T"))
				for _, after := range []dcb.Position{1, 2, 1 << 63, math.MaxUint64} {
					ctx, cancel := context.WithCancel(t.ctx)
					t.background(func() { t.waitFails(ctx, after, context.Canceled) })
					cancel()
					t.goroutines.Wait()
				}
			},
		},
		{
			Name: "Wait/returns at its deadline",
			Rule: ruleContext,
			Run: func(t *T) {
				ctx, cancel := context.WithTimeout(t.ctx, 5*time.Millisecond)
				defer cancel()
				t.waitFails(ctx, 0, context.DeadlineExceeded)
			},
		},
		{
			Name: "Wait/a cancelled call does not end the others",
			Rule: ruleContext,
			Run: func(t *T) {
				ctx, cancel := context.WithCancel(t.ctx)
				for range 10 {
					t.background(func() { t.waitPast(t.Store, 0) })
				}
				cancelled := make(chan struct{})
				t.Go(func() {
					defer close(cancelled)
					t.waitFails(ctx, 0, context.Canceled)
				})
				cancel()
				<-cancelled
				t.append(event("T"))
			},
		},
		{
			Name: "Wait/returns ErrClosed when the store is closed",
			Rule: ruleClose,
			Run: func(t *T) {
				closer, ok := t.Store.(io.Closer)
				if !ok {
					return
				}
				for range 10 {
					t.background(func() { t.waitFails(t.ctx, math.MaxUint64, dcb.ErrClosed) })
				}
				if err := closer.Close(); err != nil {
					t.Errorf("Close: %w", err)
				}
			},
		},
	}
}

func (t *T) wait(s dcb.Store, after dcb.Position) dcb.Position {
	head, err := s.Wait(t.ctx, after)
	if err != nil {
		t.Fatalf("Wait(%d): %w", after, err)
	}
	return head
}

// waitPast checks that Wait returns a head greater than after.
func (t *T) waitPast(s dcb.Store, after dcb.Position) {
	if head := t.wait(s, after); head <= after {
		t.Errorf("Wait(%d) = %d, want a greater head", after, head)
	}
}

func (t *T) waitFails(ctx context.Context, after dcb.Position, target error) {
	if head, err := t.Store.Wait(ctx, after); !errors.Is(err, target) {
		t.Errorf("Wait(%d) = %d, error %v, want error %v", after, head, err, target)
	}
}

// background runs f in a goroutine and gives it time to block. Whether f blocks already cannot be
// seen from outside, so a case must be right either way.
func (t *T) background(f func()) {
	begun := make(chan struct{})
	t.Go(func() {
		close(begun)
		f()
	})
	<-begun
	t.pause()
}

// pause lets the other goroutines of the case run for a millisecond and for the time of one call.
func (t *T) pause() {
	time.Sleep(time.Millisecond)
	t.head()
}
