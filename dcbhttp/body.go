package dcbhttp

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/eventjson"
	"github.com/dcbstore/dcb/internal/wire"
)

// maxBody returns the limit for a body, in bytes. It is twice the limit for a message, because JSON
// takes a third more for base64, and up to six bytes for a byte that needs an escape.
func (h *Handler) maxBody() int { return 2 * h.opts.Limits.MessageBytes }

// bodyBudget limits the memory of all bodies that are being read, so that many large ones at once
// are refused instead of ending the process.
type bodyBudget struct {
	limit int64 // in bytes
	used  atomic.Int64
}

// minBodyBudget leaves space for many small bodies at once, in bytes.
const minBodyBudget = 64 << 20

func (b *bodyBudget) take(n int) error {
	if b.used.Add(int64(n)) > b.limit {
		b.used.Add(-int64(n))
		return fmt.Errorf("%w: too many large requests at once", wire.ErrLimit)
	}
	return nil
}

// readJSON reads the body of c into value. The body counts against the budget until release is
// called, which the caller must do whatever the error is.
func (h *Handler) readJSON(c *call, value any) (release func(), err error) {
	text, release, err := h.readBody(c)
	if err == nil {
		err = unmarshal(text, "", value)
	}
	if invalid, ok := errors.AsType[*dcb.InvalidError](err); ok && invalid.Field == "" {
		invalid.Field = "body"
	}
	return release, err
}

func (h *Handler) readBody(c *call) (text []byte, release func(), err error) {
	used := 0
	release = func() { h.bodies.used.Add(-int64(used)) }
	limit := h.maxBody()
	tooLarge := &statusError{http.StatusRequestEntityTooLarge, &dcb.InvalidError{
		Field: "body", Problem: fmt.Sprintf("has more than %d bytes", limit), Limit: limit,
	}}
	switch {
	case !isJSON(c.r.Header):
		return nil, release, &statusError{http.StatusUnsupportedMediaType, invalid("Content-Type", "is not application/json in UTF-8 without a Content-Encoding")}
	case c.r.ContentLength > int64(limit):
		return nil, release, tooLarge
	}
	_ = c.control.SetReadDeadline(time.Now().Add(h.opts.Limits.CallTime)) // response writers of tests do not support it
	from := http.MaxBytesReader(c.w, c.r.Body, int64(limit))
	for {
		if len(text) == cap(text) {
			// The buffer grows with what has arrived: a Content-Length alone costs no memory.
			more := max(4<<10, cap(text))
			if c.r.ContentLength > 0 {
				more = min(more, int(c.r.ContentLength)+1-cap(text))
			}
			if err := h.bodies.take(more); err != nil {
				return nil, release, err
			}
			used += more
			text = append(make([]byte, 0, cap(text)+more), text...)
		}
		n, err := from.Read(text[len(text):cap(text)])
		text = text[:len(text)+n]
		if errors.Is(err, io.EOF) {
			_ = c.control.SetReadDeadline(time.Time{})
			return text, release, nil
		}
		if err != nil {
			return nil, release, h.bodyError(err, tooLarge)
		}
	}
}

func (h *Handler) bodyError(err, tooLarge error) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLarge
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return &statusError{http.StatusRequestTimeout, invalid("body", fmt.Sprintf("did not arrive within %v", h.opts.Limits.CallTime))}
	}
	return invalid("body", "ends before its announced length")
}

// isJSON reports whether the headers of a request allow its body to be JSON. Without a Content-Type
// they do.
func isJSON(header http.Header) bool {
	if encoding := header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return false
	}
	values := header.Values("Content-Type")
	if len(values) == 0 {
		return true
	}
	mediaType, params, err := mime.ParseMediaType(values[0])
	charset, named := params["charset"]
	return err == nil && len(values) == 1 && mediaType == "application/json" && (!named || strings.EqualFold(charset, "utf-8"))
}

// parameters returns the URL's parameters. Each must be one of names and occur once.
func parameters(r *http.Request, names ...string) (map[string]string, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, invalid("parameters", "are not in the encoding of a URL")
	}
	found := make(map[string]string)
	for name, all := range values {
		switch {
		case !slices.Contains(names, name) && len(names) == 0:
			return nil, invalid(pointer(name), "is unknown; this path has no parameters")
		case !slices.Contains(names, name):
			return nil, invalid(pointer(name), "is unknown; known parameters are "+strings.Join(names, ", "))
		case len(all) > 1:
			return nil, invalid(pointer(name), "occurs twice")
		}
		found[name] = all[0]
	}
	return found, nil
}

// positionParameter returns the position in a parameter or header, or 0 if there is none.
func positionParameter(text string, given bool, place string) (dcb.Position, error) {
	if !given {
		return 0, nil
	}
	n, err := eventjson.ParseWhole(text)
	return dcb.Position(n), within(place, err)
}
