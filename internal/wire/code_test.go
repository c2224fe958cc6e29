package wire_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/auth"
	"github.com/dcbstore/dcb/internal/wire"
)

// inside is text that an error of the server may contain and that its callers must not read.
const inside = "user@secret-host:/var/lib/secret"

func TestCodeOfAndText(t *testing.T) {
	t.Parallel()
	cause := errors.New(inside)
	unavailable := func(cause error) error { return &dcb.UnavailableError{Cause: cause} }
	unknown := func(cause error) error { return &dcb.UnavailableError{OutcomeUnknown: true, Cause: cause} }
	_, invalidQuery := dcb.All(), dcb.ValidateRead(nil, dcb.ReadOptions{})
	for _, c := range []struct {
		err    error
		want   wire.Code
		hidden bool // the text must not contain inside
	}{
		{nil, wire.OK, false},
		{&dcb.ConflictError{Position: 7}, wire.Conflict, false},
		{&dcb.InvalidError{Field: "events[0].Type", Problem: "is empty"}, wire.Invalid, false},
		{dcb.ErrNoEvents, wire.NoEvents, false},
		{dcb.ErrInvalidQuery, wire.InvalidQuery, false},
		{invalidQuery, wire.InvalidQuery, false},
		{dcb.ErrDuplicateID, wire.DuplicateID, false},
		{unavailable(cause), wire.Unavailable, true},
		{unavailable(context.Canceled), wire.Unavailable, false},
		{dcb.ErrClosed, wire.Unavailable, false},
		{unknown(cause), wire.Unknown, true},
		// The cause of an unknown outcome must not claim that nothing was recorded.
		{unknown(wire.ErrStopping), wire.Unknown, false},
		{unknown(wire.ErrLimit), wire.Unknown, false},
		{unknown(auth.ErrKey), wire.Unknown, false},
		{unknown(context.DeadlineExceeded), wire.Unknown, false},
		{fmt.Errorf("%w: %s", dcb.ErrCorrupt, inside), wire.Corrupt, true},
		{fmt.Errorf("%s: %w", inside, context.Canceled), wire.Canceled, true},
		{fmt.Errorf("%s: %w", inside, context.DeadlineExceeded), wire.Deadline, true},
		{auth.ErrKey, wire.NoKey, false},
		{auth.ErrPermission, wire.NoPermission, false},
		{wire.ErrLimit, wire.Limit, false},
		{unavailable(wire.ErrLimit), wire.Limit, false},
		{wire.ErrStopping, wire.Stopping, false},
		{unavailable(wire.ErrStopping), wire.Stopping, false},
		{cause, wire.Internal, true},
	} {
		if c.err == nil {
			if got := wire.CodeOf(nil); got != wire.OK {
				t.Errorf("CodeOf(nil) = %q", got)
			}
			continue
		}
		for _, err := range []error{c.err, fmt.Errorf("dcbnet: append: %w", c.err), errors.Join(fmt.Errorf("a store: %w", c.err))} {
			if got := wire.CodeOf(err); got != c.want {
				t.Errorf("CodeOf(%v) = %q, want %q", err, got, c.want)
			}
			text := wire.Text(err)
			if text == "" || c.hidden && strings.Contains(text, "secret") {
				t.Errorf("Text(%v) = %q", err, text)
			}
		}
	}
	if text := wire.Text(&dcb.InvalidError{Field: "events[0].Type", Problem: "is empty"}); !strings.Contains(text, "events[0].Type is empty") {
		t.Errorf("Text(invalid) = %q", text)
	}
}
