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
	"github.com/dcbstore/dcb/internal/model"
)

// faultyStore is a deliberately wrong store, and the case that must catch it.
type faultyStore struct {
	name     string
	caughtBy string
	hangs    bool // the case must report a hang
	build    builder
	// reopened changes the log when the store is reopened. Default nil: the log stays.
	reopened func(s *simpleStore)
}

func faultyStores() []faultyStore {
	return slices.Concat(
		wrongEvents(), wrongAppends(), wrongLimits(), wrongConditions(), wrongRaces(), wrongRetries(),
		wrongQueries(), wrongReads(), wrongMores(), wrongPages(), wrongTimes(), wrongOwners(),
		wrongWaits(), wrongStreams(), wrongFollows(), wrongContexts(), wrongCloses(), wrongHandles(), wrongReopens(),
	)
}

// Each case runs in a synctest bubble, whose clock advances only when all goroutines block. So a
// slow machine cannot look like a hang. A wrong store that sleeps where it has a race wakes after
// every other goroutine has run as far as it can, so the race happens in every run.
func TestSuiteCheckCatchesEveryWrongStore(t *testing.T) {
	cases := make(map[string]Case)
	for _, c := range Cases() {
		cases[c.Name] = c
	}
	seen := make(map[string]bool)
	for _, f := range faultyStores() {
		if seen[f.name] {
			t.Errorf("two wrong stores have the name %q", f.name)
		}
		seen[f.name] = true
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			c, ok := cases[f.caughtBy]
			if !ok {
				t.Fatalf("no case has the name %q", f.caughtBy)
			}
			synctest.Test(t, func(t *testing.T) { f.mustFail(t, c) })
		})
	}
}

// A case that no faulty store fails may check nothing. The tests of package history cover the cases
// of histories.
func TestCasesCatchAtLeastOneFaultyStore(t *testing.T) {
	catches := make(map[string]bool)
	for _, f := range faultyStores() {
		catches[f.caughtBy] = true
	}
	for _, c := range Cases() {
		if !catches[c.Name] && !strings.HasPrefix(c.Name, "History/") {
			t.Errorf("no faulty store fails the case %q", c.Name)
		}
	}
}

// mustFail checks that c fails on f, in the way that f expects, and passes on a correct store.
func (f faultyStore) mustFail(t *testing.T, c Case) {
	t.Helper()
	// A case that ignores its context ends after its store has been closed. The bubble waits for it.
	t.Cleanup(func() { time.Sleep(time.Hour) })
	err := f.suite().Check(t, c)
	if err == nil {
		t.Fatalf("the case %q passes", c.Name)
	}
	if hung := strings.Contains(err.Error(), "the case hung"); hung != f.hangs {
		t.Errorf("hung = %v, want %v: %v", hung, f.hangs, err)
	}
	if strings.Contains(err.Error(), "panic:") {
		t.Errorf("the wrong store panics instead of failing the case: %v", err)
	}
	t.Log(err)
	if err := suiteOf(correct).Check(t, c); err != nil {
		t.Errorf("a correct store fails the case: %v", err)
	}
}

// letOthersRun blocks until every other goroutine of the bubble has run as far as it can.
func letOthersRun() { time.Sleep(time.Millisecond) }

func (f faultyStore) suite() Suite {
	s := suiteOf(f.build)
	if f.reopened != nil {
		reopen := s.Reopen
		s.Reopen = func(t testing.TB, store dcb.Store) dcb.Store {
			reopened := reopen(t, store)
			f.reopened(baseOf(reopened))
			return reopened
		}
	}
	return s
}

// patchedStore is a correct store with some methods replaced.
type patchedStore struct {
	*simpleStore
	read func(ctx context.Context, a readArgs) (dcb.ReadResult, error)
	// page replaces ReadPage. Default nil: if read is replaced, ReadPage calls it.
	page   func(ctx context.Context, a readArgs) (dcb.ReadResult, error)
	append func(ctx context.Context, a appendArgs) (dcb.Position, error)
	head   func(ctx context.Context) (dcb.Position, error)
	wait   func(ctx context.Context, after dcb.Position) (dcb.Position, error)
	close  func() error
}

var _ io.Closer = (*patchedStore)(nil)

// appendArgs are the arguments of an Append.
type appendArgs struct {
	events    []dcb.Event
	condition *dcb.AppendCondition
}

// conflicting returns the first event of log that makes the condition fail.
func (a appendArgs) conflicting(log model.Log, matches func(dcb.Query, dcb.Event) bool) (dcb.Position, bool) {
	for _, e := range log {
		if a.condition != nil && e.Position > a.condition.After && matches(a.condition.FailIfEventsMatch, e.Event) {
			return e.Position, true
		}
	}
	return 0, false
}

func (p *patchedStore) Read(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
	if p.read == nil {
		return p.simpleStore.Read(ctx, q, opts)
	}
	return p.read(ctx, readArgs{query: q, opts: opts})
}

func (p *patchedStore) ReadPage(ctx context.Context, q dcb.Query, opts dcb.ReadOptions, bytes int) (dcb.ReadResult, error) {
	switch {
	case p.page != nil:
		return p.page(ctx, readArgs{query: q, opts: opts, bytes: bytes})
	case p.read != nil:
		return p.read(ctx, readArgs{query: q, opts: opts})
	}
	return p.simpleStore.ReadPage(ctx, q, opts, bytes)
}

func (p *patchedStore) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	if p.append == nil {
		return p.simpleStore.Append(ctx, events, condition)
	}
	return p.append(ctx, appendArgs{events, condition})
}

func (p *patchedStore) Head(ctx context.Context) (dcb.Position, error) {
	if p.head == nil {
		return p.simpleStore.Head(ctx)
	}
	return p.head(ctx)
}

func (p *patchedStore) Wait(ctx context.Context, after dcb.Position) (dcb.Position, error) {
	if p.wait == nil {
		return p.simpleStore.Wait(ctx, after)
	}
	return p.wait(ctx, after)
}

func (p *patchedStore) Close() error {
	if p.close == nil {
		return p.simpleStore.Close()
	}
	return p.close()
}

// changingRead builds a store that changes the arguments of every Read.
func changingRead(change func(q *dcb.Query, opts *dcb.ReadOptions)) builder {
	return func(s *simpleStore) dcb.Store {
		return &patchedStore{simpleStore: s, read: func(ctx context.Context, a readArgs) (dcb.ReadResult, error) {
			change(&a.query, &a.opts)
			return s.Read(ctx, a.query, a.opts)
		}}
	}
}

// readArgs are the arguments of a Read or a ReadPage, and the log where it is of use.
type readArgs struct {
	query dcb.Query
	opts  dcb.ReadOptions
	bytes int
	log   model.Log
}

// changingResult builds a store that changes the result of every Read.
func changingResult(change func(r *dcb.ReadResult, a readArgs)) builder {
	return func(s *simpleStore) dcb.Store {
		return &patchedStore{simpleStore: s, read: func(ctx context.Context, a readArgs) (dcb.ReadResult, error) {
			r, err := s.Read(ctx, a.query, a.opts)
			if err == nil {
				a.log = s.snapshot()
				change(&r, a)
			}
			return r, err
		}}
	}
}

// changingAppend builds a store that changes the arguments of every valid Append. They are copies.
func changingAppend(change func(a *appendArgs, s *simpleStore)) builder {
	return func(s *simpleStore) dcb.Store {
		return &patchedStore{simpleStore: s, append: func(ctx context.Context, a appendArgs) (dcb.Position, error) {
			if err := dcb.ValidateAppend(a.events, a.condition); err != nil {
				return 0, err
			}
			a.events = cloneEvents(a.events)
			if a.condition != nil {
				a.condition = &dcb.AppendCondition{
					FailIfEventsMatch: cloneQuery(a.condition.FailIfEventsMatch), After: a.condition.After,
				}
			}
			change(&a, s)
			return s.Append(ctx, a.events, a.condition)
		}}
	}
}

// changingEvents builds a store that changes every event that is appended.
func changingEvents(change func(e *dcb.Event)) builder {
	return changingAppend(func(a *appendArgs, _ *simpleStore) {
		for i := range a.events {
			change(&a.events[i])
		}
	})
}

// changingCondition builds a store that changes every append condition.
func changingCondition(change func(c *dcb.AppendCondition, s *simpleStore)) builder {
	return changingAppend(func(a *appendArgs, s *simpleStore) {
		if a.condition != nil {
			change(a.condition, s)
		}
	})
}

// replacingAppend builds a store with another Append. It is called with valid arguments and with
// the mutex held, so it can use record.
func replacingAppend(replacement func(s *simpleStore, a appendArgs) (dcb.Position, error)) builder {
	return func(s *simpleStore) dcb.Store {
		return &patchedStore{simpleStore: s, append: func(ctx context.Context, a appendArgs) (dcb.Position, error) {
			if err := s.usable(ctx); err != nil {
				return 0, err
			}
			if err := dcb.ValidateAppend(a.events, a.condition); err != nil {
				return 0, err
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			return replacement(s, a)
		}}
	}
}
