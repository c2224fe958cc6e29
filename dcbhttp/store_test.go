package dcbhttp

import (
	"context"
	"iter"
	"testing"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/dcbtest"
	"github.com/dcbstore/dcb/diskstore"
	"github.com/dcbstore/dcb/internal/modeltest"
	"github.com/dcbstore/dcb/internal/pgtest"
	"github.com/dcbstore/dcb/internal/race"
	"github.com/dcbstore/dcb/memstore"
	"github.com/dcbstore/dcb/pgstore"
)

// kinds lists the stores that the tests serve. Open returns a new store, and a function that
// reopens the same events.
var kinds = []struct {
	name string
	open func(t testing.TB) (store dcb.Store, again func() dcb.Store)
}{
	{"memory", func(testing.TB) (dcb.Store, func() dcb.Store) {
		store := memstore.New(nil)
		return store, func() dcb.Store { return store }
	}},
	{"disk", func(t testing.TB) (dcb.Store, func() dcb.Store) {
		dir := t.TempDir()
		var store *diskstore.Store
		open := func() dcb.Store {
			if store != nil {
				if err := store.Close(); err != nil {
					t.Error(err)
				}
			}
			var err error
			if store, err = diskstore.Open(dir, nil); err != nil {
				t.Fatal(err)
			}
			return store
		}
		t.Cleanup(func() { _ = store.Close() })
		return open(), open
	}},
	{"postgres", func(t testing.TB) (dcb.Store, func() dcb.Store) {
		dsn, options := pgtest.DSN(t), pgstore.Options{Schema: pgtest.Schema(t)}
		open := func() dcb.Store {
			store, err := pgstore.Open(t.Context(), dsn, &options)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = store.Close() })
			return store
		}
		return open(), open
	}},
}

// remote is a client with its server.
type remote struct {
	*client
	server *served
	again  func() dcb.Store
}

// wrap returns the store for the kit. It follows by server-sent events, or by reading and waiting.
func (r *remote) wrap(events bool) dcb.Store {
	if events {
		return &following{remote: r, events: follower{r.client}}
	}
	return r
}

// following is a remote that follows by server-sent events.
type following struct {
	*remote
	events follower
}

func (f *following) Follow(ctx context.Context, q dcb.Query, after dcb.Position) iter.Seq2[dcb.ReadResult, error] {
	return f.events.Follow(ctx, q, after)
}

// serveSuite serves a store with short pauses between events with the head, for which the kit
// waits.
func serveSuite(t testing.TB, store dcb.Store, loopback bool) *served {
	t.Helper()
	h, err := New(store, nil)
	if err != nil {
		t.Fatal(err)
	}
	h.timeouts.progress = 20 * time.Millisecond
	return h.serveAt(t, loopback)
}

func suite(open func(t testing.TB) (dcb.Store, func() dcb.Store), loopback, events bool) dcbtest.Suite {
	of := func(s dcb.Store) *remote {
		if f, ok := s.(*following); ok {
			return f.remote
		}
		return s.(*remote)
	}
	return dcbtest.Suite{
		Timeout:      5 * testTimeout, // some cases make thousands of calls
		WithoutLarge: race.Enabled,
		Open: func(t testing.TB) dcb.Store {
			store, again := open(t)
			server := serveSuite(t, store, loopback)
			return (&remote{server.client(), server, again}).wrap(events)
		},
		Second: func(t testing.TB, s dcb.Store) dcb.Store {
			first := of(s)
			return (&remote{first.server.client(), first.server, first.again}).wrap(events)
		},
		Reopen: func(t testing.TB, s dcb.Store) dcb.Store {
			before := of(s)
			if err := before.Close(); err != nil {
				t.Fatal(err)
			}
			server := serveSuite(t, before.again(), loopback)
			return (&remote{server.client(), server, before.again}).wrap(events)
		},
	}
}

func TestServeHTTPKeepsTheContract(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			if kind.name != "disk" {
				t.Run("over pipes", func(t *testing.T) { suite(kind.open, false, false).Run(t) })
			}
			if kind.name != "postgres" {
				t.Run("over loopback, following by events", func(t *testing.T) { suite(kind.open, true, true).Run(t) })
			}
		})
	}
}

func TestServeHTTPAgreesWithTheModel(t *testing.T) {
	t.Parallel()
	modeltest.Check(t, func(t testing.TB) dcb.Store { return serve(t, memstore.New(nil), nil, false).client() })
}
