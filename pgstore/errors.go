package pgstore

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/dcbstore/dcb"
)

// sent says what a failed call may have left behind.
type sent bool

const (
	onlyRead   sent = false
	appendSent sent = true
)

// failed returns the error of a call that pgx ended with err, as the contract names it. The context is the caller's.
func (s *Store) failed(ctx context.Context, operation string, err error, sent sent) error {
	select {
	case <-s.closed:
		if !sent {
			return dcb.ErrClosed
		}
	default:
	}
	return fmt.Errorf("pgstore: %s: %w", operation, translate(ctx, err, sent))
}

// translate is the only place where errors of PostgreSQL and of the connection to it become those of the contract.
func translate(ctx context.Context, err error, sent sent) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var refused *pgconn.PgError
	if !errors.As(err, &refused) {
		var refusal refusal
		if errors.Is(err, dcb.ErrCorrupt) || errors.As(err, &refusal) {
			return err
		}
		return &dcb.UnavailableError{Cause: err, OutcomeUnknown: bool(sent) && !nothingSent(err)}
	}
	switch {
	case refused.Code == "XX001" || refused.Code == "XX002": // data_corrupted, index_corrupted
		return fmt.Errorf("%w: %w", dcb.ErrCorrupt, err)
	case mayPass(refused.Code):
		return &dcb.UnavailableError{Cause: err, OutcomeUnknown: bool(sent) && !rolledBack(refused) && !nothingSent(err)}
	}
	return err
}

// rolledBack reports whether the error ended the transaction and not the session, whose end may have come after the commit. The severity is
// not always a server's: some poolers report a server that they lost as a mere error.
func rolledBack(refused *pgconn.PgError) bool {
	return refused.SeverityUnlocalized == "ERROR" && !strings.HasPrefix(refused.Code, "08")
}

// nothingSent reports whether the statement never reached the server.
func nothingSent(err error) bool {
	var unsent *unsentError
	return errors.As(err, &unsent) || pgconn.SafeToRetry(err)
}

// unsentError is the error of a call that got no connection.
type unsentError struct{ error }

func (e *unsentError) Unwrap() error { return e.error }

// mayPass reports whether an error with this code is about the state that the server, or the schema, is in now.
func mayPass(code string) bool {
	switch code {
	case "25006", // read_only_sql_transaction: a standby, after a failover
		"25P03", "25P04", // the timeouts of a transaction
		"3D000", "3F000", "42P01", "42883", // the database, schema, table or function is not there (any more)
		"XX000": // internal_error, as after a failed disk
		return true
	}
	switch code[:min(2, len(code))] {
	case "08", // connection exception
		"40", // transaction rollback: deadlock, serialization
		"53", // insufficient resources: disk full, too many connections
		"55", // not in the prerequisite state: lock not available
		"57", // operator intervention: shutdown, restart, statement timeout
		"58": // system error: I/O
		return true
	}
	return false
}

// refusal is an error of Open that is about what was found, and not about reaching it.
type refusal string

func (r refusal) Error() string { return string(r) }

func refuse(format string, args ...any) error { return refusal(fmt.Sprintf(format, args...)) }

func isClosed(err error) bool { return errors.Is(err, dcb.ErrClosed) }
