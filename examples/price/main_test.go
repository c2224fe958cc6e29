package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/decide/decidetest"
	"github.com/dcbstore/dcb/internal/kinds"
	"github.com/dcbstore/dcb/memstore"
)

func TestMain(m *testing.M) { os.Exit(kinds.Main(m)) }

type given struct {
	minutesAgo int
	event      any
}

// The numbers come from the scenarios at dcb.events. An event without an age counts as old
// there. Here every event has a time, and an event without an age has the present time.
func TestScenarios(t *testing.T) {
	defined := given{20, ProductDefined{"p1", 123}}
	changed := func(minutesAgo int) given { return given{minutesAgo, ProductPriceChanged{"p1", 134}} }
	other := given{8, ProductDefined{"p2", 321}}
	for _, c := range []struct {
		name    string
		given   []given
		order   []Item // for order if there is one item and all is false, else for orderAll
		all     bool
		invalid string // the product whose price is refused
	}{
		{"1.1 another price", []given{{0, ProductDefined{"p1", 123}}}, []Item{{"p1", 100}}, false, "p1"},
		{"1.2 the price", []given{{0, ProductDefined{"p1", 123}}}, []Item{{"p1", 123}}, false, ""},
		{"2.1 another price, with a grace period", []given{{0, ProductDefined{"p1", 123}}}, []Item{{"p1", 100}}, false, "p1"},
		{"2.2 the price, with a grace period", []given{{0, ProductDefined{"p1", 123}}}, []Item{{"p1", 123}}, false, ""},
		{"2.3 a price that was never valid", []given{defined}, []Item{{"p1", 100}}, false, "p1"},
		{"2.4 a price that was replaced too long ago", []given{defined, changed(20)}, []Item{{"p1", 123}}, false, "p1"},
		{"2.5 a price that was set long ago", []given{defined}, []Item{{"p1", 123}}, false, ""},
		{"2.6 a price that was replaced a moment ago", []given{defined, changed(9)}, []Item{{"p1", 123}}, false, ""},
		{"2.7 a price that was set a moment ago", []given{defined, changed(9)}, []Item{{"p1", 134}}, false, ""},
		{"3.1 an order at a price that was never valid", []given{defined}, []Item{{"p1", 100}}, true, "p1"},
		{"3.2 an order at a price that was replaced too long ago", []given{defined, changed(20)}, []Item{{"p1", 123}}, true, "p1"},
		{"3.3 an order at the price", []given{defined}, []Item{{"p1", 123}}, true, ""},
		{"3.4 an order at a price that was replaced a moment ago", []given{defined, changed(9)}, []Item{{"p1", 123}}, true, ""},
		{"3.5 an order of two products", []given{defined, changed(9), other}, []Item{{"p1", 123}, {"p2", 321}}, true, ""},
		{"an order of two products, one at a wrong price", []given{defined, other}, []Item{{"p1", 123}, {"p2", 320}}, true, "p2"},
		{"an order of the same product twice", []given{defined}, []Item{{"p1", 123}, {"p1", 123}}, true, ""},
		{"a price that was replaced ten minutes ago", []given{defined, changed(10)}, []Item{{"p1", 123}}, false, ""},
		{"an unknown product", nil, []Item{{"p1", 0}}, false, "p1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			kinds.OnEvery(t, func(t *testing.T, store dcb.Store) {
				s := decidetest.New(t, events, store)
				for _, g := range c.given {
					s.GivenAgo(time.Duration(g.minutesAgo)*time.Minute, g.event)
				}
				var want any
				if shop := open(s.Store, s.Now); c.all {
					s.When(shop.orderAll(t.Context(), c.order...))
					want = ProductsOrdered{c.order}
				} else {
					s.When(shop.order(t.Context(), c.order[0].Product, c.order[0].Price))
					want = ProductOrdered(c.order[0])
				}
				if c.invalid != "" {
					s.ThenRefused(fmt.Sprintf("invalid price for product %q", c.invalid))
				} else {
					s.Then(want)
				}
			})
		})
	}
}

// Other programs read the recorded events, so names, tags and JSON must not change.
func TestEncodeMatchesTheScenarios(t *testing.T) {
	t.Parallel()
	for want, event := range map[string]any{
		`ProductDefined [product:p1] {"productId":"p1","price":123}`:         ProductDefined{"p1", 123},
		`ProductPriceChanged [product:p1] {"productId":"p1","newPrice":134}`: ProductPriceChanged{"p1", 134},
		`ProductOrdered [product:p1] {"productId":"p1","price":123}`:         ProductOrdered{"p1", 123},
		`ProductsOrdered [product:p1 product:p2] {"items":[{"productId":"p1","price":123},{"productId":"p2","price":321}]}`: ProductsOrdered{
			[]Item{{"p1", 123}, {"p2", 321}},
		},
	} {
		e, err := events.Encode(event)
		if got := fmt.Sprintf("%s %s %s", e.Type, e.Tags, e.Data); err != nil || got != want {
			t.Errorf("Encode(%#v) = %s (error %v), want %s", event, got, err, want)
		}
	}
}

// An order of many products reads as many projections, with one boundary.
func TestOrderAllReadsAllProductsAtOnce(t *testing.T) {
	kinds.OnEvery(t, func(t *testing.T, store dcb.Store) {
		counting := decidetest.Count(store)
		s := decidetest.New(t, events, counting)
		var items []Item
		for i := range 40 {
			items = append(items, Item{fmt.Sprint("p", i), i})
			s.Given(ProductDefined(items[i]))
		}
		reads := counting.Reads.Load()
		err := open(s.Store, s.Now).orderAll(t.Context(), items...)
		if got := counting.Reads.Load() - reads; got != 1 {
			t.Errorf("orderAll made %d reads, want 1", got)
		}
		s.When(err).Then(ProductsOrdered{items})
	})
}

func TestOrderOfTheSameProductNeverConflicts(t *testing.T) {
	kinds.OnEvery(t, func(t *testing.T, store dcb.Store) {
		counting := decidetest.Count(store)
		s := open(counting, time.Now)
		if _, err := s.runner.Record(t.Context(), ProductDefined{"p1", 5}); err != nil {
			t.Fatal(err)
		}
		// An order reads prices and changes none.
		order := func(ctx context.Context) error { return s.order(ctx, "p1", 5) }
		decidetest.CheckUnrelated(t, counting, slices.Repeat([]decidetest.Command{order}, 32)...)
	})
}

func TestRun(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	run(t.Context(), memstore.New(nil), log.New(&out, "", 0))
	if text := out.String(); strings.Count(text, "done\n") != 6 || strings.Count(text, "refused: invalid price for product ") != 3 {
		t.Errorf("the output is\n%swant 6 lines that are done and 3 that are refused", text)
	}
}
