package wire

import (
	"context"
	"errors"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/auth"
)

// Code is the name of an error in responses, logs and metrics.
type Code string

// The codes. Each protocol maps them to its own status numbers.
const (
	OK           Code = "ok"
	Conflict     Code = "conflict"      // dcb.ErrConflict
	Invalid      Code = "invalid"       // dcb.ErrInvalid
	NoEvents     Code = "no-events"     // dcb.ErrNoEvents
	InvalidQuery Code = "invalid-query" // dcb.ErrInvalidQuery
	DuplicateID  Code = "duplicate-id"  // dcb.ErrDuplicateID
	Unavailable  Code = "unavailable"   // dcb.ErrUnavailable, and dcb.ErrClosed of the server's own store
	Unknown      Code = "unknown"       // dcb.ErrUnavailable of an append that may have been recorded
	Corrupt      Code = "corrupt"       // dcb.ErrCorrupt
	Canceled     Code = "canceled"      // the caller's context was canceled
	Deadline     Code = "deadline"      // the caller's deadline passed
	NoKey        Code = "no-key"        // auth.ErrKey
	NoPermission Code = "no-permission" // auth.ErrPermission
	Limit        Code = "limit"         // ErrLimit
	Stopping     Code = "stopping"      // ErrStopping
	Internal     Code = "internal"      // any other error: a fault of the server
)

// Errors of a server that did not carry out a call. A client returns them as the cause of a
// [*dcb.UnavailableError], because repeating the call may succeed.
var (
	// ErrLimit reports that the server is at one of its limits.
	ErrLimit = errors.New("wire: the server is at a limit")
	// ErrStopping reports that the server is stopping and did nothing for the call. Repeat it on a
	// new connection, to this server after its restart or to the one that replaces it.
	ErrStopping = errors.New("wire: the server is stopping; connect again")
)

// CodeOf returns the code for err. It is the only mapping from errors to codes.
func CodeOf(err error) Code {
	unavailable, _ := errors.AsType[*dcb.UnavailableError](err)
	switch {
	case err == nil:
		return OK
	case unavailable != nil && unavailable.OutcomeUnknown:
		return Unknown // first: a cause such as ErrStopping must not claim that nothing was recorded
	case errors.Is(err, ErrLimit):
		return Limit
	case errors.Is(err, ErrStopping):
		return Stopping
	case errors.Is(err, dcb.ErrConflict):
		return Conflict
	case errors.Is(err, dcb.ErrNoEvents):
		return NoEvents
	case errors.Is(err, dcb.ErrInvalidQuery):
		return InvalidQuery
	case errors.Is(err, dcb.ErrInvalid):
		return Invalid
	case errors.Is(err, dcb.ErrDuplicateID):
		return DuplicateID
	case errors.Is(err, dcb.ErrUnavailable), errors.Is(err, dcb.ErrClosed):
		return Unavailable
	case errors.Is(err, dcb.ErrCorrupt):
		return Corrupt
	case errors.Is(err, auth.ErrKey):
		return NoKey
	case errors.Is(err, auth.ErrPermission):
		return NoPermission
	case errors.Is(err, context.Canceled):
		return Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return Deadline
	}
	return Internal
}

// Text returns the text of err that a caller may read. An error about the caller's request is
// quoted in full. For a fault of the server only its kind is given, because the text of a cause
// may name hosts, users and paths.
func Text(err error) string {
	switch CodeOf(err) {
	case Unavailable:
		return dcb.ErrUnavailable.Error() + "; try again later"
	case Unknown:
		return dcb.ErrUnavailable.Error() + "; whether the append was recorded is unknown"
	case Corrupt:
		return dcb.ErrCorrupt.Error()
	case Internal:
		return "dcb: internal error of the server; see its log"
	case Canceled: // without the operation that was interrupted, such as connecting to a database
		return context.Canceled.Error()
	case Deadline:
		return context.DeadlineExceeded.Error()
	default:
		return err.Error()
	}
}
