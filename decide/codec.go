package decide

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/dcbstore/dcb"
)

// ErrUnknownType means that the codec does not know the type of an event. The error text names
// the type. A follower that skips such events tests for it; a projection has
// [Projection.SkipUnknown].
var ErrUnknownType = errors.New("decide: unknown event type")

func unknownType(name string) error { return fmt.Errorf("%w %q", ErrUnknownType, name) }

// Encoding converts events to data and back. The default is JSON.
type Encoding interface {
	// Marshal returns the data of an event. The event is a value of its Go type, not a pointer. An
	// encoding that needs methods with a pointer receiver, such as the MarshalJSON of big.Int, must
	// make an addressable copy, as json.Marshal(&event) does; the default does so.
	Marshal(event any) ([]byte, error)
	// Unmarshal sets the event, a pointer to its Go type, from data.
	Unmarshal(data []byte, event any) error
}

// Codec maps the event types of an application between their names in the store and their Go
// types. It is immutable, and any number of goroutines may use it.
type Codec struct {
	encoding Encoding
	types    []*eventType
	byName   map[string]*eventType
	byGo     map[reflect.Type]*eventType
}

// NewCodec returns a codec for the given event types, with JSON as the encoding. It panics if a
// registration is invalid, or if two have the same name or Go type, so that such a mistake shows
// when the program starts.
func NewCodec(types ...Registration) *Codec {
	c := &Codec{encoding: jsonEncoding{}, byName: make(map[string]*eventType), byGo: make(map[reflect.Type]*eventType)}
	for i, r := range types {
		if r.err != nil {
			panic(fmt.Sprintf("decide: new codec: %v", r.err))
		}
		t := r.typ
		if t == nil {
			panic(fmt.Sprintf("decide: new codec: registration %d is empty; make it with Type", i+1))
		}
		if other := c.byName[t.name]; other != nil {
			panic(fmt.Sprintf("decide: new codec: %v and %v have the same name %q; give each type its own",
				other.goType, t.goType, t.name))
		}
		if other := c.byGo[t.goType]; other != nil {
			panic(fmt.Sprintf("decide: new codec: %v is registered twice, as %q and as %q; remove one",
				t.goType, other.name, t.name))
		}
		c.types = append(c.types, t)
		c.byName[t.name], c.byGo[t.goType] = t, t
	}
	return c
}

// WithEncoding returns a codec for the same types that uses encoding in place of JSON. It panics
// if encoding is nil.
func (c *Codec) WithEncoding(encoding Encoding) *Codec {
	if encoding == nil {
		panic("decide: with encoding: the encoding is nil; a codec without WithEncoding uses JSON")
	}
	other := *c
	other.encoding = encoding
	return &other
}

// Names returns the names that the types of the given events have in the store, in their order.
// Use it for the types of a query, such as the query of a follower. Names panics if a type is not
// in the codec.
func (c *Codec) Names(events ...any) []string {
	names := make([]string, len(events))
	for i, event := range events {
		t := c.byGoType(reflect.TypeOf(event))
		if t == nil {
			panic(fmt.Sprintf("decide: names: %T is not in the codec; register it with Type", event))
		}
		names[i] = t.name
	}
	return names
}

// Encode returns the event as a store records it: with its type, tags and data, and with the
// version in its metadata if the type has upcasts. It sets no ID.
func (c *Codec) Encode(event any) (dcb.Event, error) {
	encoded, err := c.encode(event, "", nil)
	if err != nil {
		return dcb.Event{}, fmt.Errorf("decide: encode: %w", err)
	}
	return encoded, nil
}

// Decode returns the event as a value of its Go type, for a type switch in a follower. It returns
// [ErrUnknownType] if the codec does not know the type, or an error that says why the data cannot
// be decoded.
func (c *Codec) Decode(event dcb.Event) (any, error) {
	t := c.byTypeName(event.Type)
	if t == nil {
		return nil, fmt.Errorf("decide: decode: %w", unknownType(event.Type))
	}
	decoded, err := t.decode(c.encoding, &event)
	if err != nil {
		return nil, fmt.Errorf("decide: decode: %w", err)
	}
	return t.value(decoded), nil
}

// encode encodes an event, with the tag of an idempotency key if key is not empty. It takes tags
// from query if they occur there, which saves building them again.
func (c *Codec) encode(event any, key string, query dcb.Query) (dcb.Event, error) {
	goType := reflect.TypeOf(event)
	t := c.byGoType(goType)
	if t == nil {
		if goType != nil && goType.Kind() == reflect.Pointer && c.byGo[goType.Elem()] != nil {
			return dcb.Event{}, fmt.Errorf("the event is a pointer, %v; pass the value", goType)
		}
		return dcb.Event{}, fmt.Errorf("the event is a %v, which is not in the codec; register it with Type", goType)
	}
	data, err := c.marshal(t, event)
	if err != nil {
		return dcb.Event{}, fmt.Errorf("%s: %w", t.name, err)
	}
	tags, err := t.tags(event, key, query)
	if err != nil {
		return dcb.Event{}, fmt.Errorf("%s: %w", t.name, err)
	}
	encoded := dcb.Event{Type: t.name, Tags: tags, Data: data}
	if t.version != "" {
		encoded.Metadata = map[string]string{VersionKey: t.version}
	}
	return encoded, nil
}

func (c *Codec) marshal(t *eventType, event any) ([]byte, error) {
	if _, ok := c.encoding.(jsonEncoding); ok && t.pointerMethods {
		event = t.pointer(event)
	}
	return c.encoding.Marshal(event)
}

// linearTypes is the number of types up to which a linear search is faster than a map.
const linearTypes = 8

// byGoType returns the registered type with a Go type, or nil.
func (c *Codec) byGoType(goType reflect.Type) *eventType {
	if len(c.types) > linearTypes {
		return c.byGo[goType]
	}
	for _, t := range c.types {
		if t.goType == goType {
			return t
		}
	}
	return nil
}

// byTypeName returns the registered type with a name in the store, or nil.
func (c *Codec) byTypeName(name string) *eventType {
	if len(c.types) > linearTypes {
		return c.byName[name]
	}
	for _, t := range c.types {
		if t.name == name {
			return t
		}
	}
	return nil
}
