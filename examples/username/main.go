// Username keeps usernames unique. A name that was given up is free for others after three days.
// Read the program from top to bottom, or run it:
//
//	go run ./examples/username
//
// DCB_STORE names the store, by default the directory dcb-data. The scenarios come from
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

// username is a name in the spelling that its owner chose. "Ann" and "ann" are the same name.
type username string

// TagValue returns a hash of the name, for the tags of events and projections alike. Tags show up
// in logs and queries, and a name is personal data. The hash is enough to find it.
func (u username) TagValue() string {
	sum := sha256.Sum256([]byte(strings.ToLower(string(u))))
	return hex.EncodeToString(sum[:16])
}

// AccountRegistered claims a name.
type AccountRegistered struct {
	Username username `json:"username" dcb:"username"`
}

// AccountClosed gives up a name.
type AccountClosed struct {
	Username username `json:"username" dcb:"username"`
}

// UsernameChanged gives up one name and claims another, so it concerns both.
type UsernameChanged struct {
	Old username `json:"oldUsername" dcb:"username"`
	New username `json:"newUsername" dcb:"username"`
}

var events = decide.NewCodec(
	decide.Type[AccountRegistered]("AccountRegistered"),
	decide.Type[AccountClosed]("AccountClosed"),
	decide.Type[UsernameChanged]("UsernameChanged"),
)

// retention is how long a name remains reserved after it was given up.
const retention = 3 * 24 * time.Hour

// claim is the state of a name. It holds the time when the name was given up, not its age: a
// state does not age by itself.
type claim struct {
	claimed  bool
	released time.Time // zero if the name was never given up
}

// holds reports whether the name is in use or still reserved at the time now.
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
			return nil, nil // there is no account, so there is nothing to close
		}
		return decide.Events(AccountClosed{name}), nil
	}, claim)
	return err
}

// rename reads two names: the account must exist and the new name must be free until the event is
// recorded.
func (a accounts) rename(ctx context.Context, from, to username) error {
	old, next := claimOf(from), claimOf(to)
	_, err := a.runner.Do(ctx, func() ([]any, error) {
		switch {
		case !old.State().claimed:
			return nil, refusal(fmt.Sprintf("Username %q does not exist", from))
		case next.State().holds(a.now(), a.retention):
			return nil, claimed(to)
		}
		return decide.Events(UsernameChanged{from, to}), nil
	}, old, next)
	return err
}

// refusal is the error of a rule. Its text is for the user.
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
	report := func(what string, err error) {
		if err == nil {
			out.Printf("%-34s done", what)
		} else {
			out.Printf("%-34s refused: %v", what, err)
		}
	}
	ann := username("Ann-" + uuid.NewString()[:8]) // the store may hold an earlier run
	lower, annie := username(strings.ToLower(string(ann))), ann+"ie"
	report("register "+string(ann), a.register(ctx, ann))
	report("register "+string(lower), a.register(ctx, lower))
	report("rename it to "+string(annie), a.rename(ctx, ann, annie))
	report("register "+string(annie), a.register(ctx, annie))
	report("register "+string(ann), a.register(ctx, ann))
	report("close "+string(annie), a.close(ctx, annie))
	report("register "+string(annie), a.register(ctx, annie))
	today = today.Add(4 * 24 * time.Hour)
	report("the same, four days later", a.register(ctx, annie))
}
