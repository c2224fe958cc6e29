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

// The numbers are those of the scenarios at dcb.events. There 2.1 brings another code than was sent, and so says nothing about time: 2.1' does.
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
		refused    string // or signed up, if empty
	}{
		{"1.1 a code that was never sent", 0, nil, john, "000000", pending},
		{"1.2 a code at another address", 0, sent("111111"), jane, "111111", pending},
		{"1.3 a code that was used", 0, usedUp("222222"), john, "222222", used},
		{"1.4 a code that is good", 0, sent("444444"), john, "444444", ""},
		{"2.1 another code than the one that was sent long ago", 61 * time.Minute, sent("333333"), john, "000000", pending},
		{"2.1' a code that was sent 61 minutes ago", 61 * time.Minute, sent("333333"), john, "333333", expired},
		{"a code that was sent 60 minutes ago", 60 * time.Minute, sent("333333"), john, "333333", ""},
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

// Other programs read what is stored, so names, tags and JSON are a promise of their own: the program itself would not notice a change.
func TestEventsAreStoredAsTheScenariosSay(t *testing.T) {
	t.Parallel()
	for want, event := range map[string]any{
		`SignUpInitiated [email:j@example.com otp:444444] {"emailAddress":"j@example.com","otp":"444444","name":"John"}`: SignUpInitiated{"j@example.com", "444444", "John"},
		`SignUpConfirmed [email:j@example.com otp:444444] {"emailAddress":"j@example.com","otp":"444444","name":"John"}`: SignUpConfirmed{"j@example.com", "444444", "John"},
	} {
		e, err := events.Encode(event)
		if got := fmt.Sprintf("%s %s %s", e.Type, e.Tags, e.Data); err != nil || got != want {
			t.Errorf("got %s, %v; want %s", got, err, want)
		}
	}
}

func TestACodeIsUsedOnce(t *testing.T) {
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

		// What the callers were told is one thing, what is recorded another.
		confirmed, err := store.Read(t.Context(), dcb.Query{{Types: []string{"SignUpConfirmed"}}}, dcb.ReadOptions{})
		if err != nil || len(confirmed.Events) != 1 {
			t.Errorf("%d sign-ups are recorded, %v; want 1", len(confirmed.Events), err)
		}
	})
}

func TestTheProgramTellsItsStory(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	run(t.Context(), memstore.New(nil), log.New(&out, "", 0))
	const want = `send the code CODE               done
bring it from another address      refused: No pending sign-up for this OTP / email address
bring it                           done
bring it again                     refused: OTP was already used
send the code CODE               done
bring it two hours later           refused: OTP expired
`
	drawn := regexp.MustCompile(`\b[0-9a-f]{6}\b`)
	if got := drawn.ReplaceAllString(out.String(), "CODE"); got != want {
		t.Errorf("got:\n%swant:\n%s", got, want)
	}
}
