package pgstore

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/model"
	"github.com/dcbstore/dcb/internal/pgtest"
)

// Random queries and conditions over tags on about as many events as the short ways of the functions look at, answered as the model
// answers them, whichever function is asked.
func TestTheShortWaysAnswerAsTheModelDoes(t *testing.T) {
	t.Parallel()
	for _, index := range []Index{Tags, TSVector} {
		t.Run(string(index), func(t *testing.T) {
			t.Parallel()
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			b := newBounds(t, index, rand.New(rand.NewPCG(seed, 0)))
			for range 150 {
				b.read(t)
				b.decide(t)
			}
		})
	}
}

// bounds is a store and what it holds. Tag n:K is on exactly K events.
type bounds struct {
	*rand.Rand
	store *Store
	log   model.Log
	tags  []string
	types []string
}

func newBounds(t *testing.T, index Index, random *rand.Rand) *bounds {
	t.Helper()
	store, err := Open(t.Context(), pgtest.DSN(t), &Options{Schema: pgtest.Schema(t), Index: index, CommitTimeout: 10 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	b := &bounds{Rand: random, store: store, tags: []string{"none"}, types: []string{"A", "A", "A", "B", "rare", "none"}}
	events := make([]dcb.Event, 1500)
	for i := range events {
		events[i].Type = "A"
		if i%2 == 0 {
			events[i].Type = "B"
		}
		if i%500 == 300 {
			events[i].Type = "rare"
		}
	}
	for _, n := range []int{1, 15, 16, 17, 128, 255, 256, 257, 258, 600, 1500} {
		tag := fmt.Sprintf("n:%d", n)
		b.tags = append(b.tags, tag)
		for _, i := range b.Perm(len(events))[:n] {
			events[i].Tags = append(events[i].Tags, tag)
		}
	}
	if _, err := store.Append(t.Context(), events, nil); err != nil {
		t.Fatal(err)
	}
	recorded, err := store.Read(t.Context(), dcb.All(), dcb.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b.log = recorded.Events
	return b
}

func (b *bounds) some(of []string, most int) []string {
	chosen := make([]string, b.IntN(most+1))
	for i := range chosen {
		chosen[i] = of[b.IntN(len(of))]
	}
	return chosen
}

// query is simple most of the time.
func (b *bounds) query() dcb.Query {
	q := make(dcb.Query, 1+b.IntN(5))
	simple := b.IntN(3) > 0
	for i := range q {
		q[i] = dcb.QueryItem{Types: b.some(b.types, 2), Tags: b.some(b.tags, 3)}
		if simple {
			q[i].Tags = []string{b.tags[b.IntN(len(b.tags))]}
		}
	}
	return q
}

func (b *bounds) position() dcb.Position {
	switch b.IntN(6) {
	case 0, 1:
		return 0
	case 2:
		return []dcb.Position{math.MaxInt64 - 1, math.MaxInt64, math.MaxInt64 + 1, math.MaxUint64}[b.IntN(4)]
	}
	return dcb.Position(b.IntN(len(b.log) + 3))
}

func (b *bounds) read(t *testing.T) {
	t.Helper()
	q := b.query()
	opts := dcb.ReadOptions{After: b.position(), Before: b.position(), Backwards: b.IntN(2) == 0}
	opts.Limit = []int{0, 0, 1, 2, 15, 16, 255, 256, 257, 258, math.MaxInt - 1, math.MaxInt}[b.IntN(12)]
	got, err := b.store.Read(t.Context(), q, opts)
	want, _ := b.log.Read(q, opts)
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); err != nil || diff != "" {
		t.Fatalf("Read(%q, %+v): %v (-want +got):\n%s", q, opts, err, diff)
	}
}

// decide has a condition decided by each of the functions, alone and in a batch, and takes everything back.
func (b *bounds) decide(t *testing.T) {
	t.Helper()
	event := []dcb.Event{{Type: "A", Tags: []string{"new"}}}
	condition := &dcb.AppendCondition{FailIfEventsMatch: b.query(), After: b.position()}
	log := slices.Clip(b.log)
	_, err := log.Append(event, condition, time.Time{})
	conflicts := errors.Is(err, dcb.ErrConflict)

	r := b.request(t, event, condition)
	free := b.request(t, event, nil)
	late := b.request(t, event, &dcb.AppendCondition{FailIfEventsMatch: dcb.Query{{Tags: []string{"new"}}}, After: b.log.Head() + 1})
	for _, batch := range [][]*request{{r}, {free, r, late}} {
		var outcomes []int32
		var positions []int64
		b.inVain(t, b.store.appendSQL, arguments(batch), &outcomes, &positions)
		n := len(batch) / 2 // r's place
		before := b.log.Head() + dcb.Position(n)
		matchesFree := n > 0 && condition.After < before && condition.FailIfEventsMatch.Matches(event[0])
		b.check(t, condition, conflicts || matchesFree, before, outcomes[n], positions[n])
		if n > 0 && (outcomes[0] != recorded || (outcomes[2] == recorded) == (outcomes[1] == recorded)) {
			t.Errorf("a batch with %+v: %d at %d", condition, outcomes, positions)
		}
	}
	if b.store.options.Index == Tags && r.isPlain() {
		var outcome int32
		var position pgtype.Int8
		b.inVain(t, b.store.appendOneSQL, []any{
			"A", []string{"new"}, []byte{}, nil, nil, bigint(r.after), orEmpty(r.items.tags), orEmpty(r.items.types),
		}, &outcome, &position)
		b.check(t, condition, conflicts, b.log.Head(), outcome, position.Int64)
	}
}

func (b *bounds) request(t *testing.T, events []dcb.Event, condition *dcb.AppendCondition) *request {
	t.Helper()
	r, err := newRequest(events, condition)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (b *bounds) inVain(t *testing.T, sql string, args []any, answer ...any) {
	t.Helper()
	tx, err := b.store.appends.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	if err := tx.QueryRow(t.Context(), sql, args...).Scan(answer...); err != nil {
		t.Fatal(err)
	}
}

func (b *bounds) check(t *testing.T, condition *dcb.AppendCondition, conflicts bool, before dcb.Position, outcome int32, position int64) {
	t.Helper()
	at := dcb.Position(position)
	if !conflicts {
		if outcome != recorded || at != before+1 {
			t.Errorf("%+v: outcome %d at %d; want it recorded at %d", condition, outcome, at, before+1)
		}
		return
	}
	if outcome != conflict || at <= condition.After || at > before || at <= b.log.Head() && !condition.FailIfEventsMatch.Matches(b.log[at-1].Event) {
		t.Errorf("%+v: outcome %d at %d; want a conflict up to %d", condition, outcome, at, before)
	}
}
