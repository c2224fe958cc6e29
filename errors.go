package dcb

import (
	"errors"
	"fmt"
)

// The errors of a store, to be tested with [errors.Is]. A call may also end with its context's
// error. The list is closed, and the errors cross the network: errors.Is holds on a client too.
var (
	// ErrConflict means that the condition of an append failed: an event after its After matches it.
	// Read again and decide again. The error is a [*ConflictError].
	ErrConflict = errors.New("dcb: conflict")

	// ErrInvalid means that an argument is outside the limits. Correct it; a retry fails the same
	// way. The error is an [*InvalidError], which names the field and the limit.
	ErrInvalid = errors.New("dcb: invalid argument")

	// ErrNoEvents means that an append has no events. It is also ErrInvalid.
	ErrNoEvents error = &InvalidError{Field: "events", Problem: "is empty; an append records at least one event"}

	// ErrInvalidQuery means that a query has no items or is outside the limits. It is also
	// ErrInvalid.
	ErrInvalidQuery error = &InvalidError{Field: "query", Problem: "is invalid"}

	// ErrDuplicateID means that an ID of an append is already recorded, and not by this append, or
	// that two of its events have the same ID. Use new IDs.
	ErrDuplicateID = errors.New("dcb: duplicate ID")

	// ErrClosed means that the store is closed. Open it again.
	ErrClosed = errors.New("dcb: store is closed")

	// ErrUnavailable means that the store cannot answer now: a lost connection, a full disk, a server
	// that restarts. Retry; an append only if its events have IDs. The error is an
	// [*UnavailableError], which says whether an append may have been recorded.
	ErrUnavailable = errors.New("dcb: store is unavailable")

	// ErrCorrupt means that stored data is damaged. A retry fails the same way; restore the store.
	ErrCorrupt = errors.New("dcb: store is corrupt")
)

// Retryable reports whether the same call may succeed if it is sent again. It is true only for
// [ErrUnavailable]. Retry an append only if its events have IDs. A conflict is not retryable: the
// caller must read and decide again.
func Retryable(err error) bool { return errors.Is(err, ErrUnavailable) }

// ConflictError is the error of an append whose condition failed. It is [ErrConflict].
type ConflictError struct {
	// Position is the position of one event that matches the condition and is after its After. If
	// there are several such events, it is the position of any of them.
	Position Position
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("%v: the event at position %d matches the append's condition", ErrConflict, e.Position)
}

// Is reports whether target is [ErrConflict].
func (e *ConflictError) Is(target error) bool { return target == ErrConflict }

// InvalidError is the error of a call with an argument outside the limits. It is [ErrInvalid], and
// for an invalid query also [ErrInvalidQuery].
type InvalidError struct {
	// Field is the path to the argument, for example "events[3].Tags[0]".
	Field string
	// Problem is a predicate of Field: the problem and the remedy, for example
	// "has 300 bytes; the limit is 256".
	Problem string
	// Limit is the limit that was exceeded, or 0 if the problem is of another kind.
	Limit int

	kind error // ErrInvalidQuery or nil
}

func (e *InvalidError) Error() string {
	return fmt.Sprintf("%v: %s %s", ErrInvalid, e.Field, e.Problem)
}

// Is reports whether target is [ErrInvalid], or [ErrInvalidQuery] if e is about a query.
func (e *InvalidError) Is(target error) bool {
	return target == ErrInvalid || target == e.kind && e.kind != nil
}

// prefixed puts prefix before the field of e and returns e.
func (e *InvalidError) prefixed(prefix string) *InvalidError {
	e.Field = prefix + e.Field
	return e
}

// aboutQuery makes e an ErrInvalidQuery and returns it.
func (e *InvalidError) aboutQuery() *InvalidError {
	e.kind = ErrInvalidQuery
	return e
}

// UnavailableError is the error of a call that the store cannot answer now. It is
// [ErrUnavailable].
type UnavailableError struct {
	// OutcomeUnknown is true if an append may have been recorded, because the connection broke after
	// it was sent. If all its events have IDs, send it again. Otherwise read first.
	OutcomeUnknown bool
	// Cause is the underlying error.
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
