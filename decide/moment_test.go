package decide_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/decide"
	"github.com/dcbstore/dcb/internal/kinds"
	"github.com/dcbstore/dcb/memstore"
)

// noisy records something before every read and every append, so that no two calls see the same store. It is for one goroutine.
type noisy struct {
	dcb.Store
	random  *rand.Rand
	history []any // all that is recorded
}

func (n *noisy) noise(ctx context.Context) error {
	events := 0
	if len(n.history) > 8000 {
		return nil // or reading it all, in pages between which more is recorded, would never end
	}
	switch n.random.IntN(16) {
	case 0, 1, 2, 3:
		events = n.random.IntN(3)
	case 4:
		events = n.random.IntN(700) // further than projections may lie apart and still be read together
	}
	var recorded []dcb.Event
	for range events {
		event := randomEvent(n.random)
		encoded, err := bank.Encode(event)
		if err != nil {
			return err
		}
		recorded, n.history = append(recorded, encoded), append(n.history, event)
	}
	if events == 0 {
		return nil
	}
	_, err := n.Store.Append(ctx, recorded, nil)
	return err
}

func randomEvent(random *rand.Rand) any {
	account := func() string { return fmt.Sprint(random.IntN(5)) }
	switch random.IntN(3) {
	case 0:
		return Opened{account()}
	case 1:
		return Deposited{account(), random.IntN(9)}
	default:
		return Transferred{account(), account(), random.IntN(9)}
	}
}

func (n *noisy) Read(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
	if err := n.noise(ctx); err != nil {
		return dcb.ReadResult{}, err
	}
	return n.Store.Read(ctx, q, opts)
}

// Append records Opened{"9"}, which no projection looks at.
func (n *noisy) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	if err := n.noise(ctx); err != nil {
		return 0, err
	}
	position, err := n.Store.Append(ctx, events, condition)
	if err == nil {
		n.history = append(n.history, Opened{"9"})
	}
	return position, err
}

// probe is a projection, and another way to find out what it should see.
type probe struct {
	name       string
	projection *decide.Projection[int]
	selects    func(event any) bool
	fold       func(state int, event any) int
}

func balanceProbe(name string, projection *decide.Projection[int], account string) probe {
	return probe{name + " " + account, projection, func(event any) bool {
		switch e := event.(type) {
		case Deposited:
			return e.Account == account
		case Transferred:
			return e.From == account || e.To == account
		}
		return false
	}, func(b int, event any) int {
		switch e := event.(type) {
		case Deposited:
			return b + e.Amount
		case Transferred:
			if e.From != e.To {
				b += map[string]int{e.From: -e.Amount, e.To: e.Amount}[account]
			}
		}
		return b
	}}
}

func isDeposit(event any) bool {
	_, ok := event.(Deposited)
	return ok
}

func depositsProbe(name string, projection *decide.Projection[int]) probe {
	return probe{name, projection, isDeposit, func(n int, _ any) int { return n + 1 }}
}

func lastProbe(name string, projection *decide.Projection[int]) probe {
	return probe{name, projection, isDeposit, func(_ int, event any) int { return event.(Deposited).Amount }}
}

// want folds all events up to a head, beginning with what the projection began with.
func (p probe) want(initial int, history []any) int {
	for _, event := range history {
		if p.selects(event) {
			initial = p.fold(initial, event)
		}
	}
	return initial
}

// seed returns that of a random test: DCB_SEED, or a new one.
func seed(t *testing.T) uint64 {
	t.Helper()
	if given, err := strconv.ParseUint(os.Getenv("DCB_SEED"), 10, 64); err == nil {
		return given
	}
	return rand.Uint64()
}

// Whatever is recorded between the reads of one decision, all its projections see one and the same moment: everything up to the head, and nothing
// after it. Projections that are new, kept, cached, and of the last event only are mixed at random, and judged by a plain loop. What
// is appended then is recorded only if nothing that one of them looks at came since.
func TestAllProjectionsSeeOneMoment(t *testing.T) {
	kinds.OnEvery(t, func(t *testing.T, store dcb.Store) {
		from, rounds := seed(t), 30
		t.Logf("DCB_SEED=%d", from)
		if _, ok := store.(*memstore.Store); ok {
			rounds = 80 // here a round takes a few milliseconds
		}
		allProjectionsSeeOneMoment(t, store, rand.New(rand.NewPCG(from, 0)), rounds)
	})
}

func allProjectionsSeeOneMoment(t *testing.T, changing dcb.Store, random *rand.Rand, rounds int) {
	t.Helper()
	store := &noisy{Store: changing, random: random}
	d := decide.New(store, bank, nil)
	cached := decide.Cached(3, balance)
	cachedLast := decide.Cached(2, func(string) *decide.Projection[int] { return lastDeposit() })
	kept := []probe{
		balanceProbe("kept", balance("0"), "0"), balanceProbe("kept", balance("1"), "1"),
		depositsProbe("kept deposits", deposits()), lastProbe("kept last", lastDeposit()),
	}
	draw := func() probe {
		account := fmt.Sprint(random.IntN(5))
		switch random.IntN(6) {
		case 0:
			return balanceProbe("new", balance(account), account)
		case 1:
			return balanceProbe("cached", cached(account), account)
		case 2:
			return depositsProbe("new deposits", deposits())
		case 3:
			return lastProbe("new last", lastDeposit())
		case 4:
			return lastProbe("cached last", cachedLast(account))
		default:
			return kept[random.IntN(len(kept))]
		}
	}
	for round := range rounds {
		var probes []probe
		var projections []decide.AnyProjection
		for range 1 + random.IntN(4) {
			p := draw()
			probes, projections = append(probes, p), append(projections, p.projection)
		}
		head, err := d.Read(t.Context(), projections...)
		if err != nil {
			t.Fatal(err)
		}
		moment := store.history[:head]
		for _, p := range probes {
			initial := 0
			if p.fold(7, Deposited{Amount: -1}) == -1 {
				initial = -1 // that of the last deposit
			}
			if got, want := p.projection.State(), p.want(initial, moment); got != want {
				t.Fatalf("round %d, %s: %d at position %d; want %d", round, p.name, got, head, want)
			}
		}
		_, err = d.Append(t.Context(), decide.Events(Opened{"9"}), projections...)
		changed := false
		for _, event := range store.history[head:] {
			for _, p := range probes {
				changed = changed || p.selects(event)
			}
		}
		if errors.Is(err, dcb.ErrConflict) != changed || err != nil && !changed {
			t.Fatalf("round %d: append at head %d: %v; something that the projections look at came since: %t", round, head, err, changed)
		}
	}
}
