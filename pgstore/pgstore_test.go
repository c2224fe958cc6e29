package pgstore_test

import (
	"testing"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/dcbtest"
	"github.com/dcbstore/dcb/internal/modeltest"
	"github.com/dcbstore/dcb/internal/pgtest"
	"github.com/dcbstore/dcb/internal/race"
	"github.com/dcbstore/dcb/pgstore"
)

var strategies = []pgstore.Index{pgstore.Tags, pgstore.TSVector}

// eachStrategy runs test for both strategies, in parallel.
func eachStrategy(t *testing.T, test func(t *testing.T, index pgstore.Index)) {
	t.Helper()
	for _, index := range strategies {
		t.Run(string(index), func(t *testing.T) {
			t.Parallel()
			test(t, index)
		})
	}
}

// handle is a store that knows where its events are.
type handle struct {
	*pgstore.Store
	dsn     string
	options pgstore.Options
}

// open opens a store in a new schema of the shared server.
func open(t testing.TB, index pgstore.Index) *handle {
	t.Helper()
	return openAt(t, pgtest.DSN(t), pgstore.Options{Schema: pgtest.Schema(t), Index: index})
}

// slow is longer than anything takes that is not broken, on a machine that is busy with other things.
const slow = 10 * time.Minute

// openAt opens the store that dsn and options name; it is closed at the end of the test, if it was not before.
func openAt(t testing.TB, dsn string, options pgstore.Options) *handle {
	t.Helper()
	options.CommitTimeout = slow
	store, err := pgstore.Open(t.Context(), dsn, &options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return &handle{store, dsn, options}
}

// again opens the events of h once more, as another process would.
func (h *handle) again(t testing.TB) *handle {
	t.Helper()
	return openAt(t, h.dsn, h.options)
}

func suite(index pgstore.Index) dcbtest.Suite {
	return dcbtest.Suite{
		Open:   func(t testing.TB) dcb.Store { return open(t, index) },
		Second: func(t testing.TB, s dcb.Store) dcb.Store { return s.(*handle).again(t) },
		Reopen: func(t testing.TB, s dcb.Store) dcb.Store {
			if err := s.(*handle).Close(); err != nil {
				t.Fatal(err)
			}
			return s.(*handle).again(t)
		},
		WithoutLarge: race.Enabled,
		Timeout:      slow,
	}
}

func TestStoreKeepsTheContract(t *testing.T) {
	eachStrategy(t, func(t *testing.T, index pgstore.Index) { suite(index).Run(t) })
}

func TestStoreDoesWhatTheModelDoes(t *testing.T) {
	t.Parallel()
	eachStrategy(t, func(t *testing.T, index pgstore.Index) {
		modeltest.Check(t, func(t testing.TB) dcb.Store { return open(t, index) })
	})
}
