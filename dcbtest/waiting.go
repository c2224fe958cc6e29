package dcbtest

import (
	"context"
	"errors"
	"io"
	"math"
	"time"

	"github.com/dcbstore/dcb"
)

const waitRule = "Wait(ctx, p) returns the head as soon as it is greater than p."

func waitingCases() []Case {
	return []Case{
		{
			Name: "waiting/at once when the head is greater",
			Rule: waitRule,
			Run: func(t *T) {
				t.append(event("T"), event("T"), event("T"))
				for after := range dcb.Position(3) {
					if head := t.wait(t.Store, after); head != 3 {
						t.Errorf("waiting after %d returned %d, want 3", after, head)
					}
				}
			},
		},
		{
			Name: "waiting/until something is recorded",
			Rule: waitRule,
			Run: func(t *T) {
				for range 20 {
					head := t.head()
					t.background(func() { t.waitPast(t.Store, head) })
					t.append(event("T"))
					t.others.Wait()
				}
			},
		},
		{
			Name: "waiting/not before the head is greater",
			Rule: waitRule,
			Run: func(t *T) {
				for range 20 {
					after := t.head() + 3
					t.background(func() { t.waitPast(t.Store, after) })
					for range 3 {
						t.append(event("T"))
					}
					t.pause() // who wakes now is early
					t.append(event("T"))
					t.others.Wait()
				}
			},
		},
		{
			Name: "waiting/refused appends wake nobody",
			Rule: waitRule,
			Run: func(t *T) {
				t.append(event("T"))
				t.background(func() { t.waitPast(t.Store, 1) })
				for range 10 {
					t.conflicts(dcb.All(), 0, event("T"))
					t.refused(dcb.ErrInvalid, nil, event(""))
				}
				t.append(event("T"))
			},
		},
		{
			Name: "waiting/several wait for the same event",
			Rule: "Any number of goroutines may call a store's methods at once. " + waitRule,
			Run: func(t *T) {
				for range 50 {
					t.Go(func() { t.waitPast(t.Store, 0) })
				}
				t.append(event("T"))
			},
		},
		{
			Name: "waiting/several wait for different events",
			Rule: "Any number of goroutines may call a store's methods at once. " + waitRule,
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
			Name: "waiting/what was waited for can be read",
			Rule: "Positions become visible in order: every read after Wait returned sees what is at and below the head that it returned.",
			Run: func(t *T) {
				t.Go(func() {
					for range 30 {
						t.append(event("T", "x"), event("T", "x"))
					}
				})
				for head := dcb.Position(0); head < 60; {
					head = t.wait(t.Store, head)
					if result := t.read(tagged("x"), dcb.ReadOptions{}); result.Head < head || len(result.Events) < int(head) {
						t.Fatalf("after waiting until %d a read has head %d and %d events", head, result.Head, len(result.Events))
					}
				}
			},
		},
		{
			Name: "waiting/no wake-up is lost",
			Rule: waitRule,
			Run: func(t *T) {
				const rounds = 200
				play := func(own dcb.Position) { // one player records the odd positions, the other the even ones
					for next := own; next <= rounds; next += 2 {
						if next > 1 {
							t.wait(t.Store, next-2)
						}
						t.append(event("T"))
					}
				}
				t.Go(func() { play(1) })
				t.Go(func() { play(2) })
				t.others.Wait()
				if head := t.head(); head != rounds {
					t.Errorf("the head is %d, want %d", head, rounds)
				}
			},
		},
		{
			Name: "waiting/a cancelled context ends it",
			Rule: "Wait ends early with the context's error.",
			Run: func(t *T) {
				t.append(event("T"))
				for _, after := range []dcb.Position{1, 2, 1 << 63, math.MaxUint64} {
					ctx, cancel := context.WithCancel(t.ctx)
					t.background(func() { t.waitFails(ctx, after, context.Canceled) })
					cancel()
					t.others.Wait()
				}
			},
		},
		{
			Name: "waiting/a deadline ends it",
			Rule: "Wait ends early with the context's error.",
			Run: func(t *T) {
				ctx, cancel := context.WithTimeout(t.ctx, 5*time.Millisecond)
				defer cancel()
				t.waitFails(ctx, 0, context.DeadlineExceeded)
			},
		},
		{
			Name: "waiting/one that is cancelled leaves the others waiting",
			Rule: "A context ends the call that it was given to, and no other.",
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
			Name: "waiting/closing the store ends it",
			Rule: "Wait ends with ErrClosed when the store is closed.",
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

// waitPast waits, and expects a greater head.
func (t *T) waitPast(s dcb.Store, after dcb.Position) {
	if head := t.wait(s, after); head <= after {
		t.Errorf("waiting after %d returned %d", after, head)
	}
}

// background runs f in a goroutine, and returns when f has begun and had time to come to where it waits. That it has come there cannot
// be known from outside: what follows must be right either way.
func (t *T) background(f func()) {
	begun := make(chan struct{})
	t.Go(func() {
		close(begun)
		f()
	})
	<-begun
	t.pause()
}

// pause lets the other goroutines of the case go on for a moment, and for as long as a call takes.
func (t *T) pause() {
	time.Sleep(time.Millisecond)
	t.head()
}

func (t *T) waitFails(ctx context.Context, after dcb.Position, target error) {
	if head, err := t.Store.Wait(ctx, after); !errors.Is(err, target) {
		t.Errorf("Wait(%d) returned %d and error %v, want error %v", after, head, err, target)
	}
}
