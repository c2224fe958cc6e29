package dcbgrpc

import (
	"testing"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/dcbtest"
	"github.com/dcbstore/dcb/internal/modeltest"
	"github.com/dcbstore/dcb/memstore"
)

// umadbHandle is a client that knows its server.
type umadbHandle struct {
	*UmaDBClient
	serving *umadbServing
}

func umadbSuite(serve func(t testing.TB) *umadbServing) dcbtest.Suite {
	return dcbtest.Suite{
		Open: func(t testing.TB) dcb.Store {
			s := serve(t)
			return &umadbHandle{s.client(t, ClientOptions{}), s}
		},
		Second: func(t testing.TB, s dcb.Store) dcb.Store {
			h := s.(*umadbHandle)
			return &umadbHandle{h.serving.client(t, ClientOptions{}), h.serving}
		},
		Reopen: func(t testing.TB, s dcb.Store) dcb.Store {
			h := s.(*umadbHandle)
			if err := h.Close(); err != nil {
				t.Fatal(err)
			}
			return &umadbHandle{h.serving.client(t, ClientOptions{}), h.serving}
		},
		Timeout: 2 * time.Minute,
	}
}

func TestUmaDBClientKeepsTheContract(t *testing.T) {
	t.Parallel()
	for kind, open := range umadbKinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			umadbSuite(func(t testing.TB) *umadbServing { return serveUmaDB(t, open(t), ServerOptions{}) }).Run(t)
		})
	}
	t.Run("memory by loopback", func(t *testing.T) {
		t.Parallel()
		umadbSuite(func(t testing.TB) *umadbServing { return serveUmaDBByLoopback(t, memstore.New(nil), ServerOptions{}) }).Run(t)
	})
}

func TestUmaDBClientAnswersAsTheModel(t *testing.T) {
	t.Parallel()
	modeltest.Check(t, func(t testing.TB) dcb.Store {
		return serveUmaDB(t, memstore.New(nil), ServerOptions{}).client(t, ClientOptions{})
	})
}
