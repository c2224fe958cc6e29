// Package dcbtest is the conformance kit for stores of events with Dynamic Consistency Boundaries: it checks that a
// [dcb.Store] keeps the contract. A store's own test runs it in one line:
//
//	func TestStore(t *testing.T) {
//		dcbtest.Run(t, func(t testing.TB) dcb.Store { return memstore.New(nil) })
//	}
//
// The kit is data: [Cases] lists what is checked, and each [Case] names the sentence of the contract that it stands for.
// [Suite] has options for stores whose events outlive a handle or are shared by several. [Benchmark] measures any store.
//
// What only shows when calls meet is found in histories: a [history.Workload] lets many callers use a store at random and records it, and
// [history.History.Check] compares what each of them saw with what the store holds in the end. Some cases do that; tests that disturb a store,
// by killing its server for example, can do it too. A history that is wrong tells its seed, which the environment variable
// DCB_SEED takes.
//
// The kit is itself tested, with deliberately wrong stores, each of which the case named for it must catch.
package dcbtest

import (
	"testing"
	"time"

	"github.com/dcbstore/dcb"
)

// Run checks a store against every case that needs nothing but a new, empty store. Each case runs as a parallel subtest, on a
// store of its own.
func Run(t *testing.T, open func(t testing.TB) dcb.Store) {
	t.Helper()
	Suite{Open: open}.Run(t)
}

// Suite checks a kind of store. Only Open is required.
type Suite struct {
	// Open returns a new, empty store that shares nothing with any other. If it is an io.Closer the kit closes it; what else
	// there is to clean up, open leaves to t.Cleanup.
	Open func(t testing.TB) dcb.Store
	// Second returns another handle on the events of s, such as another process would have. The kit closes it like s.
	// Default nil: the cases that need it are left out.
	Second func(t testing.TB, s dcb.Store) dcb.Store
	// Reopen closes s and opens its events again. Default nil: the cases that need it are left out.
	Reopen func(t testing.TB, s dcb.Store) dcb.Store
	// WithoutLarge leaves out the cases that move tens of megabytes. A wire that is slow, with the race detector for example, may run them
	// elsewhere. Default: they are run.
	WithoutLarge bool
	// Timeout is how long a case may take. One that takes longer has hung, and has failed. Default 5 min, so that a hang is found late rather than
	// a slow machine taken for one.
	Timeout time.Duration
}

// Case is one thing that every store must do.
type Case struct {
	// Name is made of two parts, the subject and the statement: "conditions/an event at After is ignored".
	Name string
	// Rule is the sentence of the contract or the specification that the case checks.
	Rule string
	// Needs says what a suite must have for the case to be run. Default 0: Open alone.
	Needs Need
	// Large says that tens of megabytes are moved.
	Large bool
	// Run carries the case out.
	Run func(t *T)
}

// Need is a set of the optional functions of a [Suite].
type Need uint8

// What a case may need beyond Suite.Open.
const (
	NeedSecond Need = 1 << iota // Suite.Second
	NeedReopen                  // Suite.Reopen
)

// Run runs the cases for which s has what they need, each as a parallel subtest.
func (s Suite) Run(t *testing.T) {
	t.Helper()
	for _, c := range Cases() {
		if c.Needs&^s.offers() != 0 || c.Large && s.WithoutLarge {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			if err := s.Check(t, c); err != nil {
				t.Errorf("%v\nthe rule: %s", err, c.Rule)
			}
		})
	}
}

// Check carries out one case on a new store, and returns what the store did wrong, or nil. It uses tb to open stores and for
// nothing else, so that a test of the kit can expect a failure. It panics if s lacks what c needs.
func (s Suite) Check(tb testing.TB, c Case) error {
	tb.Helper()
	if c.Needs&^s.offers() != 0 {
		panic("dcbtest: the suite lacks what the case needs: " + c.Name)
	}
	if s.Timeout <= 0 {
		s.Timeout = 5 * time.Minute
	}
	return run(tb, s, c)
}

func (s Suite) offers() Need {
	var offers Need
	if s.Second != nil {
		offers |= NeedSecond
	}
	if s.Reopen != nil {
		offers |= NeedReopen
	}
	return offers
}
