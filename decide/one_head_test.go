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

// noisy records events before each read and append, so that no two calls see the same store. One
// goroutine uses it.
type noisy struct {
	dcb.Store
	random  *rand.Rand
	history []any // every recorded event
}

func (n *noisy) noise(ctx context.Context) error {
	events := 0
	if len(n.history) > 8000 {
		return nil // a read of several pages would never end if events were added before each page
	}
	switch n.random.IntN(16) {
	case 0, 1, 2, 3:
		events = n.random.IntN(3)
	case 4:
		events = n.random.IntN(700) // more than batchWindow
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

// Append appends Opened{"9"}, which no projection selects.
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

// probe is a projection with a second, independent way to compute its state.
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

// want folds history into the initial state with a plain loop.
func (p probe) want(initial int, history []any) int {
	for _, event := range history {
		if p.selects(event) {
			initial = p.fold(initial, event)
		}
	}
	return initial
}

// seed returns the seed of a random test: DCB_SEED, or a new one.
func seed(t *testing.T) uint64 {
	t.Helper()
	if given, err := strconv.ParseUint(os.Getenv("DCB_SEED"), 10, 64); err == nil {
		return given
	}
	return rand.Uint64()
}

// While events are recorded between the reads of one decision, all projections must hold the
// state at one head. The test mixes new, used and cached projections and OnlyLastEvent at random,
// and compares them with a plain loop. Then Append must succeed if no projection selects an event
// after the head.
func TestReadBringsAllProjectionsToOneHead(t *testing.T) {
	kinds.OnEvery(t, func(t *testing.T, store dcb.Store) {
		from, rounds := seed(t), 30
		t.Logf("DCB_SEED=%d", from)
		if _, ok := store.(*memstore.Store); ok {
			rounds = 80 // a round takes a few milliseconds in memory
		}
		checkOneHead(t, store, rand.New(rand.NewPCG(from, 0)), rounds)
	})
}

func checkOneHead(t *testing.T, changing dcb.Store, random *rand.Rand, rounds int) {
	t.Helper()
	store := &noisy{Store: changing, random: random}
	runner := decide.New(store, bank, nil)
	cached := decide.Cached(3, balance)
	cachedLast := decide.Cached(2, func(string) *decide.Projection[int] { return lastDeposit() })
	used := []probe{
		balanceProbe("used", balance("0"), "0"), balanceProbe("used", balance("1"), "1"),
		depositsProbe("used deposits", deposits()), lastProbe("used last", lastDeposit()),
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
			return used[random.IntN(len(used))]
		}
	}
	for round := range rounds {
		var probes []probe
		var projections []decide.AnyProjection
		for range 1 + random.IntN(4) {
			p := draw()
			probes, projections = append(probes, p), append(projections, p.projection)
		}
		head, err := runner.Read(t.Context(), projections...)
		if err != nil {
			t.Fatal(err)
		}
		history := store.history[:head]
		for _, p := range probes {
			initial := 0
			if p.fold(7, Deposited{Amount: -1}) == -1 {
				initial = -1 // the initial state of lastDeposit
			}
			if got, want := p.projection.State(), p.want(initial, history); got != want {
				t.Fatalf("round %d, %s: the state at position %d is %d, want %d", round, p.name, head, got, want)
			}
		}
		_, err = runner.Append(t.Context(), decide.Events(Opened{"9"}), projections...)
		changed := false
		for _, event := range store.history[head:] {
			for _, p := range probes {
				changed = changed || p.selects(event)
			}
		}
		if errors.Is(err, dcb.ErrConflict) != changed || err != nil && !changed {
			t.Fatalf("round %d: Append at head %d = %v; a projection selects a later event: %t", round, head, err, changed)
		}
	}
}
