package dcbhttp

import (
	"errors"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/eventjson"
	"github.com/dcbstore/dcb/internal/wire"
)

// problemResponse is an error as RFC 9457 has it. Programs look at Code. Field and Limit are set
// if something in the request is wrong. Field is a JSON pointer into the body, or the name of a
// header. The parameters of a URL count as members of the body.
type problemResponse struct {
	Type   string    `json:"type"`
	Title  string    `json:"title"`
	Status int       `json:"status"`
	Detail string    `json:"detail"`
	Code   wire.Code `json:"code"`
	Field  string    `json:"field,omitzero"`
	Limit  int       `json:"limit,omitzero"`
}

// statusError is an error with a status that its code alone does not have.
type statusError struct {
	status int
	err    error
}

func (e *statusError) Error() string { return e.err.Error() }
func (e *statusError) Unwrap() error { return e.err }

func invalid(field, problem string) error { return &dcb.InvalidError{Field: field, Problem: problem} }

// statusOf maps errors to statuses, in this one place.
func statusOf(err error) int {
	if e, ok := errors.AsType[*statusError](err); ok {
		return e.status
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

// problemOf returns the problem document for err.
func problemOf(err error) problemResponse {
	code, status := wire.CodeOf(err), statusOf(err)
	p := problemResponse{Type: "urn:dcb:problem:" + string(code), Title: http.StatusText(status), Status: status, Code: code}
	inner, ok := errors.AsType[*dcb.InvalidError](err)
	if !ok {
		p.Detail = wire.Text(err)
		return p
	}
	outer := *inner
	outer.Field = fieldPointer(inner.Field)
	p.Field, p.Limit, p.Detail = outer.Field, outer.Limit, wire.Text(&outer)
	return p
}

// sendProblem answers with the problem document for err.
func (c *call) sendProblem(err error) error {
	p := problemOf(err)
	switch p.Code {
	case wire.NoKey:
		c.w.Header().Set("WWW-Authenticate", `Bearer realm="dcb"`)
	case wire.Unavailable, wire.Limit:
		c.w.Header().Set("Retry-After", "1")
	default:
	}
	c.w.Header().Del("Trailer")
	return c.answerStatus(p.Status, "application/problem+json", p)
}

// pointer returns the JSON pointer of a member of the request.
func pointer(name string) string { return eventjson.Pointer(name) }

// fieldParts matches a part of a path such as events[3].Metadata["a.b"]: a name, an index or a
// quoted key.
var fieldParts = regexp.MustCompile(`\[("(?:[^"\\]|\\.)*"|\d+)\]|[^.\[]+`)

// fieldPointer returns a path of the contract, such as events[3].Tags[0], as a JSON pointer into
// the request: /events/3/tags/0. It leaves pointers, and the names of headers and of the body,
// alone.
func fieldPointer(field string) string {
	root, _, _ := strings.Cut(field, "[")
	root, _, _ = strings.Cut(root, ".")
	if root != "events" && root != "condition" && root != "query" && root != "options" {
		return field
	}
	var tokens []string
	for _, part := range fieldParts.FindAllString(field, -1) {
		if !strings.HasPrefix(part, "[") {
			tokens = append(tokens, strings.ToLower(part[:1])+part[1:])
			continue
		}
		token := strings.Trim(part, "[]")
		if last := tokens[len(tokens)-1]; last == "query" || last == "failIfEventsMatch" {
			tokens = append(tokens, "items")
		}
		if key, err := strconv.Unquote(token); err == nil {
			token = key
		}
		tokens = append(tokens, token)
	}
	return eventjson.Pointer(tokens...)
}
