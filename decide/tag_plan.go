package decide

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// tagPlan says where the tags of events of one type come from: from a method, or from fields.
type tagPlan struct {
	byMethod bool
	fields   []tagField
}

type tagField struct {
	index     []int
	prefix    string // the key and a colon
	omitEmpty bool
	isSlice   bool
	write     func(v reflect.Value) string
}

type tagger interface{ Tags() []string }

var taggerType = reflect.TypeFor[tagger]()

// planTags finds where the tags of a type come from. It refuses a type that asks for a tag which
// its events would not carry, because no projection finds an event without its tag.
func planTags(t reflect.Type) (tagPlan, error) {
	search := tagSearch{visited: make(map[reflect.Type]bool)}
	if t.Kind() == reflect.Struct {
		if err := search.addFields(t, nil); err != nil {
			return tagPlan{}, err
		}
	} else {
		search.unused = search.findTagField(t)
	}
	plan := tagPlan{byMethod: t.Implements(taggerType), fields: search.fields}
	method, hasMethod := t.MethodByName("Tags")
	embedded := embeddedTaggers(t, make(map[reflect.Type]bool))
	switch {
	case !plan.byMethod && reflect.PointerTo(t).Implements(taggerType):
		return plan, errors.New("the method Tags has a pointer receiver, but events are values; give it a value receiver")
	case len(embedded) > 1, len(embedded) == 1 && (!plan.byMethod || len(plan.fields) > 0 || search.unused != ""):
		return plan, fmt.Errorf("it embeds %v: Go may promote their method Tags, which hides the other tags; "+
			"make them named fields, and give the event a method Tags of its own", embedded)
	case plan.byMethod && len(plan.fields) > 0:
		return plan, errors.New("both dcb fields and a method Tags give its tags; remove one of the two")
	case plan.byMethod:
		return plan, nil // the method returns all tags
	case hasMethod && len(plan.fields) == 0:
		return plan, fmt.Errorf("its method Tags is a %v; it must be Tags() []string", method.Type)
	case search.unused != "":
		return plan, fmt.Errorf("field %s: its dcb tag has no effect, because the field is neither in the event itself "+
			"nor in a struct embedded by value; move it there, or write a method Tags() []string, "+
			"or mark the field that holds it with dcb:\"-\"", search.unused)
	}
	return plan, nil
}

// embeddedTaggers returns the types embedded in t that have a method Tags. It does not search
// inside them.
func embeddedTaggers(t reflect.Type, visited map[reflect.Type]bool) []reflect.Type {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || visited[t] {
		return nil
	}
	visited[t] = true
	var taggers []reflect.Type
	for field := range t.Fields() {
		switch {
		case !field.Anonymous:
		case hasTagsMethod(field.Type):
			taggers = append(taggers, field.Type)
		default:
			taggers = append(taggers, embeddedTaggers(field.Type, visited)...)
		}
	}
	return taggers
}

// hasTagsMethod reports whether t or *t has the method Tags() []string.
func hasTagsMethod(t reflect.Type) bool {
	return t.Implements(taggerType) || reflect.PointerTo(t).Implements(taggerType)
}

// tagSearch finds the fields that give the tags of a type.
type tagSearch struct {
	fields  []tagField
	unused  string                // the path of a field whose dcb tag has no effect, or ""
	visited map[reflect.Type]bool // by findTagField
}

// noTag is the dcb tag that excludes a field and everything in it.
const noTag = "-"

// addFields adds the fields of a struct and of the structs embedded in it by value. at is the
// index of the struct in the event.
func (s *tagSearch) addFields(t reflect.Type, at []int) error {
	for i := range t.NumField() {
		field := t.Field(i)
		index := append(slices.Clip(at), i)
		tag, ok, err := lookupTag(field)
		switch {
		case err != nil || tag == noTag:
		case field.Anonymous && hasTagsMethod(field.Type): // planTags decides about its method
		case ok:
			var f tagField
			f, err = newTagField(field, tag)
			f.index = index
			s.fields = append(s.fields, f)
		case field.Anonymous && field.Type.Kind() == reflect.Struct:
			if err := s.addFields(field.Type, index); err != nil {
				return err
			}
		case s.unused == "":
			if path := s.findTagField(field.Type); path != "" {
				s.unused = field.Name + "." + path
			}
		}
		if err != nil {
			return fmt.Errorf("field %s: %w", field.Name, err)
		}
	}
	return nil
}

// findTagField returns the path to a field with a dcb tag inside a value of type t, or "".
func (s *tagSearch) findTagField(t reflect.Type) string {
	if s.visited[t] {
		return ""
	}
	s.visited[t] = true
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return s.findTagField(t.Elem())
	case reflect.Map:
		if path := s.findTagField(t.Key()); path != "" {
			return path
		}
		return s.findTagField(t.Elem())
	case reflect.Struct:
		for field := range t.Fields() {
			tag, ok, err := lookupTag(field)
			if tag == noTag {
				continue
			}
			if ok || err != nil {
				return field.Name
			}
			if path := s.findTagField(field.Type); path != "" {
				return field.Name + "." + path
			}
		}
	default:
	}
	return ""
}

// malformedTag matches a dcb tag in a struct tag that Go cannot parse, such as json:"a",dcb:"b".
var malformedTag = regexp.MustCompile(`(^|[,\s])dcb\s*:\s*"|^dcb\s*:`)

// lookupTag returns the dcb tag of a field. It returns an error for a dcb tag that Go ignores
// because the struct tag is malformed.
func lookupTag(field reflect.StructField) (tag string, ok bool, err error) {
	tag, ok = field.Tag.Lookup("dcb")
	if !ok && malformedTag.MatchString(string(field.Tag)) {
		err = fmt.Errorf("the struct tag `%s` is malformed, so its dcb tag has no effect; "+
			"write `json:\"name\" dcb:\"key\"`, with one space in between", field.Tag)
	}
	return tag, ok, err
}

func newTagField(field reflect.StructField, tag string) (tagField, error) {
	key, option, _ := strings.Cut(tag, ",")
	f := tagField{prefix: key + ":", omitEmpty: option == "omitempty"}
	switch {
	case !field.IsExported():
		return f, errors.New("a field with a dcb tag must be exported")
	case key == noTag:
		return f, fmt.Errorf("dcb:%q excludes the field and takes no options; write dcb:%q", tag, noTag)
	case option != "" && option != "omitempty":
		return f, fmt.Errorf("the option %q of the dcb tag is unknown; the only one is omitempty", option)
	case key == commandKey:
		return f, fmt.Errorf("the tag key %q is reserved for IdempotencyKey; use another key", key)
	}
	if err := checkKey(key); err != nil {
		return f, err
	}
	value := field.Type
	if f.isSlice = value.Kind() == reflect.Slice && !hasTagValue(value); f.isSlice {
		value = value.Elem()
	}
	for _, t := range []reflect.Type{field.Type, value} {
		if method, hasMethod := t.MethodByName("TagValue"); hasMethod && !hasTagValue(t) {
			return f, fmt.Errorf("the method TagValue of %v is a %v; it must be TagValue() string", t, method.Type)
		}
	}
	if f.isSlice && value.Kind() == reflect.Uint8 && !hasTagValue(value) {
		return f, fmt.Errorf("a %v cannot be the value of a tag, because bytes are not text; "+
			"use a string or a type with a method TagValue() string", field.Type)
	}
	var err error
	f.write, err = tagWriter(value)
	return f, err
}
