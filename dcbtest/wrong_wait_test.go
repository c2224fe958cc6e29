package dcbtest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/dcbstore/dcb"
)

// wrongWaits wake too early, too late or never.
func wrongWaits() []faultyStore {
	return []faultyStore{
		{
			name: "a wake-up is lost", caughtBy: "Wait/loses no wake-up", hangs: true,
			build: replacingWait(func(ctx context.Context, s *simpleStore, after dcb.Position) (dcb.Position, error) {
				if head, err := s.Head(ctx); err != nil || head > after {
					return head, err
				}
				letOthersRun() // an append now does not wake this call
				return nextAppend(ctx, s)
			}),
		},
		{
			name:     "Wait ignores a greater head",
			caughtBy: "Wait/returns at once if the head is greater", hangs: true,
			build: replacingWait(func(ctx context.Context, s *simpleStore, _ dcb.Position) (dcb.Position, error) {
				return nextAppend(ctx, s)
			}),
		},
		{
			name: "Wait returns after any append", caughtBy: "Wait/does not return before the head is greater",
			build: replacingWait(func(ctx context.Context, s *simpleStore, after dcb.Position) (dcb.Position, error) {
				if head, err := s.Head(ctx); err != nil || head > after {
					return head, err
				}
				return s.Wait(ctx, max(after, 2)-2)
			}),
		},
		{
			name: "Wait returns at once", caughtBy: "Wait/returns after an append",
			build: replacingWait(func(ctx context.Context, s *simpleStore, _ dcb.Position) (dcb.Position, error) {
				return s.Head(ctx)
			}),
		},
		{
			name: "Wait returns when the head is equal", caughtBy: "Wait/does not return after a failed append",
			build: replacingWait(func(ctx context.Context, s *simpleStore, after dcb.Position) (dcb.Position, error) {
				return s.Wait(ctx, max(after, 1)-1)
			}),
		},
		{
			name:     "an append wakes one call",
			caughtBy: "Wait/one append ends the waits of many callers", hangs: true,
			build: wakingOne,
		},
		{
			name:     "the first append wakes one call",
			caughtBy: "Wait/many callers wait for different positions", hangs: true,
			build: wakingOne,
		},
		{
			name: "Wait returns its argument plus one", caughtBy: "Wait/returns at once if the head is greater",
			build: replacingWait(func(ctx context.Context, s *simpleStore, after dcb.Position) (dcb.Position, error) {
				_, err := s.Wait(ctx, after)
				return after + 1, err
			}),
		},
		{
			name:     "Wait returns a head that Read does not see",
			caughtBy: "Wait/Read sees the head that Wait returned",
			build: replacingWait(func(ctx context.Context, s *simpleStore, after dcb.Position) (dcb.Position, error) {
				head, err := s.Wait(ctx, after)
				return head + 1, err
			}),
		},
		{
			name:     "Wait ignores the end of its context",
			caughtBy: "Wait/returns when its context is cancelled", hangs: true,
			build: waitWithoutContext,
		},
		{
			name: "Wait ignores its deadline", caughtBy: "Wait/returns at its deadline", hangs: true,
			build: waitWithoutContext,
		},
		{
			name: "a cancelled Wait ends the others", caughtBy: "Wait/a cancelled call does not end the others",
			build: endingAllWaits,
		},
		{
			name:     "Close does not end a Wait",
			caughtBy: "Wait/returns ErrClosed when the store is closed", hangs: true,
			build: replacingWait(func(ctx context.Context, s *simpleStore, after dcb.Position) (dcb.Position, error) {
				head, err := s.Wait(ctx, after)
				if errors.Is(err, dcb.ErrClosed) {
					<-ctx.Done()
					return 0, ctx.Err()
				}
				return head, err
			}),
		},
	}
}

// replacingWait builds a store with another Wait.
func replacingWait(wait func(ctx context.Context, s *simpleStore, after dcb.Position) (dcb.Position, error)) builder {
	return func(s *simpleStore) dcb.Store {
		return &patchedStore{simpleStore: s, wait: func(ctx context.Context, after dcb.Position) (dcb.Position, error) {
			return wait(ctx, s, after)
		}}
	}
}

// nextAppend waits for the next append, whatever the head is.
func nextAppend(ctx context.Context, s *simpleStore) (dcb.Position, error) {
	head, err := s.Head(ctx)
	if err != nil {
		return 0, err
	}
	return s.Wait(ctx, head)
}

func waitWithoutContext(s *simpleStore) dcb.Store {
	return replacingWait(func(_ context.Context, s *simpleStore, after dcb.Position) (dcb.Position, error) {
		return s.Wait(context.Background(), after)
	})(s)
}

// wakingOne builds a store in which only one Wait ever returns.
func wakingOne(s *simpleStore) dcb.Store {
	var woken atomic.Bool
	return replacingWait(func(ctx context.Context, s *simpleStore, after dcb.Position) (dcb.Position, error) {
		head, err := s.Wait(ctx, after)
		if err == nil && woken.Swap(true) {
			<-ctx.Done()
			return 0, ctx.Err()
		}
		return head, err
	})(s)
}

// endingAllWaits builds a store in which the end of one call's context ends all waiting calls.
func endingAllWaits(s *simpleStore) dcb.Store {
	var once sync.Once
	ended := make(chan struct{})
	return replacingWait(func(ctx context.Context, s *simpleStore, after dcb.Position) (dcb.Position, error) {
		waiting, stop := context.WithCancel(ctx)
		defer stop()
		go func() {
			select {
			case <-ended:
				stop()
			case <-waiting.Done():
			}
		}()
		head, err := s.Wait(waiting, after)
		if ctx.Err() != nil {
			once.Do(func() { close(ended) })
			letOthersRun() // the other calls end before the next append could wake them
		}
		return head, err
	})(s)
}
