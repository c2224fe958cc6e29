package dcbgrpc

import (
	"fmt"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/dcbstore/dcb"
)

// What crosses a session, in the encoding of proto/dcb/v1/dcb.proto, written by hand for two reasons: many goroutines add what they have to one message
// as bytes, each for itself; and what is read goes from the message into a dcb.Event without anything in between. The tests hold it
// against the generated code.
//
// A message is nothing but its parts, one behind the other:
//
//	┌─────┬────────┬──────────────┬─────┬────────┬──────────────┬─
//	│ tag │ length │ Request      │ tag │ length │ Request      │ …
//	│ 0a  │ varint │ id, one call │ 0a  │ varint │ id, one call │
//	└─────┴────────┴──────────────┴─────┴────────┴──────────────┴─

// The numbers of the fields, by message.
const (
	fieldPart = 1 // Requests, Answers

	fieldID          = 1 // Request, Answer
	fieldTraceparent = 15

	fieldHello     = 2 // Request
	fieldAppend    = 3
	fieldRead      = 4
	fieldHead      = 5
	fieldWait      = 6
	fieldSubscribe = 7
	fieldCancel    = 8
	fieldGrant     = 9

	fieldWelcome  = 2 // Answer
	fieldPosition = 3
	fieldEvents   = 4
	fieldError    = 5
	fieldFarewell = 6
)

// open begins a part of b that is a message in a field: its length is written by shut, given the place that open returns.
func open(b []byte, field protowire.Number) (opened []byte, place int) {
	b = protowire.AppendTag(b, field, protowire.BytesType)
	return append(b, 0), len(b)
}

// shut writes the length of the part that begins behind place. Most are short, and their length is one byte; the others are moved.
func shut(b []byte, place int) []byte {
	length := len(b) - place - 1
	if length < 1<<7 {
		b[place] = byte(length)
		return b
	}
	more := protowire.SizeVarint(uint64(length)) - 1
	for range more {
		b = append(b, 0)
	}
	copy(b[place+1+more:], b[place+1:place+1+length])
	protowire.AppendVarint(b[:place], uint64(length))
	return b
}

func appendText(b []byte, field protowire.Number, text string) []byte {
	if text == "" {
		return b
	}
	b = protowire.AppendTag(b, field, protowire.BytesType)
	return protowire.AppendString(b, text)
}

func appendNumber(b []byte, field protowire.Number, number uint64) []byte {
	if number == 0 {
		return b
	}
	b = protowire.AppendTag(b, field, protowire.VarintType)
	return protowire.AppendVarint(b, number)
}

func appendFlag(b []byte, field protowire.Number, flag bool) []byte {
	if !flag {
		return b
	}
	return appendNumber(b, field, 1)
}

// appendTexts keeps empty ones: in a list they count.
func appendTexts(b []byte, field protowire.Number, texts []string) []byte {
	for _, text := range texts {
		b = protowire.AppendTag(b, field, protowire.BytesType)
		b = protowire.AppendString(b, text)
	}
	return b
}

// appendFields adds the fields of e, which Event and SequencedEvent share.
func appendFields(b []byte, e *dcb.Event) []byte {
	b = appendText(b, 1, e.Type)
	b = appendTexts(b, 2, e.Tags)
	if len(e.Data) > 0 {
		b = protowire.AppendTag(b, 3, protowire.BytesType)
		b = protowire.AppendBytes(b, e.Data)
	}
	if e.ID != uuid.Nil {
		b = protowire.AppendTag(b, 4, protowire.BytesType)
		b = protowire.AppendBytes(b, e.ID[:])
	}
	for key, value := range e.Metadata {
		var place int
		b, place = open(b, 5)
		b = appendText(b, 1, key)
		b = appendText(b, 2, value)
		b = shut(b, place)
	}
	return b
}

func appendEvent(b []byte, field protowire.Number, e *dcb.Event) []byte {
	b, place := open(b, field)
	return shut(appendFields(b, e), place)
}

func appendSequenced(b []byte, field protowire.Number, e *dcb.SequencedEvent) []byte {
	b, place := open(b, field)
	b = appendFields(b, &e.Event)
	b = appendNumber(b, 6, uint64(e.Position))
	b = appendNumber(b, 7, uint64(e.RecordedAt.UnixMicro()))
	return shut(b, place)
}

func appendQuery(b []byte, field protowire.Number, q dcb.Query) []byte {
	for i := range q {
		var place int
		b, place = open(b, field)
		b = appendTexts(b, 1, q[i].Types)
		b = appendTexts(b, 2, q[i].Tags)
		b = shut(b, place)
	}
	return b
}

// message is a part of a frame that is being read. Strings are cut out of text, and data out of bytes, which are the same: so
// a frame is copied once and not once a field.
type message struct {
	bytes []byte
	text  string
}

func newMessage(bytes []byte) message { return message{bytes, string(bytes)} }

// field is what next finds: a number for a varint, a part for anything that has a length.
type field struct {
	number protowire.Number
	kind   protowire.Type
	varint uint64
	part   message
}

// next takes the next field off m. Fields that neither are a varint nor have a length are unknown to us and skipped.
func (m *message) next() (f field, more bool, err error) {
	for len(m.bytes) > 0 {
		number, kind, n := protowire.ConsumeTag(m.bytes)
		if n < 0 {
			return field{}, false, protowire.ParseError(n)
		}
		m.skip(n)
		f = field{number: number, kind: kind}
		switch kind {
		case protowire.VarintType:
			if f.varint, n = protowire.ConsumeVarint(m.bytes); n < 0 {
				return field{}, false, protowire.ParseError(n)
			}
			m.skip(n)
			return f, true, nil
		case protowire.BytesType:
			length, n := protowire.ConsumeVarint(m.bytes)
			if n < 0 || length > uint64(len(m.bytes)-n) {
				return field{}, false, protowire.ParseError(min(n, -1))
			}
			m.skip(n)
			f.part = message{m.bytes[:length:length], m.text[:length]}
			m.skip(int(length))
			return f, true, nil
		default:
			if n = protowire.ConsumeFieldValue(number, kind, m.bytes); n < 0 {
				return field{}, false, protowire.ParseError(n)
			}
			m.skip(n)
		}
	}
	return field{}, false, nil
}

func (m *message) skip(n int) { m.bytes, m.text = m.bytes[n:], m.text[n:] }

// each calls visit with every field of m. A field of another kind than ours is, by the rules of the encoding, an unknown one.
func (m message) each(visit func(f field) error) error {
	for {
		f, more, err := m.next()
		if err != nil || !more {
			return err
		}
		if err := visit(f); err != nil {
			return err
		}
	}
}

// is reports whether f is the field with that number and kind.
func (f *field) is(number protowire.Number, kind protowire.Type) bool {
	return f.number == number && f.kind == kind
}

// readEvent reads an Event or a SequencedEvent into e.
func (m message) readEvent(e *dcb.SequencedEvent) error {
	for {
		f, more, err := m.next()
		if err != nil || !more {
			return err
		}
		switch {
		case f.is(1, protowire.BytesType):
			e.Type = f.part.text
		case f.is(2, protowire.BytesType):
			e.Tags = append(e.Tags, f.part.text)
		case f.is(3, protowire.BytesType):
			e.Data = f.part.bytes
		case f.is(4, protowire.BytesType):
			if e.ID, err = readID(f.part.bytes); err != nil {
				return err
			}
		case f.is(5, protowire.BytesType):
			if err := f.part.readEntry(&e.Event); err != nil {
				return err
			}
		case f.is(6, protowire.VarintType):
			e.Position = dcb.Position(f.varint)
		case f.is(7, protowire.VarintType):
			e.RecordedAt = time.UnixMicro(int64(f.varint)).UTC()
		}
	}
}

func readID(bytes []byte) (uuid.UUID, error) {
	if len(bytes) == 0 {
		return uuid.Nil, nil
	}
	if len(bytes) != len(uuid.Nil) {
		return uuid.Nil, fmt.Errorf("an ID has %d bytes and not %d", len(bytes), len(uuid.Nil))
	}
	return uuid.UUID(bytes), nil
}

func (m message) readEntry(e *dcb.Event) error {
	var key, value string
	for {
		f, more, err := m.next()
		if err != nil {
			return err
		}
		if !more {
			break
		}
		switch {
		case f.is(1, protowire.BytesType):
			key = f.part.text
		case f.is(2, protowire.BytesType):
			value = f.part.text
		}
	}
	if e.Metadata == nil {
		e.Metadata = make(map[string]string)
	}
	e.Metadata[key] = value
	return nil
}

// addItem reads an item of a query.
func (m message) addItem(q *dcb.Query) error {
	if len(*q) > dcb.MaxQueryItems { // more are as wrong as one more, and may be very many
		return nil
	}
	item, err := m.readItem()
	*q = append(*q, item)
	return err
}

func (m message) readItem() (item dcb.QueryItem, err error) {
	for {
		f, more, err := m.next()
		if err != nil || !more {
			return item, err
		}
		switch {
		case f.is(1, protowire.BytesType):
			item.Types = append(item.Types, f.part.text)
		case f.is(2, protowire.BytesType):
			item.Tags = append(item.Tags, f.part.text)
		}
	}
}
