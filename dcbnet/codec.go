package dcbnet

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/dcbstore/dcb"
	pf "github.com/dcbstore/dcb/internal/protofield"
	"github.com/dcbstore/dcb/internal/wire"
)

// The encoding of messages, as in proto/dcb/v1/dcb.proto. A message is a list of requests or
// responses, so that each goroutine appends its own to the message that is sent next:
//
//	┌─────┬────────┬──────────────┬─────┬────────┬──────────────┬─
//	│ tag │ length │ Request      │ tag │ length │ Request      │ …
//	│ 0a  │ varint │ id, one call │ 0a  │ varint │ id, one call │
//	└─────┴────────┴──────────────┴─────┴────────┴──────────────┴─
//
// Decoded strings and data alias the message that they came in.

// Numbers of fields.
const (
	fieldElement     = 1 // of Requests and Responses
	fieldID          = 1 // of Request and Response
	fieldTraceparent = 15
)

// append appends r to a message.
func (r *request) append(b []byte) []byte {
	b, whole := pf.Open(b, fieldElement)
	b = pf.AppendUint(b, fieldID, r.id)
	b, call := pf.Open(b, protowire.Number(r.kind))
	switch r.kind {
	case helloRequest:
		b = pf.AppendUint(b, 1, r.hello.version)
		b = pf.AppendString(b, 2, r.hello.key)
		b = pf.AppendString(b, 3, r.hello.store)
	case appendRequest:
		for i := range r.events {
			b = appendEvent(b, 1, &r.events[i])
		}
		if r.condition != nil {
			var offset int
			b, offset = pf.Open(b, 2)
			b = appendQuery(b, 1, r.condition.FailIfEventsMatch)
			b = pf.AppendUint(b, 2, uint64(r.condition.After))
			b = pf.Close(b, offset)
		}
	case readRequest, subscribeRequest:
		b = appendQuery(b, 1, r.query)
		b = pf.AppendUint(b, 2, uint64(r.opts.After))
		if r.kind == readRequest {
			b = pf.AppendUint(b, 3, uint64(r.opts.Before))
			b = pf.AppendUint(b, 4, uint64(r.opts.Limit))
			b = pf.AppendBool(b, 5, r.opts.Backwards)
		}
		b = pf.AppendUint(b, 6, r.credit)
	case waitRequest:
		b = pf.AppendUint(b, 1, uint64(r.opts.After))
	case creditRequest:
		b = pf.AppendUint(b, 1, r.credit)
	default: // no fields
	}
	b = pf.Close(b, call)
	b = pf.AppendString(b, fieldTraceparent, r.traceparent)
	return pf.Close(b, whole)
}

// append appends a to a message.
func (a *response) append(b []byte) []byte {
	b, whole := pf.Open(b, fieldElement)
	b = pf.AppendUint(b, fieldID, a.id)
	b, result := pf.Open(b, protowire.Number(a.kind))
	switch a.kind {
	case welcomeResponse:
		b = pf.AppendUint(b, 3, a.welcome.maxRequests)
		b = pf.AppendUint(b, 4, a.welcome.maxMessageBytes)
	case positionResponse:
		b = pf.AppendUint(b, 1, uint64(a.position))
	case eventsResponse:
		for i := range a.events {
			b = appendSequenced(b, 1, &a.events[i])
		}
		b = pf.AppendUint(b, 2, uint64(a.position))
		b = pf.AppendBool(b, 3, a.last)
		b = pf.AppendBool(b, 4, a.more)
	case errorResponse:
		b = pf.AppendString(b, 1, string(a.err.Code))
		b = pf.AppendString(b, 2, a.err.Text)
		b = pf.AppendString(b, 3, a.err.Field)
		b = pf.AppendString(b, 4, a.err.Problem)
		b = pf.AppendUint(b, 5, uint64(a.err.Limit))
		b = pf.AppendUint(b, 6, uint64(a.err.Position))
	default: // no fields
	}
	return pf.Close(pf.Close(b, result), whole)
}

// appendFields appends the fields that Event and SequencedEvent share.
func appendFields(b []byte, e *dcb.Event) []byte {
	b = pf.AppendString(b, 1, e.Type)
	b = pf.AppendStrings(b, 2, e.Tags)
	b = pf.AppendBytes(b, 3, e.Data)
	if e.ID != uuid.Nil {
		b = pf.AppendBytes(b, 4, e.ID[:])
	}
	for key, value := range e.Metadata {
		var offset int
		b, offset = pf.Open(b, 5)
		b = pf.AppendString(b, 1, key)
		b = pf.AppendString(b, 2, value)
		b = pf.Close(b, offset)
	}
	return b
}

func appendEvent(b []byte, field protowire.Number, e *dcb.Event) []byte {
	b, offset := pf.Open(b, field)
	return pf.Close(appendFields(b, e), offset)
}

func appendSequenced(b []byte, field protowire.Number, e *dcb.SequencedEvent) []byte {
	b, offset := pf.Open(b, field)
	b = appendFields(b, &e.Event)
	b = pf.AppendUint(b, 6, uint64(e.Position))
	b = pf.AppendUint(b, 7, uint64(e.RecordedAt.UnixMicro()))
	return pf.Close(b, offset)
}

func appendQuery(b []byte, field protowire.Number, q dcb.Query) []byte {
	for i := range q {
		var offset int
		b, offset = pf.Open(b, field)
		b = pf.AppendStrings(b, 1, q[i].Types)
		b = pf.AppendStrings(b, 2, q[i].Tags)
		b = pf.Close(b, offset)
	}
	return b
}

// readRequests calls visit with each request of a message, in order.
func readRequests(message []byte, visit func(r *request) error) error {
	return pf.NewMessage(message).Each(func(f pf.Field) error {
		if !f.Is(fieldElement, protowire.BytesType) {
			return nil
		}
		r := new(request)
		if err := r.read(f.Part); err != nil {
			return err
		}
		return visit(r)
	})
}

func (r *request) read(m pf.Message) error {
	for {
		f, more, err := m.Next()
		if err != nil || !more {
			return err
		}
		switch {
		case f.Is(fieldID, protowire.VarintType):
			r.id = f.Varint
		case f.Is(fieldTraceparent, protowire.BytesType):
			r.traceparent = f.Part.Text
		case f.Kind == protowire.BytesType && f.Number >= protowire.Number(helloRequest) && f.Number <= protowire.Number(pingRequest):
			if r.kind != 0 {
				return errors.New("a request has two calls")
			}
			r.kind = requestKind(f.Number)
			if err := r.readCall(f.Part); err != nil {
				return err
			}
		}
	}
}

func (r *request) readCall(m pf.Message) error {
	switch r.kind {
	case helloRequest:
		return m.Each(r.hello.set)
	case appendRequest:
		return r.readAppend(m)
	case readRequest, subscribeRequest:
		return r.readRead(m)
	case waitRequest, creditRequest:
		return m.Each(func(f pf.Field) error {
			switch {
			case !f.Is(1, protowire.VarintType):
			case r.kind == waitRequest:
				r.opts.After = dcb.Position(f.Varint)
			default:
				r.credit = f.Varint
			}
			return nil
		})
	default: // no fields
		return nil
	}
}

func (h *hello) set(f pf.Field) error {
	switch {
	case f.Is(1, protowire.VarintType):
		h.version = f.Varint
	case f.Is(2, protowire.BytesType):
		h.key = f.Part.Text
	case f.Is(3, protowire.BytesType):
		h.store = f.Part.Text
	}
	return nil
}

func (r *request) readAppend(m pf.Message) error {
	for {
		f, more, err := m.Next()
		if err != nil || !more {
			return err
		}
		switch {
		case f.Is(1, protowire.BytesType):
			var e dcb.SequencedEvent
			if err := readEvent(f.Part, &e); err != nil {
				return err
			}
			if len(r.events) <= dcb.MaxEvents { // one more than the limit is enough for the error
				r.events = append(r.events, e.Event)
			}
		case f.Is(2, protowire.BytesType):
			if r.condition == nil {
				r.condition = &dcb.AppendCondition{}
			}
			if err := readCondition(f.Part, r.condition); err != nil {
				return err
			}
		}
	}
}

func readCondition(m pf.Message, c *dcb.AppendCondition) error {
	for {
		f, more, err := m.Next()
		if err != nil || !more {
			return err
		}
		switch {
		case f.Is(1, protowire.BytesType):
			if err := addItem(f.Part, &c.FailIfEventsMatch); err != nil {
				return err
			}
		case f.Is(2, protowire.VarintType):
			c.After = dcb.Position(f.Varint)
		}
	}
}

// readRead reads a Read or a Subscribe. The fields of Subscribe have the same numbers in Read.
func (r *request) readRead(m pf.Message) error {
	for {
		f, more, err := m.Next()
		if err != nil || !more {
			return err
		}
		switch {
		case f.Is(1, protowire.BytesType):
			if err := addItem(f.Part, &r.query); err != nil {
				return err
			}
		case f.Is(2, protowire.VarintType):
			r.opts.After = dcb.Position(f.Varint)
		case f.Is(6, protowire.VarintType):
			r.credit = f.Varint
		case r.kind == subscribeRequest:
		case f.Is(3, protowire.VarintType):
			r.opts.Before = dcb.Position(f.Varint)
		case f.Is(4, protowire.VarintType):
			r.opts.Limit = int(min(f.Varint, 1<<62))
		case f.Is(5, protowire.VarintType):
			r.opts.Backwards = f.Varint != 0
		}
	}
}

// readResponses calls visit with each response of a message, in order.
func readResponses(message []byte, visit func(a *response)) error {
	m := pf.NewMessage(message)
	for {
		before := len(m.Bytes)
		f, more, err := m.Next()
		if err != nil || !more {
			return err
		}
		if !f.Is(fieldElement, protowire.BytesType) {
			continue
		}
		a := response{bytes: before - len(m.Bytes)}
		if err := a.read(f.Part); err != nil {
			return err
		}
		visit(&a)
	}
}

func (a *response) read(m pf.Message) error {
	for {
		f, more, err := m.Next()
		if err != nil || !more {
			return err
		}
		switch {
		case f.Is(fieldID, protowire.VarintType):
			a.id = f.Varint
		case f.Kind == protowire.BytesType && f.Number >= protowire.Number(welcomeResponse) && f.Number <= protowire.Number(pingResponse):
			a.kind = responseKind(f.Number)
			if err := a.readResult(f.Part); err != nil {
				return err
			}
		}
	}
}

func (a *response) readResult(m pf.Message) error {
	for {
		f, more, err := m.Next()
		if err != nil || !more {
			return err
		}
		switch a.kind {
		case welcomeResponse:
			a.welcome.set(f)
		case positionResponse:
			if f.Is(1, protowire.VarintType) {
				a.position = dcb.Position(f.Varint)
			}
		case eventsResponse:
			if err := a.setEvents(f); err != nil {
				return err
			}
		case errorResponse:
			setError(&a.err, f)
		default: // no fields
		}
	}
}

func (w *welcome) set(f pf.Field) {
	switch {
	case f.Is(3, protowire.VarintType):
		w.maxRequests = f.Varint
	case f.Is(4, protowire.VarintType):
		w.maxMessageBytes = f.Varint
	}
}

func (a *response) setEvents(f pf.Field) error {
	switch {
	case f.Is(1, protowire.BytesType):
		a.events = append(a.events, dcb.SequencedEvent{RecordedAt: time.Unix(0, 0).UTC()}) // the value of an absent field
		return readEvent(f.Part, &a.events[len(a.events)-1])
	case f.Is(2, protowire.VarintType):
		a.position = dcb.Position(f.Varint)
	case f.Is(3, protowire.VarintType):
		a.last = f.Varint != 0
	case f.Is(4, protowire.VarintType):
		a.more = f.Varint != 0
	}
	return nil
}

func setError(e *wire.Error, f pf.Field) {
	switch {
	case f.Is(1, protowire.BytesType):
		e.Code = wire.Code(f.Part.Text)
	case f.Is(2, protowire.BytesType):
		e.Text = f.Part.Text
	case f.Is(3, protowire.BytesType):
		e.Field = f.Part.Text
	case f.Is(4, protowire.BytesType):
		e.Problem = f.Part.Text
	case f.Is(5, protowire.VarintType):
		e.Limit = int(f.Varint)
	case f.Is(6, protowire.VarintType):
		e.Position = dcb.Position(f.Varint)
	}
}

// readEvent reads an Event or a SequencedEvent into e.
func readEvent(m pf.Message, e *dcb.SequencedEvent) error {
	for {
		f, more, err := m.Next()
		if err != nil || !more {
			return err
		}
		switch {
		case f.Is(1, protowire.BytesType):
			e.Type = f.Part.Text
		case f.Is(2, protowire.BytesType):
			e.Tags = append(e.Tags, f.Part.Text)
		case f.Is(3, protowire.BytesType):
			e.Data = f.Part.Bytes
		case f.Is(4, protowire.BytesType):
			if e.ID, err = readID(f.Part.Bytes); err != nil {
				return err
			}
		case f.Is(5, protowire.BytesType):
			if err := readEntry(f.Part, &e.Event); err != nil {
				return err
			}
		case f.Is(6, protowire.VarintType):
			e.Position = dcb.Position(f.Varint)
		case f.Is(7, protowire.VarintType):
			e.RecordedAt = time.UnixMicro(int64(f.Varint)).UTC()
		}
	}
}

func readID(bytes []byte) (uuid.UUID, error) {
	if len(bytes) == 0 {
		return uuid.Nil, nil
	}
	if len(bytes) != len(uuid.Nil) {
		return uuid.Nil, fmt.Errorf("an ID has %d bytes; it must have %d", len(bytes), len(uuid.Nil))
	}
	return uuid.UUID(bytes), nil
}

func readEntry(m pf.Message, e *dcb.Event) error {
	var key, value string
	for {
		f, more, err := m.Next()
		if err != nil {
			return err
		}
		if !more {
			break
		}
		switch {
		case f.Is(1, protowire.BytesType):
			key = f.Part.Text
		case f.Is(2, protowire.BytesType):
			value = f.Part.Text
		}
	}
	if e.Metadata == nil {
		e.Metadata = make(map[string]string)
	}
	e.Metadata[key] = value
	return nil
}

// addItem reads an item of a query.
func addItem(m pf.Message, q *dcb.Query) error {
	if len(*q) > dcb.MaxQueryItems { // one more than the limit is enough for the error
		return nil
	}
	var item dcb.QueryItem
	for {
		f, more, err := m.Next()
		if err != nil {
			return err
		}
		if !more {
			*q = append(*q, item)
			return nil
		}
		switch {
		case f.Is(1, protowire.BytesType):
			item.Types = append(item.Types, f.Part.Text)
		case f.Is(2, protowire.BytesType):
			item.Tags = append(item.Tags, f.Part.Text)
		}
	}
}
