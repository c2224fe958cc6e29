package pgstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/dcbstore/dcb"
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
