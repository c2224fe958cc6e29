// Package dcbtest is the conformance kit for event stores: it checks that a [dcb.Store] keeps the
// contract of package dcb. The test of a store runs it in one line:
//
//	func TestStore(t *testing.T) {
//		dcbtest.Run(t, func(t testing.TB) dcb.Store { return memstore.New(nil) })
//	}
//
// The kit is data. [Cases] returns the cases; each [Case] has a name and the sentence of the
// contract that it checks. A [Suite] also covers stores that have several handles on the same
// events, and stores that can be reopened. [Benchmark] measures any store.
//
// The cases whose names begin with "History" run many callers at random and record what each of
// them saw. They check the record against the events in the store; see package history. A failure
// prints its seed. Set the environment variable DCB_SEED to that seed to repeat the same calls.
//
// Deliberately wrong stores test the kit itself: for each of them, one named case must fail.
//
// The kit needs the standard library and github.com/google/uuid, and no other module. To read its
// source, start with [Suite] and [T], then take the files in the order of cases.go.
package dcbtest

import (
	"testing"
	"time"

	"github.com/dcbstore/dcb"
)

// Run checks a store with every case that needs only a new, empty store. Each case runs as a
// parallel subtest on a store of its own.
func Run(t *testing.T, open func(t testing.TB) dcb.Store) {
	t.Helper()
	Suite{Open: open}.Run(t)
}

// Suite describes how to open the store under test. Only Open is required.
type Suite struct {
	// Open returns a new, empty store that shares no events with any other. If the store is an
	// io.Closer, the kit closes it, in some cases more than once. Open registers any other cleanup
	// with t.Cleanup.
	Open func(t testing.TB) dcb.Store
	// Second returns another handle on the events of s, as another process would have. The kit
	// closes it like s. Default nil: cases that need a second handle are skipped.
	Second func(t testing.TB, s dcb.Store) dcb.Store
	// Reopen closes s and opens its events again. Default nil: cases that reopen are skipped.
	Reopen func(t testing.TB, s dcb.Store) dcb.Store
	// WithoutLarge skips the cases that move tens of megabytes, for example for a slow protocol
	// under the race detector. Default false: they run.
	WithoutLarge bool
	// Timeout is the longest time that a case may take. A case that takes longer has failed, as a
	// hang. Default 5 minutes: a slow machine must not look like a hang.
	Timeout time.Duration
}

// Case checks one rule of the contract.
type Case struct {
	// Name has two parts: the method under test and a statement about it, for example
	// "Append condition/ignores an event at After".
	Name string
	// Rule is the sentence of the contract that the case checks.
	Rule string
	// Needs lists what a suite must provide for the case. Default 0: Suite.Open alone.
	Needs Need
	// Large marks a case that moves tens of megabytes.
	Large bool
	// Run executes the case. It reports failures to t.
	Run func(t *T)
}

// Need is a set of the optional functions of a [Suite].
type Need uint8

// The functions that a case may need in addition to Suite.Open.
const (
	NeedSecond Need = 1 << iota // Suite.Second
	NeedReopen                  // Suite.Reopen
)

// Run runs the cases that s provides for, each as a parallel subtest.
func (s Suite) Run(t *testing.T) {
	t.Helper()
	for _, c := range Cases() {
		if c.Needs&^s.provides() != 0 || c.Large && s.WithoutLarge {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			if err := s.Check(t, c); err != nil {
				t.Errorf("%v\ncontract: %s", err, c.Rule)
			}
		})
	}
}

// Check runs one case on a new store. It returns the failures of the store, or nil if there are
// none. It uses tb only to open stores, so that a test of the kit can expect a failure. It panics
// if s does not provide what c needs.
func (s Suite) Check(tb testing.TB, c Case) error {
	tb.Helper()
	if c.Needs&^s.provides() != 0 {
		panic("dcbtest: the suite does not provide what this case needs: " + c.Name)
	}
	if s.Timeout <= 0 {
		s.Timeout = 5 * time.Minute
	}
	return run(tb, s, c)
}

func (s Suite) provides() Need {
	var provided Need
	if s.Second != nil {
		provided |= NeedSecond
	}
	if s.Reopen != nil {
		provided |= NeedReopen
	}
	return provided
}
