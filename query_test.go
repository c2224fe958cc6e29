package dcb_test

import (
	"testing"

	"github.com/dcbstore/dcb"
)

func TestQueryMatches(t *testing.T) {
	e := dcb.Event{Type: "A", Tags: []string{"x", "y"}}
	for _, c := range []struct {
		name  string
		query dcb.Query
		want  bool
	}{
		{"All", dcb.All(), true},
		{"no items", nil, false},
		{"its type", dcb.Query{{Types: []string{"A"}}}, true},
		{"another type", dcb.Query{{Types: []string{"B"}}}, false},
		{"one of several types", dcb.Query{{Types: []string{"B", "A"}}}, true},
		{"its type in lower case", dcb.Query{{Types: []string{"a"}}}, false},
		{"one of its tags", dcb.Query{{Tags: []string{"y"}}}, true},
		{"all its tags", dcb.Query{{Tags: []string{"y", "x"}}}, true},
		{"one tag twice", dcb.Query{{Tags: []string{"y", "y"}}}, true},
		{"one tag that it lacks", dcb.Query{{Tags: []string{"x", "z"}}}, false},
		{"an empty type", dcb.Query{{Types: []string{""}}}, false},
		{"its type and a tag", dcb.Query{{Types: []string{"A"}, Tags: []string{"x"}}}, true},
		{"its type and a tag that it lacks", dcb.Query{{Types: []string{"A"}, Tags: []string{"z"}}}, false},
		{"another type and a tag", dcb.Query{{Types: []string{"B"}, Tags: []string{"x"}}}, false},
		{"one of several items", dcb.Query{{Types: []string{"B"}}, {Tags: []string{"x"}}}, true},
		{"none of several items", dcb.Query{{Types: []string{"B"}}, {Tags: []string{"z"}}}, false},
		{"an item without types or tags", dcb.Query{{Types: []string{"B"}}, {}}, true},
		{"its type as a tag", dcb.Query{{Tags: []string{"A"}}}, false},
	} {
		if got := c.query.Matches(e); got != c.want {
			t.Errorf("%s: Matches = %v, want %v", c.name, got, c.want)
		}
	}
}
