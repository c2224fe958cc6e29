package pgstore

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// modes chooses how statements are sent. Prepared ones are cheapest, but a pooler in transaction mode may send the statement's name
// to a session that never heard of it. Then, and from then on, the store sends the text each time.
type modes struct {
	pooled  atomic.Bool
	abandon time.Duration // how long a call that its caller has left may go on behind a pooler
}

// try has call made in the mode to use, a second time if that was the wrong one: the server refused the name, so nothing was done.
func try[T any](ctx context.Context, m *modes, call func(context.Context, pgx.QueryExecMode) (T, error)) (T, error) {
	if !m.pooled.Load() {
		result, err := call(ctx, pgx.QueryExecModeCacheStatement)
		if !unknownStatement(err) {
			return result, err
		}
		m.pooled.Store(true)
	}
	return tryPooled(ctx, m, call)
}

// tryPooled never breaks off a call. pgx would send a cancel request, and PgBouncer 1.18 to 1.20 may crash when it gets one
// (pgbouncer/pgbouncer#822), together with everybody else's connections. So the caller leaves, and the call goes on.
func tryPooled[T any](ctx context.Context, m *modes, call func(context.Context, pgx.QueryExecMode) (T, error)) (T, error) {
	type answer struct {
		result T
		err    error
	}
	answered := make(chan answer, 1)
	going, stop := context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		defer stop()
		result, err := call(going, pgx.QueryExecModeCacheDescribe)
		answered <- answer{result, err}
	}()
	select {
	case a := <-answered:
		return a.result, a.err
	case <-ctx.Done():
		time.AfterFunc(m.abandon, stop)
		var none T
		return none, ctx.Err()
	}
}

func unknownStatement(err error) bool {
	const invalidSQLStatementName, duplicatePreparedStatement = "26000", "42P05"
	var refused *pgconn.PgError
	return errors.As(err, &refused) && (refused.Code == invalidSQLStatementName || refused.Code == duplicatePreparedStatement)
}
