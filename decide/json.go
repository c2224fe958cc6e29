package decide

import (
	"bytes"
	"encoding/json"
	"reflect"

	jsonv1 "github.com/go-json-experiment/json/v1"
)

// jsonEncoding is the same for all types when it writes.
type jsonEncoding struct {
	hasNumbers bool // what is read holds a json.Number
}

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

var numberType = reflect.TypeFor[json.Number]()

// holds reports whether memory of type t, with all that it leads to, can hold a value of another type.
func holds(t, other reflect.Type) bool {
	seen := make(map[reflect.Type]bool)
	var look func(t reflect.Type) bool
	look = func(t reflect.Type) bool {
		if t == other || seen[t] {
			return t == other
		}
		seen[t] = true
		switch t.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Array:
			return look(t.Elem())
		case reflect.Map:
			return look(t.Key()) || look(t.Elem())
		case reflect.Struct:
			for field := range t.Fields() {
				if look(field.Type) {
					return true
				}
			}
		default:
		}
		return false
	}
	return look(t)
}

// Unmarshal is json.Unmarshal, by the one that Go 1.27 will have: for events as they usually are it takes little more than half the time, and it means the same.
// But it does not know the json.Number that is here now, and whatever it does not like is left to the one that is here, which then says what is wrong.
//
// No data is taken for an event that says nothing besides its tags: other programs may record it so.
func (e jsonEncoding) Unmarshal(data []byte, event any) error {
	if len(bytes.TrimRight(data, " \t\r\n")) == 0 {
		return nil
	}
	if !e.hasNumbers {
		if jsonv1.Unmarshal(data, event) == nil {
			return nil
		}
		reflect.ValueOf(event).Elem().SetZero() // half of it may be read
	}
	return json.Unmarshal(data, event)
}
