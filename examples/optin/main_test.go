package main

import (
	"context"
	"log"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/decide/decidetest"
	"github.com/dcbstore/dcb/internal/kinds"
	"github.com/dcbstore/dcb/memstore"
)

func TestMain(m *testing.M) { os.Exit(kinds.Main(m)) }

// The numbers are those of the scenarios at dcb.events.
func TestScenarios(t *testing.T) {
	const john, jane, name = "john.doe@example.com", "jane.doe@example.com", "John Doe"
	for _, c := range []struct {
		name       string
		ago        time.Duration
		given      []any
		email, otp string
		want       error // or a sign-up
	}{
		{"1.1 a code that was never sent", 0, nil, john, "000000", errPending},
		{"1.2 a code at another address", 0, []any{SignUpInitiated{john, "111111", name}}, jane, "111111", errPending},
		{"1.3 a code that was used", 0, []any{SignUpInitiated{john, "222222", name}, SignUpConfirmed{john, "222222", name}}, john, "222222", errUsed},
		{"1.4 a code that is good", 0, []any{SignUpInitiated{john, "444444", name}}, john, "444444", nil},
		{"2.1 another code than the one that was sent long ago", 61 * time.Minute, []any{SignUpInitiated{john, "333333", name}}, john, "000000", errPending},
		{"2.1' a code that was sent 61 minutes ago", 61 * time.Minute, []any{SignUpInitiated{john, "333333", name}}, john, "333333", errExpired},
		{"a code that was sent 60 minutes ago", 60 * time.Minute, []any{SignUpInitiated{john, "333333", name}}, john, "333333", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			kinds.OnEvery(t, func(t *testing.T, store dcb.Store) {
				s := decidetest.New(t, events, store)
				s.GivenAgo(c.ago, c.given...)
				s.When(open(s.Store, s.Now).confirm(t.Context(), c.email, c.otp))
				if c.want != nil {
					s.ThenError(c.want)
				} else {
					s.Then(SignUpConfirmed{c.email, c.otp, name})
				}
			})
		})
	}
}

func TestACodeIsUsedOnce(t *testing.T) {
	kinds.OnEvery(t, func(t *testing.T, store dcb.Store) {
		s := open(store, time.Now)
		if err := s.initiate(t.Context(), sameAddress, "123456", "Ann"); err != nil {
			t.Fatal(err)
		}
		var calls []decidetest.Call
		for range 16 {
			calls = append(calls, func(ctx context.Context) error { return s.confirm(ctx, sameAddress, "123456") })
		}
		decidetest.CheckWinners(t, 1, errUsed, calls...)
	})
}

func TestTheProgramTellsItsStory(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	run(t.Context(), memstore.New(nil), log.New(&out, "", 0))
	for _, line := range []string{string(errPending), string(errUsed), string(errExpired), "bring it                           done"} {
		if !strings.Contains(out.String(), line+"\n") {
			t.Errorf("%q is missing in:\n%s", line, out.String())
		}
	}
}
