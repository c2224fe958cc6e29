package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/decide/decidetest"
	"github.com/dcbstore/dcb/internal/kinds"
	"github.com/dcbstore/dcb/memstore"
)

func TestMain(m *testing.M) { os.Exit(kinds.Main(m)) }

// The numbers come from the scenarios at dcb.events. Scenario 2.1 there uses a code that was
// never sent, so it does not test the time. Scenario 2.1' does.
func TestScenarios(t *testing.T) {
	const (
		john, jane, name = "john.doe@example.com", "jane.doe@example.com", "John Doe"

		pending = "No pending sign-up for this OTP / email address"
		used    = "OTP was already used"
		expired = "OTP expired"
	)
	sent := func(otp string) []any { return []any{SignUpInitiated{john, otp, name}} }
	usedUp := func(otp string) []any { return append(sent(otp), SignUpConfirmed{john, otp, name}) }
	for _, c := range []struct {
		name       string
		ago        time.Duration
		given      []any
		email, otp string
		refused    string // "" if the sign-up succeeds
	}{
		{"1.1 a code that was never sent", 0, nil, john, "000000", pending},
		{"1.2 a code at another address", 0, sent("111111"), jane, "111111", pending},
		{"1.3 a used code", 0, usedUp("222222"), john, "222222", used},
		{"1.4 a valid code", 0, sent("444444"), john, "444444", ""},
		{"2.1 a code that was never sent, after 61 minutes", 61 * time.Minute, sent("333333"), john, "000000", pending},
		{"2.1' a code after 61 minutes", 61 * time.Minute, sent("333333"), john, "333333", expired},
		{"a code after 60 minutes", 60 * time.Minute, sent("333333"), john, "333333", ""},
		{"used comes before expired", 61 * time.Minute, usedUp("333333"), john, "333333", used},
	} {
		t.Run(c.name, func(t *testing.T) {
			kinds.OnEvery(t, func(t *testing.T, store dcb.Store) {
				s := decidetest.New(t, events, store)
				s.GivenAgo(c.ago, c.given...)
				s.When(open(s.Store, s.Now).confirm(t.Context(), c.email, c.otp))
				if c.refused != "" {
					s.ThenRefused(c.refused)
				} else {
					s.Then(SignUpConfirmed{c.email, c.otp, name})
				}
			})
		})
	}
}

// Other programs read the recorded events, so names, tags and JSON must not change.
func TestEncodeMatchesTheScenarios(t *testing.T) {
	t.Parallel()
	for want, event := range map[string]any{
		`SignUpInitiated [email:j@example.com otp:444444] {"emailAddress":"j@example.com","otp":"444444","name":"John"}`: SignUpInitiated{"j@example.com", "444444", "John"},
		`SignUpConfirmed [email:j@example.com otp:444444] {"emailAddress":"j@example.com","otp":"444444","name":"John"}`: SignUpConfirmed{"j@example.com", "444444", "John"},
	} {
		e, err := events.Encode(event)
		if got := fmt.Sprintf("%s %s %s", e.Type, e.Tags, e.Data); err != nil || got != want {
			t.Errorf("Encode(%#v) = %s (error %v), want %s", event, got, err, want)
		}
	}
}

func TestConfirmUsesACodeOnce(t *testing.T) {
	kinds.OnEvery(t, func(t *testing.T, store dcb.Store) {
		s := open(store, time.Now)
		if err := s.initiate(t.Context(), "ann@example.com", "123456", "Ann"); err != nil {
			t.Fatal(err)
		}
		var calls []decidetest.Command
		for range 16 {
			calls = append(calls, func(ctx context.Context) error { return s.confirm(ctx, "ann@example.com", "123456") })
		}
		decidetest.CheckWinners(t, 1, refusal("OTP was already used"), calls...)

		// The callers may have received other answers than what is recorded.
		confirmed, err := store.Read(t.Context(), dcb.Query{{Types: []string{"SignUpConfirmed"}}}, dcb.ReadOptions{})
		if err != nil || len(confirmed.Events) != 1 {
			t.Errorf("%d sign-ups are recorded (error %v), want 1", len(confirmed.Events), err)
		}
	})
}

func TestRun(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	run(t.Context(), memstore.New(nil), log.New(&out, "", 0))
	const want = `send the code CODE               done
use it with another address        refused: No pending sign-up for this OTP / email address
use it                             done
use it again                       refused: OTP was already used
send the code CODE               done
use it two hours later             refused: OTP expired
`
	code := regexp.MustCompile(`\b[0-9a-f]{6}\b`)
	if got := code.ReplaceAllString(out.String(), "CODE"); got != want {
		t.Errorf("got:\n%swant:\n%s", got, want)
	}
}
