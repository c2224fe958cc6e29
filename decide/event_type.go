package decide

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/dcbstore/dcb"
)

// Registration is an event type for [NewCodec], made by [Type].
type Registration struct {
	typ *eventType
	err error
}

// Type registers the Go type E for events whose type in the store is name. E is a struct or
// another type, but not a pointer or interface. An invalid registration makes [NewCodec] panic.
//
// # Tags
//
// A field with the struct tag dcb:"KEY" gives the event the tag KEY:VALUE. The field is a string,
// an integer, a UUID, a type based on a string or an integer, or a [TagValuer]. A slice of these
// gives one tag per element. An empty string, UUID or slice is an error when the event is
// recorded. With dcb:"KEY,omitempty" an empty value gives no tag, and neither does the integer 0.
//
// The field is in E itself or in a struct that is embedded by value. A dcb tag elsewhere, such as
// in an element of a slice, would have no effect and is refused. The tag dcb:"-" says that
// neither the field nor anything in it gives a tag.
//
// If fields cannot express the tags, E has a method Tags() []string instead. A method Tags that
// is promoted from an embedded type counts, if nothing else gives tags. An event may have no
// tags.
//
// A type that is defined as uuid.UUID inherits none of its methods. It must implement TagValuer,
// and encoding.TextMarshaler and encoding.TextUnmarshaler for its JSON.
//
// # Versions
//
// The upcasts convert earlier versions of the type to E, each one to the next; see [Upcast].
func Type[E any](name string, upcasts ...Upcaster) Registration {
	goType := reflect.TypeFor[E]()
	fail := func(err error) Registration { return Registration{err: fmt.Errorf("%v as %q: %w", goType, name, err)} }
	if err := dcb.ValidateAppend([]dcb.Event{{Type: name}}, nil); err != nil {
		return fail(err)
	}
	switch goType.Kind() {
	case reflect.Pointer, reflect.Interface:
		return fail(fmt.Errorf("the type has the kind %v; register a struct or another value type", goType.Kind()))
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
	tagKeys, anyTagKey := tagKeysOf(plan, upcasts)
	return Registration{typ: &eventType{
		name: name, onlyName: []string{name}, goType: goType,
		tagPlan: plan, tagKeys: tagKeys, anyTagKey: anyTagKey,
		upcasts: slices.Clone(upcasts), version: version,
		shareable: copiesByAssignment(goType), pointerMethods: mayHavePointerMethods(goType),
		value: func(e any) any { return *e.(*E) },
		pointer: func(e any) any {
			event := e.(E)
			return &event
		},
		unmarshal: unmarshalerOf[E](),
	}}
}

// eventType describes a registered event type. It holds what reflection finds, once per type.
type eventType struct {
	name     string
	onlyName []string // a slice of name alone, shared by queries
	goType   reflect.Type

	tagPlan   tagPlan
	tagKeys   []string // keys of the tags that its events can carry, in any version
	anyTagKey bool     // its events can carry tags with other keys too

	upcasts []Upcaster
	version string // recorded with new events; "" without upcasts

	shareable      bool            // projections can share a decoded value
	pointerMethods bool            // methods with a pointer receiver may determine the JSON
	value          func(e any) any // converts *E to E
	pointer        func(e any) any // converts E to *E, a copy
	unmarshal      func(encoding Encoding, data []byte) (any, error)
}

// tagKeysOf returns the keys of the tags that fields give to events of a type, in any version. It
// also reports whether the events can carry tags with other keys: if a method gives the tags, or
// if the tags of an earlier version are unknown.
func tagKeysOf(plan tagPlan, upcasts []Upcaster) (keys []string, anyKey bool) {
	add := func(p tagPlan) {
		anyKey = anyKey || p.byMethod
		for _, f := range p.fields {
			keys = append(keys, strings.TrimSuffix(f.prefix, ":"))
		}
	}
	add(plan)
	for _, u := range upcasts {
		earlier, err := planTags(u.from)
		anyKey = anyKey || err != nil // no error: events of an earlier version are not recorded again
		add(earlier)
	}
	slices.Sort(keys)
	return slices.Compact(keys), anyKey
}

// canHaveTagKey reports whether events of the type, in any version, can carry a tag with a key.
func (t *eventType) canHaveTagKey(key string) bool {
	return t.anyTagKey || key == commandKey || slices.Contains(t.tagKeys, key)
}

// unmarshalerOf returns a function that decodes data into a new *E.
func unmarshalerOf[E any]() func(encoding Encoding, data []byte) (any, error) {
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

var timeType = reflect.TypeFor[time.Time]()

// copiesByAssignment reports whether an assignment copies values of t completely, so that no two
// copies share memory that can change.
func copiesByAssignment(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Array:
		return copiesByAssignment(t.Elem())
	case reflect.Struct:
		if t == timeType {
			return true // its *Location never changes
		}
		for field := range t.Fields() {
			if !copiesByAssignment(field.Type) {
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
