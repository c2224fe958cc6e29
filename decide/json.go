package decide

import (
	"bytes"
	"encoding/json"
	"reflect"

	jsonv1 "github.com/go-json-experiment/json/v1"
)

// jsonEncoding is the default encoding.
type jsonEncoding struct {
	hasNumbers bool // the decoded type holds a json.Number
}

// Marshal returns the JSON of an event. The codec passes a pointer if methods with a pointer
// receiver may determine the JSON. json.Marshal would ignore them for a value, as it does for
// big.Int, and write JSON that cannot be read back.
func (jsonEncoding) Marshal(event any) ([]byte, error) { return json.Marshal(event) }

// Unmarshal has the results of json.Unmarshal. It first calls the implementation that Go 1.27
// will have, which takes about half the time for usual events. That one does not know the
// json.Number of encoding/json, so it is not used for types that hold one. If it returns an
// error, json.Unmarshal decodes the data again, and its error counts.
//
// Empty data leaves the event as it is: other programs may record events that consist of tags
// only.
func (e jsonEncoding) Unmarshal(data []byte, event any) error {
	if len(bytes.TrimRight(data, " \t\r\n")) == 0 {
		return nil
	}
	if !e.hasNumbers {
		if jsonv1.Unmarshal(data, event) == nil {
			return nil
		}
		reflect.ValueOf(event).Elem().SetZero() // the event may be half decoded
	}
	return json.Unmarshal(data, event)
}

// mayHavePointerMethods reports whether a type, or a type that it holds, has methods with a
// pointer receiver. It examines structs; for other types that hold memory it assumes so.
func mayHavePointerMethods(t reflect.Type) bool {
	switch {
	case reflect.PointerTo(t).NumMethod() > 0:
		return true
	case t.Kind() == reflect.Struct:
		for field := range t.Fields() {
			if mayHavePointerMethods(field.Type) {
				return true
			}
		}
		return false
	default:
		return !copiesByAssignment(t) || t.Kind() == reflect.Array
	}
}

var numberType = reflect.TypeFor[json.Number]()

// holds reports whether a value of type t can hold a value of type other, at any depth.
func holds(t, other reflect.Type) bool {
	visited := make(map[reflect.Type]bool)
	var visit func(t reflect.Type) bool
	visit = func(t reflect.Type) bool {
		if t == other || visited[t] {
			return t == other
		}
		visited[t] = true
		switch t.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Array:
			return visit(t.Elem())
		case reflect.Map:
			return visit(t.Key()) || visit(t.Elem())
		case reflect.Struct:
			for field := range t.Fields() {
				if visit(field.Type) {
					return true
				}
			}
		default:
		}
		return false
	}
	return visit(t)
}
