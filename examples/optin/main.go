// Optin signs people up in two steps: a code is sent to an address, and whoever brings it back within an hour is signed up, once.
// No table of codes is needed. It can be read from top to bottom, and run:
//
//	go run ./examples/optin
//
// DCB_STORE names the store to run on, the directory dcb-data if unset. The scenarios are those of
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

// SignUpInitiated says that a code was sent to an address. It is tagged with both.
type SignUpInitiated struct {
	Email string `json:"emailAddress" dcb:"email"`
	OTP   string `json:"otp" dcb:"otp"`
	Name  string `json:"name"`
}

// SignUpConfirmed says that the code came back.
type SignUpConfirmed struct {
	Email string `json:"emailAddress" dcb:"email"`
	OTP   string `json:"otp" dcb:"otp"`
	Name  string `json:"name"`
}

var events = decide.NewCodec(
	decide.Type[SignUpInitiated]("SignUpInitiated"),
	decide.Type[SignUpConfirmed]("SignUpConfirmed"),
)

// valid is how long a code can be brought back.
const valid = time.Hour

const (
	errPending = refusal("No pending sign-up for this OTP / email address")
	errUsed    = refusal("OTP was already used")
	errExpired = refusal("OTP expired")
)

// signUp is what is known about one code at one address.
type signUp struct {
	pending, used bool
	name          string
	at            time.Time
}

// signUpOf has two tags, so it looks at the events that have both: a code is worth nothing at another address.
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

// initiate depends on nothing that happened, so it just records.
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
	now := time.Now()
	s := open(store, func() time.Time { return now })
	say := func(what string, err error) {
		if err == nil {
			out.Printf("%-34s done", what)
		} else {
			out.Printf("%-34s refused: %v", what, err)
		}
	}
	const ann, bob = "ann@example.com", "bob@example.com"
	first, second := uuid.NewString()[:6], uuid.NewString()[:6]
	say("send the code "+first, s.initiate(ctx, ann, first, "Ann"))
	say("bring it from another address", s.confirm(ctx, bob, first))
	say("bring it", s.confirm(ctx, ann, first))
	say("bring it again", s.confirm(ctx, ann, first))
	say("send the code "+second, s.initiate(ctx, ann, second, "Ann"))
	now = now.Add(2 * time.Hour)
	say("bring it two hours later", s.confirm(ctx, ann, second))
}
