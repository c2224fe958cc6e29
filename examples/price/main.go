// Price takes orders at the price that a customer saw: the current price, or one that was
// replaced at most ten minutes ago. An order can have several products, and then reads the prices
// of each. Read the program from top to bottom, or run it:
//
//	go run ./examples/price
//
// DCB_STORE names the store, by default the directory dcb-data. The scenarios come from
// https://dcb.events/examples/dynamic-product-price/.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/decide"
	"github.com/dcbstore/dcb/stores"
)

// ProductDefined is tagged product:ID.
type ProductDefined struct {
	Product string `json:"productId" dcb:"product"`
	Price   int    `json:"price"`
}

// ProductPriceChanged is tagged product:ID.
type ProductPriceChanged struct {
	Product  string `json:"productId" dcb:"product"`
	NewPrice int    `json:"newPrice"`
}

// ProductOrdered is tagged product:ID.
type ProductOrdered struct {
	Product string `json:"productId" dcb:"product"`
	Price   int    `json:"price"`
}

// ProductsOrdered concerns several products. Its tags come from a method, because no single field
// holds them.
type ProductsOrdered struct {
	Items []Item `json:"items"`
}

// Item is a product at the price at which it was ordered.
type Item struct {
	Product string `json:"productId"`
	Price   int    `json:"price"`
}

// Tags returns the tag product:ID for each of the items.
func (o ProductsOrdered) Tags() []string {
	tags := make([]string, len(o.Items))
	for i, item := range o.Items {
		tags[i] = decide.Tag("product", item.Product)
	}
	return tags
}

var events = decide.NewCodec(
	decide.Type[ProductDefined]("ProductDefined"),
	decide.Type[ProductPriceChanged]("ProductPriceChanged"),
	decide.Type[ProductOrdered]("ProductOrdered"),
	decide.Type[ProductsOrdered]("ProductsOrdered"),
)

// grace is how long a price remains valid after it was replaced.
const grace = 10 * time.Minute

// prices are the prices of a product in the order of time.
type prices []quote

type quote struct {
	price int
	since time.Time
}

// valid reports whether price is the current one, or was replaced within the grace period.
func (p prices) valid(price int, now time.Time) bool {
	for i := range p {
		isCurrent := i == len(p)-1
		if p[i].price == price && (isCurrent || now.Sub(p[i+1].since) <= grace) {
			return true
		}
	}
	return false
}

func pricesOf(product string) *decide.Projection[prices] {
	return decide.NewProjection(prices(nil),
		decide.OnRecorded(func(p prices, e ProductDefined, r decide.Recorded) prices { return append(p, quote{e.Price, r.At}) }),
		decide.OnRecorded(func(p prices, e ProductPriceChanged, r decide.Recorded) prices {
			return append(p, quote{e.NewPrice, r.At})
		}),
	).Tagged("product", product)
}

type shop struct {
	runner *decide.Runner
	now    func() time.Time
}

func open(store dcb.Store, now func() time.Time) shop {
	return shop{decide.New(store, events, nil), now}
}

func (s shop) order(ctx context.Context, product string, price int) error {
	prices := pricesOf(product)
	_, err := s.runner.Do(ctx, func() ([]any, error) {
		if !prices.State().valid(price, s.now()) {
			return nil, fmt.Errorf("invalid price for product %q", product)
		}
		return decide.Events(ProductOrdered{product, price}), nil
	}, prices)
	return err
}

// orderAll reads as many projections as the order has items.
func (s shop) orderAll(ctx context.Context, items ...Item) error {
	var prices []*decide.Projection[prices]
	for _, item := range items {
		prices = append(prices, pricesOf(item.Product))
	}
	_, err := s.runner.Do(ctx, func() ([]any, error) {
		for i, item := range items {
			if !prices[i].State().valid(item.Price, s.now()) {
				return nil, fmt.Errorf("invalid price for product %q", item.Product)
			}
		}
		return decide.Events(ProductsOrdered{items}), nil
	}, decide.Projections(prices...)...)
	return err
}

func main() {
	ctx := context.Background()
	store, err := stores.FromEnv(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	run(ctx, store, log.New(os.Stdout, "", 0))
}

func run(ctx context.Context, store dcb.Store, out *log.Logger) {
	now := time.Now()
	s := open(store, func() time.Time { return now })
	report := func(what string, err error) {
		if err == nil {
			out.Printf("%-34s done", what)
		} else {
			out.Printf("%-34s refused: %v", what, err)
		}
	}
	record := func(event any) error {
		_, err := s.runner.Record(ctx, event)
		return err
	}
	tea, cup := "tea-"+uuid.NewString()[:8], "cup-"+uuid.NewString()[:8]
	report("sell "+tea+" at 5", record(ProductDefined{tea, 5}))
	report("sell "+cup+" at 9", record(ProductDefined{cup, 9}))
	report("order "+tea+" at 4", s.order(ctx, tea, 4))
	report("order "+tea+" at 5", s.order(ctx, tea, 5))
	report("sell "+tea+" at 6 from now on", record(ProductPriceChanged{tea, 6}))
	report("order it at 5 again", s.order(ctx, tea, 5))
	report("order both, at 6 and 9", s.orderAll(ctx, Item{tea, 6}, Item{cup, 9}))
	now = now.Add(11 * time.Minute)
	report("order it at 5, 11 minutes later", s.order(ctx, tea, 5))
	report("order both, at 5 and 9", s.orderAll(ctx, Item{tea, 5}, Item{cup, 9}))
}
