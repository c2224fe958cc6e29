package decide

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/dcbstore/dcb"
)

func someOf(names ...string) []string {
	var some []string
	for _, name := range names {
		if rand.N(2) == 0 {
			some = append(some, name)
		}
	}
	return some
}

func TestUnionSelectsWhatItsProjectionsSelect(t *testing.T) {
	for range 5000 {
		var projections []AnyProjection
		for range 1 + rand.N(6) {
			o := &idempotencyKey{}
			o.item = dcb.QueryItem{Types: slices.Clip(someOf("A", "B", "C")), Tags: slices.Clip(someOf("a", "b", "c"))}
			projections = append(projections, o)
		}
		query := union(projections)
		for range 20 {
			event := dcb.Event{Type: string("ABCD"[rand.N(4)]), Tags: someOf("a", "b", "c", "d")}
			want := false
			for _, projection := range projections {
				item := projection.base().item
				want = want || item.Matches(event)
			}
			if query.Matches(event) != want {
				t.Fatalf("union %v matches %v: %t, but its projections: %t", query, event, !want, want)
			}
		}
		for i := range query {
			for j := range query {
				if i != j && covers(&query[i], &query[j]) {
					t.Fatalf("union %v: item %d covers item %d", query, i, j)
				}
			}
		}
	}
}
