// Package kinds lets tests run on every kind of store. [All] is the one list of them.
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
	// Name is that of the subtest.
	Name string
	// NewURL returns the URL of a new, empty store that goes with the test.
	NewURL func(t testing.TB) string
	// Shared says that the URL can be opened several times at once, as by several processes.
	Shared bool
}

// Handles returns two handles of a new store: each of its own, as two processes have it, where the kind allows it.
func (k Kind) Handles(t testing.TB) [2]dcb.Store {
	t.Helper()
	url := k.NewURL(t)
	one := Open(t, url)
	if !k.Shared {
		return [2]dcb.Store{one, one}
	}
	return [2]dcb.Store{one, Open(t, url)}
}

// All returns every kind of store that there is.
func All() []Kind {
	return []Kind{
		{Name: "memory", NewURL: func(testing.TB) string { return "mem:" }},
		{Name: "directory", NewURL: func(t testing.TB) string { return "disk:" + t.TempDir() }},
		{Name: "PostgreSQL tags", NewURL: func(t testing.TB) string { return pgtest.URL(t) + "&dcb_index=tags" }, Shared: true},
		{Name: "PostgreSQL tsvector", NewURL: func(t testing.TB) string { return pgtest.URL(t) + "&dcb_index=tsvector" }, Shared: true},
		{Name: "server", NewURL: func(t testing.TB) string { return serve(t, "dcb://", "disk:"+t.TempDir()) }, Shared: true},
		{Name: "server by UmaDB's protocol", NewURL: func(t testing.TB) string { return serve(t, "dcb+umadb://", "mem:") }, Shared: true},
	}
}

// serve serves a store on an address of its own until the end of the test, and returns the URL to reach it by.
func serve(t testing.TB, scheme, url string) string {
	t.Helper()
	var server interface {
		Serve(listener net.Listener) error
		Close()
	}
	var err error
	if scheme == "dcb://" {
		server, err = dcbnet.NewServer(Open(t, url), nil)
	} else {
		server, err = umadb.NewServer(Open(t, url), nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return scheme + listener.Addr().String()
}

// Main runs the tests of a package, and stops what they shared. It returns the exit code.
func Main(m *testing.M) int { return pgtest.Main(m) }

// OnEvery runs test as a parallel subtest for each kind of store, on a new store each.
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

// Open opens the store that url names, and closes it at the end of the test.
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
