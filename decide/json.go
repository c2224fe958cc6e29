package decide

import (
	"bytes"
	"encoding"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"sync"
)

type jsonEncoding struct{}

func (jsonEncoding) Marshal(event any) ([]byte, error) { return json.Marshal(event) }

// jsonPlan says what json.Marshal needs in order to call those methods of a type and what it holds that have a pointer for their receiver,
// as those of big.Int have. Where it cannot take the address it passes over them without a word, and writes what nobody can read.
type jsonPlan struct {
	byPointer bool  // it is given a pointer to the event
	lost      error // such a method is in a map, whose values have no address
}

// place is whether json.Marshal can take the address of a value.
type place uint8

const (
	inEvent place = iota // if it is given a pointer to the event
	inSlice              // always; so can it behind a pointer
	inMap                // never
)

type placed struct {
	t  reflect.Type
	at place
}

func planJSON(t reflect.Type) jsonPlan {
	var plan jsonPlan
	plan.look(placed{t, inEvent}, make(map[placed]bool))
	return plan
}

func (p *jsonPlan) look(v placed, seen map[placed]bool) {
	if seen[v] {
		return
	}
	seen[v] = true
	switch whoseMarshal(v.t) {
	case thePointers:
		switch v.at {
		case inEvent:
			p.byPointer = true
		case inSlice:
		case inMap:
			p.lost = fmt.Errorf("a %v in a map is not written by its own method, which has a pointer for its receiver; make it a *%v", v.t, v.t)
		}
		return
	case theValues:
		return
	case nobodys:
	}
	switch v.t.Kind() {
	case reflect.Struct:
		for field := range v.t.Fields() {
			if field.Tag.Get("json") != "-" && (field.IsExported() || field.Anonymous) {
				p.look(placed{field.Type, v.at}, seen)
			}
		}
	case reflect.Array:
		p.look(placed{v.t.Elem(), v.at}, seen)
	case reflect.Slice, reflect.Pointer:
		p.look(placed{v.t.Elem(), inSlice}, seen)
	case reflect.Map:
		p.look(placed{v.t.Elem(), inMap}, seen)
	default:
	}
}

// marshals says whose method json.Marshal writes a value by.
type marshals uint8

const (
	nobodys marshals = iota
	theValues
	thePointers
)

var (
	marshalerType     = reflect.TypeFor[json.Marshaler]()
	textMarshalerType = reflect.TypeFor[encoding.TextMarshaler]()
)

func whoseMarshal(t reflect.Type) marshals {
	for _, method := range []reflect.Type{marshalerType, textMarshalerType} { // in the order in which it looks for them
		switch {
		case t.Implements(method):
			return theValues
		case reflect.PointerTo(t).Implements(method):
			return thePointers
		}
	}
	return nobodys
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
