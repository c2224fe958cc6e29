package dcbhttp

import (
	"bytes"
	"context"
	"net/http"
	"strconv"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/eventjson"
)

// headHeader carries [dcb.ReadResult].Head: the position to use as after of a condition.
const headHeader = "Dcb-Head"

const (
	// firstPage is the number of events in the first read. Most reads end with it, at the cost of
	// one call of the store.
	firstPage = 64
	// maxBuffered is how many bytes of a response are held back if its end decides what the header
	// says.
	maxBuffered = 1 << 20
)

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

// read answers with the events that q selects, as they come. It begins with one read of a page, which is all of most reads, and goes on with
// a stream up to the head as it is then.
func (h *Handler) read(ctx context.Context, c *call, q dcb.Query, options readOptions) error {
	opts, err := options.contract()
	if err != nil {
		return err
	}
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
	a := &array{call: c, flush: pieceBytes, head: result.Head}
	n := len(result.Events)
	long := result.More && n != limit
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
	opts.After, a.head = a.last, opts.Top(head)
	opts.Before = a.head + 1
	if opts.Limit > 0 {
		a.open, a.flush = true, maxBuffered
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

// array is a response that is an array of events. Unless end is called, it is not valid JSON.
type array struct {
	*call
	buf   bytes.Buffer
	flush int          // the size of buf at which it is sent
	head  dcb.Position // for the header or the trailer
	last  dcb.Position // of the last event after the first page
	open  bool         // head is final only at the end; if part of the response was sent by then, it goes into the trailer
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
	trailer := a.open && a.started
	if !a.started {
		a.open = false
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
	if a.open {
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
