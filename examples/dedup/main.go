// Dedup places an order once, however often the form is sent. There are two ways. The first is a rule like any other: the form has a
// token, which becomes a tag, and a second order with it is refused. The second needs no rule: the command has a key, and a
// command whose key was recorded is answered as it was then. It can be read from top to bottom, and run:
//
//	go run ./examples/dedup
//
// DCB_STORE names the store to run on, the directory dcb-data if unset. The scenarios are those of
// https://dcb.events/examples/prevent-record-duplication/.
package main

import (
	"context"
	"log"
	"os"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/decide"
	"github.com/dcbstore/dcb/stores"
)

// OrderPlaced is tagged order:ID, and idempotency:TOKEN if there is a token.
type OrderPlaced struct {
	Order string `json:"orderId" dcb:"order"`
	Token string `json:"idempotencyToken,omitempty" dcb:"idempotency,omitempty"`
}

var events = decide.NewCodec(
	decide.Type[OrderPlaced]("OrderPlaced"),
)

func tokenUsed(token string) *decide.Projection[bool] {
	return decide.NewProjection(false,
		decide.On(func(_ bool, _ OrderPlaced) bool { return true }),
	).Tagged("idempotency", token)
}

const errResubmission = refusal("Re-submission")

type orders struct{ runner *decide.Runner }

func open(store dcb.Store) orders { return orders{decide.New(store, events, nil)} }

// place refuses a token that was used.
func (o orders) place(ctx context.Context, order, token string) error {
	used := tokenUsed(token)
	_, err := o.runner.Do(ctx, func() ([]any, error) {
		if used.State() {
			return nil, errResubmission
		}
		return decide.Events(OrderPlaced{order, token}), nil
	}, used)
	return err
}

// placeOnce answers a key that was used with the position of what was recorded for it: to whoever sent the form twice, both times
// it worked.
func (o orders) placeOnce(ctx context.Context, order, key string) (dcb.Position, error) {
	return o.runner.Do(ctx, func() ([]any, error) {
		return decide.Events(OrderPlaced{Order: order}), nil
	}, decide.IdempotencyKey(key))
}

// refusal is the answer of a rule, to be shown to whoever asked.
type refusal string

func (r refusal) Error() string { return string(r) }

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
	o := open(store)
	token, key := uuid.NewString(), uuid.NewString() // drawn when the form is shown
	for range 2 {
		if err := o.place(ctx, "o-"+uuid.NewString()[:8], token); err != nil {
			out.Println("with the token: refused:", err)
		} else {
			out.Println("with the token: placed")
		}
	}
	for range 2 {
		if position, err := o.placeOnce(ctx, "o-"+uuid.NewString()[:8], key); err != nil {
			out.Println("with the key: refused:", err)
		} else {
			out.Println("with the key: placed at position", position)
		}
	}
}
