package edge_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/edge"
)

// inside is what an error may name that nobody outside is told.
const inside = "user@secret-host:/var/lib/secret"

func TestEachErrorHasItsCodeHoweverItIsWrapped(t *testing.T) {
	t.Parallel()
	cause := errors.New(inside)
	unavailable := func(cause error) error { return &dcb.UnavailableError{Cause: cause} }
	unknown := func(cause error) error { return &dcb.UnavailableError{OutcomeUnknown: true, Cause: cause} }
	_, invalidQuery := dcb.All(), dcb.ValidateRead(nil, dcb.ReadOptions{})
	for _, c := range []struct {
		err    error
		want   edge.Code
		hidden bool // what the text must not tell
	}{
		{nil, edge.OK, false},
		{&dcb.ConflictError{Position: 7}, edge.Conflict, false},
		{&dcb.InvalidError{Field: "events[0].Type", Problem: "is empty"}, edge.Invalid, false},
		{dcb.ErrNoEvents, edge.NoEvents, false},
		{dcb.ErrInvalidQuery, edge.InvalidQuery, false},
		{invalidQuery, edge.InvalidQuery, false},
		{dcb.ErrDuplicateID, edge.DuplicateID, false},
		{unavailable(cause), edge.Unavailable, true},
		{unavailable(context.Canceled), edge.Unavailable, false},
		{dcb.ErrClosed, edge.Unavailable, false},
		{unknown(cause), edge.Unknown, true},
		// Whatever broke an append whose outcome is unknown, nobody may be told that nothing was done.
		{unknown(edge.ErrStopping), edge.Unknown, false},
		{unknown(edge.ErrLimit), edge.Unknown, false},
		{unknown(edge.ErrKey), edge.Unknown, false},
		{unknown(context.DeadlineExceeded), edge.Unknown, false},
		{fmt.Errorf("%w: %s", dcb.ErrCorrupt, inside), edge.Corrupt, true},
		{fmt.Errorf("%s: %w", inside, context.Canceled), edge.Canceled, true},
		{fmt.Errorf("%s: %w", inside, context.DeadlineExceeded), edge.Deadline, true},
		{edge.ErrKey, edge.NoKey, false},
		{edge.ErrRight, edge.NoRight, false},
		{edge.ErrLimit, edge.Limit, false},
		{unavailable(edge.ErrLimit), edge.Limit, false},
		{edge.ErrStopping, edge.Stopping, false},
		{unavailable(edge.ErrStopping), edge.Stopping, false},
		{cause, edge.Internal, true},
	} {
		if c.err == nil {
			if got := edge.CodeOf(nil); got != edge.OK {
				t.Errorf("nil is %q", got)
			}
			continue
		}
		for _, err := range []error{c.err, fmt.Errorf("dcbgrpc: append: %w", c.err), errors.Join(fmt.Errorf("a store: %w", c.err))} {
			if got := edge.CodeOf(err); got != c.want {
				t.Errorf("%v is %q, want %q", err, got, c.want)
			}
			text := edge.Text(err)
			if text == "" || c.hidden && strings.Contains(text, "secret") {
				t.Errorf("%v is told as %q", err, text)
			}
		}
	}
	if text := edge.Text(&dcb.InvalidError{Field: "events[0].Type", Problem: "is empty"}); !strings.Contains(text, "events[0].Type is empty") {
		t.Errorf("what is invalid is told as %q", text)
	}
}
