package dcbhttp

import (
	"bytes"
	"context"
	"net/http"
	"strconv"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/eventjson"
	"github.com/dcbstore/dcb/internal/wire"
)

// headHeader carries [dcb.ReadResult].Head: the position to use as after of a condition.
const headHeader = "Dcb-Head"

// maxBuffered is how many bytes of a response are held back while its head is not final.
const maxBuffered = 1 << 20

func (h *Handler) getRead(ctx context.Context, c *call) error {
	params, err := parameters(c.r, "query", "options")
	if err != nil {
		return err
	}
	q, err := queryParameter(params)
	if err != nil {
		return err
	}
	var options readOptions
	if text, given := params["options"]; given {
		if err := unmarshal([]byte(text), "/options", &options); err != nil {
			return err
		}
	}
	return h.read(ctx, c, q, options)
}

// queryParameter returns the query in the parameters of a call. Without one it selects everything.
func queryParameter(params map[string]string) (dcb.Query, error) {
	text, given := params["query"]
	if !given {
		return dcb.All(), nil
	}
	var q eventjson.Query
	err := unmarshal([]byte(text), "/query", &q)
	return q.Query(), err
}

func (h *Handler) postRead(ctx context.Context, c *call) error {
	if _, err := parameters(c.r); err != nil {
		return err
	}
	var request readRequest
	release, err := h.readJSON(c, &request)
	defer release()
	if err != nil {
		return err
	}
	return h.read(ctx, c, request.Query.Query(), request.Options)
}

// read answers with the events that q selects, page by page.
func (h *Handler) read(ctx context.Context, c *call, q dcb.Query, options readOptions) error {
	opts, err := options.contract()
	if err != nil {
		return err
	}
	if err := h.opts.Limits.CheckQuery(q); err != nil {
		return err
	}
	a := &array{call: c, flush: pieceBytes}
	if opts.Limit > 0 && !opts.Backwards {
		// If the limit cuts the read short, the head is the position of the last event.
		a.headAtEnd, a.flush = true, maxBuffered
	}
	pages := dcb.PageOptions{Bytes: wire.PageBytes, OnHead: func(head dcb.Position) { a.head = head }}
	for page, err := range dcb.Pages(ctx, h.store, q, opts, pages) {
		if err != nil {
			return err
		}
		for i := range page.Events {
			if err := a.add(&page.Events[i]); err != nil {
				return err
			}
		}
		if a.headAtEnd {
			a.head = page.Head
		}
	}
	return a.end()
}

// array is a response that is an array of events. Unless end is called, it is not valid JSON.
type array struct {
	*call
	buf       bytes.Buffer
	flush     int          // the size of buf at which it is sent
	head      dcb.Position // for the header or the trailer
	headAtEnd bool         // head is final only at the end; if the header was sent by then, it goes into the trailer
}

func (a *array) add(e *dcb.SequencedEvent) error {
	if err := a.recheckKey(); err != nil {
		return err
	}
	if a.buf.Len() == 0 && !a.started {
		a.buf.WriteByte('[')
	} else {
		a.buf.WriteString(",\n")
	}
	if err := eventjson.Write(&a.buf, eventjson.Of(e)); err != nil {
		return err
	}
	if a.buf.Len() < a.flush {
		return nil
	}
	if !a.started {
		a.writeHeader()
	}
	err := a.send(a.buf.Bytes())
	resetBuffer(&a.buf)
	return err
}

// end sends the rest of the array, and the head if the header did not have it.
func (a *array) end() error {
	if a.buf.Len() == 0 && !a.started {
		a.buf.WriteByte('[')
	}
	a.buf.WriteString("]\n")
	trailer := a.headAtEnd && a.started
	if !a.started {
		a.headAtEnd = false
		a.w.Header().Set("Content-Length", strconv.Itoa(a.buf.Len()))
		a.writeHeader()
	}
	if err := a.send(a.buf.Bytes()); err != nil {
		return err
	}
	if trailer {
		a.w.Header().Set(headHeader, formatPosition(a.head))
	}
	a.complete = true
	return nil
}

func (a *array) writeHeader() {
	header := a.w.Header()
	header.Set("Content-Type", "application/json")
	if a.headAtEnd {
		header.Set("Trailer", headHeader)
	} else {
		header.Set(headHeader, formatPosition(a.head))
	}
	a.setWriteDeadline()
	a.w.WriteHeader(http.StatusOK)
}

func formatPosition(p dcb.Position) string { return strconv.FormatUint(uint64(p), 10) }

// resetBuffer empties a buffer. It gives the memory of an unusually large one back.
func resetBuffer(b *bytes.Buffer) {
	if b.Reset(); b.Cap() > 4*maxBuffered {
		*b = bytes.Buffer{}
	}
}
