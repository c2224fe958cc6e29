// Package eventline reads and writes events as lines of JSON, one event per line. Package
// internal/eventjson defines the JSON.
package eventline

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/eventjson"
)

// maxLine is the length of the longest line that can be an event, with every byte of it escaped.
const maxLine = 6*dcb.MaxDataBytes + 6*(dcb.MaxMetadata*(dcb.MaxMetadataKeyBytes+dcb.MaxMetadataValueBytes)+
	dcb.MaxTags*dcb.MaxTagBytes+dcb.MaxTypeBytes) + 4096

// line is an event as it is read. Position and RecordedAt are ignored, because the store assigns
// them. So the output of one store is input for another.
type line struct {
	Position   jsontext.Value `json:"position"`
	RecordedAt jsontext.Value `json:"recordedAt"`
	eventjson.Event
}

// Writer writes events. Flush must be called at the end.
type Writer struct{ buffer *bufio.Writer }

// NewWriter returns a Writer to w.
func NewWriter(w io.Writer) *Writer { return &Writer{bufio.NewWriter(w)} }

// Write writes one line.
func (w *Writer) Write(event dcb.SequencedEvent) error {
	if err := eventjson.Write(w.buffer, eventjson.Of(&event)); err != nil {
		return err
	}
	return w.buffer.WriteByte('\n')
}

// Flush writes the lines that are buffered.
func (w *Writer) Flush() error { return w.buffer.Flush() }

// ErrLine means that a line is not an event. The text of the error names the line and what is wrong
// with it.
var ErrLine = errors.New("wrong line")

// Read yields the events of r. It ignores empty lines. The first wrong line ends it with an error
// that is ErrLine.
func Read(r io.Reader) iter.Seq2[dcb.Event, error] {
	return func(yield func(dcb.Event, error) bool) {
		lines := bufio.NewScanner(r)
		lines.Buffer(nil, maxLine)
		number := 1
		for ; lines.Scan() && lines.Err() == nil; number++ { // after a read error the last line is incomplete
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

// parse checks what the store would refuse, too, because here the line is known.
func parse(text []byte) (dcb.Event, error) {
	var in line
	var event dcb.Event
	err := eventjson.Unmarshal(text, &in)
	if err == nil {
		event, err = in.Event.Event()
	}
	if err == nil {
		err = dcb.ValidateAppend([]dcb.Event{event}, nil)
	}
	if invalid, ok := errors.AsType[*dcb.InvalidError](err); ok {
		field := strings.TrimPrefix(invalid.Field, "events[0].")
		if field == "" {
			field = "it"
		}
		return dcb.Event{}, fmt.Errorf("%s %s", field, invalid.Problem)
	}
	return event, err
}
