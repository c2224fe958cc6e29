package decide

import (
	"reflect"
	"strings"
	"testing"
)

type withMethod struct{}

func (withMethod) Tags() []string { return nil }

func TestTheKeysThatATypeGivesAreKnown(t *testing.T) {
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
		want string // of the keys a, b, c, and z
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
			t.Errorf("%s: %v", name, c.r.err)
			continue
		}
		got := ""
		for _, key := range []string{"a", "b", "c", "z"} {
			if c.r.typ.gives(key) {
				got += key
			}
		}
		if got != c.want || !c.r.typ.gives(commandKey) {
			t.Errorf("%s: gives %q; want %q, and %s", name, got, c.want, commandKey)
		}
	}
}

// Such tags are made here, for go vet refuses to have them in the text of a program.
func TestADcbTagThatGoCannotReadIsRefused(t *testing.T) {
	for _, tag := range []reflect.StructTag{`json:"a",dcb:"a"`, `dcb: "a"`, `dcb:a`, `json:"a dcb:"a"`} {
		event := reflect.StructOf([]reflect.StructField{{Name: "A", Type: reflect.TypeFor[string](), Tag: tag}})
		if _, err := planTags(event); err == nil || !strings.Contains(err.Error(), "field A: its dcb tag cannot be read in `"+string(tag)) {
			t.Errorf("%s: %v", tag, err)
		}
		if _, err := planTags(reflect.SliceOf(event)); err == nil {
			t.Errorf("%s in a slice is taken", tag)
		}
	}
	for _, tag := range []reflect.StructTag{`mydcb:"a"`, `doc:"stored as dcb: yes"`, `json:"dcb"`} {
		if _, err := planTags(reflect.StructOf([]reflect.StructField{{Name: "A", Type: reflect.TypeFor[string](), Tag: tag}})); err != nil {
			t.Errorf("%s: %v", tag, err)
		}
	}
}
