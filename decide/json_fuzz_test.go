package decide

import (
	"encoding/json"
	"fmt"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"time"
)

type nested struct {
	Deep int
	List []*nested `json:"list,omitempty"`
}

type named struct{ Title string }

// appending shows whether its text was decoded twice.
type appending struct{ texts []string }

func (a *appending) UnmarshalText(text []byte) error {
	a.texts = append(a.texts, string(text))
	return nil
}

// everything has a field for each way in which JSON is decoded.
type everything struct {
	nested
	*named
	Text    string            `json:"text"`
	Quoted  int               `json:"quoted,string"`
	Small   int8              `json:"small"`
	Natural uint16            `json:"natural"`
	Real    float32           `json:"real"`
	Yes     *bool             `json:"yes"`
	Bytes   []byte            `json:"bytes"`
	Array   [2]int            `json:"array"`
	Any     any               `json:"any"`
	Map     map[string]any    `json:"map"`
	ByInt   map[int]nested    `json:"byInt"`
	Texts   appending         `json:"texts"`
	ByText  map[string]string `json:"by,embed"`
	Inline  nested            `json:"in,inline"`
	Case    string            `json:"case,case:ignore"`
	Raw     json.RawMessage   `json:"raw"`
	Time    time.Time         `json:"time"`
	For     time.Duration     `json:"for"`
	Big     big.Int           `json:"big"`
	Hidden  int               `json:"-"`
}

// FuzzUnmarshalMatchesEncodingJSON compares the faster implementation with json.Unmarshal.
func FuzzUnmarshalMatchesEncodingJSON(f *testing.F) {
	for _, text := range []string{
		`{"text":"a","small":1,"natural":2,"real":1.5,"yes":true,"bytes":"aGk=","array":[1,2,3],"any":{"a":[1,null,"x"]}}`,
		`{"map":{"a":1,"a":{"b":2}},"byInt":{"1":{"Deep":1},"-2":null},"texts":"a","by":{"x":"y"},"in":{"Deep":3},"CASE":"c"}`,
		`{"texts":"a","map":{"x":1},"list":[{"Deep":1}],"any":1}`,
		`{"raw":{"b" : 2},"time":"2026-01-02T03:04:05Z","for":5,"big":123456789012345678901234567890,"quoted":"7","-":1,"Hidden":2}`,
		`{"Deep":1,"deep":2,"list":[{"Deep":1,"list":[{}]}],"Title":"t","TEXT":"big","te\u0078t":"escaped"}`,
		`{"small":128}`, `{"small":1.0}`, `{"small":1e1}`, `{"natural":-1}`, `{"real":1e39}`, `{"quoted":7}`, `{"quoted":"x"}`, `{"quoted":null}`, `{"yes":null}`,
		`{"bytes":"a"}`, `{"bytes":[1]}`, `{"array":[1]}`, `{"array":{}}`, `{"time":"x"}`, `{"time":null}`, `{"for":"1s"}`, `{"byInt":{"x":{}}}`, `{"texts":null}`,
		`{}`, `null`, " {\"text\":\"b\"} \r\n\t", `{"text":"a"}{"text":"b"}`, `{"text":"a"} x`, `{"text":"a"`, `{"text":"a",}`, `{"text":1}`, `[1]`, `1`, `"a"`,
		`tru`, `}`, "", " ", "{\"text\":\"\xff\"}", "{\"\xff\":1}", `{"text":"\ud800"}`, "{\"text\":\"\x01\"}", `{"X":1}`, "\x00", `{"text":"a"}` + "\x00",
		`{"text":"` + strings.Repeat("x", 100_000) + `"}`, `{"any":` + strings.Repeat("[", 9_999) + strings.Repeat("]", 9_999) + `}`,
		`{"any":` + strings.Repeat("[", 10_001) + strings.Repeat("]", 10_001) + `}`, "\ufeff{}",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var want, got everything
		var wantErr error
		if len(strings.TrimRight(string(data), " \t\r\n")) > 0 { // Unmarshal accepts empty data
			wantErr = json.Unmarshal(data, &want)
		}
		gotErr := jsonEncoding{}.Unmarshal(data, &got)
		if fmt.Sprint(wantErr) != fmt.Sprint(gotErr) || wantErr == nil && !reflect.DeepEqual(want, got) {
			t.Errorf("Unmarshal of %.300q: %+v, %v; json.Unmarshal: %+v, %v", data, got, gotErr, want, wantErr)
		}
	})
}

// BenchmarkUnmarshal decodes a small event with the codec's Unmarshal and with json.Unmarshal.
func BenchmarkUnmarshal(b *testing.B) {
	type subscribed struct {
		Student string `json:"studentId"`
		Course  string `json:"courseId"`
	}
	data := []byte(`{"studentId":"s12345","courseId":"c1234"}`)
	for name, unmarshal := range map[string]func(data []byte, event any) error{"decide": jsonEncoding{}.Unmarshal, "json": json.Unmarshal} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := unmarshal(data, new(subscribed)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
