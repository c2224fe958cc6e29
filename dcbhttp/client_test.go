package dcbhttp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/auth"
	"github.com/dcbstore/dcb/internal/eventjson"
	"github.com/dcbstore/dcb/internal/wire"
)

// client is a store that calls the HTTP API, so that the conformance kit can test it.
type client struct {
	base   string
	http   *http.Client
	key    string
	closed context.Context //nolint:containedctx // it ends with the client, not with a call
	close  context.CancelCauseFunc
}

func newClient(base string, transport http.RoundTripper) *client {
	c := &client{base: base, http: &http.Client{Transport: transport}}
	c.closed, c.close = context.WithCancelCause(context.Background())
	return c
}

// Close ends all calls with dcb.ErrClosed.
func (c *client) Close() error {
	c.close(dcb.ErrClosed)
	c.http.CloseIdleConnections()
	return nil
}

// do sends a call. If the error is nil, the caller reads and closes the response's body, and then
// calls done.
func (c *client) do(ctx context.Context, method, path string, body any, header ...string) (answer *http.Response, done func(), err error) {
	if c.closed.Err() != nil {
		return nil, nil, dcb.ErrClosed
	}
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(c.closed, func() { cancel(dcb.ErrClosed) })
	over := func() {
		stop()
		cancel(nil)
	}
	defer func() {
		if err != nil {
			err = c.cause(ctx, err)
			over()
		}
	}()
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, nil, err
		}
		content = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, content)
	if err != nil {
		return nil, nil, err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.key != "" {
		r.Header.Set("Authorization", "Bearer "+c.key)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err = c.http.Do(r)
	if err != nil {
		return nil, nil, err
	}
	if answer.StatusCode != http.StatusOK {
		defer answer.Body.Close()
		var p problemResponse
		if err := json.NewDecoder(answer.Body).Decode(&p); err != nil {
			return nil, nil, &dcb.UnavailableError{Cause: err}
		}
		return nil, nil, errorOf(p)
	}
	return answer, over, nil
}

// cause returns err as an error of the contract.
func (c *client) cause(ctx context.Context, err error) error {
	_, isNetwork := errors.AsType[*url.Error](err)
	switch {
	case errors.Is(context.Cause(ctx), dcb.ErrClosed):
		return dcb.ErrClosed
	case ctx.Err() != nil:
		return ctx.Err()
	case isNetwork:
		return &dcb.UnavailableError{Cause: err}
	}
	return err
}

// errorOf returns a problem as an error of the contract.
func errorOf(p problemResponse) error {
	invalid := &dcb.InvalidError{Field: p.Field, Problem: p.Detail, Limit: p.Limit}
	switch p.Code {
	case wire.Invalid:
		return invalid
	case wire.NoEvents:
		return dcb.ErrNoEvents
	case wire.InvalidQuery:
		return fmt.Errorf("%w (%w)", invalid, dcb.ErrInvalidQuery)
	case wire.DuplicateID:
		return fmt.Errorf("%w: %s", dcb.ErrDuplicateID, p.Detail)
	case wire.Unavailable, wire.Limit, wire.Deadline:
		return &dcb.UnavailableError{Cause: errors.New(p.Detail)}
	case wire.Unknown:
		return &dcb.UnavailableError{Cause: errors.New(p.Detail), OutcomeUnknown: true}
	case wire.Corrupt:
		return dcb.ErrCorrupt
	case wire.NoKey:
		return auth.ErrKey
	case wire.NoPermission:
		return auth.ErrPermission
	default:
		return fmt.Errorf("code %s: %s", p.Code, p.Detail)
	}
}

// call sends a call whose response is one JSON value.
func (c *client) call(ctx context.Context, method, path string, body, answer any) error {
	response, done, err := c.do(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer done()
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(answer); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return &dcb.UnavailableError{Cause: err, OutcomeUnknown: method == http.MethodPost}
	}
	return nil
}

type (
	itemMap  = map[string]any
	queryMap = map[string]any
)

func queryOut(q dcb.Query) queryMap {
	items := []itemMap{}
	for _, item := range q {
		items = append(items, itemMap{"types": item.Types, "tags": item.Tags})
	}
	return queryMap{"items": items}
}

func eventOut(e dcb.Event) map[string]any {
	out := map[string]any{"type": e.Type, "tags": e.Tags}
	escaped := 0
	for _, c := range e.Data {
		if c < ' ' {
			escaped++
		}
	}
	if utf8.Valid(e.Data) && escaped < 64+len(e.Data)/8 { // many escapes would take more than base64
		out["data"] = string(e.Data)
	} else {
		out["dataBase64"] = e.Data
	}
	if e.ID != uuid.Nil {
		out["id"] = e.ID
	}
	if len(e.Metadata) > 0 {
		out["metadata"] = e.Metadata
	}
	return out
}

func eventIn(in eventjson.SequencedEvent) dcb.SequencedEvent {
	event, err := in.Event.Event()
	if err != nil {
		panic(err) // the server sent both data and dataBase64
	}
	return dcb.SequencedEvent{Event: event, Position: in.Position, RecordedAt: time.Time(in.RecordedAt).UTC()}
}

// optionsOut returns opts as the protocol has them. If none is true, no event can be within them.
func optionsOut(opts dcb.ReadOptions) (out map[string]any, none bool) {
	out = map[string]any{}
	low, high := "from", "to"
	if opts.Backwards {
		low, high = "to", "from"
		out["backwards"] = true
	}
	if opts.After > 0 {
		out[low] = opts.After + 1
	}
	if opts.Before > 0 {
		out[high] = opts.Before - 1
	}
	if opts.Limit > 0 {
		out["limit"] = opts.Limit
	}
	return out, opts.After == math.MaxUint64
}

// Read uses GET if the query fits into a URL, and POST otherwise.
func (c *client) Read(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
	if err := dcb.ValidateRead(q, opts); err != nil {
		return dcb.ReadResult{}, err
	}
	options, none := optionsOut(opts)
	if none {
		head, err := c.Head(ctx)
		return dcb.ReadResult{Head: opts.Top(head)}, err
	}
	if opts.Limit > 0 {
		options["limit"] = uint64(opts.Limit) + 1 // the response does not have More: one event more shows it
	}
	path, method := "/read", http.MethodPost
	var body any = map[string]any{"query": queryOut(q), "options": options}
	if len(q) < 10 {
		query, err := json.Marshal(queryOut(q))
		if err != nil {
			return dcb.ReadResult{}, err
		}
		bounds, err := json.Marshal(options)
		if err != nil {
			return dcb.ReadResult{}, err
		}
		path += "?" + url.Values{"query": {string(query)}, "options": {string(bounds)}}.Encode()
		method, body = http.MethodGet, nil
	}
	response, done, err := c.do(ctx, method, path, body)
	if err != nil {
		return dcb.ReadResult{}, err
	}
	defer done()
	defer response.Body.Close()
	var events []eventjson.SequencedEvent
	if err := json.NewDecoder(response.Body).Decode(&events); err != nil {
		if c.closed.Err() != nil {
			return dcb.ReadResult{}, dcb.ErrClosed
		}
		return dcb.ReadResult{}, &dcb.UnavailableError{Cause: err}
	}
	var result dcb.ReadResult
	for _, e := range events {
		result.Events = append(result.Events, eventIn(e))
	}
	if _, err := io.Copy(io.Discard, response.Body); err != nil { // the trailer comes after the end
		return dcb.ReadResult{}, &dcb.UnavailableError{Cause: err}
	}
	text := response.Header.Get(headHeader) + response.Trailer.Get(headHeader)
	head, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return dcb.ReadResult{}, fmt.Errorf("the head of the response: %w", err)
	}
	result.Head = dcb.Position(head)
	if opts.Limit > 0 && len(result.Events) > opts.Limit {
		result.Events, result.More = result.Events[:opts.Limit], true
		if !opts.Backwards {
			result.Head = result.Events[opts.Limit-1].Position
		}
	}
	return result, nil
}

func (c *client) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	if err := dcb.ValidateAppend(events, condition); err != nil {
		return 0, err
	}
	out := []any{}
	for _, e := range events {
		out = append(out, eventOut(e))
	}
	body := map[string]any{"events": out}
	if condition != nil {
		body["condition"] = map[string]any{"failIfEventsMatch": queryOut(condition.FailIfEventsMatch), "after": condition.After}
	}
	var answer appendResponse
	if err := c.call(ctx, http.MethodPost, "/append", body, &answer); err != nil {
		return 0, err
	}
	if answer.AppendConditionFailed {
		return 0, &dcb.ConflictError{Position: answer.ConflictingPosition}
	}
	return answer.Position, nil
}

func (c *client) Head(ctx context.Context) (dcb.Position, error) {
	var answer headResponse
	err := c.call(ctx, http.MethodGet, "/head", nil, &answer)
	return answer.Head, err
}

func (c *client) Wait(ctx context.Context, after dcb.Position) (dcb.Position, error) {
	for {
		var answer headResponse
		err := c.call(ctx, http.MethodGet, fmt.Sprintf("/wait?after=%d&timeout=300", after), nil, &answer)
		if err != nil && ctx.Err() == nil && c.closed.Err() != nil {
			return 0, dcb.ErrClosed
		}
		if err != nil || answer.Head > after {
			return answer.Head, err
		}
	}
}

// follower is a client that follows by server-sent events.
type follower struct{ *client }

// Follow yields each event as a batch whose head is the ID.
func (f follower) Follow(ctx context.Context, q dcb.Query, after dcb.Position) iter.Seq2[dcb.ReadResult, error] {
	return func(yield func(dcb.ReadResult, error) bool) {
		if err := dcb.ValidateRead(q, dcb.ReadOptions{}); err != nil {
			yield(dcb.ReadResult{}, err)
			return
		}
		var first []dcb.SequencedEvent // the first batch has all events before the first head
		begun := false
		for message, err := range f.events(ctx, q, after) {
			var result dcb.ReadResult
			if err == nil {
				result, err = message.result()
			}
			if !begun && err == nil {
				if first = append(first, result.Events...); message.event == "event" {
					continue
				}
				result.Events, begun = first, true
			}
			if !yield(result, err) || err != nil {
				return
			}
		}
	}
}

// events yields the messages of a stream, and an error at the end.
func (f follower) events(ctx context.Context, q dcb.Query, after dcb.Position) iter.Seq2[message, error] {
	return func(yield func(message, error) bool) {
		query, err := json.Marshal(queryOut(q))
		if err != nil {
			yield(message{}, err)
			return
		}
		path := "/subscribe?" + url.Values{"query": {string(query)}, "after": {formatPosition(after)}}.Encode()
		response, done, err := f.do(ctx, http.MethodGet, path, nil)
		if err != nil {
			yield(message{}, err)
			return
		}
		defer done()
		defer response.Body.Close()
		for m, err := range messages(response.Body) {
			switch {
			case err == nil:
			case ctx.Err() != nil:
				err = ctx.Err()
			case f.closed.Err() != nil:
				err = dcb.ErrClosed
			}
			if !yield(m, err) || err != nil {
				return
			}
		}
	}
}

// testTimeout is reached only if something is broken, however loaded the machine is.
const testTimeout = 2 * time.Minute

// eventually calls f until it is true.
func eventually(f func() bool) bool {
	for end := time.Now().Add(testTimeout); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}
