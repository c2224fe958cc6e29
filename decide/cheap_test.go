package decide

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/dcbstore/dcb"
)

// What is done in another way because it costs less does the same as the usual way.

func TestUnmarshalIsJSONs(t *testing.T) {
	type inner struct{ N []int }
	type event struct {
		S string
		I int
		P *inner
		M map[string]any
		R json.RawMessage
	}
	large := strings.Repeat("x", 2*maxPooled)
	texts := []string{
		`{"S":"a","I":1}`, `{"I":-2}`, `{}`, `null`, `{"P":{"N":[1,2,3]},"M":{"a":[null,true,1.5]},"R":{"b" : 2}}`, " {\"S\":\"b\"} \r\n\t",
		`{"S":"a"}{"S":"b"}`, `{"S":"a"} x`, `{"S":"a"`, `{"S":"a",}`, `{"S":1}`, `{"I":"a"}`, `{"I":1.5}`, `[1]`, `1`, `"a"`, `tru`, `}`, "{\"S\":\"\xff\"}",
		`{"S":"` + large + `"}`, `{"S":"` + large[:maxPooled/2] + `"}`, `{"S":"` + large, `{"s":"case"}`, `{"X":1}`, "\x00", `{"S":"a"}` + "\x00",
	}
	for range 2000 {
		text := texts[rand.N(len(texts))]
		var want, got event
		wantErr, gotErr := json.Unmarshal([]byte(text), &want), jsonEncoding{}.Unmarshal([]byte(text), &got)
		if fmt.Sprint(wantErr) != fmt.Sprint(gotErr) || wantErr == nil && !reflect.DeepEqual(want, got) {
			t.Fatalf("%.80q: %+v, %v; json.Unmarshal: %+v, %v", text, got, gotErr, want, wantErr)
		}
	}
	for _, text := range []string{"1", "-1.5", `"a"`, "true", "12", "x", "1 2"} { // values that only end with the data
		var want, got any
		wantErr, gotErr := json.Unmarshal([]byte(text), &want), jsonEncoding{}.Unmarshal([]byte(text), &got)
		if fmt.Sprint(wantErr) != fmt.Sprint(gotErr) || wantErr == nil && want != got {
			t.Errorf("%q: %v, %v; json.Unmarshal: %v, %v", text, got, gotErr, want, wantErr)
		}
	}
}

func someOf(names ...string) []string {
	var some []string
	for _, name := range names {
		if rand.N(2) == 0 {
			some = append(some, name)
		}
	}
	return some
}

func TestUnionSelectsWhatItsViewsSelect(t *testing.T) {
	for range 5000 {
		var views []AnyView
		for range 1 + rand.N(6) {
			o := &once{}
			o.item = dcb.QueryItem{Types: slices.Clip(someOf("A", "B", "C")), Tags: slices.Clip(someOf("a", "b", "c"))}
			views = append(views, o)
		}
		query := union(views)
		for range 20 {
			event := dcb.Event{Type: string("ABCD"[rand.N(4)]), Tags: someOf("a", "b", "c", "d")}
			want := false
			for _, v := range views {
				item := v.common().item
				want = want || item.Matches(event)
			}
			if query.Matches(event) != want {
				t.Fatalf("%v matches %v: %t; its views: %t", query, event, !want, want)
			}
		}
		for i := range query {
			for j := range query {
				if i != j && covers(&query[i], &query[j]) {
					t.Fatalf("%v: item %d covers item %d", query, i, j)
				}
			}
		}
	}
}
