package edge

import (
	"context"
	"errors"

	"github.com/dcbstore/dcb"
)

// Code is what an error is called outside: in answers, logs and metrics.
type Code string

// The codes there are. Each wire has its own numbers for them.
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
	Deadline     Code = "deadline"      // the caller's time, or the server's for a call, was over
	NoKey        Code = "no-key"        // ErrKey
	NoRight      Code = "no-right"      // ErrRight
	Limit        Code = "limit"         // ErrLimit
	Stopping     Code = "stopping"      // ErrStopping
	Internal     Code = "internal"      // anything else, which is a fault of ours
)

// The errors of a server that could not take a call. Outside each is a [*dcb.UnavailableError], for trying again helps.
var (
	// ErrLimit: it has as much to do as it is allowed to.
	ErrLimit = errors.New("edge: the server is at a limit")
	// ErrStopping: it is about to stop, and nothing of the call was done. Come back, to it or to whoever takes its place.
	ErrStopping = errors.New("edge: the server is stopping; come back")
)

// CodeOf returns what err is called outside. It is the one place that knows.
func CodeOf(err error) Code {
	var unavailable *dcb.UnavailableError
	switch {
	case err == nil:
		return OK
	case errors.As(err, &unavailable) && unavailable.OutcomeUnknown: // whatever the cause: it is not as if nothing was done
		return Unknown
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
	case errors.Is(err, ErrKey):
		return NoKey
	case errors.Is(err, ErrRight):
		return NoRight
	case errors.Is(err, context.Canceled):
		return Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return Deadline
	}
	return Internal
}

// Text returns what a caller is told of err: all of it where it is about what he asked for, and no more than what kind of trouble
// it is where it is the server's own, for that may name hosts, users and paths.
func Text(err error) string {
	switch CodeOf(err) {
	case Unavailable:
		return dcb.ErrUnavailable.Error() + "; try again later"
	case Unknown:
		return dcb.ErrUnavailable.Error() + "; whether the append was recorded is unknown"
	case Corrupt:
		return dcb.ErrCorrupt.Error()
	case Internal:
		return "dcb: a fault of the server; its log says more"
	case Canceled: // and not what was being done meanwhile, such as connecting to a database
		return context.Canceled.Error()
	case Deadline:
		return context.DeadlineExceeded.Error()
	default:
		return err.Error()
	}
}
