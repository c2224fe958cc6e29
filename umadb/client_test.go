package umadb

import (
	"testing"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/dcbtest"
	"github.com/dcbstore/dcb/internal/modeltest"
	"github.com/dcbstore/dcb/internal/race"
	"github.com/dcbstore/dcb/memstore"
)

// handle is a client as a store of the kit, which opens further clients of the same server.
type handle struct {
	*Client
	server *served
}

func suite(serve func(t testing.TB) *served) dcbtest.Suite {
	return dcbtest.Suite{
		WithoutLarge: race.Enabled,
		Open: func(t testing.TB) dcb.Store {
			s := serve(t)
			return &handle{s.client(t), s}
		},
		Second: func(t testing.TB, s dcb.Store) dcb.Store {
			h := s.(*handle)
			return &handle{h.server.client(t), h.server}
		},
		Reopen: func(t testing.TB, s dcb.Store) dcb.Store {
			h := s.(*handle)
			if err := h.Close(); err != nil {
				t.Fatal(err)
			}
			return &handle{h.server.client(t), h.server}
		},
		Timeout: 5 * testPatience,
	}
}

// The directory is served over TCP, the others in memory.
func TestClientKeepsTheContract(t *testing.T) {
	t.Parallel()
	for kind, open := range storeKinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			serve := serve
			if kind == "disk" {
				serve = serveTCP
			}
			suite(func(t testing.TB) *served { return serve(t, open(t), ServerOptions{}) }).Run(t)
		})
	}
}

func TestClientAnswersLikeTheModel(t *testing.T) {
	t.Parallel()
	modeltest.Check(t, func(t testing.TB) dcb.Store {
		return serve(t, memstore.New(nil), ServerOptions{}).client(t)
	})
}
