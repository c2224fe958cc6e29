package dcb_test

import (
	"testing"

	"github.com/dcbstore/dcb"
)

func TestAQueryMatchesWhatOneOfItsItemsMatches(t *testing.T) {
	e := dcb.Event{Type: "A", Tags: []string{"x", "y"}}
	for _, x := range []struct {
		name string
		q    dcb.Query
		want bool
	}{
		{"all", dcb.All(), true},
		{"nothing", nil, false},
		{"its type", dcb.Query{{Types: []string{"A"}}}, true},
		{"another type", dcb.Query{{Types: []string{"B"}}}, false},
		{"one of several types", dcb.Query{{Types: []string{"B", "A"}}}, true},
		{"the type in another case", dcb.Query{{Types: []string{"a"}}}, false},
		{"one of its tags", dcb.Query{{Tags: []string{"y"}}}, true},
		{"all its tags", dcb.Query{{Tags: []string{"y", "x"}}}, true},
		{"a tag twice", dcb.Query{{Tags: []string{"y", "y"}}}, true},
		{"a tag that it lacks", dcb.Query{{Tags: []string{"x", "z"}}}, false},
		{"the beginning of a type", dcb.Query{{Types: []string{""}}}, false},
		{"type and tag", dcb.Query{{Types: []string{"A"}, Tags: []string{"x"}}}, true},
		{"type, and a tag that it lacks", dcb.Query{{Types: []string{"A"}, Tags: []string{"z"}}}, false},
		{"another type, and tag", dcb.Query{{Types: []string{"B"}, Tags: []string{"x"}}}, false},
		{"one of several items", dcb.Query{{Types: []string{"B"}}, {Tags: []string{"x"}}}, true},
		{"none of several items", dcb.Query{{Types: []string{"B"}}, {Tags: []string{"z"}}}, false},
		{"an item without types or tags", dcb.Query{{Types: []string{"B"}}, {}}, true},
		{"the type as a tag", dcb.Query{{Tags: []string{"A"}}}, false},
	} {
		if got := x.q.Matches(e); got != x.want {
			t.Errorf("%s: Matches is %v, want %v", x.name, got, x.want)
		}
	}
}
