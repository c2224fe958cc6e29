package dcbhttp

import (
	"errors"
	"net/http"
	"strings"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/wire"
)

// problemJSON is an error in an answer, as RFC 9457 has it. Code is what programs look at; Field and Limit are there where something that was
// sent is wrong.
type problemJSON struct {
	Type   string    `json:"type"`
	Title  string    `json:"title"`
	Status int       `json:"status"`
	Detail string    `json:"detail"`
	Code   wire.Code `json:"code"`
	Field  string    `json:"field,omitempty"`
	Limit  int       `json:"limit,omitempty"`
}

// refusal is an error that HTTP has a status of its own for.
type refusal struct {
	status int
	err    error
}

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

func wrong(field, problem string) error { return &dcb.InvalidError{Field: field, Problem: problem} }

// statusOf returns the status for an error. It is the one place that knows.
func statusOf(err error) int {
	if refused, ok := errors.AsType[*refusal](err); ok {
		return refused.status
	}
	switch wire.CodeOf(err) {
	case wire.OK:
		return http.StatusOK
	case wire.Invalid, wire.NoEvents, wire.InvalidQuery:
		return http.StatusBadRequest
	case wire.NoKey:
		return http.StatusUnauthorized
	case wire.NoPermission:
		return http.StatusForbidden
	case wire.DuplicateID, wire.Conflict:
		return http.StatusConflict
	case wire.Unavailable, wire.Unknown, wire.Limit, wire.Canceled:
		return http.StatusServiceUnavailable
	case wire.Deadline:
		return http.StatusGatewayTimeout
	default:
		return http.StatusInternalServerError
	}
}

// problemOf returns what a caller is told of err.
func problemOf(err error) problemJSON {
	code, status := wire.CodeOf(err), statusOf(err)
	p := problemJSON{Type: "urn:dcb:problem:" + string(code), Title: http.StatusText(status), Status: status, Code: code}
	var invalid *dcb.InvalidError
	if !errors.As(err, &invalid) {
		p.Detail = wire.Text(err)
		return p
	}
	told := *invalid
	told.Field = wireField(invalid.Field)
	p.Field, p.Limit, p.Detail = told.Field, told.Limit, wire.Text(&told)
	return p
}

// problem answers with a problem document.
func (c *call) problem(err error) error {
	p := problemOf(err)
	switch p.Code {
	case wire.NoKey:
		c.w.Header().Set("WWW-Authenticate", `Bearer realm="dcb"`)
	case wire.Unavailable, wire.Limit:
		c.w.Header().Set("Retry-After", "1")
	default:
	}
	c.w.Header().Del("Trailer")
	return c.write(p.Status, "application/problem+json", p)
}

// names are how the contract's paths to fields are called on this wire.
var names = strings.NewReplacer(
	"condition.FailIfEventsMatch[", "condition.failIfEventsMatch.items[", "condition.FailIfEventsMatch", "condition.failIfEventsMatch",
	"query[", "query.items[", "options.Limit", "options.limit",
	".Types", ".types", ".Type", ".type", ".Tags", ".tags", ".Data", ".data", ".Metadata", ".metadata",
)

// wireField returns the contract's path to a field as this wire has it.
func wireField(field string) string {
	const metadata = ".Metadata[" // what follows is a caller's own name
	if i := strings.Index(field, metadata); i >= 0 {
		return names.Replace(field[:i+len(metadata)-1]) + field[i+len(metadata)-1:]
	}
	return names.Replace(field)
}
