package dcb_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/dcbstore/dcb"
)

func TestErrorsMatchTheirSentinels(t *testing.T) {
	sentinels := []error{
		dcb.ErrConflict, dcb.ErrInvalid, dcb.ErrNoEvents, dcb.ErrInvalidQuery, dcb.ErrDuplicateID, dcb.ErrClosed,
		dcb.ErrUnavailable, dcb.ErrCorrupt,
	}
	for _, c := range []struct {
		name string
		err  error
		is   []error
	}{
		{"ErrConflict", dcb.ErrConflict, []error{dcb.ErrConflict}},
		{"ConflictError", &dcb.ConflictError{Position: 3}, []error{dcb.ErrConflict}},
		{"InvalidError", &dcb.InvalidError{Field: "f"}, []error{dcb.ErrInvalid}},
		{"no events", dcb.ValidateAppend(nil, nil), []error{dcb.ErrInvalid, dcb.ErrNoEvents}},
		{"empty query", dcb.ValidateRead(nil, dcb.ReadOptions{}), []error{dcb.ErrInvalid, dcb.ErrInvalidQuery}},
		{
			"empty tag in a query", dcb.ValidateRead(dcb.Query{{Tags: []string{""}}}, dcb.ReadOptions{}),
			[]error{dcb.ErrInvalid, dcb.ErrInvalidQuery},
		},
		{"negative limit", dcb.ValidateRead(dcb.All(), dcb.ReadOptions{Limit: -1}), []error{dcb.ErrInvalid}},
		{
			"empty query in a condition", dcb.ValidateAppend([]dcb.Event{{Type: "T"}}, &dcb.AppendCondition{}),
			[]error{dcb.ErrInvalid, dcb.ErrInvalidQuery},
		},
		{"UnavailableError", &dcb.UnavailableError{Cause: io.EOF}, []error{dcb.ErrUnavailable}},
	} {
		for _, target := range sentinels {
			want := slices.Contains(c.is, target)
			if got := errors.Is(fmt.Errorf("wrapped: %w", c.err), target); got != want {
				t.Errorf("%s: errors.Is(err, %v) = %v, want %v", c.name, target, got, want)
			}
		}
	}
}

func TestUnavailableErrorWrapsItsCause(t *testing.T) {
	err := error(&dcb.UnavailableError{Cause: io.ErrUnexpectedEOF, OutcomeUnknown: true})
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v does not wrap its cause", err)
	}
	if want := "dcb: store is unavailable; whether the append was recorded is unknown: unexpected EOF"; err.Error() != want {
		t.Errorf("Error() = %q, want %q", err, want)
	}
}

func TestRetryableIsTrueOnlyForUnavailable(t *testing.T) {
	if err := fmt.Errorf("append: %w", &dcb.UnavailableError{Cause: io.EOF}); !dcb.Retryable(err) {
		t.Errorf("Retryable(%v) = false, want true", err)
	}
	for _, err := range []error{
		nil, io.EOF, &dcb.ConflictError{}, dcb.ErrDuplicateID, dcb.ErrInvalid, dcb.ErrClosed, dcb.ErrCorrupt,
	} {
		if dcb.Retryable(err) {
			t.Errorf("Retryable(%v) = true, want false", err)
		}
	}
}
