package wire

import (
	"context"
	"errors"
	"strings"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/auth"
)

// Error is an error as it crosses a network. [Describe] makes it on the server, [Error.Err] turns
// it back into an error on the client.
type Error struct {
	Code     Code
	Text     string       // for people; see [Text]
	Field    string       // of dcb.InvalidError
	Problem  string       // of dcb.InvalidError
	Limit    int          // of dcb.InvalidError
	Position dcb.Position // of dcb.ConflictError
}

// sentinels are the errors that errors.Is finds in the result of Error.Err, by code.
var sentinels = map[Code]error{
	Invalid:      dcb.ErrInvalid,
	NoEvents:     dcb.ErrNoEvents,
	InvalidQuery: dcb.ErrInvalidQuery,
	DuplicateID:  dcb.ErrDuplicateID,
	Corrupt:      dcb.ErrCorrupt,
	NoKey:        auth.ErrKey,
	NoPermission: auth.ErrPermission,
	Canceled:     context.Canceled,
	Deadline:     context.DeadlineExceeded,
}

// Describe returns err in the form that its caller receives.
func Describe(err error) Error {
	e := Error{Code: CodeOf(err), Text: Text(err)}
	if invalid, ok := errors.AsType[*dcb.InvalidError](err); ok {
		e.Field, e.Problem, e.Limit = invalid.Field, invalid.Problem, invalid.Limit
	}
	if conflict, ok := errors.AsType[*dcb.ConflictError](err); ok {
		e.Position = conflict.Position
	}
	return e
}

// Err returns the error that the server described. errors.Is and errors.As hold for it as they do
// on the server. An unknown code becomes an error that is none of ours.
func (e *Error) Err() error {
	switch e.Code {
	case Conflict:
		return &dcb.ConflictError{Position: e.Position}
	case Invalid, NoEvents, InvalidQuery:
		invalid := &dcb.InvalidError{Field: e.Field, Problem: e.Problem, Limit: e.Limit}
		return &remoteError{text: e.Text, is: []error{sentinels[e.Code], invalid}}
	case Stopping:
		return &dcb.UnavailableError{Cause: ErrStopping}
	case Unavailable, Limit:
		return &dcb.UnavailableError{Cause: errors.New(withoutSentinel(e.Text))}
	case Unknown:
		return &dcb.UnavailableError{OutcomeUnknown: true, Cause: errors.New(withoutSentinel(e.Text))}
	default:
		if is := sentinels[e.Code]; is != nil {
			return &remoteError{text: e.Text, is: []error{is}}
		}
		return &remoteError{text: e.Text}
	}
}

// withoutSentinel removes the text of ErrUnavailable, which UnavailableError adds again.
func withoutSentinel(text string) string {
	rest, found := strings.CutPrefix(text, dcb.ErrUnavailable.Error())
	if !found || len(rest) < 2 {
		return text
	}
	return "the server answered: " + strings.TrimLeft(rest, ":; ")
}

// remoteError is an error with the text that a server sent.
type remoteError struct {
	text string
	is   []error
}

func (e *remoteError) Error() string { return e.text }

// Unwrap returns the errors that e is.
func (e *remoteError) Unwrap() []error { return e.is }
