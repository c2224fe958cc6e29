package dcbtest

import (
	"context"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dcbstore/dcb"
)

// fault is a way to be wrong, and the case that must catch it.
type fault struct {
	name     string
	caughtBy string
	hangs    bool // the case must find that it hangs
	wrong    func(p *simple) dcb.Store
	reopened func(p *simple) // what reopening does to the events, beyond opening them
}

func faults() []fault {
	return slices.Concat(wrongMatching(), wrongReading(), wrongAppending(), wrongRetries(), wrongMemory(), wrongWaiting(), wrongEndings(),
		wrongIterators(), wrongHandles())
}

// Each case is run once, in a bubble. Its clock stands still as long as anything can go on, so that a slow machine is never taken for a
// hang; and a store that sleeps where it is open to a race wakes when everybody else has come as far as he can, so that the race takes place.
func TestEveryWrongStoreIsCaughtByTheCaseNamedForIt(t *testing.T) {
	cases := make(map[string]Case)
	for _, c := range Cases() {
		cases[c.Name] = c
	}
	seen := make(map[string]bool)
	for _, f := range faults() {
		if seen[f.name] {
			t.Errorf("two wrong stores are called %q", f.name)
		}
		seen[f.name] = true
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			c, ok := cases[f.caughtBy]
			if !ok {
				t.Fatalf("there is no case %q", f.caughtBy)
			}
			synctest.Test(t, func(t *testing.T) { f.mustBeCaughtBy(t, c) })
		})
	}
}

func (f fault) mustBeCaughtBy(t *testing.T, c Case) {
	t.Helper()
	t.Cleanup(func() { time.Sleep(time.Hour) }) // a case that was left behind goes on, and ends, when its store has been closed
	err := f.suite().Check(t, c)
	if err == nil {
		t.Fatalf("the case %q does not catch it", c.Name)
	}
	if hung := strings.Contains(err.Error(), "the case hung"); hung != f.hangs {
		t.Errorf("the case hung is %v, want %v: %v", hung, f.hangs, err)
	}
	if strings.Contains(err.Error(), "panic:") {
		t.Errorf("the wrong store is wrong otherwise than it is meant to be: %v", err)
	}
	t.Log(err)
	if err := suiteOf(right).Check(t, c); err != nil {
		t.Errorf("a correct store fails the case: %v", err)
	}
}

// meet lets everybody else come as far as he can, at the point where a wrong store is open to a race. In a bubble it is certain that they do.
func meet() { time.Sleep(time.Millisecond) }

func (f fault) suite() Suite {
	s := suiteOf(f.wrong)
	if f.reopened != nil {
		reopen := s.Reopen
		s.Reopen = func(t testing.TB, store dcb.Store) dcb.Store {
			reopened := reopen(t, store)
			f.reopened(reopened.(interface{ base() *simple }).base())
			return reopened
		}
	}
	return s
}

// faulty is a correct store but for the methods that are given.
type faulty struct {
	*simple
	read   func(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error)
	append func(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error)
	head   func(ctx context.Context) (dcb.Position, error)
	wait   func(ctx context.Context, after dcb.Position) (dcb.Position, error)
	close  func() error
}

var _ io.Closer = (*faulty)(nil)

func (f *faulty) Read(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
	if f.read == nil {
		return f.simple.Read(ctx, q, opts)
	}
	return f.read(ctx, q, opts)
}

func (f *faulty) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	if f.append == nil {
		return f.simple.Append(ctx, events, condition)
	}
	return f.append(ctx, events, condition)
}

func (f *faulty) Head(ctx context.Context) (dcb.Position, error) {
	if f.head == nil {
		return f.simple.Head(ctx)
	}
	return f.head(ctx)
}

func (f *faulty) Wait(ctx context.Context, after dcb.Position) (dcb.Position, error) {
	if f.wait == nil {
		return f.simple.Wait(ctx, after)
	}
	return f.wait(ctx, after)
}

func (f *faulty) Close() error {
	if f.close == nil {
		return f.simple.Close()
	}
	return f.close()
}

// asking is a store that changes what is asked of a read, and then what comes of it. Either function may be nil.
func asking(change func(q *dcb.Query, opts *dcb.ReadOptions), result func(q dcb.Query, opts dcb.ReadOptions, r *dcb.ReadResult, p *simple)) func(p *simple) dcb.Store {
	return func(p *simple) dcb.Store {
		return &faulty{simple: p, read: func(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
			askedQuery, askedOpts := q, opts
			if change != nil {
				change(&q, &opts)
			}
			r, err := p.Read(ctx, q, opts)
			if err == nil && result != nil {
				result(askedQuery, askedOpts, &r, p)
			}
			return r, err
		}}
	}
}

// given is a store that changes what it is given to append. The events are a copy.
func given(change func(events []dcb.Event, condition *dcb.AppendCondition, p *simple) ([]dcb.Event, *dcb.AppendCondition)) func(p *simple) dcb.Store {
	return func(p *simple) dcb.Store {
		return &faulty{simple: p, append: func(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
			if err := dcb.ValidateAppend(events, condition); err != nil {
				return 0, err
			}
			events, condition = change(clones(events), condition, p)
			return p.Append(ctx, events, condition)
		}}
	}
}

// instead is a store with another Append, which is called with the mutex held and valid arguments.
func instead(appending func(p *simple, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error)) func(p *simple) dcb.Store {
	return func(p *simple) dcb.Store {
		return &faulty{simple: p, append: func(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
			if err := p.usable(ctx); err != nil {
				return 0, err
			}
			if err := dcb.ValidateAppend(events, condition); err != nil {
				return 0, err
			}
			p.mu.Lock()
			defer p.mu.Unlock()
			return appending(p, events, condition)
		}}
	}
}
