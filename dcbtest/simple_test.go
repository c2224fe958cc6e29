package dcbtest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/model"
)

// sharedLog holds the events that several simpleStores have in common.
type sharedLog struct {
	mu    sync.Mutex // guards the fields below
	log   model.Log
	grown chan struct{} // closed and replaced when the log grows
	last  time.Time     // the greatest RecordedAt
}

// simpleStore is a correct store: the model, guarded by a mutex. The wrong stores are built on it.
type simpleStore struct {
	*sharedLog
	closing sync.Once
	closed  chan struct{}
}

var (
	_ dcb.Store = (*simpleStore)(nil)
	_ dcb.Pager = (*simpleStore)(nil)
)

func newSimpleStore() *simpleStore { return (&sharedLog{grown: make(chan struct{})}).open() }

// open returns another handle on the events of l.
func (l *sharedLog) open() *simpleStore {
	return &simpleStore{sharedLog: l, closed: make(chan struct{})}
}

// base returns the correct store that a wrong store embeds.
func (s *simpleStore) base() *simpleStore { return s }

// usable returns the error of a call that must not start.
func (s *simpleStore) usable(ctx context.Context) error {
	select {
	case <-s.closed:
		return dcb.ErrClosed
	default:
		return ctx.Err()
	}
}

func (s *simpleStore) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	if err := s.usable(ctx); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.record(appendArgs{events, condition})
}

// record appends to the log and wakes the waiting calls. The caller holds the mutex.
func (s *simpleStore) record(a appendArgs) (dcb.Position, error) {
	if now := time.Now().UTC().Truncate(time.Microsecond); now.After(s.last) {
		s.last = now
	}
	position, err := s.log.Append(a.events, a.condition, s.last)
	if err == nil {
		s.wake()
	}
	return position, err
}

// wake ends the waits of other calls. The caller holds the mutex.
func (s *simpleStore) wake() {
	close(s.grown)
	s.grown = make(chan struct{})
}

func (s *simpleStore) Read(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
	if err := s.usable(ctx); err != nil {
		return dcb.ReadResult{}, err
	}
	return s.snapshot().Read(q, opts)
}

func (s *simpleStore) ReadPage(ctx context.Context, q dcb.Query, opts dcb.ReadOptions, bytes int) (dcb.ReadResult, error) {
	if err := s.usable(ctx); err != nil {
		return dcb.ReadResult{}, err
	}
	if err := dcb.ValidateRead(q, opts); err != nil {
		return dcb.ReadResult{}, err
	}
	return pageOf(s.snapshot(), wantPage{q, opts, bytes}), nil
}

// snapshot returns the log as it is now. Later appends do not change it.
func (s *simpleStore) snapshot() model.Log {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log
}

func (s *simpleStore) Head(ctx context.Context) (dcb.Position, error) {
	if err := s.usable(ctx); err != nil {
		return 0, err
	}
	return s.snapshot().Head(), nil
}

func (s *simpleStore) Wait(ctx context.Context, after dcb.Position) (dcb.Position, error) {
	for {
		if err := s.usable(ctx); err != nil {
			return 0, err
		}
		s.mu.Lock()
		head, grown := s.log.Head(), s.grown
		s.mu.Unlock()
		if head > after {
			return head, nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
		case <-s.closed:
		}
	}
}

func (s *simpleStore) Close() error {
	s.closing.Do(func() { close(s.closed) })
	return nil
}

// builder turns a correct store into the store under test.
type builder = func(s *simpleStore) dcb.Store

// correct returns the correct store itself.
func correct(s *simpleStore) dcb.Store { return s }

// suiteOf returns a suite of the stores that build makes.
func suiteOf(build builder) Suite {
	return Suite{
		Open: func(t testing.TB) dcb.Store {
			s := newSimpleStore()
			t.Cleanup(func() { _ = s.Close() }) // ends calls that ignore their context
			return build(s)
		},
		Second: func(_ testing.TB, s dcb.Store) dcb.Store { return build(baseOf(s).open()) },
		Reopen: func(t testing.TB, s dcb.Store) dcb.Store {
			base := baseOf(s)
			if err := base.Close(); err != nil {
				t.Fatal(err)
			}
			return build(base.open())
		},
	}
}

func baseOf(s dcb.Store) *simpleStore {
	return s.(interface{ base() *simpleStore }).base()
}

func TestSuiteRunPassesACorrectStore(t *testing.T) {
	t.Run("pager", func(t *testing.T) { suiteOf(correct).Run(t) })
	t.Run("no pager", func(t *testing.T) { suiteOf(func(s *simpleStore) dcb.Store { return &unpagedStore{s} }).Run(t) })
}

// unpagedStore is a correct store without optional interfaces.
type unpagedStore struct{ s *simpleStore }

func (u *unpagedStore) base() *simpleStore { return u.s }

func (u *unpagedStore) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	return u.s.Append(ctx, events, condition)
}

func (u *unpagedStore) Read(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
	return u.s.Read(ctx, q, opts)
}

func (u *unpagedStore) Head(ctx context.Context) (dcb.Position, error) { return u.s.Head(ctx) }

func (u *unpagedStore) Wait(ctx context.Context, after dcb.Position) (dcb.Position, error) {
	return u.s.Wait(ctx, after)
}

func (u *unpagedStore) Close() error { return u.s.Close() }
