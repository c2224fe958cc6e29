package decide

import (
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/dcbstore/dcb"
)

// ErrUnknownType: an event has a type that the codec does not know. The error's text names it. A reader that may pass over such events tests
// for it; a projection has [Projection.SkipUnknown].
var ErrUnknownType = errors.New("decide: unknown type of event")

func unknownType(name string) error { return fmt.Errorf("%w: %q", ErrUnknownType, name) }

// Encoding turns an event into its data and back. The default is JSON.
type Encoding interface {
	// Marshal returns the data of an event, given as a value of its Go type. Methods of what it holds that have a pointer for their receiver, such as
	// the MarshalJSON of big.Int, can only be called on a copy whose address can be taken. The default makes one of the event, as json.Marshal(&event)
	// does; what a map holds has none.
	Marshal(event any) ([]byte, error)
	// Unmarshal sets the event, given as a pointer to its Go type, to what data says.
	Unmarshal(data []byte, event any) error
}

// Codec knows the types of an application's events, by the names that they have in the store and by their Go types. It never changes,
// and any number of goroutines may use it.
type Codec struct {
	encoding Encoding
	types    []*eventType
	byName   map[string]*eventType
	byGo     map[reflect.Type]*eventType
}

// fewTypes is up to how many types are looked through rather than up: a map takes as long as some ten comparisons.
const fewTypes = 8

// of returns what is known of a Go type, nil if it is not in the codec.
func (c *Codec) of(goType reflect.Type) *eventType {
	if len(c.types) > fewTypes {
		return c.byGo[goType]
	}
	for _, t := range c.types {
		if t.goType == goType {
			return t
		}
	}
	return nil
}

// named returns what is known of the type that the store calls name, nil if it is not in the codec.
func (c *Codec) named(name string) *eventType {
	if len(c.types) > fewTypes {
		return c.byName[name]
	}
	for _, t := range c.types {
		if t.name == name {
			return t
		}
	}
	return nil
}

// NewCodec returns a codec for the given types of events. It panics if one cannot be used, or if two have the same name or the
// same Go type: that is a mistake of the program, and is to show when it starts.
func NewCodec(types ...Registration) *Codec {
	c := &Codec{encoding: jsonEncoding{}, byName: make(map[string]*eventType), byGo: make(map[reflect.Type]*eventType)}
	for _, r := range types {
		if r.err != nil {
			panic(fmt.Sprintf("decide: codec: %v", r.err))
		}
		t := r.typ
		if t == nil {
			panic("decide: codec: an empty registration; Type makes them")
		}
		if other := c.byName[t.name]; other != nil {
			panic(fmt.Sprintf("decide: codec: %v and %v are both named %q", other.goType, t.goType, t.name))
		}
		if other := c.byGo[t.goType]; other != nil {
			panic(fmt.Sprintf("decide: codec: %v is there twice, as %q and as %q", t.goType, other.name, t.name))
		}
		c.types = append(c.types, t)
		c.byName[t.name], c.byGo[t.goType] = t, t
	}
	return c
}

// WithEncoding returns a codec for the same types that uses encoding in place of JSON. It panics if that is nil.
func (c *Codec) WithEncoding(encoding Encoding) *Codec {
	if encoding == nil {
		panic("decide: codec: the encoding is nil; without WithEncoding it is JSON")
	}
	other := *c
	other.encoding = encoding
	return &other
}

// Names returns what the store calls the types of the given events, in their order: for the types of a query, of who follows some of them. It
// panics if one is not in the codec, which is found when the program starts.
func (c *Codec) Names(events ...any) []string {
	names := make([]string, len(events))
	for i, event := range events {
		t := c.of(reflect.TypeOf(event))
		if t == nil {
			panic(fmt.Sprintf("decide: codec: names: %T is not in the codec", event))
		}
		names[i] = t.name
	}
	return names
}

// Encode returns an event as a store records it: type, tags, data and, if its type has older versions, the version. It has no ID.
func (c *Codec) Encode(event any) (dcb.Event, error) {
	encoded, err := c.encode(event, "", nil)
	if err != nil {
		return dcb.Event{}, fmt.Errorf("decide: encode: %w", err)
	}
	return encoded, nil
}

// Decode returns an event as a value of its Go type: for followers, who switch on that. Errors: [ErrUnknownType], and whatever
// is wrong with the data.
func (c *Codec) Decode(event dcb.Event) (any, error) {
	t := c.named(event.Type)
	if t == nil {
		return nil, fmt.Errorf("decide: decode: %w", unknownType(event.Type))
	}
	decoded, err := t.decode(c.encoding, &event)
	if err != nil {
		return nil, fmt.Errorf("decide: decode: %w", err)
	}
	return t.value(decoded), nil
}

// encode gives the event the tag of a command, if key is not empty. Tags that known has are not made again.
func (c *Codec) encode(event any, key string, known dcb.Query) (dcb.Event, error) {
	goType := reflect.TypeOf(event)
	t := c.of(goType)
	if t == nil {
		if goType != nil && goType.Kind() == reflect.Pointer && c.byGo[goType.Elem()] != nil {
			return dcb.Event{}, fmt.Errorf("an event is given as a pointer, %v; give the value", goType)
		}
		return dcb.Event{}, fmt.Errorf("an event is a %v, which is not in the codec", goType)
	}
	data, err := c.marshal(t, event)
	if err != nil {
		return dcb.Event{}, fmt.Errorf("%s: %w", t.name, err)
	}
	tags, err := t.tags(event, key, known)
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
	if _, ok := c.encoding.(jsonEncoding); ok && t.methods {
		event = t.pointer(event)
	}
	return c.encoding.Marshal(event)
}

// Registration is a type of events, for [NewCodec]. [Type] makes one.
type Registration struct {
	typ *eventType
	err error
}

// eventType is all that is known of a type of events. What reflection can tell was found out when it was made.
type eventType struct {
	name    string
	alone   []string // the name, as the types of a query
	goType  reflect.Type
	plain   bool            // no two holders of a value share anything that could be changed
	value   func(e any) any // *E as E
	pointer func(e any) any // E as *E, a copy
	methods bool            // a pointer to what it holds may have some, by which it is written
	open    func(encoding Encoding, data []byte) (any, error)
	upcasts []Upcaster
	version string  // that new events carry; "" if there are no upcasts
	plan    tagPlan // how its tags are made

	// Of the tags that its events can have, in any version.
	keys      []string
	otherKeys bool
}

// Type registers the Go type E for events that the store calls name. E is a struct, or another type that holds its value itself.
//
// Its tags are KEY:VALUE for each field with the struct tag dcb:"KEY". Such a field is a string, an integer, a UUID, a type with one of
// the first two underneath, a [TagValuer], or a slice of those for several tags. An empty string, UUID or slice is refused when it is recorded, or with
// dcb:"KEY,omitempty" leaves the tag out, as it then does for the integer 0. If no field can say it, E has a method
// Tags() []string instead. An event without tags is allowed.
//
// Such fields are in E itself, or in a struct that is embedded as a value. A dcb tag that would not be used, in what another field or an embedded
// pointer holds, is refused; dcb:"-" says that a field gives no tag, nor anything in it. A method Tags that E has from what is embedded counts as
// E's own, if nothing else gives tags. A UUID type of one's own is a TagValuer, and needs MarshalText and UnmarshalText too: a type
// defined by uuid.UUID has none of its methods.
//
// Upcasts lead from older versions of the type to E, from each to the next: see [Upcast].
func Type[E any](name string, upcasts ...Upcaster) Registration {
	goType := reflect.TypeFor[E]()
	fail := func(err error) Registration { return Registration{err: fmt.Errorf("%v as %q: %w", goType, name, err)} }
	if err := dcb.ValidateAppend([]dcb.Event{{Type: name}}, nil); err != nil {
		return fail(err)
	}
	switch goType.Kind() {
	case reflect.Pointer, reflect.Interface:
		return fail(errors.New("an event is a value; register the type itself"))
	default:
	}
	plan, err := planTags(goType)
	if err != nil {
		return fail(err)
	}
	version, err := checkUpcasts(goType, upcasts)
	if err != nil {
		return fail(err)
	}
	keys, otherKeys := keysOf(plan, upcasts)
	return Registration{typ: &eventType{
		name: name, alone: []string{name}, goType: goType, plain: isPlain(goType), upcasts: slices.Clone(upcasts), version: version,
		plan: plan, keys: keys, otherKeys: otherKeys, methods: hasMethods(goType),
		value: func(e any) any { return *e.(*E) },
		pointer: func(e any) any {
			event := e.(E)
			return &event
		},
		open: opener[E](),
	}}
}

// opener returns what makes a new E of its data.
func opener[E any]() func(encoding Encoding, data []byte) (any, error) {
	var asJSON Encoding = jsonEncoding{hasNumbers: holds(reflect.TypeFor[E](), numberType)}
	return func(encoding Encoding, data []byte) (any, error) {
		if _, ok := encoding.(jsonEncoding); ok {
			encoding = asJSON
		}
		event := new(E)
		if err := encoding.Unmarshal(data, event); err != nil {
			return nil, err
		}
		return event, nil
	}
}

// isPlain reports whether values of t can be copied by assignment: whether they hold no memory that could be changed elsewhere.
func isPlain(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Array:
		return isPlain(t.Elem())
	case reflect.Struct:
		if t == timeType {
			return true // what it points to is never changed
		}
		for field := range t.Fields() {
			if !isPlain(field.Type) {
				return false
			}
		}
		return true
	case reflect.Map, reflect.Slice, reflect.Pointer, reflect.Interface, reflect.Chan, reflect.Func, reflect.UnsafePointer:
		return false
	default:
		return true
	}
}
