// Package protofield encodes and decodes fields of Protocol Buffers messages by hand. It avoids the
// copies of generated code: fields are appended to a buffer that other messages share, and decoded
// fields alias the buffer that they came from.
package protofield

import (
	"google.golang.org/protobuf/encoding/protowire"
)

// Open begins a nested message in a field. It reserves one byte for the length, and returns the
// offset at which [Close] writes it.
func Open(b []byte, field protowire.Number) (opened []byte, offset int) {
	b = protowire.AppendTag(b, field, protowire.BytesType)
	return append(b, 0), len(b)
}

// Close ends the nested message that Open began, by writing its length. Most messages are shorter
// than 128 bytes, so their length is one byte; the content of longer ones is moved.
func Close(b []byte, offset int) []byte {
	length := len(b) - offset - 1
	if length < 1<<7 {
		b[offset] = byte(length)
		return b
	}
	more := protowire.SizeVarint(uint64(length)) - 1
	for range more {
		b = append(b, 0)
	}
	copy(b[offset+1+more:], b[offset+1:offset+1+length])
	protowire.AppendVarint(b[:offset], uint64(length))
	return b
}

// AppendString appends a string field, or nothing if text is empty.
func AppendString(b []byte, field protowire.Number, text string) []byte {
	if text == "" {
		return b
	}
	b = protowire.AppendTag(b, field, protowire.BytesType)
	return protowire.AppendString(b, text)
}

// AppendStrings appends a repeated string field. Empty elements are kept.
func AppendStrings(b []byte, field protowire.Number, texts []string) []byte {
	for _, text := range texts {
		b = protowire.AppendTag(b, field, protowire.BytesType)
		b = protowire.AppendString(b, text)
	}
	return b
}

// AppendBytes appends a bytes field, or nothing if content is empty.
func AppendBytes(b []byte, field protowire.Number, content []byte) []byte {
	if len(content) == 0 {
		return b
	}
	b = protowire.AppendTag(b, field, protowire.BytesType)
	return protowire.AppendBytes(b, content)
}

// AppendUint appends a varint field, or nothing if number is 0.
func AppendUint(b []byte, field protowire.Number, number uint64) []byte {
	if number == 0 {
		return b
	}
	b = protowire.AppendTag(b, field, protowire.VarintType)
	return protowire.AppendVarint(b, number)
}

// AppendBool appends a bool field, or nothing if flag is false.
func AppendBool(b []byte, field protowire.Number, flag bool) []byte {
	if !flag {
		return b
	}
	return AppendUint(b, field, 1)
}

// Message is an encoded message that is being read. Bytes and Text have the same content: strings
// are cut out of Text and bytes out of Bytes, so that a message is copied once and not once per
// field.
type Message struct {
	Bytes []byte
	Text  string
}

// NewMessage returns the message in content. Its bytes fields alias content.
func NewMessage(content []byte) Message { return Message{content, string(content)} }

// Field is one field of a message: Varint is set for varints, Part for fields with a length.
type Field struct {
	Number protowire.Number
	Kind   protowire.Type
	Varint uint64
	Part   Message
}

// Is reports whether f is the field with this number and kind. By the rules of the encoding, a
// field of another kind is an unknown field.
func (f *Field) Is(number protowire.Number, kind protowire.Type) bool {
	return f.Number == number && f.Kind == kind
}

// Next takes the next field off m. It skips fields that are neither varints nor have a length,
// because no message of ours has them.
func (m *Message) Next() (f Field, more bool, err error) {
	for len(m.Bytes) > 0 {
		number, kind, n := protowire.ConsumeTag(m.Bytes)
		if n < 0 {
			return Field{}, false, protowire.ParseError(n)
		}
		m.skip(n)
		f = Field{Number: number, Kind: kind}
		switch kind {
		case protowire.VarintType:
			if f.Varint, n = protowire.ConsumeVarint(m.Bytes); n < 0 {
				return Field{}, false, protowire.ParseError(n)
			}
			m.skip(n)
			return f, true, nil
		case protowire.BytesType:
			length, n := protowire.ConsumeVarint(m.Bytes)
			if n < 0 || length > uint64(len(m.Bytes)-n) {
				return Field{}, false, protowire.ParseError(min(n, -1))
			}
			m.skip(n)
			f.Part = Message{m.Bytes[:length:length], m.Text[:length]}
			m.skip(int(length))
			return f, true, nil
		default:
			if n = protowire.ConsumeFieldValue(number, kind, m.Bytes); n < 0 {
				return Field{}, false, protowire.ParseError(n)
			}
			m.skip(n)
		}
	}
	return Field{}, false, nil
}

// Each calls visit with every field of m, and stops at its first error.
func (m Message) Each(visit func(f Field) error) error {
	for {
		f, more, err := m.Next()
		if err != nil || !more {
			return err
		}
		if err := visit(f); err != nil {
			return err
		}
	}
}

func (m *Message) skip(n int) { m.Bytes, m.Text = m.Bytes[n:], m.Text[n:] }
