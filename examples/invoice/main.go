// Invoice numbers invoices 1, 2, 3 … without a gap and without a number twice, however many are made at once. It can be read from top to
// bottom, and run:
//
//	go run ./examples/invoice
//
// DCB_STORE names the store to run on, the directory dcb-data if unset. The scenarios are those of
// https://dcb.events/examples/invoice-number/.
package main

import (
	"context"
	"encoding/json"
	"log"
	"os"
	"sync"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/decide"
	"github.com/dcbstore/dcb/stores"
)

// InvoiceCreated is tagged invoice:NUMBER.
type InvoiceCreated struct {
	Number int             `json:"invoiceNumber" dcb:"invoice"`
	Data   json.RawMessage `json:"invoiceData"`
}

var events = decide.NewCodec(
	decide.Type[InvoiceCreated]("InvoiceCreated"),
)

// nextNumber is about no invoice in particular, so it has no tags: its boundary is every invoice. Of all of them only the last
// matters, so only that is read.
func nextNumber() *decide.Projection[int] {
	return decide.NewProjection(1,
		decide.On(func(_ int, e InvoiceCreated) int { return e.Number + 1 }),
	).OnlyLastEvent()
}

type invoices struct{ runner *decide.Runner }

func open(store dcb.Store) invoices { return invoices{decide.New(store, events, nil)} }

func (i invoices) create(ctx context.Context, data json.RawMessage) (number int, err error) {
	next := nextNumber()
	_, err = i.runner.Do(ctx, func() ([]any, error) {
		number = next.State()
		return decide.Events(InvoiceCreated{number, data}), nil
	}, next)
	return number, err
}

func main() {
	ctx := context.Background()
	store, err := stores.FromEnv(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	if err := run(ctx, store, log.New(os.Stdout, "", 0)); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, store dcb.Store, out *log.Logger) error {
	i := open(store)
	for _, data := range []string{`{"foo":"bar"}`, `{"bar":"baz"}`} {
		number, err := i.create(ctx, json.RawMessage(data))
		if err != nil {
			return err
		}
		out.Printf("invoice %d: %s", number, data)
	}

	// Eight clerks make one each, at once. Each sees the same last number, and all but one find when they append that it is not
	// the last any more; they look again, and take the next.
	var clerks sync.WaitGroup
	numbers, errs := make([]int, 8), make([]error, 8)
	for clerk := range numbers {
		clerks.Go(func() { numbers[clerk], errs[clerk] = i.create(ctx, json.RawMessage(`{}`)) })
	}
	clerks.Wait()
	for clerk, number := range numbers {
		if errs[clerk] != nil {
			return errs[clerk]
		}
		out.Printf("clerk %d made invoice %d", clerk+1, number)
	}
	return nil
}
