// Package eventline writes events as lines of JSON, one event a line, and reads them:
//
//	{"position":1,"recordedAt":"2026-01-02T03:04:05.678901Z","type":"CourseRegistered","tags":["course:go"],"data":"{}"}
//
// Data that is not valid UTF-8 stands in dataBase64 instead of data. What is absent is empty; id and metadata are optional.
package eventline

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
)

// maxLine is what the greatest event can take, with every byte of its data escaped.
const maxLine = 6*dcb.MaxDataBytes + 6*(dcb.MaxMetadata*(dcb.MaxMetadataKeyBytes+dcb.MaxMetadataValueBytes)+
	dcb.MaxTags*dcb.MaxTagBytes+dcb.MaxTypeBytes) + 4096

// line is an event as JSON, in the order in which its fields are printed.
type line struct {
	Position   *dcb.Position     `json:"position,omitempty"`
	RecordedAt *time.Time        `json:"recordedAt,omitempty"`
	Type       string            `json:"type"`
	Tags       []string          `json:"tags"`
	Data       *string           `json:"data,omitempty"`
	DataBase64 []byte            `json:"dataBase64,omitempty"`
	ID         *uuid.UUID        `json:"id,omitempty"`
	Metadata   map[string]string `json:"metadata,omitempty"`
}

// fields are the names in a line. Position and recordedAt are read over: the store gives them, and so what Writer wrote
// can be read.
func fields() []string {
	return []string{"type", "tags", "data", "dataBase64", "id", "metadata", "position", "recordedAt"}
}

// Writer writes events. Flush must be called at the end.
type Writer struct {
	buffer  *bufio.Writer
	encoder *json.Encoder
}

// NewWriter returns a Writer to w.
func NewWriter(w io.Writer) *Writer {
	buffer := bufio.NewWriter(w)
	encoder := json.NewEncoder(buffer)
	encoder.SetEscapeHTML(false)
	return &Writer{buffer: buffer, encoder: encoder}
}

// Write writes one line.
func (w *Writer) Write(event dcb.SequencedEvent) error {
	l := line{
		Position:   &event.Position,
		RecordedAt: &event.RecordedAt,
		Type:       event.Type,
		Tags:       event.Tags,
		Metadata:   event.Metadata,
	}
	if l.Tags == nil {
		l.Tags = []string{}
	}
	if utf8.Valid(event.Data) {
		text := string(event.Data)
		l.Data = &text
	} else {
		l.DataBase64 = event.Data
	}
	if event.ID != uuid.Nil {
		l.ID = &event.ID
	}
	return w.encoder.Encode(l)
}

// Flush writes what was held back.
func (w *Writer) Flush() error { return w.buffer.Flush() }

// ErrLine: a line that is not an event. The error's text says which line, and what is wrong with it.
var ErrLine = errors.New("wrong line")

// Read yields the events of r. Empty lines are read over. The first wrong line ends it with an error that is ErrLine.
func Read(r io.Reader) iter.Seq2[dcb.Event, error] {
	return func(yield func(dcb.Event, error) bool) {
		lines := bufio.NewScanner(r)
		lines.Buffer(nil, maxLine)
		number := 1
		for ; lines.Scan() && lines.Err() == nil; number++ { // where reading breaks off, so does the last line
			if len(bytes.TrimSpace(lines.Bytes())) == 0 {
				continue
			}
			event, err := parse(lines.Bytes())
			if err != nil {
				yield(dcb.Event{}, fmt.Errorf("%w: line %d: %w", ErrLine, number, err))
				return
			}
			if !yield(event, nil) {
				return
			}
		}
		if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
			yield(dcb.Event{}, fmt.Errorf("%w: line %d: it is longer than any event", ErrLine, number))
		} else if err != nil {
			yield(dcb.Event{}, err)
		}
	}
}

// parse is stricter than encoding/json, which would take a field in other letters, and would replace what is not UTF-8 or is half
// of a character.
func parse(text []byte) (dcb.Event, error) {
	if !utf8.Valid(text) {
		return dcb.Event{}, errors.New("it is not valid UTF-8; data that is not stands in dataBase64")
	}
	var found map[string]json.RawMessage
	if err := json.Unmarshal(text, &found); err != nil {
		return dcb.Event{}, plainly(err)
	}
	if hasHalfCharacter(text) {
		return dcb.Event{}, errors.New(`it has half of a character: \ud800 to \udfff come in pairs; data that does not stands in dataBase64`)
	}
	if found == nil {
		return dcb.Event{}, errors.New("it is null, and not an event")
	}
	for name := range found {
		if !slices.Contains(fields(), name) {
			return dcb.Event{}, fmt.Errorf("unknown field %q; an event has %s", name, strings.Join(fields(), ", "))
		}
	}
	var l line
	if err := json.Unmarshal(text, &l); err != nil {
		return dcb.Event{}, plainly(err)
	}
	event := dcb.Event{Type: l.Type, Tags: l.Tags, Data: l.DataBase64, Metadata: l.Metadata}
	if l.Data != nil {
		if len(l.DataBase64) > 0 {
			return dcb.Event{}, errors.New("it has both data and dataBase64")
		}
		event.Data = []byte(*l.Data)
	}
	if l.ID != nil {
		event.ID = *l.ID
	}
	// What the store would refuse is refused here, where the line is known.
	if err := dcb.ValidateAppend([]dcb.Event{event}, nil); err != nil {
		if invalid, ok := errors.AsType[*dcb.InvalidError](err); ok {
			return dcb.Event{}, fmt.Errorf("%s %s", strings.TrimPrefix(invalid.Field, "events[0]."), invalid.Problem)
		}
		return dcb.Event{}, err
	}
	return event, nil
}

// hasHalfCharacter reports whether text, which is valid JSON, has an escaped half of a surrogate pair without the other half.
func hasHalfCharacter(text []byte) bool {
	for {
		i := bytes.IndexByte(text, '\\')
		if i < 0 {
			return false
		}
		first := escaped(text[i:])
		switch {
		case first < 0:
			i += len(`\n`)
		case !utf16.IsSurrogate(first):
			i += len(`\u0000`)
		case utf16.DecodeRune(first, escaped(text[i+len(`\u0000`):])) == utf8.RuneError:
			return true
		default:
			i += len(`\u0000\u0000`)
		}
		text = text[i:]
	}
}

// escaped returns the character that text begins with as \u0000, or -1 if it does not begin so.
func escaped(text []byte) rune {
	if len(text) < len(`\u0000`) || text[0] != '\\' || text[1] != 'u' {
		return -1
	}
	code, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	if err != nil {
		return -1
	}
	return rune(code)
}

// plainly says what is wrong without the names of Go.
func plainly(err error) error {
	if wrongType, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		if wrongType.Field == "" {
			return fmt.Errorf("it is a JSON %s, and not an event {…}", wrongType.Value)
		}
		return fmt.Errorf("%s cannot be a JSON %s", wrongType.Field, wrongType.Value)
	}
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("it is not JSON: %w at byte %d", err, syntax.Offset)
	}
	return err
}
