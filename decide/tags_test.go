package decide_test

import (
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb/decide"
	"github.com/dcbstore/dcb/memstore"
)

// refused returns the text with which NewCodec refuses the type E, or "".
func refused[E any]() string {
	if reason := panics(func() { decide.NewCodec(decide.Type[E]("E")) }); reason != nil {
		return fmt.Sprint(reason)
	}
	return ""
}

type ofCourse struct {
	Course string `json:"course" dcb:"course"`
}

type OfCourse struct {
	Course string `dcb:"course"`
}

type tree struct {
	Name     string
	Children []*tree
	Parent   *tree
	ByName   map[string]tree
}

type family struct {
	Name     string `dcb:"name"`
	Children []family
}

type marked struct {
	Old       string     `dcb:"-"`
	Where     ofCourse   `dcb:"-"`
	Items     []ofCourse `dcb:"-"`
	*OfCourse `dcb:"-"`
	Name      string `dcb:"name"`
}

type (
	courses  []ofCourse
	ofMethod struct{ Items []ofCourse }
)

func (o ofMethod) Tags() []string { return []string{fmt.Sprint("items:", len(o.Items))} }

func TestTypeRefusesDcbTagsWithoutEffect(t *testing.T) {
	t.Parallel()
	type inPointer struct {
		*ofCourse
		N int
	}
	type inExportedPointer struct{ *OfCourse }
	type inField struct{ Where ofCourse }
	type inSlice struct{ Items []ofCourse }
	type inArray struct{ Items [2]ofCourse }
	type inMap struct{ Items map[string]*ofCourse }
	type inKey struct{ Items map[ofCourse]int }
	type deep struct {
		Name string `dcb:"name"`
		tree
		More [][]map[string]inField
	}
	type embeds struct{ inSlice }
	for _, c := range []struct{ got, want string }{
		{refused[inPointer](), "field ofCourse.Course: its dcb tag has no effect"},
		{refused[inExportedPointer](), "field OfCourse.Course:"},
		{refused[inField](), "field Where.Course:"},
		{refused[inSlice](), "field Items.Course:"},
		{refused[inArray](), "field Items.Course:"},
		{refused[inMap](), "field Items.Course:"},
		{refused[inKey](), "field Items.Course:"},
		{refused[deep](), "field More.Where.Course:"},
		{refused[embeds](), "field Items.Course:"},
		{refused[family](), "field Children.Name:"},
		{refused[courses](), "field Course:"},
	} {
		if !strings.Contains(c.got, c.want) {
			t.Errorf("Type refused with %q, want a text with %q", c.got, c.want)
		}
	}
	if text := refused[inField](); !strings.Contains(text, "method Tags() []string") || !strings.Contains(text, `dcb:"-"`) {
		t.Errorf("%q does not name the remedies", text)
	}
	type both struct { // its promoted method returns all tags
		ofMethod
		N int
	}
	type holds struct { // nothing in it asks for tags
		Where struct {
			Old string `dcb:"-"`
		}
		Student studentTags
	}
	for _, text := range []string{refused[tree](), refused[marked](), refused[ofMethod](), refused[both](), refused[holds]()} {
		if text != "" {
			t.Errorf("NewCodec refused a valid type: %s", text)
		}
	}
}

type courseTags struct{ Course string }

func (c courseTags) Tags() []string { return []string{"course:" + c.Course} }

type studentTags struct{ Student string }

func (c studentTags) Tags() []string { return []string{"student:" + c.Student} }

// joins joins the tags of its fields in a method of its own.
type joins struct {
	Course  courseTags
	Student studentTags
}

func (j joins) Tags() []string { return append(j.Course.Tags(), j.Student.Tags()...) }

type otherTags struct{ A string }

func (otherTags) Tags() ([]string, error) { return nil, nil }

func TestTypeUsesOrRefusesEmbeddedTagsMethods(t *testing.T) {
	t.Parallel()
	type alone struct {
		courseTags
		N int
	}
	type byPointer struct{ *courseTags }
	type deeper struct{ studentTags }
	type named struct { // the method of a named field is not promoted
		courseTags
		Student studentTags
	}
	for _, c := range []struct {
		event any
		r     decide.Registration
		want  string
	}{
		{alone{courseTags{"c"}, 1}, decide.Type[alone]("E"), "[course:c]"},
		{byPointer{&courseTags{"c"}}, decide.Type[byPointer]("E"), "[course:c]"},
		{named{courseTags{"c"}, studentTags{"s"}}, decide.Type[named]("E"), "[course:c]"},
		{joins{courseTags{"c"}, studentTags{"s"}}, decide.Type[joins]("E"), "[course:c student:s]"},
	} {
		if encoded, err := decide.NewCodec(c.r).Encode(c.event); fmt.Sprint(encoded.Tags) != c.want || err != nil {
			t.Errorf("Encode(%T) has the tags %v (error %v), want %v", c.event, encoded.Tags, err, c.want)
		}
	}
	type two struct {
		courseTags
		studentTags
	}
	type nested struct{ *two }
	type shadowed struct {
		courseTags
		deeper
	}
	type threeAtTwoDepths struct {
		courseTags
		two
	}
	type marked struct { // Go promotes the method in spite of the dash
		courseTags `dcb:"-"`
		Student    string `dcb:"student"`
	}
	type hidden struct {
		courseTags
		Tags []string
	}
	type mixed struct {
		courseTags
		*OfCourse
	}
	type fieldToo struct {
		courseTags
		Student string `dcb:"student"`
	}
	for _, c := range []struct{ got, want string }{
		{refused[two](), "embeds [decide_test.courseTags decide_test.studentTags]"},
		{refused[nested](), "embeds [decide_test.courseTags decide_test.studentTags]"},
		{refused[shadowed](), "embeds [decide_test.courseTags decide_test.deeper]"},
		{refused[threeAtTwoDepths](), "embeds [decide_test.courseTags decide_test.courseTags decide_test.studentTags]"},
		{refused[marked](), "make them named fields"},
		{refused[hidden](), "embeds [decide_test.courseTags]"},
		{refused[mixed](), "embeds [decide_test.courseTags]"},
		{refused[fieldToo](), "embeds [decide_test.courseTags]"},
		{refused[otherTags](), "([]string, error); it must be Tags() []string"},
	} {
		if !strings.Contains(c.got, c.want) {
			t.Errorf("Type refused with %q, want a text with %q", c.got, c.want)
		}
	}
}

type unexportedBase struct {
	ID     uuid.UUID `dcb:"id"`
	Hashed hashed    `dcb:"hashed"`
	Many   []hashed  `dcb:"many"`
	Deeper
}

type Deeper struct {
	N number `dcb:"n"`
}

func TestTypeTakesTagsFromUnexportedEmbeddedStructs(t *testing.T) {
	t.Parallel()
	type event struct{ unexportedBase }
	id := uuid.New()
	encoded, err := decide.NewCodec(decide.Type[event]("E")).Encode(event{unexportedBase{id, "h", []hashed{"m"}, Deeper{7}}})
	if want := []string{"id:" + id.String(), "hashed:#h", "many:#m", "n:7"}; !slices.Equal(encoded.Tags, want) || err != nil {
		t.Errorf("Encode(…) has the tags %v (error %v), want %v", encoded.Tags, err, want)
	}
}

type (
	bytesOf     []byte
	octet       uint8
	taggedOctet uint8
	taggedBytes []byte
	codes       []string
	failing     string
	failings    []string
	customerID  uuid.UUID
	orderID     struct{ uuid.UUID }
)

func (taggedOctet) TagValue() string       { return "o" }
func (b taggedBytes) TagValue() string     { return fmt.Sprintf("%x", []byte(b)) }
func (c *codes) TagValue() string          { return strings.Join(*c, "+") }
func (failing) TagValue() (string, error)  { return "", nil }
func (failings) TagValue() (string, error) { return "", nil }

func TestTypeRefusesTagFieldsThatAreNotText(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ got, want string }{
		{refused[struct {
			A []byte `dcb:"a"`
		}](), "field A: a []uint8 cannot be the value of a tag, because bytes are not text"},
		{refused[struct {
			A bytesOf `dcb:"a"`
		}](), "decide_test.bytesOf cannot be"},
		{refused[struct {
			A []octet `dcb:"a"`
		}](), "[]decide_test.octet cannot be"},
		{refused[struct {
			A net.IP `dcb:"a"`
		}](), "net.IP cannot be"},
		{refused[struct {
			A json.RawMessage `dcb:"a,omitempty"`
		}](), "json.RawMessage cannot be"},
		{refused[struct {
			A [][]byte `dcb:"a"`
		}](), "[]uint8 cannot be"},
		{refused[struct {
			A [16]byte `dcb:"a"`
		}](), "add TagValue() string, and for its data MarshalText and UnmarshalText"},
		{refused[struct {
			A customerID `dcb:"a"`
		}](), "decide_test.customerID cannot be the value of a tag, because it has none of the methods of uuid.UUID; add TagValue() string, and"},
		{refused[struct {
			A []customerID `dcb:"a"`
		}](), "none of the methods"},
		{refused[struct {
			A orderID `dcb:"a"`
		}](), "or a type with a method TagValue() string"},
		{refused[struct {
			A codes `dcb:"a"`
		}](), "TagValue of decide_test.codes has a pointer receiver"},
		{refused[struct {
			A []codes `dcb:"a"`
		}](), "TagValue of decide_test.codes has a pointer"},
		{refused[struct {
			A failing `dcb:"a"`
		}](), "(string, error); it must be TagValue() string"},
		{refused[struct {
			A failings `dcb:"a"`
		}](), "TagValue of decide_test.failings is"},
		{refused[struct {
			A *hashed `dcb:"a"`
		}](), "*decide_test.hashed cannot be the value of a tag, because it may be nil"},
	} {
		if !strings.Contains(c.got, c.want) {
			t.Errorf("Type refused with %q, want a text with %q", c.got, c.want)
		}
	}
	type tagged struct {
		A taggedBytes   `dcb:"a"`
		B []taggedOctet `dcb:"b"`
		C byte          `dcb:"c"`
	}
	encoded, err := decide.NewCodec(decide.Type[tagged]("E")).Encode(tagged{taggedBytes("a"), []taggedOctet{1}, 2})
	if want := "[a:61 b:o c:2]"; fmt.Sprint(encoded.Tags) != want || err != nil {
		t.Errorf("Encode(…) has the tags %v (error %v), want %v", encoded.Tags, err, want)
	}
}

func TestTypeExcludesFieldsWithADash(t *testing.T) {
	t.Parallel()
	encoded, err := decide.NewCodec(decide.Type[marked]("E")).Encode(marked{
		Old: "o", Where: ofCourse{"c"}, Items: []ofCourse{{"c"}}, OfCourse: &OfCourse{"c"}, Name: "n",
	})
	if fmt.Sprint(encoded.Tags) != "[name:n]" || err != nil {
		t.Errorf("Encode(…) has the tags %v (error %v), want [name:n]", encoded.Tags, err)
	}
	for _, text := range []string{refused[struct {
		A string `dcb:"-,"`
	}](), refused[struct {
		A string `dcb:"-,omitempty"`
	}]()} {
		if !strings.Contains(text, `excludes the field and takes no options`) {
			t.Errorf("Type refused with %q", text)
		}
	}
}

func TestTagRefusesPointers(t *testing.T) {
	t.Parallel()
	some := hashed("h")
	for _, value := range []any{(*hashed)(nil), &some, (*pointerValue)(nil), new(pointerValue), pointerValue("a"), (*string)(nil)} {
		if got := decide.Tag("k", value); got != "k:" {
			t.Errorf("Tag(\"k\", %T) = %q, want \"k:\"", value, got)
		}
		projection := decide.NewProjection(0, decide.On(func(n int, _ Opened) int { return n })).Tagged("k", value)
		_, err := decide.New(memstore.New(nil), bank, nil).Read(t.Context(), projection)
		if !failsWith(err, "Tagged: k: ") {
			t.Errorf("Read of a projection that is tagged with a %T = %v", value, err)
		}
	}
}
