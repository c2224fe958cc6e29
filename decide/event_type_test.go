package decide

import (
	"reflect"
	"strings"
	"testing"
)

type withMethod struct{}

func (withMethod) Tags() []string { return nil }

func TestEventTypeCanHaveTagKey(t *testing.T) {
	type none struct{ A string }
	type inner struct {
		A string `dcb:"a"`
	}
	type fields struct {
		inner
		B []string `dcb:"b,omitempty"`
		C string   `dcb:"-"`
	}
	type older struct {
		Z string `dcb:"z"`
	}
	type wrong struct {
		Z float64 `dcb:"z"`
	}
	for name, c := range map[string]struct {
		r    Registration
		want string // the keys among a, b, c and z that events can have
	}{
		"no tags":             {Type[none]("E"), ""},
		"fields":              {Type[fields]("E"), "ab"},
		"a method":            {Type[withMethod]("E"), "abcz"},
		"older fields":        {Type[fields]("E", Upcast(func(older) fields { return fields{} })), "abz"},
		"an older method":     {Type[none]("E", Upcast(func(withMethod) none { return none{} })), "abcz"},
		"older without tags":  {Type[fields]("E", Upcast(func(none) fields { return fields{} })), "ab"},
		"older, not readable": {Type[none]("E", Upcast(func(wrong) none { return none{} })), "abcz"},
		"two steps back":      {Type[none]("E", Upcast(func(older) fields { return fields{} }), Upcast(func(fields) none { return none{} })), "abz"},
	} {
		if c.r.err != nil {
			t.Errorf("%s: Type(…) = %v", name, c.r.err)
			continue
		}
		got := ""
		for _, key := range []string{"a", "b", "c", "z"} {
			if c.r.typ.canHaveTagKey(key) {
				got += key
			}
		}
		if got != c.want || !c.r.typ.canHaveTagKey(commandKey) {
			t.Errorf("%s: events can have the tag keys %q, want %q, and always %s", name, got, c.want, commandKey)
		}
	}
}

// The types are built with reflection, because go vet refuses malformed struct tags in source
// text.
func TestPlanTagsRefusesMalformedStructTags(t *testing.T) {
	for _, tag := range []reflect.StructTag{`json:"a",dcb:"a"`, `dcb: "a"`, `dcb:a`, `json:"a dcb:"a"`} {
		event := reflect.StructOf([]reflect.StructField{{Name: "A", Type: reflect.TypeFor[string](), Tag: tag}})
		if _, err := planTags(event); err == nil || !strings.Contains(err.Error(), "field A: the struct tag `"+string(tag)) {
			t.Errorf("planTags with the struct tag %s = %v", tag, err)
		}
		if _, err := planTags(reflect.SliceOf(event)); err == nil {
			t.Errorf("planTags accepted the struct tag %s in a slice", tag)
		}
	}
	for _, tag := range []reflect.StructTag{`mydcb:"a"`, `doc:"stored as dcb: yes"`, `json:"dcb"`} {
		if _, err := planTags(reflect.StructOf([]reflect.StructField{{Name: "A", Type: reflect.TypeFor[string](), Tag: tag}})); err != nil {
			t.Errorf("planTags with the struct tag %s = %v", tag, err)
		}
	}
}
