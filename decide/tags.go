package decide

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
)

// TagValuer is implemented by types that say in a tag something else than they hold: a spelling that many spellings share, or a hash of
// what is personal. It holds for the fields of events and for [View.Tagged] alike, so that both say the same.
type TagValuer interface {
	// TagValue returns the part of the tag after its key. It must not be empty.
	TagValue() string
}

// Tag returns the tag KEY:VALUE, for events that give their tags by a method. The value is as for [View.Tagged]. If it is empty, or of another
// type, the tag is KEY: without a value, which is refused when the event is recorded.
func Tag(key string, value any) string {
	tag, err := makeTag(key, value)
	if err != nil {
		return key + ":"
	}
	return tag
}

func makeTag(key string, value any) (string, error) {
	text, err := textOf(value)
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

func textOf(value any) (string, error) {
	switch value := value.(type) { // the usual ones first
	case string:
		return value, nil
	case int:
		return strconv.Itoa(value), nil
	case TagValuer:
		return value.TagValue(), nil
	case nil:
		return "", errors.New("nil has no value")
	}
	write, err := writerOf(reflect.TypeOf(value))
	if err != nil {
		return "", err
	}
	return write(reflect.ValueOf(value)), nil
}

// checkKey refuses keys that could be taken for another key with a value.
func checkKey(key string) error {
	if key == "" || strings.Contains(key, ":") {
		return fmt.Errorf("the key %q of a tag is empty or has a colon", key)
	}
	return nil
}

// checkTag refuses tags whose value is missing: an empty variable, most likely.
func checkTag(tag string) error {
	if colon := strings.IndexByte(tag, ':'); tag == "" || colon == len(tag)-1 {
		return fmt.Errorf("the tag %q has no value", tag)
	}
	return nil
}

// tagPlan says where the tags of a type's events are found.
type tagPlan struct {
	byMethod bool
	fields   []tagField
}

type tagField struct {
	index     []int
	key       string // with its colon
	omitEmpty bool
	isSlice   bool
	write     func(v reflect.Value) string
}

type tagger interface{ Tags() []string }

var (
	taggerType    = reflect.TypeFor[tagger]()
	tagValuerType = reflect.TypeFor[TagValuer]()
	uuidType      = reflect.TypeFor[uuid.UUID]()
)

func planTags(t reflect.Type) (tagPlan, error) {
	var plan tagPlan
	if t.Kind() == reflect.Struct {
		if err := plan.addFields(t, nil); err != nil {
			return plan, err
		}
	}
	switch {
	case t.Implements(taggerType) && len(plan.fields) > 0:
		return plan, errors.New("both fields and the method Tags give its tags; which is it?")
	case !t.Implements(taggerType) && reflect.PointerTo(t).Implements(taggerType):
		return plan, errors.New("the method Tags has a pointer for its receiver; events are values")
	}
	plan.byMethod = t.Implements(taggerType)
	return plan, nil
}

// addFields adds the fields of a struct, and of the structs embedded in it.
func (p *tagPlan) addFields(t reflect.Type, at []int) error {
	for i := range t.NumField() {
		field := t.Field(i)
		index := append(slices.Clip(at), i)
		tag, ok := field.Tag.Lookup("dcb")
		if !ok {
			if field.Anonymous && field.Type.Kind() == reflect.Struct {
				if err := p.addFields(field.Type, index); err != nil {
					return err
				}
			}
			continue
		}
		f, err := newTagField(field, tag)
		if err != nil {
			return fmt.Errorf("field %s: %w", field.Name, err)
		}
		f.index = index
		p.fields = append(p.fields, f)
	}
	return nil
}

func newTagField(field reflect.StructField, tag string) (tagField, error) {
	key, option, _ := strings.Cut(tag, ",")
	f := tagField{key: key + ":", omitEmpty: option == "omitempty"}
	switch {
	case !field.IsExported():
		return f, errors.New("is not exported")
	case option != "" && option != "omitempty":
		return f, fmt.Errorf("the option %q is unknown; there is omitempty", option)
	case key == commandKey:
		return f, fmt.Errorf("the key %q is reserved for Once", key)
	}
	if err := checkKey(key); err != nil {
		return f, err
	}
	t := field.Type
	if t.Kind() == reflect.Slice && !t.Implements(tagValuerType) {
		f.isSlice = true
		t = t.Elem()
	}
	var err error
	f.write, err = writerOf(t)
	return f, err
}

// writerOf returns the function that writes a value of type t in a tag. An empty string or UUID is written as nothing.
func writerOf(t reflect.Type) (func(v reflect.Value) string, error) {
	switch {
	case !t.Implements(tagValuerType) && reflect.PointerTo(t).Implements(tagValuerType):
		return nil, fmt.Errorf("the method TagValue of %v has a pointer for its receiver; it needs the value", t)
	case t.Implements(tagValuerType):
		if t.Kind() == reflect.Pointer || t.Kind() == reflect.Interface {
			break // it may be nil
		}
		return func(v reflect.Value) string { return v.Interface().(TagValuer).TagValue() }, nil
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
		return nil, fmt.Errorf("a %v cannot be the value of a tag; a string, an integer, a UUID or a TagValuer can", t)
	}
}

// tags returns the tags of an event of this type, and that of its command if key is not empty. Those that known has are not made again.
func (t *eventType) tags(event any, key string, known dcb.Query) ([]string, error) {
	var tags []string
	if t.plan.byMethod {
		given := event.(tagger).Tags()
		tags = make([]string, 0, len(given)+1)
		for _, tag := range given {
			if strings.HasPrefix(tag, commandKey+":") {
				return nil, fmt.Errorf("the tag %q is reserved for Once", tag)
			}
			if err := checkTag(tag); err != nil {
				return nil, err
			}
			tags = append(tags, tag)
		}
	} else if len(t.plan.fields) > 0 || key != "" {
		tags = make([]string, 0, len(t.plan.fields)+1)
		value := reflect.ValueOf(event)
		for i := range t.plan.fields {
			var err error
			if tags, err = t.plan.fields[i].add(tags, value, known); err != nil {
				return nil, err
			}
		}
	}
	if key != "" {
		tags = append(tags, commandKey+":"+key)
	}
	return tags, nil
}

// add adds the tags that the field of event gives.
func (f *tagField) add(tags []string, event reflect.Value, known dcb.Query) ([]string, error) {
	value := event.FieldByIndex(f.index)
	if !f.isSlice {
		if f.omitEmpty && value.IsZero() {
			return tags, nil
		}
		return f.addOne(tags, value, known)
	}
	if value.Len() == 0 && !f.omitEmpty {
		return nil, fmt.Errorf("the tag %q has no value", f.key)
	}
	for i := range value.Len() {
		var err error
		if tags, err = f.addOne(tags, value.Index(i), known); err != nil {
			return nil, err
		}
	}
	return tags, nil
}

func (f *tagField) addOne(tags []string, value reflect.Value, known dcb.Query) ([]string, error) {
	text := f.write(value)
	if text == "" {
		return nil, checkTag(f.key)
	}
	for i := range known[:min(len(known), few)] {
		for _, tag := range known[i].Tags {
			if len(tag) == len(f.key)+len(text) && tag[len(f.key):] == text && tag[:len(f.key)] == f.key {
				return append(tags, tag), nil // nearly always: what happens concerns what was looked at
			}
		}
	}
	return append(tags, f.key+text), nil
}
