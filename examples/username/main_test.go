package main

import (
	"context"
	"fmt"
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

// days returns the duration of n days.
func days(n int) time.Duration { return time.Duration(n) * 24 * time.Hour }

type given struct {
	ago   time.Duration
	event any
}

// The numbers come from the scenarios at dcb.events. Up to 3.2 a name is free as soon as it is
// given up.
func TestScenarios(t *testing.T) {
	renamed := UsernameChanged{"u1", "u1changed"}
	for _, c := range []struct {
		name      string
		retention time.Duration
		given     []given
		when      username
		claimed   bool
	}{
		{"1.1 a taken name", 0, []given{{0, AccountRegistered{"u1"}}}, "u1", true},
		{"1.2 a free name", 0, nil, "u1", false},
		{"2.1 a name whose account was closed", 0, []given{{0, AccountRegistered{"u1"}}, {0, AccountClosed{"u1"}}}, "u1", false},
		{"3.1 a name that was given up for another", 0, []given{{0, AccountRegistered{"u1"}}, {0, renamed}}, "u1", false},
		{"3.2 a name that an account changed to", 0, []given{{0, AccountRegistered{"u1"}}, {0, renamed}}, "u1changed", true},
		{
			"4.1 a name whose account was closed three days ago", retention,
			[]given{{days(4), AccountRegistered{"u1"}}, {days(3), AccountClosed{"u1"}}},
			"u1", true,
		},
		{"4.2 a name that was given up three days ago", retention, []given{{days(4), AccountRegistered{"u1"}}, {days(3), renamed}}, "u1", true},
		{
			"4.3 a name whose account was closed four days ago", retention,
			[]given{{days(4), AccountRegistered{"u1"}}, {days(4), AccountClosed{"u1"}}},
			"u1", false,
		},
		{"4.4 a name that was given up four days ago", retention, []given{{days(4), AccountRegistered{"u1"}}, {days(4), renamed}}, "u1", false},
		{"a name in another spelling", retention, []given{{0, AccountRegistered{"u1"}}}, "U1", true},
		{"a name that was given up and registered again", retention, []given{
			{days(9), AccountRegistered{"u1"}}, {days(8), AccountClosed{"u1"}}, {days(1), AccountRegistered{"u1"}},
		}, "u1", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			kinds.OnEvery(t, func(t *testing.T, store dcb.Store) {
				s := decidetest.New(t, events, store)
				for _, g := range c.given {
					s.GivenAgo(g.ago, g.event)
				}
				a := open(s.Store, s.Now)
				a.retention = c.retention
				s.When(a.register(t.Context(), c.when))
				if c.claimed {
					s.ThenRefused(fmt.Sprintf("Username %q is claimed", c.when))
				} else {
					s.Then(AccountRegistered{c.when})
				}
			})
		})
	}
}

func TestCloseAndRenameRequireAnAccount(t *testing.T) {
	kinds.OnEvery(t, func(t *testing.T, store dcb.Store) {
		s := decidetest.New(t, events, store)
		a := open(s.Store, s.Now)
		s.When(a.close(t.Context(), "u1")).Then()
		s.When(a.rename(t.Context(), "u1", "u2")).ThenRefused(`Username "u1" does not exist`)
		s.Given(AccountRegistered{"u1"}, AccountRegistered{"u2"})
		s.When(a.rename(t.Context(), "u1", "u2")).ThenRefused(`Username "u2" is claimed`)
		s.When(a.rename(t.Context(), "u1", "u3")).Then(UsernameChanged{"u1", "u3"})
		s.When(a.close(t.Context(), "u3")).Then(AccountClosed{"u3"})
		s.Advance(days(3))
		s.When(a.register(t.Context(), "u3")).ThenRefused(`Username "u3" is claimed`)
		s.Advance(time.Microsecond)
		s.When(a.register(t.Context(), "u3")).Then(AccountRegistered{"u3"})
	})
}

func TestRegisterGivesANameToOneCaller(t *testing.T) {
	kinds.OnEvery(t, func(t *testing.T, store dcb.Store) {
		a := open(store, time.Now)
		var calls []decidetest.Command
		for range 16 {
			calls = append(calls, func(ctx context.Context) error { return a.register(ctx, "u1") })
		}
		decidetest.CheckWinners(t, 1, refusal(`Username "u1" is claimed`), calls...)

		// The callers may have received other answers than what is recorded.
		registered, err := store.Read(t.Context(), dcb.Query{{Types: []string{"AccountRegistered"}}}, dcb.ReadOptions{})
		if err != nil || len(registered.Events) != 1 {
			t.Errorf("%d accounts are recorded (error %v), want 1", len(registered.Events), err)
		}
	})
}

func TestRegisterOfDifferentNamesNeverConflicts(t *testing.T) {
	kinds.OnEvery(t, func(t *testing.T, store dcb.Store) {
		counting := decidetest.Count(store)
		a := open(counting, time.Now)
		var calls []decidetest.Command
		for i := range 32 {
			calls = append(calls, func(ctx context.Context) error { return a.register(ctx, username(fmt.Sprint("u", i))) })
		}
		decidetest.CheckUnrelated(t, counting, calls...)
	})
}

// Other programs read the recorded events, so names, tags and JSON must not change. In the
// scenarios a hash stands for the name in the tag. Here it is half of the SHA-256 of the name in
// lower case.
func TestEncodeMatchesTheScenarios(t *testing.T) {
	t.Parallel()
	const u1, u2 = "username:bb82030dbc2bcaba32a90bf2e207a84a", "username:6ca202c88e549dff68c09bfafbfc60b2"
	for want, event := range map[string]any{
		"AccountRegistered [" + u1 + `] {"username":"u1"}`:                                AccountRegistered{"u1"},
		"AccountRegistered [" + u1 + `] {"username":"U1"}`:                                AccountRegistered{"U1"},
		"AccountClosed [" + u1 + `] {"username":"u1"}`:                                    AccountClosed{"u1"},
		"UsernameChanged [" + u1 + " " + u2 + `] {"oldUsername":"u1","newUsername":"u2"}`: UsernameChanged{"u1", "u2"},
	} {
		e, err := events.Encode(event)
		if got := fmt.Sprintf("%s %s %s", e.Type, e.Tags, e.Data); err != nil || got != want {
			t.Errorf("Encode(%#v) = %s (error %v), want %s", event, got, err, want)
		}
	}
}

func TestEncodePutsNoNameInATag(t *testing.T) {
	t.Parallel()
	for _, event := range []any{AccountRegistered{"Ann"}, AccountClosed{"Ann"}, UsernameChanged{"Ann", "Annie"}} {
		encoded, err := events.Encode(event)
		if err != nil || strings.Contains(strings.ToLower(strings.Join(encoded.Tags, " ")), "ann") {
			t.Errorf("%+v has the tags %v (error %v), want no name in them", event, encoded.Tags, err)
		}
	}
}

func TestRun(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	run(t.Context(), memstore.New(nil), log.New(&out, "", 0))
	if text := out.String(); strings.Count(text, "done\n") != 4 || strings.Count(text, " is claimed\n") != 4 {
		t.Errorf("the output is\n%swant 4 lines that are done and 4 that are claimed", text)
	}
}
