package decide

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
)

// TagValuer is implemented by types that say in a tag something else than they hold: a spelling that many spellings share, or a hash of
// what is personal. It holds for the fields of events and for [Projection.Tagged] alike, so that both say the same.
type TagValuer interface {
	// TagValue returns the part of the tag after its key. It must not be empty.
	TagValue() string
}

// Tag returns the tag KEY:VALUE, for events that give their tags by a method. The value is as for [Projection.Tagged]. If it is empty, or of another
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
	case nil:
		return "", errors.New("nil has no value")
	case TagValuer:
		if reflect.TypeOf(value).Kind() != reflect.Pointer {
			return value.TagValue(), nil
		}
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

// planTags finds the tags of a type. What asks for one that would never be made is refused: an event without its tag is recorded, and then
// no projection sees it.
func planTags(t reflect.Type) (tagPlan, error) {
	search := tagSearch{seen: make(map[reflect.Type]bool)}
	if t.Kind() == reflect.Struct {
		if err := search.addFields(t, nil); err != nil {
			return tagPlan{}, err
		}
	} else {
		search.unused = search.within(t)
	}
	plan := tagPlan{byMethod: t.Implements(taggerType), fields: search.fields}
	method, named := t.MethodByName("Tags")
	promoted := embeddedTaggers(t, make(map[reflect.Type]bool))
	switch {
	case !plan.byMethod && reflect.PointerTo(t).Implements(taggerType):
		return plan, errors.New("the method Tags has a pointer for its receiver; events are values")
	case len(promoted) > 1, len(promoted) == 1 && (!plan.byMethod || len(plan.fields) > 0 || search.unused != ""):
		return plan, fmt.Errorf("it embeds %v: Go may take their method Tags for its own, and so miss what else gives tags; "+
			"give what is embedded a name, and the event a method Tags of its own", promoted)
	case plan.byMethod && len(plan.fields) > 0:
		return plan, errors.New("both fields and the method Tags give its tags; which is it?")
	case plan.byMethod:
		return plan, nil // it says all
	case named && len(plan.fields) == 0:
		return plan, fmt.Errorf("the method Tags is %v; it gives tags if it is Tags() []string", method.Type)
	case search.unused != "":
		return plan, fmt.Errorf("field %s: its dcb tag would not be used, for it is not in the event itself, nor in a struct that is embedded as a value; "+
			"move it there, or write a method Tags() []string, or mark with dcb:\"-\" the field that holds it", search.unused)
	}
	return plan, nil
}

// embeddedTaggers returns the types embedded in t that have a method Tags, without those embedded in one of them.
func embeddedTaggers(t reflect.Type, seen map[reflect.Type]bool) []reflect.Type {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || seen[t] {
		return nil
	}
	seen[t] = true
	var taggers []reflect.Type
	for field := range t.Fields() {
		switch {
		case !field.Anonymous:
		case hasTags(field.Type):
			taggers = append(taggers, field.Type)
		default:
			taggers = append(taggers, embeddedTaggers(field.Type, seen)...)
		}
	}
	return taggers
}

func hasTags(t reflect.Type) bool {
	return t.Implements(taggerType) || reflect.PointerTo(t).Implements(taggerType)
}

// tagSearch looks for the fields that give the tags of a type.
type tagSearch struct {
	fields []tagField
	unused string                // the path of a field with a dcb tag that gives none, "" if all do
	seen   map[reflect.Type]bool // by within
}

// noTag is the dcb tag of a field that gives no tag, nor does anything in it.
const noTag = "-"

// unreadable finds a dcb tag where Go does not, since it is not written as it has to be: json:"a",dcb:"b" is soon written.
var unreadable = regexp.MustCompile(`(^|[,\s])dcb\s*:\s*"|^dcb\s*:`)

// lookup returns the dcb tag of a field.
func lookup(field reflect.StructField) (tag string, ok bool, err error) {
	tag, ok = field.Tag.Lookup("dcb")
	if !ok && unreadable.MatchString(string(field.Tag)) {
		err = fmt.Errorf("its dcb tag cannot be read in `%s`; write `json:\"name\" dcb:\"key\"`, with one space between", field.Tag)
	}
	return tag, ok, err
}

// addFields adds the fields of a struct, and of the structs embedded in it.
func (s *tagSearch) addFields(t reflect.Type, at []int) error {
	for i := range t.NumField() {
		field := t.Field(i)
		index := append(slices.Clip(at), i)
		tag, ok, err := lookup(field)
		switch {
		case err != nil || tag == noTag:
		case field.Anonymous && hasTags(field.Type): // its method says what it holds
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
			if path := s.within(field.Type); path != "" {
				s.unused = field.Name + "." + path
			}
		}
		if err != nil {
			return fmt.Errorf("field %s: %w", field.Name, err)
		}
	}
	return nil
}

// within returns the path to a field with a dcb tag in what a value of type t holds, "" if there is none.
func (s *tagSearch) within(t reflect.Type) string {
	if s.seen[t] {
		return "" // it was looked at, or is being looked at
	}
	s.seen[t] = true
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return s.within(t.Elem())
	case reflect.Map:
		if path := s.within(t.Key()); path != "" {
			return path
		}
		return s.within(t.Elem())
	case reflect.Struct:
		for field := range t.Fields() {
			tag, ok, err := lookup(field)
			if tag == noTag {
				continue
			}
			if ok || err != nil {
				return field.Name
			}
			if path := s.within(field.Type); path != "" {
				return field.Name + "." + path
			}
		}
	default:
	}
	return ""
}

func newTagField(field reflect.StructField, tag string) (tagField, error) {
	key, option, _ := strings.Cut(tag, ",")
	f := tagField{key: key + ":", omitEmpty: option == "omitempty"}
	switch {
	case !field.IsExported():
		return f, errors.New("is not exported")
	case key == noTag:
		return f, fmt.Errorf("dcb:%q gives no tag, so that there are no options; write dcb:%q", tag, noTag)
	case option != "" && option != "omitempty":
		return f, fmt.Errorf("the option %q is unknown; there is omitempty", option)
	case key == commandKey:
		return f, fmt.Errorf("the key %q is reserved for IdempotencyKey", key)
	}
	if err := checkKey(key); err != nil {
		return f, err
	}
	value := field.Type
	if f.isSlice = value.Kind() == reflect.Slice && !hasTagValue(value); f.isSlice {
		value = value.Elem()
	}
	for _, t := range []reflect.Type{field.Type, value} {
		if method, named := t.MethodByName("TagValue"); named && !hasTagValue(t) {
			return f, fmt.Errorf("the method TagValue of %v is %v; it gives the value if it is TagValue() string", t, method.Type)
		}
	}
	if f.isSlice && value.Kind() == reflect.Uint8 && !hasTagValue(value) {
		return f, fmt.Errorf("a %v cannot be the value of a tag, for bytes are no text; "+
			"make it a string, or a type with a method TagValue() string", field.Type)
	}
	var err error
	f.write, err = writerOf(value)
	return f, err
}

func hasTagValue(t reflect.Type) bool {
	return t.Implements(tagValuerType) || reflect.PointerTo(t).Implements(tagValuerType)
}

// writerOf returns the function that writes a value of type t in a tag. An empty string or UUID is written as nothing.
//
// A UUID type of one's own is no UUID: type ID uuid.UUID has none of its methods, and is an array of numbers in JSON. So it is refused, before
// such data is recorded.
func writerOf(t reflect.Type) (func(v reflect.Value) string, error) {
	switch {
	case t.Kind() == reflect.Pointer || t.Kind() == reflect.Interface:
		return nil, fmt.Errorf("a %v cannot be the value of a tag, for it may be nil; a tag needs the value itself", t)
	case t.Implements(tagValuerType):
		return func(v reflect.Value) string { return v.Interface().(TagValuer).TagValue() }, nil
	case hasTagValue(t):
		return nil, fmt.Errorf("the method TagValue of %v has a pointer for its receiver; it needs the value", t)
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
			return nil, fmt.Errorf("a %v cannot be the value of a tag, for it has none of the methods of uuid.UUID; "+
				"give it TagValue() string, and for its data MarshalText and UnmarshalText", t)
		}
		return nil, fmt.Errorf("a %v cannot be the value of a tag; a string, an integer, a uuid.UUID or a type with a method TagValue() string can", t)
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
				return nil, fmt.Errorf("the tag %q is reserved for IdempotencyKey", tag)
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
