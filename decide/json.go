package decide

import (
	"bytes"
	"encoding/json"
	"io"
	"reflect"
	"sync"
)

type jsonEncoding struct{}

// Marshal is given a pointer to an event that may hold something with methods. Otherwise json.Marshal would pass over those that have a pointer
// for their receiver, such as those of big.Int, without a word, and write what nobody can read.
func (jsonEncoding) Marshal(event any) ([]byte, error) { return json.Marshal(event) }

// hasMethods reports whether a type, or what it holds, has methods that need a pointer, or may have: it looks no further than structs.
func hasMethods(t reflect.Type) bool {
	switch {
	case reflect.PointerTo(t).NumMethod() > 0:
		return true
	case t.Kind() == reflect.Struct:
		for field := range t.Fields() {
			if hasMethods(field.Type) {
				return true
			}
		}
		return false
	default:
		return !isPlain(t) || t.Kind() == reflect.Array
	}
}

// maxPooled is up to how much data is read by a decoder that is kept, and keeps its buffer.
const maxPooled = 64 << 10

// Unmarshal is json.Unmarshal, which makes a decoder for each event: that costs more than a small event itself. So decoders are kept, of a
// kind that json.Unmarshal is made of too. Whatever one of them does not like is left to json.Unmarshal, which then says what is wrong.
//
// No data is taken for an event that says nothing besides its tags: other programs may record it so.
func (jsonEncoding) Unmarshal(data []byte, event any) error {
	if n := len(data); n > 0 && data[n-1] <= ' ' {
		data = bytes.TrimRight(data, " \t\r\n")
	}
	if len(data) == 0 {
		return nil
	}
	if len(data) <= maxPooled {
		d := decoders.Get().(*decoder)
		if d.decode(data, event) {
			decoders.Put(d)
			return nil
		}
	}
	return json.Unmarshal(data, event)
}

var decoders = sync.Pool{New: func() any {
	d := &decoder{}
	d.stream = json.NewDecoder(d)
	return d
}}

// decoder decodes one event after the other, as if they were one stream.
//
// Invariant between calls: stream has consumed everything that it was given.
type decoder struct {
	stream *json.Decoder
	unread []byte // of the event that is being decoded
}

// decode reports whether data was one value, and nothing else, and fitted event. If it was not, the decoder is spoilt.
func (d *decoder) decode(data []byte, event any) bool {
	began := d.stream.InputOffset()
	d.unread = data
	err := d.stream.Decode(event)
	return err == nil && d.stream.InputOffset()-began == int64(len(data))
}

// Read gives the stream the event, and then an end, after which there may be more.
func (d *decoder) Read(p []byte) (int, error) {
	if len(d.unread) == 0 {
		d.unread = nil
		return 0, io.EOF
	}
	n := copy(p, d.unread)
	d.unread = d.unread[n:]
	return n, nil
}
