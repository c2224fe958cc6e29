// Optin signs people up in two steps: it sends a code to an address, and the code signs up its
// owner once, within an hour. It needs no table of codes. Read the program from top to bottom, or
// run it:
//
//	go run ./examples/optin
//
// DCB_STORE names the store, by default the directory dcb-data. The scenarios come from
// https://dcb.events/examples/opt-in-token/.
package main

import (
	"context"
	"log"
	"os"
	"time"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/decide"
	"github.com/dcbstore/dcb/stores"
)

// SignUpInitiated records that a code was sent to an address. It is tagged with both.
type SignUpInitiated struct {
	Email string `json:"emailAddress" dcb:"email"`
	OTP   string `json:"otp" dcb:"otp"`
	Name  string `json:"name"`
}

// SignUpConfirmed records that the code was used.
type SignUpConfirmed struct {
	Email string `json:"emailAddress" dcb:"email"`
	OTP   string `json:"otp" dcb:"otp"`
	Name  string `json:"name"`
}

var events = decide.NewCodec(
	decide.Type[SignUpInitiated]("SignUpInitiated"),
	decide.Type[SignUpConfirmed]("SignUpConfirmed"),
)

// valid is how long a code can be used.
const valid = time.Hour

const (
	errPending = refusal("No pending sign-up for this OTP / email address")
	errUsed    = refusal("OTP was already used")
	errExpired = refusal("OTP expired")
)

// signUp is the state of one code at one address.
type signUp struct {
	pending, used bool
	name          string
	at            time.Time
}

// signUpOf has two tags, so it selects the events that have both: a code is worth nothing with
// another address.
func signUpOf(email, otp string) *decide.Projection[signUp] {
	return decide.NewProjection(signUp{},
		decide.OnRecorded(func(_ signUp, e SignUpInitiated, r decide.Recorded) signUp {
			return signUp{pending: true, name: e.Name, at: r.At}
		}),
		decide.On(func(s signUp, _ SignUpConfirmed) signUp {
			s.used = true
			return s
		}),
	).Tagged("email", email).Tagged("otp", otp)
}

type signUps struct {
	runner *decide.Runner
	now    func() time.Time
}

func open(store dcb.Store, now func() time.Time) signUps {
	return signUps{decide.New(store, events, nil), now}
}

// initiate depends on no other event, so it records without a condition.
func (s signUps) initiate(ctx context.Context, email, otp, name string) error {
	_, err := s.runner.Record(ctx, SignUpInitiated{email, otp, name})
	return err
}

func (s signUps) confirm(ctx context.Context, email, otp string) error {
	signUp := signUpOf(email, otp)
	_, err := s.runner.Do(ctx, func() ([]any, error) {
		switch state := signUp.State(); {
		case !state.pending:
			return nil, errPending
		case state.used:
			return nil, errUsed
		case s.now().Sub(state.at) > valid:
			return nil, errExpired
		default:
			return decide.Events(SignUpConfirmed{email, otp, state.name}), nil
		}
	}, signUp)
	return err
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
	now := time.Now()
	s := open(store, func() time.Time { return now })
	report := func(what string, err error) {
		if err == nil {
			out.Printf("%-34s done", what)
		} else {
			out.Printf("%-34s refused: %v", what, err)
		}
	}
	const ann, bob = "ann@example.com", "bob@example.com"
	first, second := uuid.NewString()[:6], uuid.NewString()[:6]
	report("send the code "+first, s.initiate(ctx, ann, first, "Ann"))
	report("use it with another address", s.confirm(ctx, bob, first))
	report("use it", s.confirm(ctx, ann, first))
	report("use it again", s.confirm(ctx, ann, first))
	report("send the code "+second, s.initiate(ctx, ann, second, "Ann"))
	now = now.Add(2 * time.Hour)
	report("use it two hours later", s.confirm(ctx, ann, second))
}
