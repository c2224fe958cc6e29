package dcbtest

import (
	"context"
	"errors"

	"github.com/dcbstore/dcb"
)

// wrongContexts ignore the end of a context, or handle it wrongly.
func wrongContexts() []faultyStore {
	stores := []faultyStore{
		{
			name: "Append records with a cancelled context", caughtBy: "Append/fails if its context is cancelled",
			build: func(s *simpleStore) dcb.Store {
				return &patchedStore{simpleStore: s, append: func(ctx context.Context, a appendArgs) (dcb.Position, error) {
					position, err := s.Append(context.Background(), a.events, a.condition)
					return position, errors.Join(err, ctx.Err())
				}}
			},
		},
		{
			name:     "a cancelled context leaves half an append",
			caughtBy: "Append/records all events or none if its context ends on the way", build: interleaving,
		},
		{
			name: "Read loses the error of its context", caughtBy: "Read/fails if its deadline has passed",
			build: func(s *simpleStore) dcb.Store {
				return &patchedStore{simpleStore: s, read: func(ctx context.Context, a readArgs) (dcb.ReadResult, error) {
					result, err := s.Read(ctx, a.query, a.opts)
					if err != nil {
						err = &dcb.UnavailableError{Cause: errors.New(err.Error())}
					}
					return result, err
				}}
			},
		},
		{
			name:     "Append hangs and ignores its context",
			caughtBy: "Append/gives positions from 1 without gaps", hangs: true,
			build: func(s *simpleStore) dcb.Store {
				return &patchedStore{simpleStore: s, append: func(context.Context, appendArgs) (dcb.Position, error) {
					<-s.closed
					return 0, dcb.ErrClosed
				}}
			},
		},
		{
			name:     "a context ends later calls",
			caughtBy: "Append/ignores the end of its context after it has returned",
			build: func(s *simpleStore) dcb.Store {
				var first context.Context
				return &patchedStore{simpleStore: s, append: func(ctx context.Context, a appendArgs) (dcb.Position, error) {
					if first == nil {
						first = ctx //nolint:fatcontext // the fault under test
					}
					return s.Append(first, a.events, a.condition)
				}}
			},
		},
	}
	for _, method := range []string{"Append", "Append condition", "Read", "ReadPage", "Head"} {
		stores = append(stores,
			faultyStore{
				name: method + " ignores a cancelled context", caughtBy: method + "/fails if its context is cancelled",
				build: withoutContext,
			},
			faultyStore{
				name: method + " ignores a passed deadline", caughtBy: method + "/fails if its deadline has passed",
				build: withoutContext,
			})
	}
	for _, method := range []string{"Wait", "Stream", "Follow"} {
		stores = append(stores,
			faultyStore{
				name: method + " ignores a cancelled context", caughtBy: method + "/fails if its context is cancelled",
				hangs: method != "Stream", build: iteratingWithoutContext,
			},
			faultyStore{
				name: method + " ignores a passed deadline", caughtBy: method + "/fails if its deadline has passed",
				hangs: method != "Stream", build: iteratingWithoutContext,
			})
	}
	return stores
}

// withoutContext builds a store whose calls ignore their contexts.
func withoutContext(s *simpleStore) dcb.Store {
	return &patchedStore{
		simpleStore: s,
		append: func(_ context.Context, a appendArgs) (dcb.Position, error) {
			return s.Append(context.Background(), a.events, a.condition)
		},
		read: func(_ context.Context, a readArgs) (dcb.ReadResult, error) {
			return s.Read(context.Background(), a.query, a.opts)
		},
		page: func(_ context.Context, a readArgs) (dcb.ReadResult, error) {
			return s.ReadPage(context.Background(), a.query, a.opts, a.bytes)
		},
		head: func(context.Context) (dcb.Position, error) { return s.Head(context.Background()) },
	}
}

// wrongCloses go on after Close, or fail when they are closed.
func wrongCloses() []faultyStore {
	stores := []faultyStore{
		{
			name: "the second Close returns ErrClosed", caughtBy: "Close/a second call returns nil",
			build: func(s *simpleStore) dcb.Store {
				closed := false
				return &patchedStore{simpleStore: s, close: func() error {
					if closed {
						return dcb.ErrClosed
					}
					closed = true
					return s.Close()
				}}
			},
		},
		{
			name: "the second Close fails", caughtBy: "Close/a second call returns nil",
			build: func(s *simpleStore) dcb.Store {
				closed := false
				return &patchedStore{simpleStore: s, close: func() error {
					if closed {
						return errors.New("file already closed")
					}
					closed = true
					return s.Close()
				}}
			},
		},
		{
			name:     "a Wait under way fails with its own error after Close",
			caughtBy: "Close/ends calls of Append, Read and Wait that are under way",
			build: replacingWait(func(ctx context.Context, s *simpleStore, after dcb.Position) (dcb.Position, error) {
				head, err := s.Wait(ctx, after)
				if errors.Is(err, dcb.ErrClosed) {
					err = errors.New("use of a closed connection")
				}
				return head, err
			}),
		},
	}
	for _, method := range []string{"Append", "Append condition", "Read", "ReadPage", "Head", "Wait", "Stream", "Follow"} {
		stores = append(stores, faultyStore{
			name: method + " works after Close", caughtBy: method + "/fails with ErrClosed after Close",
			hangs: method == "Wait" || method == "Follow",
			build: func(s *simpleStore) dcb.Store {
				return &patchedStore{simpleStore: s, close: func() error { return nil }}
			},
		})
	}
	return stores
}
