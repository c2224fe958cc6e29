// Package kinds runs tests on every kind of store. [All] is the one list of them.
package kinds

import (
	"net"
	"testing"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/dcbnet"
	"github.com/dcbstore/dcb/internal/pgtest"
	"github.com/dcbstore/dcb/stores"
	"github.com/dcbstore/dcb/umadb"
)

// Kind is a kind of store.
type Kind struct {
	// Name names the subtest.
	Name string
	// NewURL returns the URL of a new, empty store, which is removed at the end of the test.
	NewURL func(t testing.TB) string
	// Shared reports whether the URL can be opened several times at once, as by several processes.
	Shared bool
}

// Handles returns two handles of a new store. If the kind is shared, each is opened separately, as
// two processes do. Otherwise both are the same.
func (k Kind) Handles(t testing.TB) [2]dcb.Store {
	t.Helper()
	url := k.NewURL(t)
	first := Open(t, url)
	if !k.Shared {
		return [2]dcb.Store{first, first}
	}
	return [2]dcb.Store{first, Open(t, url)}
}

// All returns every kind of store. PostgreSQL's second index strategy is not in the list: the tests
// of pgstore show that it behaves the same, and every kind costs each test a run.
func All() []Kind {
	return []Kind{
		{Name: "memory", NewURL: func(testing.TB) string { return "mem:" }},
		{Name: "directory", NewURL: newDirectory},
		{Name: "PostgreSQL", NewURL: pgtest.URL, Shared: true},
		{Name: "dcbnet server", NewURL: newDcbnetServer, Shared: true},
		{Name: "umadb server", NewURL: newUmaDBServer, Shared: true},
	}
}

func newDirectory(t testing.TB) string { return "disk:" + t.TempDir() }

func newDcbnetServer(t testing.TB) string {
	t.Helper()
	server, err := dcbnet.NewServer(Open(t, newDirectory(t)), nil)
	if err != nil {
		t.Fatal(err)
	}
	return "dcb://" + serve(t, server)
}

func newUmaDBServer(t testing.TB) string {
	t.Helper()
	server, err := umadb.NewServer(Open(t, "mem:"), nil)
	if err != nil {
		t.Fatal(err)
	}
	return "dcb+umadb://" + serve(t, server)
}

// server is a server of a protocol.
type server interface {
	Serve(listener net.Listener) error
	Close()
}

// serve runs s on a free port until the end of the test and returns its address.
func serve(t testing.TB, s server) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(listener) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}

// Main runs the tests of a package, and then stops the servers that they shared. It returns the
// exit code.
func Main(m *testing.M) int { return pgtest.Main(m) }

// OnEvery runs test as a parallel subtest for each kind of store, each on a new store.
func OnEvery(t *testing.T, test func(t *testing.T, store dcb.Store)) {
	t.Helper()
	t.Parallel()
	for _, kind := range All() {
		t.Run(kind.Name, func(t *testing.T) {
			t.Parallel()
			test(t, Open(t, kind.NewURL(t)))
		})
	}
}

// Open opens the store at url and closes it at the end of the test.
func Open(t testing.TB, url string) dcb.Store {
	t.Helper()
	store, err := stores.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}
