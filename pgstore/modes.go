package pgstore

import (
	"errors"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// modes chooses how statements are sent. Prepared ones are cheapest, but a pooler in transaction mode may send the statement's name
// to a session that never heard of it. Then, and from then on, the store sends the text each time.
type modes struct{ pooled atomic.Bool }

// try has call made in the mode to use, a second time if that was the wrong one: the server refused the name, so nothing was done.
func (m *modes) try(call func(pgx.QueryExecMode) error) error {
	if m.pooled.Load() {
		return call(pgx.QueryExecModeCacheDescribe)
	}
	err := call(pgx.QueryExecModeCacheStatement)
	if unknownStatement(err) {
		m.pooled.Store(true)
		return call(pgx.QueryExecModeCacheDescribe)
	}
	return err
}

func unknownStatement(err error) bool {
	const invalidSQLStatementName, duplicatePreparedStatement = "26000", "42P05"
	var refused *pgconn.PgError
	return errors.As(err, &refused) && (refused.Code == invalidSQLStatementName || refused.Code == duplicatePreparedStatement)
}
