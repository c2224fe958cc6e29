// Username keeps usernames unique, and free again for others when an account was closed or renamed three days ago. It can be read from top to
// bottom, and run:
//
//	go run ./examples/username
//
// DCB_STORE names the store to run on, the directory dcb-data if unset. The scenarios are those of
// https://dcb.events/examples/unique-username/.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/decide"
	"github.com/dcbstore/dcb/stores"
)

// username is a name in the spelling of whoever chose it. "Ann" and "ann" are the same to everybody else.
type username string

// TagValue is what the tag says instead of the name, on events and projections alike. Tags show in logs and queries, and a name is personal:
// its hash is enough to find it.
func (u username) TagValue() string {
	sum := sha256.Sum256([]byte(strings.ToLower(string(u))))
	return hex.EncodeToString(sum[:16])
}

// AccountRegistered claims a name.
type AccountRegistered struct {
	Username username `json:"username" dcb:"username"`
}

// AccountClosed releases a name, in time.
type AccountClosed struct {
	Username username `json:"username" dcb:"username"`
}

// UsernameChanged releases a name, in time, and claims another: it concerns both.
type UsernameChanged struct {
	Old username `json:"oldUsername" dcb:"username"`
	New username `json:"newUsername" dcb:"username"`
}

var events = decide.NewCodec(
	decide.Type[AccountRegistered]("AccountRegistered"),
	decide.Type[AccountClosed]("AccountClosed"),
	decide.Type[UsernameChanged]("UsernameChanged"),
)

// retention is how long a name stays with the account that gave it up.
const retention = 3 * 24 * time.Hour

// claim is what is known about a name. It keeps when the name was given up, not whether that is long ago: that depends on when
// one asks.
type claim struct {
	claimed  bool
	released time.Time // zero: never
}

// holds reports whether nobody else can have the name now, if it is kept for so long after it was given up.
func (c claim) holds(now time.Time, retention time.Duration) bool {
	return c.claimed || retention > 0 && !c.released.IsZero() && now.Sub(c.released) <= retention
}

func claimOf(name username) *decide.Projection[claim] {
	return decide.NewProjection(claim{},
		decide.On(func(_ claim, _ AccountRegistered) claim { return claim{claimed: true} }),
		decide.OnRecorded(func(_ claim, _ AccountClosed, r decide.Recorded) claim { return claim{released: r.At} }),
		decide.OnRecorded(func(_ claim, e UsernameChanged, r decide.Recorded) claim {
			if e.New.TagValue() == name.TagValue() {
				return claim{claimed: true}
			}
			return claim{released: r.At}
		}),
	).Tagged("username", name)
}

type accounts struct {
	runner    *decide.Runner
	now       func() time.Time
	retention time.Duration
}

func open(store dcb.Store, now func() time.Time) accounts {
	return accounts{decide.New(store, events, nil), now, retention}
}

func (a accounts) register(ctx context.Context, name username) error {
	claim := claimOf(name)
	_, err := a.runner.Do(ctx, func() ([]any, error) {
		if claim.State().holds(a.now(), a.retention) {
			return nil, claimed(name)
		}
		return decide.Events(AccountRegistered{name}), nil
	}, claim)
	return err
}

func (a accounts) close(ctx context.Context, name username) error {
	claim := claimOf(name)
	_, err := a.runner.Do(ctx, func() ([]any, error) {
		if !claim.State().claimed {
			return nil, nil // there is nothing to close, and nothing happens
		}
		return decide.Events(AccountClosed{name}), nil
	}, claim)
	return err
}

// rename looks at two names at once: neither the account may have gone, nor the new name be taken, until the event is recorded.
func (a accounts) rename(ctx context.Context, from, to username) error {
	old, next := claimOf(from), claimOf(to)
	_, err := a.runner.Do(ctx, func() ([]any, error) {
		switch {
		case !old.State().claimed:
			return nil, refusal(fmt.Sprintf("Nobody is called %q", from))
		case next.State().holds(a.now(), a.retention):
			return nil, claimed(to)
		}
		return decide.Events(UsernameChanged{from, to}), nil
	}, old, next)
	return err
}

// refusal is the answer of a rule, to be shown to whoever asked.
type refusal string

func (r refusal) Error() string { return string(r) }

func claimed(name username) error { return refusal(fmt.Sprintf("Username %q is claimed", name)) }

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
	today := time.Now()
	a := open(store, func() time.Time { return today })
	say := func(what string, err error) {
		if err == nil {
			out.Printf("%-34s done", what)
		} else {
			out.Printf("%-34s refused: %v", what, err)
		}
	}
	ann := username("Ann-" + uuid.NewString()[:8]) // the store may remember an earlier run
	lower, annie := username(strings.ToLower(string(ann))), ann+"ie"
	say("register "+string(ann), a.register(ctx, ann))
	say("register "+string(lower), a.register(ctx, lower))
	say("rename it to "+string(annie), a.rename(ctx, ann, annie))
	say("register "+string(annie), a.register(ctx, annie))
	say("register "+string(ann), a.register(ctx, ann))
	say("close "+string(annie), a.close(ctx, annie))
	say("register "+string(annie), a.register(ctx, annie))
	today = today.Add(4 * 24 * time.Hour)
	say("the same, four days later", a.register(ctx, annie))
}
