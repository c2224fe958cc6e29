// Invoice numbers invoices 1, 2, 3 … without gaps and duplicates, however many are created at
// once. Read the program from top to bottom, or run it:
//
//	go run ./examples/invoice
//
// DCB_STORE names the store, by default the directory dcb-data. The scenarios come from
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

// nextNumber has no tags, so its boundary is every invoice. Only the last invoice matters, so
// only that one is read.
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

	// Eight clerks create an invoice each, at once. All of them read the same last number. One
	// append succeeds, and the others conflict, read again and take the next number.
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
		out.Printf("clerk %d created invoice %d", clerk+1, number)
	}
	return nil
}
