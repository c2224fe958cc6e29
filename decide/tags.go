package decide

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
)

// TagValuer is a type whose tag value differs from its own value: one spelling for names that
// have several, or a hash of personal data. It determines the tags of events and of
// [Projection.Tagged] alike.
type TagValuer interface {
	// TagValue returns the part of the tag after the key and the colon. It must not be empty.
	TagValue() string
}

// Tag returns the tag KEY:VALUE, for a method Tags of an event. The value has a type that
// [Projection.Tagged] accepts. If the value is empty or of another type, Tag returns "KEY:",
// which is an error when the event is recorded.
func Tag(key string, value any) string {
	tag, err := makeTag(key, value)
	if err != nil {
		return key + ":"
	}
	return tag
}

func makeTag(key string, value any) (string, error) {
	text, err := tagText(value)
	if err != nil {
		return "", fmt.Errorf("%s: %w", key, err)
	}
	if err := checkKey(key); err != nil {
		return "", err
	}
	tag := key + ":" + text
	if text == "" {
		return "", checkTag(tag)
	}
	return tag, nil
}

// tagText returns the text of a value in a tag, "" for an empty value.
func tagText(value any) (string, error) {
	switch value := value.(type) { // without reflection for the usual types
	case string:
		return value, nil
	case int:
		return strconv.Itoa(value), nil
	case nil:
		return "", errors.New("nil cannot be the value of a tag")
	case TagValuer:
		if reflect.TypeOf(value).Kind() != reflect.Pointer {
			return value.TagValue(), nil
		}
	}
	write, err := tagWriter(reflect.TypeOf(value))
	if err != nil {
		return "", err
	}
	return write(reflect.ValueOf(value)), nil
}

// checkKey refuses keys that read as a key with a value.
func checkKey(key string) error {
	if key == "" || strings.Contains(key, ":") {
		return fmt.Errorf("the tag key %q is empty or contains a colon", key)
	}
	return nil
}

// checkTag refuses tags without a value, which usually come from a variable that was not set.
func checkTag(tag string) error {
	if colon := strings.IndexByte(tag, ':'); tag == "" || colon == len(tag)-1 {
		return fmt.Errorf("the tag %q has no value", tag)
	}
	return nil
}

var (
	tagValuerType = reflect.TypeFor[TagValuer]()
	uuidType      = reflect.TypeFor[uuid.UUID]()
)

// hasTagValue reports whether t or *t is a TagValuer.
func hasTagValue(t reflect.Type) bool {
	return t.Implements(tagValuerType) || reflect.PointerTo(t).Implements(tagValuerType)
}

// tagWriter returns a function that returns the text of a value of type t in a tag. The text of
// an empty string or UUID is empty.
//
// A type defined as uuid.UUID is refused: it has none of the methods of uuid.UUID, and its JSON
// is an array of numbers.
func tagWriter(t reflect.Type) (func(v reflect.Value) string, error) {
	switch {
	case t.Kind() == reflect.Pointer || t.Kind() == reflect.Interface:
		return nil, fmt.Errorf("a %v cannot be the value of a tag, because it may be nil; use the type that it points to", t)
	case t.Implements(tagValuerType):
		return func(v reflect.Value) string { return v.Interface().(TagValuer).TagValue() }, nil
	case hasTagValue(t):
		return nil, fmt.Errorf("the method TagValue of %v has a pointer receiver; give it a value receiver", t)
	case t == uuidType:
		return func(v reflect.Value) string {
			if v.IsZero() {
				return ""
			}
			return v.Interface().(uuid.UUID).String()
		}, nil
	}
	switch t.Kind() {
	case reflect.String:
		return reflect.Value.String, nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return func(v reflect.Value) string { return strconv.FormatInt(v.Int(), 10) }, nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return func(v reflect.Value) string { return strconv.FormatUint(v.Uint(), 10) }, nil
	default:
		if t.Kind() == reflect.Array && t.ConvertibleTo(uuidType) {
			return nil, fmt.Errorf("a %v cannot be the value of a tag, because it has none of the methods of uuid.UUID; "+
				"add TagValue() string, and for its data MarshalText and UnmarshalText", t)
		}
		return nil, fmt.Errorf("a %v cannot be the value of a tag; "+
			"use a string, an integer, a uuid.UUID or a type with a method TagValue() string", t)
	}
}

// tags returns the tags of an event of this type, with the tag of an idempotency key if key is
// not empty. It takes tags from query if they occur there, which saves building them again.
func (t *eventType) tags(event any, key string, query dcb.Query) ([]string, error) {
	var tags []string
	var err error
	switch {
	case t.tagPlan.byMethod:
		tags, err = tagsByMethod(event.(tagger))
	case len(t.tagPlan.fields) > 0 || key != "":
		tags, err = t.tagPlan.tagsByFields(event, query)
	}
	if err != nil {
		return nil, err
	}
	if key != "" {
		tags = append(tags, commandKey+":"+key)
	}
	return tags, nil
}

func tagsByMethod(event tagger) ([]string, error) {
	given := event.Tags()
	tags := make([]string, 0, len(given)+1) // one more for an idempotency key
	for _, tag := range given {
		if strings.HasPrefix(tag, commandKey+":") {
			return nil, fmt.Errorf("the tag %q is reserved for IdempotencyKey; use another key", tag)
		}
		if err := checkTag(tag); err != nil {
			return nil, err
		}
		tags = append(tags, tag)
	}
	return tags, nil
}

func (p *tagPlan) tagsByFields(event any, query dcb.Query) ([]string, error) {
	tags := make([]string, 0, len(p.fields)+1) // one more for an idempotency key
	value := reflect.ValueOf(event)
	for i := range p.fields {
		var err error
		if tags, err = p.fields[i].appendTags(tags, value, query); err != nil {
			return nil, err
		}
	}
	return tags, nil
}

// appendTags appends the tags that this field of the event gives.
func (f *tagField) appendTags(tags []string, event reflect.Value, query dcb.Query) ([]string, error) {
	value := event.FieldByIndex(f.index)
	if !f.isSlice {
		if f.omitEmpty && value.IsZero() {
			return tags, nil
		}
		return f.appendTag(tags, value, query)
	}
	if value.Len() == 0 && !f.omitEmpty {
		return nil, checkTag(f.prefix)
	}
	for i := range value.Len() {
		var err error
		if tags, err = f.appendTag(tags, value.Index(i), query); err != nil {
			return nil, err
		}
	}
	return tags, nil
}

func (f *tagField) appendTag(tags []string, value reflect.Value, query dcb.Query) ([]string, error) {
	text := f.write(value)
	if text == "" {
		return nil, checkTag(f.prefix)
	}
	for i := range query[:min(len(query), pairwiseItems)] {
		for _, tag := range query[i].Tags {
			if len(tag) == len(f.prefix)+len(text) && tag[len(f.prefix):] == text && tag[:len(f.prefix)] == f.prefix {
				return append(tags, tag), nil // the usual case: an event concerns what the decision read
			}
		}
	}
	return append(tags, f.prefix+text), nil
}
