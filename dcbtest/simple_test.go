package dcbtest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/model"
)

// shared is what several simple stores have in common: the events.
type shared struct {
	mu    sync.Mutex // guards what follows
	log   model.Log
	risen chan struct{} // closed and replaced when the log grows
	last  time.Time
}

// simple is a correct store: a model behind a mutex. The wrong stores are made of it.
type simple struct {
	*shared
	closing sync.Once
	closed  chan struct{}
}

func newSimple() *simple { return (&shared{risen: make(chan struct{})}).open() }

func (s *shared) open() *simple { return &simple{shared: s, closed: make(chan struct{})} }

// base returns the correct store that a wrong one is made of.
func (p *simple) base() *simple { return p }

func (p *simple) usable(ctx context.Context) error {
	select {
	case <-p.closed:
		return dcb.ErrClosed
	default:
		return ctx.Err()
	}
}

func (p *simple) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	if err := p.usable(ctx); err != nil {
		return 0, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.record(events, condition)
}

// record appends and wakes who waits. The caller holds the mutex.
func (p *simple) record(events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	if now := time.Now().UTC().Truncate(time.Microsecond); now.After(p.last) {
		p.last = now
	}
	position, err := p.log.Append(events, condition, p.last)
	if err == nil {
		p.wake()
	}
	return position, err
}

func (p *simple) wake() {
	close(p.risen)
	p.risen = make(chan struct{})
}

func (p *simple) Read(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
	if err := p.usable(ctx); err != nil {
		return dcb.ReadResult{}, err
	}
	return p.seen().Read(q, opts)
}

// seen returns the log as it is now, which is not changed any more.
func (p *simple) seen() model.Log {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log
}

func (p *simple) Head(ctx context.Context) (dcb.Position, error) {
	if err := p.usable(ctx); err != nil {
		return 0, err
	}
	return p.seen().Head(), nil
}

func (p *simple) Wait(ctx context.Context, after dcb.Position) (dcb.Position, error) {
	for {
		if err := p.usable(ctx); err != nil {
			return 0, err
		}
		p.mu.Lock()
		head, risen := p.log.Head(), p.risen
		p.mu.Unlock()
		if head > after {
			return head, nil
		}
		select {
		case <-risen:
		case <-ctx.Done():
		case <-p.closed:
		}
	}
}

func (p *simple) Close() error {
	p.closing.Do(func() { close(p.closed) })
	return nil
}

// suiteOf returns a suite whose stores are made of simple ones.
func suiteOf(made func(p *simple) dcb.Store) Suite {
	return Suite{
		Open: func(t testing.TB) dcb.Store {
			p := newSimple()
			t.Cleanup(func() { _ = p.Close() }) // for the calls that hang, whatever becomes of their context
			return made(p)
		},
		Second: func(_ testing.TB, s dcb.Store) dcb.Store {
			return made(s.(interface{ base() *simple }).base().open())
		},
		Reopen: func(t testing.TB, s dcb.Store) dcb.Store {
			base := s.(interface{ base() *simple }).base()
			if err := base.Close(); err != nil {
				t.Fatal(err)
			}
			return made(base.open())
		},
	}
}

func right(p *simple) dcb.Store { return p }

func TestASimpleStoreKeepsTheContract(t *testing.T) {
	suiteOf(right).Run(t)
}
