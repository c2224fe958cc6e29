package dcbgrpc

import (
	"testing"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/dcbtest"
	"github.com/dcbstore/dcb/internal/modeltest"
	"github.com/dcbstore/dcb/internal/racing"
	"github.com/dcbstore/dcb/memstore"
)

// umadbHandle is a client that knows its server.
type umadbHandle struct {
	*UmaDBClient
	serving *umadbServing
}

func umadbSuite(serve func(t testing.TB) *umadbServing) dcbtest.Suite {
	return dcbtest.Suite{
		WithoutLarge: racing.Watched,
		Open: func(t testing.TB) dcb.Store {
			s := serve(t)
			return &umadbHandle{s.client(t), s}
		},
		Second: func(t testing.TB, s dcb.Store) dcb.Store {
			h := s.(*umadbHandle)
			return &umadbHandle{h.serving.client(t), h.serving}
		},
		Reopen: func(t testing.TB, s dcb.Store) dcb.Store {
			h := s.(*umadbHandle)
			if err := h.Close(); err != nil {
				t.Fatal(err)
			}
			return &umadbHandle{h.serving.client(t), h.serving}
		},
		Timeout: 5 * testPatience,
	}
}

// The disk is reached over loopback and the others by a listener in memory.
func TestUmaDBClientKeepsTheContract(t *testing.T) {
	t.Parallel()
	for kind, open := range umadbKinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			serve := serveUmaDB
			if kind == "disk" {
				serve = serveUmaDBByLoopback
			}
			umadbSuite(func(t testing.TB) *umadbServing { return serve(t, open(t), ServerOptions{}) }).Run(t)
		})
	}
}

func TestUmaDBClientAnswersAsTheModel(t *testing.T) {
	t.Parallel()
	modeltest.Check(t, func(t testing.TB) dcb.Store {
		return serveUmaDB(t, memstore.New(nil), ServerOptions{}).client(t)
	})
}
