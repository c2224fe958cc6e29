package dcb

import (
	"errors"
	"fmt"
)

// The errors of a store; test for them with errors.Is. Besides these a call may end with its context's error.
var (
	// ErrConflict: an event matching the append's condition was recorded after its After. Read again and decide again. The
	// error is a [*ConflictError].
	ErrConflict = errors.New("dcb: conflict")
	// ErrInvalid: an argument is outside the limits. Correct it; sending it again will never help. The error is an
	// [*InvalidError] that names the field and the limit.
	ErrInvalid = errors.New("dcb: invalid argument")
	// ErrNoEvents: an append without events. It is also ErrInvalid.
	ErrNoEvents error = &InvalidError{Field: "events", Problem: "is empty; an append records at least one event"}
	// ErrInvalidQuery: a query without items or outside the limits. It is also ErrInvalid.
	ErrInvalidQuery error = &InvalidError{Field: "query", Problem: "is invalid"}
	// ErrDuplicateID: one of the IDs is recorded already, otherwise than by this very append. Give the events IDs of their own.
	ErrDuplicateID = errors.New("dcb: duplicate ID")
	// ErrClosed: the store was closed. Open it again.
	ErrClosed = errors.New("dcb: store is closed")
	// ErrUnavailable: the store cannot answer now (a lost connection, a full disk, a server restarting). Sending the call
	// again may help. The error is an [*UnavailableError], which knows whether an append may have been recorded.
	ErrUnavailable = errors.New("dcb: store is unavailable")
	// ErrCorrupt: what is stored is damaged. Sending the call again never helps; restore the store.
	ErrCorrupt = errors.New("dcb: store is corrupt")
)

// Retryable reports whether sending the same call again may succeed: whether err is [ErrUnavailable]. An append whose outcome is
// unknown should be sent again only if its events have IDs. A conflict is not retryable: the caller must read and decide again.
func Retryable(err error) bool { return errors.Is(err, ErrUnavailable) }

// ConflictError is the error of an append whose condition failed. It is [ErrConflict].
type ConflictError struct {
	// Position is that of an event that matches the condition, after its After. If there are several, it is any of them.
	Position Position
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("%v: the event at position %d matches the append's condition", ErrConflict, e.Position)
}

// Is reports whether target is [ErrConflict].
func (e *ConflictError) Is(target error) bool { return target == ErrConflict }

// InvalidError is the error of a call with an argument outside the limits. It is [ErrInvalid], and where that is what is
// wrong, also [ErrNoEvents] or [ErrInvalidQuery].
type InvalidError struct {
	// Field is the path to what is wrong, for example events[3].Tags[0].
	Field string
	// Problem says what is wrong and what would be right, for example: has 300 bytes; the limit is 256.
	Problem string
	// Limit is the greatest allowed number of whatever there was too much of, 0 where it was not about a number.
	Limit int

	kind error // ErrInvalidQuery or nil
}

func (e *InvalidError) Error() string {
	return fmt.Sprintf("%v: %s %s", ErrInvalid, e.Field, e.Problem)
}

// Is reports whether target is [ErrInvalid] or the kind of e.
func (e *InvalidError) Is(target error) bool {
	return target == ErrInvalid || target == e.kind && e.kind != nil
}

func (e *InvalidError) within(path string) *InvalidError {
	e.Field = path + e.Field
	return e
}

func (e *InvalidError) of(kind error) *InvalidError {
	e.kind = kind
	return e
}

// UnavailableError is the error of a call that the store could not carry out now. It is [ErrUnavailable].
type UnavailableError struct {
	// OutcomeUnknown is set on an append that may have been recorded all the same, because the connection broke after it was
	// sent. If all of its events have IDs it can simply be sent again; otherwise look before you do.
	OutcomeUnknown bool
	// Cause is what went wrong.
	Cause error
}

func (e *UnavailableError) Error() string {
	if e.OutcomeUnknown {
		return fmt.Sprintf("%v; whether the append was recorded is unknown: %v", ErrUnavailable, e.Cause)
	}
	return fmt.Sprintf("%v: %v", ErrUnavailable, e.Cause)
}

// Is reports whether target is [ErrUnavailable].
func (e *UnavailableError) Is(target error) bool { return target == ErrUnavailable }

// Unwrap returns the cause.
func (e *UnavailableError) Unwrap() error { return e.Cause }
