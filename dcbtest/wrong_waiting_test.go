package dcbtest

import (
	"context"
	"errors"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dcbstore/dcb"
)

func wrongWaiting() []fault {
	return []fault{
		{name: "a wake-up is lost", caughtBy: "waiting/no wake-up is lost", hangs: true, wrong: waitingBy(func(ctx context.Context, p *simple, after dcb.Position) (dcb.Position, error) {
			if head, err := p.Head(ctx); err != nil || head > after {
				return head, err
			}
			meet() // what is recorded here wakes nobody
			return nextAppend(ctx, p)
		})},
		{name: "Wait waits for the next append even if the head is greater", caughtBy: "waiting/at once when the head is greater", hangs: true, wrong: waitingBy(func(ctx context.Context, p *simple, _ dcb.Position) (dcb.Position, error) {
			return nextAppend(ctx, p)
		})},
		{name: "Wait returns at the next append, whatever it waits for", caughtBy: "waiting/not before the head is greater", wrong: waitingBy(func(ctx context.Context, p *simple, after dcb.Position) (dcb.Position, error) {
			if head, err := p.Head(ctx); err != nil || head > after {
				return head, err
			}
			return p.Wait(ctx, max(after, 2)-2)
		})},
		{name: "Wait returns at once", caughtBy: "waiting/until something is recorded", wrong: waitingBy(func(ctx context.Context, p *simple, _ dcb.Position) (dcb.Position, error) {
			return p.Head(ctx)
		})},
		{name: "Wait returns when the head is reached", caughtBy: "waiting/refused appends wake nobody", wrong: waitingBy(func(ctx context.Context, p *simple, after dcb.Position) (dcb.Position, error) {
			return p.Wait(ctx, max(after, 1)-1)
		})},
		{name: "an append wakes one of those who wait", caughtBy: "waiting/several wait for the same event", hangs: true, wrong: func(p *simple) dcb.Store {
			var woken atomic.Bool
			return waitingBy(func(ctx context.Context, p *simple, after dcb.Position) (dcb.Position, error) {
				head, err := p.Wait(ctx, after)
				if err == nil && woken.Swap(true) {
					<-ctx.Done()
					return 0, ctx.Err()
				}
				return head, err
			})(p)
		}},
		{name: "Wait returns the position that was waited for", caughtBy: "waiting/at once when the head is greater", wrong: waitingBy(func(ctx context.Context, p *simple, after dcb.Position) (dcb.Position, error) {
			_, err := p.Wait(ctx, after)
			return after + 1, err
		})},
		{name: "Wait returns a head that cannot be read yet", caughtBy: "waiting/what was waited for can be read", wrong: waitingBy(func(ctx context.Context, p *simple, after dcb.Position) (dcb.Position, error) {
			head, err := p.Wait(ctx, after)
			return head + 1, err
		})},
		{name: "Wait does not mind its context", caughtBy: "waiting/a cancelled context ends it", hangs: true, wrong: waitingBy(func(_ context.Context, p *simple, after dcb.Position) (dcb.Position, error) {
			return p.Wait(context.Background(), after)
		})},
		{name: "Wait does not mind its deadline", caughtBy: "waiting/a deadline ends it", hangs: true, wrong: waitingBy(func(_ context.Context, p *simple, after dcb.Position) (dcb.Position, error) {
			return p.Wait(context.Background(), after)
		})},
		{name: "one Wait that ends ends all", caughtBy: "waiting/one that is cancelled leaves the others waiting", wrong: func(p *simple) dcb.Store {
			var once sync.Once
			ended := make(chan struct{})
			return waitingBy(func(ctx context.Context, p *simple, after dcb.Position) (dcb.Position, error) {
				waiting, stop := context.WithCancel(ctx)
				defer stop()
				go func() {
					select {
					case <-ended:
						stop()
					case <-waiting.Done():
					}
				}()
				head, err := p.Wait(waiting, after)
				if ctx.Err() != nil {
					once.Do(func() { close(ended) })
					meet() // so that the others end before the next append wakes them
				}
				return head, err
			})(p)
		}},
		{name: "Close wakes nobody", caughtBy: "waiting/closing the store ends it", hangs: true, wrong: waitingBy(func(ctx context.Context, p *simple, after dcb.Position) (dcb.Position, error) {
			head, err := p.Wait(ctx, after)
			if errors.Is(err, dcb.ErrClosed) {
				<-ctx.Done()
				return 0, ctx.Err()
			}
			return head, err
		})},
		{name: "the head lags", caughtBy: "reading/an append is read as soon as it returned", wrong: func(p *simple) dcb.Store {
			return &faulty{simple: p, head: func(ctx context.Context) (dcb.Position, error) {
				head, err := p.Head(ctx)
				return head - min(head, 1), err
			}}
		}},
	}
}

func waitingBy(wait func(ctx context.Context, p *simple, after dcb.Position) (dcb.Position, error)) func(p *simple) dcb.Store {
	return func(p *simple) dcb.Store {
		return &faulty{simple: p, wait: func(ctx context.Context, after dcb.Position) (dcb.Position, error) { return wait(ctx, p, after) }}
	}
}

// nextAppend waits for the next append, whatever the head is.
func nextAppend(ctx context.Context, p *simple) (dcb.Position, error) {
	head, err := p.Head(ctx)
	if err != nil {
		return 0, err
	}
	return p.Wait(ctx, head)
}

func wrongEndings() []fault {
	ignoring := func(p *simple) dcb.Store {
		return &faulty{
			simple: p,
			append: func(_ context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
				return p.Append(context.Background(), events, condition)
			},
			read: func(_ context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
				return p.Read(context.Background(), q, opts)
			},
			head: func(context.Context) (dcb.Position, error) { return p.Head(context.Background()) },
		}
	}
	unclosed := func(p *simple) dcb.Store { return &faulty{simple: p, close: func() error { return nil }} }
	return []fault{
		{name: "Append does not mind its context", caughtBy: "contexts/Append with a cancelled context", wrong: ignoring},
		{name: "Append does not mind its deadline", caughtBy: "contexts/a conditional Append after its deadline", wrong: ignoring},
		{name: "Read does not mind its context", caughtBy: "contexts/Read with a cancelled context", wrong: ignoring},
		{name: "Head does not mind its context", caughtBy: "contexts/Head with a cancelled context", wrong: ignoring},
		{name: "an append with a cancelled context is recorded all the same", caughtBy: "contexts/Append with a cancelled context", wrong: func(p *simple) dcb.Store {
			return &faulty{simple: p, append: func(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
				position, err := p.Append(context.Background(), events, condition)
				return position, errors.Join(err, ctx.Err())
			}}
		}},
		{name: "a cancelled context leaves half an append", caughtBy: "contexts/one that ends during an append leaves it whole or nothing", wrong: mixes},
		{name: "the context's error is lost", caughtBy: "contexts/Read after its deadline", wrong: func(p *simple) dcb.Store {
			return &faulty{simple: p, read: func(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
				result, err := p.Read(ctx, q, opts)
				if err != nil {
					err = &dcb.UnavailableError{Cause: errors.New(err.Error())}
				}
				return result, err
			}}
		}},
		{name: "a closed store still appends", caughtBy: "closing/Append after Close", wrong: unclosed},
		{name: "a closed store still reads", caughtBy: "closing/Read after Close", wrong: unclosed},
		{name: "a closed store still has a head", caughtBy: "closing/Head after Close", wrong: unclosed},
		{name: "a closed store still waits", caughtBy: "closing/Wait after Close", hangs: true, wrong: unclosed},
		{name: "closing twice is another error", caughtBy: "closing/twice", wrong: func(p *simple) dcb.Store {
			closed := false
			return &faulty{simple: p, close: func() error {
				if closed {
					return errors.New("file already closed")
				}
				closed = true
				return p.Close()
			}}
		}},
		{name: "Append hangs and does not mind its context", caughtBy: "appending/positions are dense from 1", hangs: true, wrong: func(p *simple) dcb.Store {
			return &faulty{simple: p, append: func(context.Context, []dcb.Event, *dcb.AppendCondition) (dcb.Position, error) {
				<-p.closed
				return 0, dcb.ErrClosed
			}}
		}},
		{name: "stores share their events", caughtBy: "appending/stores do not share anything", wrong: (&globalStore{}).open},
	}
}

// globalStore is one store, however often it is opened.
type globalStore struct{ first atomic.Pointer[simple] }

func (g *globalStore) open(p *simple) dcb.Store {
	g.first.CompareAndSwap(nil, p)
	return g.first.Load()
}

// streaming is a store with a Stream of its own.
type streaming struct {
	*simple
	stream func(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) iter.Seq2[dcb.SequencedEvent, error]
}

func (s *streaming) Stream(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) iter.Seq2[dcb.SequencedEvent, error] {
	return s.stream(ctx, q, opts)
}

// following is a store with a Follow of its own.
type following struct {
	*simple
	follow func(ctx context.Context, q dcb.Query, after dcb.Position) iter.Seq2[dcb.ReadResult, error]
}

func (f *following) Follow(ctx context.Context, q dcb.Query, after dcb.Position) iter.Seq2[dcb.ReadResult, error] {
	return f.follow(ctx, q, after)
}

func wrongIterators() []fault {
	return []fault{
		{name: "Stream looks before the first pull", caughtBy: "streaming/what is recorded before the first pull is included", wrong: func(p *simple) dcb.Store {
			return &streaming{p, func(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) iter.Seq2[dcb.SequencedEvent, error] {
				result, err := p.Read(ctx, q, opts)
				return yielding(result.Events, err)
			}}
		}},
		{name: "Stream follows what is being recorded", caughtBy: "streaming/what is recorded after the first pull is not included", hangs: true, wrong: func(p *simple) dcb.Store {
			return &streaming{p, func(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) iter.Seq2[dcb.SequencedEvent, error] {
				return func(yield func(dcb.SequencedEvent, error) bool) {
					for e, err := range dcb.Subscribe(ctx, p, q, opts.After) {
						time.Sleep(time.Second) // or it would never stop: the clock of the bubble would
						if !yield(e, err) {
							return
						}
					}
				}
			}}
		}},
		{name: "Stream goes on after an error", caughtBy: "streaming/an invalid query or limit is refused", wrong: streamingBy(func(s iter.Seq2[dcb.SequencedEvent, error], yield func(dcb.SequencedEvent, error) bool) {
			s(yield)
			yield(dcb.SequencedEvent{}, nil)
		})},
		{name: "Stream hides its error", caughtBy: "contexts/Stream with a cancelled context", wrong: streamingBy(func(s iter.Seq2[dcb.SequencedEvent, error], yield func(dcb.SequencedEvent, error) bool) {
			for e, err := range s {
				if err != nil || !yield(e, nil) {
					return
				}
			}
		})},
		{name: "Stream does not mind its context", caughtBy: "streaming/a cancelled context ends it", wrong: func(p *simple) dcb.Store {
			return &streaming{p, func(_ context.Context, q dcb.Query, opts dcb.ReadOptions) iter.Seq2[dcb.SequencedEvent, error] {
				return dcb.Stream(context.Background(), p, q, opts)
			}}
		}},
		{name: "Stream forgets the limit", caughtBy: "streaming/with every kind of options", wrong: func(p *simple) dcb.Store {
			return &streaming{p, func(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) iter.Seq2[dcb.SequencedEvent, error] {
				opts.Limit = 0
				return dcb.Stream(ctx, p, q, opts)
			}}
		}},
		{name: "Follow waits for the first event", caughtBy: "following/the first batch comes at once", hangs: true, wrong: followingBy(func(batch dcb.ReadResult) (dcb.ReadResult, bool) {
			return batch, len(batch.Events) > 0
		})},
		{name: "Follow is silent when nothing matches", caughtBy: "following/the head comes along when nothing matches", hangs: true, wrong: followingBy(func(batch dcb.ReadResult) (dcb.ReadResult, bool) {
			return batch, batch.Head == 2 || len(batch.Events) > 0
		})},
		{name: "the head of a batch is that of its last event", caughtBy: "following/going on at the head that was reached", wrong: followingBy(func(batch dcb.ReadResult) (dcb.ReadResult, bool) {
			if n := len(batch.Events); n > 1 {
				batch.Head = batch.Events[n-2].Position
			}
			return batch, true
		})},
		{name: "Follow begins at the head", caughtBy: "following/what is recorded, then what is being recorded", hangs: true, wrong: func(p *simple) dcb.Store {
			return &following{p, func(ctx context.Context, q dcb.Query, _ dcb.Position) iter.Seq2[dcb.ReadResult, error] {
				return func(yield func(dcb.ReadResult, error) bool) {
					head, _ := p.Wait(ctx, 700)
					dcb.Follow(ctx, p, q, head)(yield)
				}
			}}
		}},
		{name: "Follow is sent back by a lower head", caughtBy: "following/after a position beyond the head", wrong: followingBy(func(batch dcb.ReadResult) (dcb.ReadResult, bool) {
			batch.Head = min(batch.Head, 1)
			return batch, true
		})},
	}
}

func yielding(events []dcb.SequencedEvent, err error) iter.Seq2[dcb.SequencedEvent, error] {
	return func(yield func(dcb.SequencedEvent, error) bool) {
		for _, e := range events {
			if !yield(e, nil) {
				return
			}
		}
		if err != nil {
			yield(dcb.SequencedEvent{}, err)
		}
	}
}

// streamingBy is a store whose Stream changes a correct one.
func streamingBy(change func(s iter.Seq2[dcb.SequencedEvent, error], yield func(dcb.SequencedEvent, error) bool)) func(p *simple) dcb.Store {
	return func(p *simple) dcb.Store {
		return &streaming{p, func(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) iter.Seq2[dcb.SequencedEvent, error] {
			return func(yield func(dcb.SequencedEvent, error) bool) { change(dcb.Stream(ctx, p, q, opts), yield) }
		}}
	}
}

// followingBy is a store whose Follow changes the batches of a correct one, and leaves some out.
func followingBy(change func(batch dcb.ReadResult) (dcb.ReadResult, bool)) func(p *simple) dcb.Store {
	return func(p *simple) dcb.Store {
		return &following{p, func(ctx context.Context, q dcb.Query, after dcb.Position) iter.Seq2[dcb.ReadResult, error] {
			return func(yield func(dcb.ReadResult, error) bool) {
				for batch, err := range dcb.Follow(ctx, p, q, after) {
					changed, yes := change(batch)
					if (yes || err != nil) && !yield(changed, err) {
						return
					}
				}
			}
		}}
	}
}
