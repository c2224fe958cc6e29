package decide_test

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/decide"
)

type (
	name   string
	number uint16
	hashed string
)

func (h hashed) TagValue() string { return "#" + string(h) }

type embedded struct {
	Inner string `dcb:"inner"`
}

type everything struct {
	Text    string     `dcb:"text"`
	Name    name       `dcb:"name"`
	Int     int        `dcb:"int"`
	Number  number     `dcb:"number"`
	ID      uuid.UUID  `dcb:"id"`
	Hashed  hashed     `dcb:"hashed"`
	Texts   []string   `dcb:"texts"`
	Numbers []number   `dcb:"numbers"`
	Secrets []hashed   `dcb:"secrets"`
	IDs     [][16]byte // no tag
	Maybe   string     `dcb:"maybe,omitempty"`
	MaybeID uuid.UUID  `dcb:"maybe,omitempty"`
	MaybeN  int        `dcb:"maybe,omitempty"`
	Maybes  []string   `dcb:"maybe,omitempty"`
	embedded
}

type byMethod []string

func (m byMethod) Tags() []string { return m }

func TestCodecEncodeTakesTagsFromFields(t *testing.T) {
	t.Parallel()
	codec := decide.NewCodec(decide.Type[everything]("Everything"))
	id := uuid.New()
	encoded, err := codec.Encode(everything{
		Text: "a:b", Name: "n", Int: 0, Number: 7, ID: id, Hashed: "h",
		Texts: []string{"x", "y"}, Numbers: []number{1, 2}, Secrets: []hashed{"p"}, embedded: embedded{"in"},
	})
	want := []string{
		"text:a:b", "name:n", "int:0", "number:7", "id:" + id.String(), "hashed:#h", "texts:x", "texts:y", "numbers:1", "numbers:2", "secrets:#p", "inner:in",
	}
	if diff := cmp.Diff(want, encoded.Tags); diff != "" || err != nil {
		t.Errorf("Encode(…): error %v; tags differ (-want +got):\n%s", err, diff)
	}
	if encoded, err := codec.Encode(everything{
		Text: "a", Name: "n", ID: id, Hashed: "h", Texts: []string{"x"}, Numbers: []number{1}, Secrets: []hashed{"p"}, embedded: embedded{"in"},
		Maybe: "m", MaybeID: id, MaybeN: -3, Maybes: []string{"q"},
	}); err != nil || strings.Count(strings.Join(encoded.Tags, " "), "maybe:") != 4 {
		t.Errorf("Encode(…) has the tags %v (error %v), want four with the key maybe", encoded.Tags, err)
	}
}

func TestTagFormatsValues(t *testing.T) {
	t.Parallel()
	id := uuid.New()
	for _, c := range []struct {
		value any
		want  string
	}{
		{"a", "k:a"},
		{"a:", "k:a:"},
		{name("n"), "k:n"},
		{-3, "k:-3"},
		{int64(1 << 40), fmt.Sprint("k:", int64(1<<40))},
		{number(7), "k:7"},
		{id, "k:" + id.String()},
		{hashed("h"), "k:#h"},
		{"", "k:"},
		{uuid.Nil, "k:"},
		{1.5, "k:"},
		{nil, "k:"},
		{[]string{"a"}, "k:"},
		{&id, "k:"},
	} {
		if got := decide.Tag("k", c.value); got != c.want {
			t.Errorf("Tag(\"k\", %v) = %q, want %q", c.value, got, c.want)
		}
	}
}

func TestCodecEncodeRefusesEmptyTags(t *testing.T) {
	t.Parallel()
	type text struct {
		A string `dcb:"a"`
	}
	type id struct {
		A uuid.UUID `dcb:"a"`
	}
	type slice struct {
		A []string `dcb:"a"`
	}
	type maybe struct {
		A []string `dcb:"a,omitempty"`
	}
	codec := decide.NewCodec(decide.Type[text]("text"), decide.Type[id]("id"), decide.Type[slice]("slice"), decide.Type[maybe]("maybe"),
		decide.Type[byMethod]("method"))
	for _, event := range []any{text{}, id{}, slice{}, slice{[]string{"x", ""}}, maybe{[]string{""}}, byMethod{"a:"}, byMethod{""}} {
		if encoded, err := codec.Encode(event); !failsWith(err, "has no value") {
			t.Errorf("Encode(%#v) = %v, %v, want an error", event, encoded.Tags, err)
		}
	}
	for _, event := range []any{maybe{}, byMethod{}, byMethod{"a", "b:c"}} {
		if _, err := codec.Encode(event); err != nil {
			t.Errorf("Encode(%#v) = %v", event, err)
		}
	}
}

type pointerTags struct{ A string }

func (p *pointerTags) Tags() []string { return nil }

type pointerValue string

func (p *pointerValue) TagValue() string { return "" }

type bothTags struct {
	A string `dcb:"a"`
}

func (bothTags) Tags() []string { return nil }

type (
	unexported struct {
		_ string `dcb:"a"`
	}
	unknownOption struct {
		A string `dcb:"a,maybe"`
	}
	reserved struct {
		A string `dcb:"command"`
	}
	colon struct {
		A string `dcb:"a:b"`
	}
	float struct {
		A float64 `dcb:"a"`
	}
	pointer struct {
		A *string `dcb:"a"`
	}
	nested struct {
		A [][]string `dcb:"a"`
	}
	tagless struct {
		A string `dcb:",omitempty"`
	}
	pointerField struct {
		A pointerValue `dcb:"a"`
	}
	interfaceTag struct {
		A decide.TagValuer `dcb:"a"`
	}
)

func TestNewCodecPanicsOnInvalidTypes(t *testing.T) {
	t.Parallel()
	type v1 struct{ A int }
	type v2 struct{ A string }
	type other struct{}
	up := decide.Upcast(func(v1) v2 { return v2{} })
	for text, newCodec := range map[string]func() *decide.Codec{
		`have the same name "a"`:       func() *decide.Codec { return decide.NewCodec(decide.Type[v1]("a"), decide.Type[v2]("a")) },
		`registered twice, as "a" and`: func() *decide.Codec { return decide.NewCodec(decide.Type[v1]("a"), decide.Type[v1]("b")) },
		`v1 and decide_test.v1 have`:   func() *decide.Codec { return decide.NewCodec(decide.Type[v1]("a"), decide.Type[v1]("a")) },
		"is empty":                     func() *decide.Codec { return decide.NewCodec(decide.Type[v1]("")) },
		"the limit is 256":             func() *decide.Codec { return decide.NewCodec(decide.Type[v1](strings.Repeat("a", 257))) },
		"registration 1 is empty":      func() *decide.Codec { return decide.NewCodec(decide.Registration{}) },
		"has the kind ptr":             func() *decide.Codec { return decide.NewCodec(decide.Type[*v1]("a")) },
		"has the kind interface":       func() *decide.Codec { return decide.NewCodec(decide.Type[any]("a")) },
		"remove one of the two":        func() *decide.Codec { return decide.NewCodec(decide.Type[bothTags]("a")) },
		"Tags has a pointer receiver":  func() *decide.Codec { return decide.NewCodec(decide.Type[pointerTags]("a")) },
		"TagValue of":                  func() *decide.Codec { return decide.NewCodec(decide.Type[pointerField]("a")) },
		"must be exported":             func() *decide.Codec { return decide.NewCodec(decide.Type[unexported]("a")) },
		`option "maybe"`:               func() *decide.Codec { return decide.NewCodec(decide.Type[unknownOption]("a")) },
		`"command" is reserved`:        func() *decide.Codec { return decide.NewCodec(decide.Type[reserved]("a")) },
		`key "a:b" is empty or`:        func() *decide.Codec { return decide.NewCodec(decide.Type[colon]("a")) },
		`key "" is empty`:              func() *decide.Codec { return decide.NewCodec(decide.Type[tagless]("a")) },
		"float64 cannot be":            func() *decide.Codec { return decide.NewCodec(decide.Type[float]("a")) },
		"*string cannot be":            func() *decide.Codec { return decide.NewCodec(decide.Type[pointer]("a")) },
		"[]string cannot be":           func() *decide.Codec { return decide.NewCodec(decide.Type[nested]("a")) },
		"TagValuer cannot be":          func() *decide.Codec { return decide.NewCodec(decide.Type[interfaceTag]("a")) },
		"upcast 1 leads":               func() *decide.Codec { return decide.NewCodec(decide.Type[other]("a", up)) },
		"upcast 2 leads": func() *decide.Codec {
			return decide.NewCodec(decide.Type[other]("a", up, decide.Upcast(func(v2) v1 { return v1{} })))
		},
		"upcast 1 is empty": func() *decide.Codec { return decide.NewCodec(decide.Type[v2]("a", decide.Upcaster{})) },
		"upcast 1, from decide_test.v1 to decide_test.v2, has no function": func() *decide.Codec {
			return decide.NewCodec(decide.Type[v2]("a", decide.Upcast[v1, v2](nil)))
		},
		"the encoding is nil": func() *decide.Codec { return bank.WithEncoding(nil) },
	} {
		if reason := panics(func() { newCodec() }); reason == nil || !strings.Contains(fmt.Sprint(reason), text) {
			t.Errorf("panicked with %v, want a text with %q", reason, text)
		}
	}
}

type price1 struct {
	Cents int `json:"cents"`
}

type price2 struct {
	Cents    int    `json:"cents"`
	Currency string `json:"currency"`
}

type Priced struct {
	Amount   string `json:"amount"`
	Currency string `json:"currency" dcb:"currency"`
}

func TestCodecDecodeUpcastsOldVersions(t *testing.T) {
	t.Parallel()
	codec := decide.NewCodec(decide.Type[Priced]("Priced",
		decide.Upcast(func(old price1) price2 { return price2{old.Cents, "EUR"} }),
		decide.Upcast(func(old price2) Priced {
			return Priced{fmt.Sprintf("%d.%02d", old.Cents/100, old.Cents%100), old.Currency}
		}),
	))
	current, err := codec.Encode(Priced{"1.50", "CHF"})
	if err != nil || current.Metadata[decide.VersionKey] != "3" {
		t.Fatalf("Encode(…) = %+v, %v, want version 3", current, err)
	}
	at := func(version, data string) dcb.Event {
		e := dcb.Event{Type: "Priced", Data: []byte(data)}
		if version != "" {
			e.Metadata = map[string]string{decide.VersionKey: version}
		}
		return e
	}
	for _, c := range []struct {
		event dcb.Event
		want  Priced
	}{
		{at("", `{"cents":199}`), Priced{"1.99", "EUR"}},
		{at("1", `{"cents":199}`), Priced{"1.99", "EUR"}},
		{at("2", `{"cents":199,"currency":"USD"}`), Priced{"1.99", "USD"}},
		{current, Priced{"1.50", "CHF"}},
	} {
		if got, err := codec.Decode(c.event); got != c.want || err != nil {
			t.Errorf("Decode(%+v) = %+v, %v, want %+v", c.event, got, err, c.want)
		}
	}
	for _, version := range []string{"0", "4", "x", "-1", ""} {
		event := at("1", `{}`)
		event.Metadata[decide.VersionKey] = version
		if got, err := codec.Decode(event); err == nil {
			t.Errorf("Decode of version %q = %+v, want an error", version, got)
		}
	}
	// A program without the upcasts reads an event that was recorded after they were added.
	old := decide.NewCodec(decide.Type[price1]("Priced"))
	if got, err := old.Decode(current); !failsWith(err, `"3"`) {
		t.Errorf("Decode of a newer version = %+v, %v, want an error that names version 3", got, err)
	}
}

type gobs struct{}

func (gobs) Marshal(event any) ([]byte, error) {
	var b bytes.Buffer
	err := gob.NewEncoder(&b).Encode(event)
	return b.Bytes(), err
}

func (gobs) Unmarshal(data []byte, event any) error {
	return gob.NewDecoder(bytes.NewReader(data)).Decode(event)
}

func TestCodecWithEncoding(t *testing.T) {
	t.Parallel()
	codec := bank.WithEncoding(gobs{})
	encoded, err := codec.Encode(Deposited{"a", 5})
	if err != nil || bytes.HasPrefix(encoded.Data, []byte("{")) {
		t.Fatalf("Encode(…) has the data %q (error %v), want gob", encoded.Data, err)
	}
	if got, err := codec.Decode(encoded); got != (Deposited{"a", 5}) || err != nil {
		t.Errorf("Decode(…) = %+v, %v", got, err)
	}
	if encoded, err := bank.Encode(Deposited{"a", 5}); string(encoded.Data) != `{"account":"a","amount":5}` || err != nil {
		t.Errorf("WithEncoding changed the first codec: its data is %q (error %v)", encoded.Data, err)
	}
}

func TestCodecEncodeAndDecodeNameUnknownTypes(t *testing.T) {
	t.Parallel()
	for text, event := range map[string]any{
		"decide_test.Unregistered": Unregistered{}, "<nil>": nil, "a pointer, *decide_test.Opened": &Opened{}, "[]": []any{Opened{}},
	} {
		if _, err := bank.Encode(event); !failsWith(err, text) {
			t.Errorf("Encode(%T) = %v, want an error with %q", event, err, text)
		}
	}
	if _, err := bank.Decode(dcb.Event{Type: "Strange"}); !errors.Is(err, decide.ErrUnknownType) || !strings.Contains(err.Error(), "Strange") {
		t.Errorf("Decode(…) = %v, want ErrUnknownType with the name of the type", err)
	}
}

// Programs in other languages may record events that consist of tags only.
func TestCodecDecodeAcceptsEmptyData(t *testing.T) {
	t.Parallel()
	if got, err := bank.Decode(dcb.Event{Type: "Opened", Tags: []string{"account:a"}}); got != (Opened{}) || err != nil {
		t.Errorf("Decode(…) = %+v, %v, want the zero value", got, err)
	}
}

func TestCodecNames(t *testing.T) {
	t.Parallel()
	if names := bank.Names(Transferred{}, Opened{}); !slices.Equal(names, []string{"Transferred", "Opened"}) {
		t.Errorf("Names(…) = %q", names)
	}
	for _, wrong := range []any{Unregistered{}, &Opened{}, nil} {
		if reason, ok := panics(func() { bank.Names(Opened{}, wrong) }).(string); !ok || !strings.Contains(reason, "not in the codec") {
			t.Errorf("Names(…, %T) panicked with %q", wrong, reason)
		}
	}
}
