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

// refused reports what is wrong with a type, in the words of NewCodec; "" if it takes it.
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

func TestADcbTagThatWouldNotBeUsedIsRefused(t *testing.T) {
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
	for _, c := range []struct{ got, says string }{
		{refused[inPointer](), "field ofCourse.Course: its dcb tag would not be used"},
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
		if !strings.Contains(c.got, c.says) {
			t.Errorf("%q; want it to say %q", c.got, c.says)
		}
	}
	if says := refused[inField](); !strings.Contains(says, "method Tags() []string") || !strings.Contains(says, `dcb:"-"`) {
		t.Errorf("%q does not say what would be right", says)
	}
	type both struct { // its own method says all
		ofMethod
		N int
	}
	type holds struct { // what asks for no tags
		Where struct {
			Old string `dcb:"-"`
		}
		Student studentTags
	}
	for _, says := range []string{refused[tree](), refused[marked](), refused[ofMethod](), refused[both](), refused[holds]()} {
		if says != "" {
			t.Error(says)
		}
	}
}

type courseTags struct{ Course string }

func (c courseTags) Tags() []string { return []string{"course:" + c.Course} }

type studentTags struct{ Student string }

func (c studentTags) Tags() []string { return []string{"student:" + c.Student} }

// joins has what others say in their methods Tags, and one of its own.
type joins struct {
	Course  courseTags
	Student studentTags
}

func (j joins) Tags() []string { return append(j.Course.Tags(), j.Student.Tags()...) }

type otherTags struct{ A string }

func (otherTags) Tags() ([]string, error) { return nil, nil }

func TestEmbeddedMethodsTagsAreUsedOrRefused(t *testing.T) {
	t.Parallel()
	type alone struct {
		courseTags
		N int
	}
	type behindPointer struct{ *courseTags }
	type deeper struct{ studentTags }
	type named struct { // whose method is not its own, as always in Go
		courseTags
		Student studentTags
	}
	for _, c := range []struct {
		event any
		r     decide.Registration
		want  string
	}{
		{alone{courseTags{"c"}, 1}, decide.Type[alone]("E"), "[course:c]"},
		{behindPointer{&courseTags{"c"}}, decide.Type[behindPointer]("E"), "[course:c]"},
		{named{courseTags{"c"}, studentTags{"s"}}, decide.Type[named]("E"), "[course:c]"},
		{joins{courseTags{"c"}, studentTags{"s"}}, decide.Type[joins]("E"), "[course:c student:s]"},
	} {
		if encoded, err := decide.NewCodec(c.r).Encode(c.event); fmt.Sprint(encoded.Tags) != c.want || err != nil {
			t.Errorf("%T: %v, %v; want %v", c.event, encoded.Tags, err, c.want)
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
	type marked struct { // Go takes its method all the same
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
	for _, c := range []struct{ got, says string }{
		{refused[two](), "embeds [decide_test.courseTags decide_test.studentTags]"},
		{refused[nested](), "embeds [decide_test.courseTags decide_test.studentTags]"},
		{refused[shadowed](), "embeds [decide_test.courseTags decide_test.deeper]"},
		{refused[threeAtTwoDepths](), "embeds [decide_test.courseTags decide_test.courseTags decide_test.studentTags]"},
		{refused[marked](), "give what is embedded a name"},
		{refused[hidden](), "embeds [decide_test.courseTags]"},
		{refused[mixed](), "embeds [decide_test.courseTags]"},
		{refused[fieldToo](), "embeds [decide_test.courseTags]"},
		{refused[otherTags](), "([]string, error); it gives tags if it is Tags() []string"},
	} {
		if !strings.Contains(c.got, c.says) {
			t.Errorf("%q; want it to say %q", c.got, c.says)
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

func TestFieldsOfAnUnexportedEmbeddedStructGiveTags(t *testing.T) {
	t.Parallel()
	type event struct{ unexportedBase }
	id := uuid.New()
	encoded, err := decide.NewCodec(decide.Type[event]("E")).Encode(event{unexportedBase{id, "h", []hashed{"m"}, Deeper{7}}})
	if want := []string{"id:" + id.String(), "hashed:#h", "many:#m", "n:7"}; !slices.Equal(encoded.Tags, want) || err != nil {
		t.Errorf("%v, %v; want %v", encoded.Tags, err, want)
	}
}

type (
	bytesOf    []byte
	octet      uint8
	saidOctet  uint8
	saidBytes  []byte
	codes      []string
	failing    string
	failings   []string
	customerID uuid.UUID
	orderID    struct{ uuid.UUID }
)

func (saidOctet) TagValue() string         { return "o" }
func (b saidBytes) TagValue() string       { return fmt.Sprintf("%x", []byte(b)) }
func (c *codes) TagValue() string          { return strings.Join(*c, "+") }
func (failing) TagValue() (string, error)  { return "", nil }
func (failings) TagValue() (string, error) { return "", nil }

func TestWhatIsNoTextIsRefusedAsATag(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ got, says string }{
		{refused[struct {
			A []byte `dcb:"a"`
		}](), "field A: a []uint8 cannot be the value of a tag, for bytes are no text"},
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
		}](), "give it TagValue() string, and for its data MarshalText and UnmarshalText"},
		{refused[struct {
			A customerID `dcb:"a"`
		}](), "decide_test.customerID cannot be the value of a tag, for it has none of the methods of uuid.UUID; give it TagValue() string, and"},
		{refused[struct {
			A []customerID `dcb:"a"`
		}](), "none of the methods"},
		{refused[struct {
			A orderID `dcb:"a"`
		}](), "or a type with a method TagValue() string can"},
		{refused[struct {
			A codes `dcb:"a"`
		}](), "TagValue of decide_test.codes has a pointer for its receiver"},
		{refused[struct {
			A []codes `dcb:"a"`
		}](), "TagValue of decide_test.codes has a pointer"},
		{refused[struct {
			A failing `dcb:"a"`
		}](), "(string, error); it gives the value if it is TagValue() string"},
		{refused[struct {
			A failings `dcb:"a"`
		}](), "TagValue of decide_test.failings is"},
		{refused[struct {
			A *hashed `dcb:"a"`
		}](), "*decide_test.hashed cannot be the value of a tag, for it may be nil"},
	} {
		if !strings.Contains(c.got, c.says) {
			t.Errorf("%q; want it to say %q", c.got, c.says)
		}
	}
	type said struct {
		A saidBytes   `dcb:"a"`
		B []saidOctet `dcb:"b"`
		C byte        `dcb:"c"`
	}
	encoded, err := decide.NewCodec(decide.Type[said]("E")).Encode(said{saidBytes("a"), []saidOctet{1}, 2})
	if want := "[a:61 b:o c:2]"; fmt.Sprint(encoded.Tags) != want || err != nil {
		t.Errorf("%v, %v; want %v", encoded.Tags, err, want)
	}
}

func TestADashIsNoTag(t *testing.T) {
	t.Parallel()
	encoded, err := decide.NewCodec(decide.Type[marked]("E")).Encode(marked{
		Old: "o", Where: ofCourse{"c"}, Items: []ofCourse{{"c"}}, OfCourse: &OfCourse{"c"}, Name: "n",
	})
	if fmt.Sprint(encoded.Tags) != "[name:n]" || err != nil {
		t.Errorf("%v, %v", encoded.Tags, err)
	}
	for _, says := range []string{refused[struct {
		A string `dcb:"-,"`
	}](), refused[struct {
		A string `dcb:"-,omitempty"`
	}]()} {
		if !strings.Contains(says, `gives no tag, so that there are no options`) {
			t.Error(says)
		}
	}
}

func TestTagsAreNotMadeOfPointers(t *testing.T) {
	t.Parallel()
	some := hashed("h")
	for _, value := range []any{(*hashed)(nil), &some, (*pointerValue)(nil), new(pointerValue), pointerValue("a"), (*string)(nil)} {
		if got := decide.Tag("k", value); got != "k:" {
			t.Errorf("the tag of %T is %q", value, got)
		}
		projection := decide.NewProjection(0, decide.On(func(n int, _ Opened) int { return n })).Tagged("k", value)
		if _, err := decide.New(memstore.New(nil), bank, nil).Read(t.Context(), projection); err == nil || !strings.Contains(err.Error(), "tag of a projection: k: ") {
			t.Errorf("%T: %v", value, err)
		}
	}
}
