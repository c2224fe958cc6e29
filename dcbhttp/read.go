package dcbhttp

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/dcbstore/dcb"
)

// headHeader has the position that the reader may use as the after of a condition: ReadResult.Head of the contract.
const headHeader = "Dcb-Head"

const (
	// firstPage is how many events are read at once before a read turns out to be a long one. Most are over then, at the cost of one call.
	firstPage = 64
	// heldBytes is how much of an answer is held back to see its end, where the head depends on it.
	heldBytes = 1 << 20
)

func (h *Handler) getRead(ctx context.Context, c *call) error {
	params, err := parameters(c.r, "query", "options")
	if err != nil {
		return err
	}
	q, err := queryOf(params)
	if err != nil {
		return err
	}
	var opts dcb.ReadOptions
	if text, ok := params["options"]; ok {
		err = parse([]byte(text), "options", func(p *parser) (err error) {
			opts, err = p.options()
			return err
		})
		if err != nil {
			return err
		}
	}
	return h.read(ctx, c, q, opts)
}

// queryOf returns the query in the parameters of a call. No query is everything.
func queryOf(params map[string]string) (q dcb.Query, err error) {
	text, ok := params["query"]
	if !ok {
		return dcb.All(), nil
	}
	err = parse([]byte(text), "query", func(p *parser) (err error) {
		q, err = p.query()
		return err
	})
	return q, err
}

func (h *Handler) postRead(ctx context.Context, c *call) error {
	if _, err := parameters(c.r); err != nil {
		return err
	}
	text, release, err := h.body(c)
	defer release()
	if err != nil {
		return err
	}
	var q dcb.Query
	var opts dcb.ReadOptions
	err = parseBody(text, func(p *parser) (err error) {
		q, opts, err = p.readRequest()
		return err
	})
	if err != nil {
		return err
	}
	return h.read(ctx, c, q, opts)
}

// read answers with the events that q selects, as they come. It begins with one read of a page, which is all of most reads, and goes on with
// a stream up to the head as it is then.
func (h *Handler) read(ctx context.Context, c *call, q dcb.Query, opts dcb.ReadOptions) error {
	if err := h.opts.Limits.CheckQuery(q); err != nil {
		return err
	}
	page, limit := firstPage, opts.Limit
	if limit > 0 {
		page = min(page, limit)
	}
	first := opts
	first.Limit = page
	result, err := h.store.Read(ctx, q, first)
	if err != nil {
		return err
	}
	a := &array{call: c, most: pieceBytes, head: result.Head}
	n := len(result.Events)
	long := n == page && n != limit
	if long {
		if opts, err = h.rest(ctx, a, opts, result); err != nil {
			return err
		}
	}
	for i := range result.Events {
		if err := a.add(&result.Events[i]); err != nil {
			return err
		}
	}
	if long {
		if err := h.readOn(ctx, a, q, opts); err != nil {
			return err
		}
	}
	return a.end()
}

// rest returns the bounds of what follows the first page, and finds out what the head of the answer is or on what it depends.
func (h *Handler) rest(ctx context.Context, a *array, opts dcb.ReadOptions, first dcb.ReadResult) (dcb.ReadOptions, error) {
	a.last = first.Events[len(first.Events)-1].Position
	if opts.Limit > 0 {
		opts.Limit -= len(first.Events)
	}
	if opts.Backwards {
		opts.Before = a.last
		return opts, nil
	}
	// The first page's head is where it was cut short. The store's is what the answer reaches, unless the limit cuts it short.
	head, err := h.store.Head(ctx)
	if err != nil {
		return opts, err
	}
	opts.After, a.head = a.last, head
	if opts.Before == 0 || opts.Before > head+1 {
		opts.Before = head + 1
	}
	if opts.Limit > 0 {
		a.open, a.most = true, heldBytes
	}
	return opts, nil
}

// readOn adds what follows the first page.
func (h *Handler) readOn(ctx context.Context, a *array, q dcb.Query, opts dcb.ReadOptions) error {
	left := opts.Limit
	if a.open {
		opts.Limit++ // to see whether the limit cuts it short
	}
	n := 0
	for event, err := range dcb.Stream(ctx, h.store, q, opts) {
		if err != nil {
			return err
		}
		if n == left && a.open {
			a.head = a.last
			break
		}
		if err := a.add(&event); err != nil {
			return err
		}
		n, a.last = n+1, event.Position
	}
	return nil
}

// array is an answer that is an array of events. If it isn't ended it has no end, also in JSON.
type array struct {
	*call
	text bytes.Buffer
	most int          // how many bytes are held back
	head dcb.Position // for the header
	last dcb.Position // that of the last event read on
	open bool         // the head is not final before the end; if something must be sent before, it comes in the trailer
}

func (a *array) add(e *dcb.SequencedEvent) error {
	if err := a.keep(); err != nil {
		return err
	}
	if a.text.Len() == 0 && !a.started {
		a.text.WriteByte('[')
	} else {
		a.text.WriteString(",\n")
	}
	if err := encode(&a.text, jsonOf(e)); err != nil {
		return err
	}
	if a.text.Len() < a.most {
		return nil
	}
	if !a.started {
		a.header()
	}
	err := a.send(a.text.Bytes())
	if a.text.Reset(); a.text.Cap() > 4*heldBytes {
		a.text = bytes.Buffer{} // one large event is no reason to keep as much
	}
	return err
}

// end sends what is left and, if it was not before, the head.
func (a *array) end() error {
	if a.text.Len() == 0 && !a.started {
		a.text.WriteByte('[')
	}
	a.text.WriteString("]\n")
	trailer := a.open && a.started
	if !a.started {
		a.open = false
		a.header()
		a.w.Header().Set("Content-Length", strconv.Itoa(a.text.Len()))
	}
	if err := a.send(a.text.Bytes()); err != nil {
		return err
	}
	if trailer {
		a.w.Header().Set(headHeader, formatPosition(a.head))
	}
	a.ended = true
	return nil
}

func (a *array) header() {
	header := a.w.Header()
	header.Set("Content-Type", "application/json")
	if a.open {
		header.Set("Trailer", headHeader)
	} else {
		header.Set(headHeader, formatPosition(a.head))
	}
	a.hurry()
	a.w.WriteHeader(http.StatusOK)
}

func formatPosition(p dcb.Position) string { return strconv.FormatUint(uint64(p), 10) }

// encode adds value to text as JSON on one line.
func encode(text *bytes.Buffer, value any) error {
	encoder := json.NewEncoder(text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return err
	}
	text.Truncate(text.Len() - 1) // the end of the line is the caller's
	return nil
}
