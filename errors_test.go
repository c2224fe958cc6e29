package dcb_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/dcbstore/dcb"
)

func TestErrorsAreWhatTheySay(t *testing.T) {
	all := []error{
		dcb.ErrConflict, dcb.ErrInvalid, dcb.ErrNoEvents, dcb.ErrInvalidQuery, dcb.ErrDuplicateID, dcb.ErrClosed, dcb.ErrUnavailable, dcb.ErrCorrupt,
	}
	for _, x := range []struct {
		name string
		err  error
		is   []error
	}{
		{"ErrConflict", dcb.ErrConflict, []error{dcb.ErrConflict}},
		{"a conflict", &dcb.ConflictError{Position: 3}, []error{dcb.ErrConflict}},
		{"an invalid argument", &dcb.InvalidError{Field: "f"}, []error{dcb.ErrInvalid}},
		{"no events", dcb.ValidateAppend(nil, nil), []error{dcb.ErrInvalid, dcb.ErrNoEvents}},
		{"an empty query", dcb.ValidateRead(nil, dcb.ReadOptions{}), []error{dcb.ErrInvalid, dcb.ErrInvalidQuery}},
		{"an empty tag in a query", dcb.ValidateRead(dcb.Query{{Tags: []string{""}}}, dcb.ReadOptions{}), []error{dcb.ErrInvalid, dcb.ErrInvalidQuery}},
		{"a negative limit", dcb.ValidateRead(dcb.All(), dcb.ReadOptions{Limit: -1}), []error{dcb.ErrInvalid}},
		{
			"an empty query in a condition", dcb.ValidateAppend([]dcb.Event{{Type: "T"}}, &dcb.AppendCondition{}),
			[]error{dcb.ErrInvalid, dcb.ErrInvalidQuery},
		},
		{"an unavailable store", &dcb.UnavailableError{Cause: io.EOF}, []error{dcb.ErrUnavailable}},
	} {
		for _, target := range all {
			want := slices.Contains(x.is, target)
			if got := errors.Is(fmt.Errorf("wrapped: %w", x.err), target); got != want {
				t.Errorf("%s is %v: %v, want %v", x.name, target, got, want)
			}
		}
	}
}

func TestUnavailableErrorHasItsCause(t *testing.T) {
	err := error(&dcb.UnavailableError{Cause: io.ErrUnexpectedEOF, OutcomeUnknown: true})
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v does not have its cause", err)
	}
	if want := "dcb: store is unavailable; whether the append was recorded is unknown: unexpected EOF"; err.Error() != want {
		t.Errorf("the error is %q, want %q", err, want)
	}
}

func TestRetryableIsWhatIsUnavailable(t *testing.T) {
	if !dcb.Retryable(fmt.Errorf("append: %w", &dcb.UnavailableError{Cause: io.EOF})) {
		t.Error("an unavailable store is not retryable")
	}
	for _, err := range []error{nil, io.EOF, &dcb.ConflictError{}, dcb.ErrDuplicateID, dcb.ErrInvalid, dcb.ErrClosed, dcb.ErrCorrupt} {
		if dcb.Retryable(err) {
			t.Errorf("%v is retryable", err)
		}
	}
}
