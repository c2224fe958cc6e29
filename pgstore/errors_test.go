package pgstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/pgtest"
)

func TestWhetherAnAppendMayHaveBeenRecorded(t *testing.T) {
	t.Parallel()
	refused := func(severity, code string) error {
		return fmt.Errorf("wrapped: %w", &pgconn.PgError{SeverityUnlocalized: severity, Severity: "in the server's language", Code: code})
	}
	for _, known := range []error{
		refused("ERROR", "57014"), // cancelled
		refused("ERROR", "55P03"), // no lock
		refused("ERROR", "25006"), // read-only
		refused("ERROR", "40P01"), // deadlock
	} {
		var unavailable *dcb.UnavailableError
		if err := translate(context.Background(), known, appendSent); !errors.As(err, &unavailable) || unavailable.OutcomeUnknown {
			t.Errorf("%v: %v; want dcb.ErrUnavailable, and surely not recorded", known, err)
		}
	}
	for _, unknown := range []error{
		io.ErrUnexpectedEOF,
		context.DeadlineExceeded,
		refused("FATAL", "57P01"), // the server is stopped
		refused("FATAL", "25P04"), // transaction_timeout
		refused("FATAL", "08P01"), // a pooler lost its server
		refused("ERROR", "08P01"), // older PgBouncers said so
	} {
		var unavailable *dcb.UnavailableError
		if err := translate(context.Background(), unknown, appendSent); !errors.As(err, &unavailable) || !unavailable.OutcomeUnknown {
			t.Errorf("%v: %v; want dcb.ErrUnavailable with an unknown outcome", unknown, err)
		}
		if err := translate(context.Background(), unknown, onlyRead); !errors.As(err, &unavailable) || unavailable.OutcomeUnknown {
			t.Errorf("%v on a read: %v; want dcb.ErrUnavailable", unknown, err)
		}
	}
}

func TestAnAppendThatGotNoConnectionInTimeWasNotRecorded(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), pgtest.DSN(t), &Options{Schema: pgtest.Schema(t), CommitTimeout: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	// The only connection for appends is taken, as it is while a server that is away does not even refuse one.
	conn, err := s.appends.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Append(t.Context(), []dcb.Event{{Type: "Happened"}}, nil)
	conn.Release()
	var unavailable *dcb.UnavailableError
	if !errors.As(err, &unavailable) || unavailable.OutcomeUnknown {
		t.Errorf("append: %v; want dcb.ErrUnavailable, and surely not recorded", err)
	}
}
