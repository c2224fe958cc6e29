// Dedup records an order once, however often its form is sent, in two ways. The first is a rule
// like any other: the form has a token that becomes a tag, and a second order with the token is
// refused. The second needs no rule: the command has an idempotency key, and a command whose key
// is recorded returns the recorded position. Read the program from top to bottom, or run it:
//
//	go run ./examples/dedup
//
// DCB_STORE names the store, by default the directory dcb-data. The scenarios come from
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

// place refuses an order whose token was used before.
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

// placeOnce returns the recorded position if the key was used before. So it succeeds both times
// that a form is sent.
func (o orders) placeOnce(ctx context.Context, order, key string) (dcb.Position, error) {
	return o.runner.Do(ctx, func() ([]any, error) {
		return decide.Events(OrderPlaced{Order: order}), nil
	}, decide.IdempotencyKey(key))
}

// refusal is the error of a rule. Its text is for the user.
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
	token, key := uuid.NewString(), uuid.NewString() // chosen when the form is shown
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
