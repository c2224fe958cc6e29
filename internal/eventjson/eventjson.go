// Package eventjson defines the JSON form of events and queries, for HTTP and the command line:
//
//	{"position":1,"recordedAt":"2026-12-01T08:30:00.038190Z","type":"CourseRegistered","tags":["course:go"],"data":"{}"}
//
// Data that is not valid UTF-8 is in dataBase64 instead of data. The members id and metadata are
// optional. A member that is null counts as absent; a value or a list element that is null is
// refused.
//
// [Unmarshal] is strict: what is recorded is exactly what was sent. It refuses unknown members,
// members that occur twice, names in another case, invalid UTF-8, half of a surrogate pair and text
// after the value. Its errors name the place as a JSON pointer (RFC 6901).
package eventjson

import (
	"bytes"
	"encoding/base64"
	"io"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
)

// Event is the JSON form of a [dcb.Event].
type Event struct {
	Type       string   `json:"type"`
	Tags       []string `json:"tags"`
	Data       *string  `json:"data,omitzero"`
	DataBase64 Base64   `json:"dataBase64,omitempty"`
	ID         ID       `json:"id,omitzero"`
	Metadata   Metadata `json:"metadata,omitempty"`
}

// SequencedEvent is the JSON form of a [dcb.SequencedEvent].
type SequencedEvent struct {
	Position   dcb.Position `json:"position"`
	RecordedAt Time         `json:"recordedAt"`
	Event
}

// Query is the JSON form of a [dcb.Query]. Without items it selects every event.
type Query struct {
	Items Items `json:"items"`
}

// Item is the JSON form of a [dcb.QueryItem].
type Item struct {
	Types []string `json:"types"`
	Tags  []string `json:"tags"`
}

// Of returns the JSON form of e. It shares memory with e.
func Of(e *dcb.SequencedEvent) SequencedEvent {
	out := SequencedEvent{
		Position:   e.Position,
		RecordedAt: Time(e.RecordedAt),
		Event:      Event{Type: e.Type, Tags: e.Tags, ID: ID(e.ID), Metadata: e.Metadata},
	}
	if utf8.Valid(e.Data) {
		text := string(e.Data)
		out.Data = &text
	} else {
		out.DataBase64 = e.Data
	}
	return out
}

// Write writes value as JSON, on one line and without a line break.
func Write(out io.Writer, value any) error {
	return json.MarshalWrite(out, value, json.Deterministic(true))
}

// Event returns e as the contract has it. It shares memory with e. The error is a
// [*dcb.InvalidError] if e has both data and dataBase64. Everything else is for
// [dcb.ValidateAppend] to check.
func (e *Event) Event() (dcb.Event, error) {
	out := dcb.Event{Type: e.Type, Tags: e.Tags, Data: e.DataBase64, ID: uuid.UUID(e.ID), Metadata: e.Metadata}
	if e.Data != nil {
		if e.DataBase64 != nil {
			return dcb.Event{}, &dcb.InvalidError{Field: "dataBase64", Problem: "is given together with data; an event has one of them"}
		}
		out.Data = []byte(*e.Data)
	}
	return out, nil
}

// Query returns q as the contract has it. It shares memory with q.
func (q *Query) Query() dcb.Query {
	if len(q.Items) == 0 {
		return dcb.All()
	}
	out := make(dcb.Query, len(q.Items))
	for i, item := range q.Items {
		out[i] = dcb.QueryItem(item)
	}
	return out
}

// Time is written in UTC with six fractional digits, so that times sort as text.
type Time time.Time

const timeFormat = "2006-01-02T15:04:05.000000Z"

// MarshalText implements [encoding.TextMarshaler].
func (t Time) MarshalText() ([]byte, error) {
	return time.Time(t).UTC().AppendFormat(nil, timeFormat), nil
}

// UnmarshalText implements [encoding.TextUnmarshaler]. It accepts RFC 3339.
func (t *Time) UnmarshalText(text []byte) error { return (*time.Time)(t).UnmarshalText(text) }

// ID is a UUID in its canonical form, which is the only one that is read.
type ID uuid.UUID

// MarshalText implements [encoding.TextMarshaler].
func (id ID) MarshalText() ([]byte, error) { return uuid.UUID(id).MarshalText() }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (id *ID) UnmarshalText(text []byte) error {
	parsed, err := uuid.ParseBytes(text)
	if err != nil || len(text) != len(uuid.Nil.String()) {
		return &dcb.InvalidError{Problem: "is not a UUID such as 01890a5d-ac96-774b-bcce-b302099a8057"}
	}
	*id = ID(parsed)
	return nil
}

// Base64 is bytes in base64 with the standard alphabet and padding, without line breaks.
// Encodings of the same bytes that differ from what MarshalText writes are refused.
type Base64 []byte

// MarshalText implements [encoding.TextMarshaler].
func (b Base64) MarshalText() ([]byte, error) { return base64.StdEncoding.AppendEncode(nil, b), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (b *Base64) UnmarshalText(text []byte) error {
	decoded, err := base64.StdEncoding.Strict().AppendDecode(nil, text)
	if err != nil || bytes.ContainsAny(text, "\r\n") {
		return &dcb.InvalidError{Problem: "is not base64 (RFC 4648, section 4, with padding)"}
	}
	*b = decoded
	return nil
}

// Whole is a whole number from 0 to 2^64-1. A fraction of zeros is allowed, because languages
// whose only numbers are floats write 17.0.
type Whole uint64

// UnmarshalJSONFrom implements [json.UnmarshalerFrom].
func (n *Whole) UnmarshalJSONFrom(in *jsontext.Decoder) error {
	if in.PeekKind() != jsontext.KindNumber {
		return json.UnmarshalDecode(in, (*uint64)(n)) // which names the wrong kind
	}
	text, err := in.ReadValue()
	if err != nil {
		return err
	}
	*n, err = ParseWhole(string(text))
	return err
}

// Events is a list of at most [dcb.MaxEvents] events.
type Events []Event

// UnmarshalJSONFrom implements [json.UnmarshalerFrom].
func (list *Events) UnmarshalJSONFrom(in *jsontext.Decoder) error {
	return unmarshalAtMost(in, (*[]Event)(list), dcb.MaxEvents, "events")
}

// Items is a list of at most [dcb.MaxQueryItems] query items.
type Items []Item

// UnmarshalJSONFrom implements [json.UnmarshalerFrom].
func (list *Items) UnmarshalJSONFrom(in *jsontext.Decoder) error {
	return unmarshalAtMost(in, (*[]Item)(list), dcb.MaxQueryItems, "items")
}

// Metadata is a map of at most [dcb.MaxMetadata] entries.
type Metadata map[string]string

// UnmarshalJSONFrom implements [json.UnmarshalerFrom].
func (m *Metadata) UnmarshalJSONFrom(in *jsontext.Decoder) error {
	if in.PeekKind() != jsontext.KindBeginObject {
		return json.UnmarshalDecode(in, (*map[string]string)(m))
	}
	if _, err := in.ReadToken(); err != nil {
		return err
	}
	*m = make(Metadata)
	for in.PeekKind() != jsontext.KindEndObject {
		if len(*m) == dcb.MaxMetadata {
			return tooMany(dcb.MaxMetadata, "entries")
		}
		var key, value string
		if err := json.UnmarshalDecode(in, &key); err != nil {
			return err
		}
		if err := json.UnmarshalDecode(in, &value); err != nil {
			return err
		}
		(*m)[key] = value
	}
	_, err := in.ReadToken()
	return err
}

// unmarshalAtMost reads an array. It stops at the limit, before a large text becomes something
// several times as large in memory.
func unmarshalAtMost[T any](in *jsontext.Decoder, list *[]T, limit int, unit string) error {
	if in.PeekKind() != jsontext.KindBeginArray {
		return json.UnmarshalDecode(in, list) // null, or an error that names the wrong kind
	}
	if _, err := in.ReadToken(); err != nil {
		return err
	}
	for in.PeekKind() != jsontext.KindEndArray {
		if len(*list) == limit {
			return tooMany(limit, unit)
		}
		if in.PeekKind() == jsontext.KindNull {
			return json.UnmarshalDecode(in, new(refusedNull))
		}
		var element T
		if err := json.UnmarshalDecode(in, &element); err != nil {
			return err
		}
		*list = append(*list, element)
	}
	_, err := in.ReadToken()
	return err
}

// refusedNull is a null where it could mean too much: as a query item, every event.
type refusedNull struct{}

// UnmarshalJSONFrom implements [json.UnmarshalerFrom].
func (*refusedNull) UnmarshalJSONFrom(*jsontext.Decoder) error {
	return &dcb.InvalidError{Problem: isNull}
}
