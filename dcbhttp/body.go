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
	"github.com/dcbstore/dcb/internal/wire"
)

// maxBody is how many bytes a body may have. The contract's bytes become more in JSON: a third more in base64, and each that has to be escaped up
// to six.
func (h *Handler) maxBody() int { return 2 * h.opts.Limits.MessageBytes }

// budget is how much memory all bodies that are being read have together, so that many large ones at once are refused instead of
// ending the process.
type budget struct {
	most int64
	held atomic.Int64
}

// minBudget is for many small bodies at once.
const minBudget = 64 << 20

func (b *budget) take(n int) error {
	if b.held.Add(int64(n)) > b.most {
		b.held.Add(-int64(n))
		return fmt.Errorf("%w: too many large requests at once", wire.ErrLimit)
	}
	return nil
}

// body reads the body of c. Release gives its memory back to the budget; it must be called whatever the error is.
func (h *Handler) body(c *call) (text []byte, release func(), err error) {
	held := 0
	release = func() { h.bodies.held.Add(-int64(held)) }
	most := h.maxBody()
	tooLarge := &refusal{http.StatusRequestEntityTooLarge, &dcb.InvalidError{
		Field: "body", Problem: fmt.Sprintf("has more than %d bytes", most), Limit: most,
	}}
	switch {
	case !isJSON(c.r.Header):
		return nil, release, &refusal{http.StatusUnsupportedMediaType, wrong("Content-Type", "is not application/json, in UTF-8 and as it is")}
	case c.r.ContentLength > int64(most):
		return nil, release, tooLarge
	}
	_ = c.control.SetReadDeadline(time.Now().Add(h.opts.Limits.CallTime)) // a server that cannot is a test's
	from := http.MaxBytesReader(c.w, c.r.Body, int64(most))
	for {
		if len(text) == cap(text) {
			// Not more than what has come asks for: a length that is only announced costs nothing.
			more := max(4<<10, cap(text))
			if c.r.ContentLength > 0 {
				more = min(more, int(c.r.ContentLength)+1-cap(text))
			}
			if err := h.bodies.take(more); err != nil {
				return nil, release, err
			}
			held += more
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

func (h *Handler) bodyError(err error, tooLarge error) error {
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return tooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &refusal{http.StatusRequestTimeout, wrong("body", fmt.Sprintf("did not come within %v", h.opts.Limits.CallTime))}
	}
	return wrong("body", "breaks off")
}

// isJSON reports whether a body is JSON by what its header says; where it says nothing, it is.
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

// parseBody reads a body that is JSON.
func parseBody(text []byte, read func(*parser) error) error {
	err := parse(text, "", read)
	var invalid *dcb.InvalidError
	if errors.As(err, &invalid) && invalid.Field == "" {
		invalid.Field = "body"
	}
	return err
}

// parameters returns the parameters of a call, of which there are no others than names, each at most once.
func parameters(r *http.Request, names ...string) (map[string]string, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, wrong("parameters", "are not encoded as a URL's are")
	}
	found := make(map[string]string)
	for name, all := range values {
		switch {
		case !slices.Contains(names, name) && len(names) == 0:
			return nil, wrong(shortened(name), "is unknown here; there are no parameters")
		case !slices.Contains(names, name):
			return nil, wrong(shortened(name), "is unknown here; there are "+strings.Join(names, ", "))
		case len(all) > 1:
			return nil, wrong(name, "is there twice")
		}
		found[name] = all[0]
	}
	return found, nil
}

// position returns the position that a parameter or header is; 0 if it is not there.
func position(text string, there bool, name string) (dcb.Position, error) {
	if !there {
		return 0, nil
	}
	n, err := parseWhole(text)
	return dcb.Position(n), within(name, err)
}
