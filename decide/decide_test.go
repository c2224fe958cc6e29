package decide_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/decide"
	"github.com/dcbstore/dcb/decide/decidetest"
	"github.com/dcbstore/dcb/memstore"
)

type Opened struct {
	Account string `json:"account" dcb:"account"`
}

type Deposited struct {
	Account string `json:"account" dcb:"account"`
	Amount  int    `json:"amount"`
}

type Transferred struct {
	From   string `json:"from" dcb:"account"`
	To     string `json:"to" dcb:"account"`
	Amount int    `json:"amount"`
}

type Unregistered struct{ Account string }

var bank = decide.NewCodec(
	decide.Type[Opened]("Opened"),
	decide.Type[Deposited]("Deposited"),
	decide.Type[Transferred]("Transferred"),
)

func opened(account string) *decide.Projection[bool] {
	return decide.NewProjection(false, decide.On(func(bool, Opened) bool { return true })).Tagged("account", account)
}

func balance(account string) *decide.Projection[int] {
	return decide.NewProjection(0,
		decide.On(func(b int, e Deposited) int { return b + e.Amount }),
		decide.On(func(b int, e Transferred) int {
			if e.From == account {
				b -= e.Amount
			}
			if e.To == account {
				b += e.Amount
			}
			return b
		}),
	).Tagged("account", account)
}

// deposits counts the deposits of all accounts.
func deposits() *decide.Projection[int] {
	return decide.NewProjection(0, decide.On(func(n int, _ Deposited) int { return n + 1 }))
}

func lastDeposit() *decide.Projection[int] {
	return decide.NewProjection(-1, decide.On(func(_ int, e Deposited) int { return e.Amount })).OnlyLastEvent()
}

// spy is a store that calls read before each Read and append in place of each Append. append may
// return 0 and no error to let the append through. Functions that are nil are not called.
type spy struct {
	dcb.Store
	read   func(q dcb.Query, opts dcb.ReadOptions)
	append func(events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error)
}

func (s *spy) Read(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
	if s.read != nil {
		s.read(q, opts)
	}
	return s.Store.Read(ctx, q, opts)
}

func (s *spy) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	if s.append != nil {
		if position, err := s.append(events, condition); position > 0 || err != nil {
			return position, err
		}
	}
	return s.Store.Append(ctx, events, condition)
}

// record records events with a runner of its own, like another process.
func record(t *testing.T, store dcb.Store, events ...any) dcb.Position {
	t.Helper()
	position, err := decide.New(store, bank, nil).Record(t.Context(), events...)
	if err != nil {
		t.Fatal(err)
	}
	return position
}

// always returns a decision function that returns events.
func always(events ...any) func() ([]any, error) {
	return func() ([]any, error) { return events, nil }
}

// failsWith reports whether err is an error whose text contains text.
func failsWith(err error, text string) bool { return err != nil && strings.Contains(err.Error(), text) }

func TestDoDerivesTheBoundaryFromItsProjections(t *testing.T) {
	t.Parallel()
	var queries []dcb.Query
	var options []dcb.ReadOptions
	store := &spy{Store: memstore.New(nil)}
	head := record(t, store, Opened{"a"}, Deposited{"a", 5}, Transferred{"b", "a", 3})
	store.read = func(q dcb.Query, opts dcb.ReadOptions) {
		queries, options = append(queries, q), append(options, opts)
	}
	var condition *dcb.AppendCondition
	store.append = func(_ []dcb.Event, c *dcb.AppendCondition) (dcb.Position, error) {
		condition = c
		return 0, nil
	}
	a, b, again, all := balance("a"), balance("b"), balance("a"), deposits()
	position, err := decide.New(store, bank, nil).Do(t.Context(), func() ([]any, error) {
		if a.State() != 8 || b.State() != -3 || again.State() != 8 || all.State() != 1 {
			t.Errorf("states are %d, %d, %d and %d, want 8, -3, 8 and 1", a.State(), b.State(), again.State(), all.State())
		}
		return decide.Events(Deposited{"a", 1}), nil
	}, a, opened("a"), b, again, all)
	if err != nil || position != head+1 {
		t.Fatalf("Do(…) = %d, %v, want %d", position, err, head+1)
	}
	want := dcb.Query{
		{Types: []string{"Deposited", "Transferred", "Opened"}, Tags: []string{"account:a"}},
		{Types: []string{"Deposited", "Transferred"}, Tags: []string{"account:b"}},
		{Types: []string{"Deposited"}},
	}
	if diff := cmp.Diff([]dcb.Query{want}, queries); diff != "" {
		t.Errorf("queries of the reads differ (-want +got):\n%s", diff)
	}
	if options[0].After != 0 || options[0].Before != 0 {
		t.Errorf("read options are %+v, want no bounds", options[0])
	}
	if diff := cmp.Diff(&dcb.AppendCondition{FailIfEventsMatch: want, After: head}, condition); diff != "" {
		t.Errorf("append condition differs (-want +got):\n%s", diff)
	}
}

func TestReadJoinsProjectionsWithEqualTags(t *testing.T) {
	t.Parallel()
	var query dcb.Query
	store := &spy{Store: memstore.New(nil), read: func(q dcb.Query, _ dcb.ReadOptions) { query = q }}
	var projections []decide.AnyProjection
	for range 3 {
		for i := range 30 {
			projections = append(projections, balance(fmt.Sprint(i)), opened(fmt.Sprint(i)))
		}
	}
	_, err := decide.New(store, bank, nil).Read(t.Context(), projections...)
	if err != nil || len(query) != 30 || len(query[0].Types) != 3 {
		t.Errorf("Read(…): error %v; the query has %d items, the first is %+v; want 30 items of three types", err, len(query), query[0])
	}
}

func TestTaggedIgnoresTheOrderOfTags(t *testing.T) {
	t.Parallel()
	var query dcb.Query
	store := &spy{Store: memstore.New(nil), read: func(q dcb.Query, _ dcb.ReadOptions) { query = q }}
	type tagged struct {
		X       int       `dcb:"x"`
		Account string    `dcb:"account"`
		B       uuid.UUID `dcb:"b"`
	}
	projection := func() *decide.Projection[int] {
		return decide.NewProjection(0, decide.On(func(n int, _ tagged) int { return n }))
	}
	one := projection().Tagged("x", 1).Tagged("account", "a").Tagged("b", uuid.Max).Tagged("x", 1)
	two := projection().WithTags("b:"+uuid.Max.String(), "account:a", "x:1")
	codec := decide.NewCodec(decide.Type[tagged]("Tagged"))
	_, err := decide.New(store, codec, nil).Read(t.Context(), one, two)
	if err != nil || len(query) != 1 || len(query[0].Tags) != 3 {
		t.Errorf("Read(…): error %v; the query is %v; want one item with three tags", err, query)
	}
}

// rivals makes store record a deposit before each of the next appends.
func rivals(store *spy, appends int) {
	store.append = func([]dcb.Event, *dcb.AppendCondition) (dcb.Position, error) {
		if appends > 0 {
			appends--
			event, err := bank.Encode(Deposited{"a", 100})
			if err == nil {
				_, err = store.Store.Append(context.Background(), []dcb.Event{event}, nil)
			}
			return 0, err
		}
		return 0, nil
	}
}

func TestDoLimitsAttempts(t *testing.T) {
	t.Parallel()
	store := &spy{Store: memstore.New(nil)}
	rivals(store, 1000)
	runs, a := 0, balance("a")
	_, err := decide.New(store, bank, &decide.Options{Attempts: 4}).Do(t.Context(), func() ([]any, error) {
		runs++
		return decide.Events(Opened{"a"}), nil
	}, a)
	if !errors.Is(err, dcb.ErrConflict) || !strings.Contains(err.Error(), "4 attempts") || runs != 4 {
		t.Errorf("Do(…) = %v after %d runs, want a conflict that names 4 attempts", err, runs)
	}
	// Each attempt conflicted with an event of its own.
	if conflict, ok := errors.AsType[*dcb.ConflictError](err); !ok || conflict.Position != 4 {
		t.Errorf("Do(…) = %v, want the last conflict, at position 4", err)
	}
}

func TestDoStopsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &spy{Store: memstore.New(nil)}
		rivals(store, 1000)
		ctx, cancel := context.WithCancel(t.Context())
		runs, a := 0, balance("a")
		_, err := decide.New(store, bank, nil).Do(ctx, func() ([]any, error) {
			if runs++; runs == 3 {
				cancel()
				store.append = func([]dcb.Event, *dcb.AppendCondition) (dcb.Position, error) {
					return 0, &dcb.ConflictError{Position: 1}
				}
			}
			return decide.Events(Opened{"a"}), nil
		}, a)
		if !errors.Is(err, context.Canceled) || !errors.Is(err, dcb.ErrConflict) || !failsWith(err, "3 attempts") || runs != 3 {
			t.Errorf("Do(…) = %v after %d runs, want the context's error and a conflict that names 3 attempts", err, runs)
		}
	})
}

func TestDoReturnsTheErrorOfTheFunctionUnchanged(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	refused := errors.New("refused")
	position, err := decide.New(store, bank, nil).Do(t.Context(), func() ([]any, error) {
		return decide.Events(Opened{"a"}), refused
	}, balance("a"))
	if head, _ := store.Head(t.Context()); err != refused || position != 0 || head != 0 { //nolint:errorlint // the very same error
		t.Errorf("Do(…) = %d, %v with head %d, want the unchanged error and nothing recorded", position, err, head)
	}
}

func TestDoWithoutEventsReturnsTheHead(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	record(t, store, Opened{"b"}, Opened{"c"})
	position, err := decide.New(store, bank, nil).Do(t.Context(), always(), balance("a"))
	if head, _ := store.Head(t.Context()); err != nil || position != 2 || head != 2 {
		t.Errorf("Do(…) = %d, %v with head %d, want position 2 and nothing recorded", position, err, head)
	}
}

func TestDoAndRecordGiveEveryEventAnID(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	if _, err := decide.New(store, bank, nil).Do(t.Context(), always(Opened{"a"}, Deposited{"a", 1}), balance("a")); err != nil {
		t.Fatal(err)
	}
	record(t, store, Opened{"b"})
	all, err := store.Read(t.Context(), dcb.All(), dcb.ReadOptions{})
	ids := make(map[uuid.UUID]bool)
	for _, event := range all.Events {
		ids[event.ID] = true
	}
	if len(ids) != 3 || ids[uuid.Nil] || err != nil {
		t.Errorf("the events have the IDs %v (error %v), want three different ones", ids, err)
	}
}

func TestRecordRefusesMetadataWithTheVersionKey(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	runner := decide.New(store, newBank, &decide.Options{Metadata: func(context.Context) map[string]string {
		return map[string]string{decide.VersionKey: "9"}
	}})
	for _, event := range []any{Opened{"a"}, Paid{"a", 1}} {
		_, err := runner.Record(t.Context(), event)
		if head, _ := store.Head(t.Context()); !failsWith(err, `"version"`) || head != 0 {
			t.Errorf("Record(%#v) = %v with head %d, want an error that names \"version\"", event, err, head)
		}
	}
}

func TestAppendFailsIfEventsWereRecordedSinceTheRead(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	runner := decide.New(store, bank, nil)
	early, late := balance("a"), opened("a")
	if _, err := runner.Append(t.Context(), decide.Events(Opened{"a"}), early); err == nil {
		t.Error("Append succeeded with a projection that was never read")
	}
	if _, err := runner.Read(t.Context(), early); err != nil {
		t.Fatal(err)
	}
	record(t, store, Deposited{"a", 1})
	if _, err := runner.Read(t.Context(), late); err != nil {
		t.Fatal(err)
	}
	// late was read after the deposit, early before it.
	if _, err := runner.Append(t.Context(), decide.Events(Opened{"a"}), late, early); !errors.Is(err, dcb.ErrConflict) {
		t.Errorf("Append(…) = %v, want a conflict", err)
	}
	if _, err := runner.Append(t.Context(), decide.Events(Opened{"a"}), late); err != nil {
		t.Errorf("Append(…) = %v", err)
	}
	if position, err := runner.Append(t.Context(), nil, late); position != 1 || err != nil {
		t.Errorf("Append without events = %d, %v, want the head of the last read, 1", position, err)
	}
}

func TestOnAnySelectsAllTypes(t *testing.T) {
	t.Parallel()
	var query dcb.Query
	store := &spy{Store: memstore.New(nil), read: func(q dcb.Query, _ dcb.ReadOptions) { query = q }}
	history := decide.NewProjection(0, decide.OnAny(func(n int, _ any) int { return n + 1 })).Tagged("account", "a")
	_, err := decide.New(store, bank, nil).Read(t.Context(), opened("a"), history, balance("a"))
	if diff := cmp.Diff(dcb.Query{{Tags: []string{"account:a"}}}, query); diff != "" || err != nil {
		t.Errorf("Read(…): error %v; query differs (-want +got):\n%s", err, diff)
	}
}

func TestReadFoldsSeveralPages(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	for range 2500 {
		record(t, store, Deposited{"a", 1})
	}
	a := balance("a")
	if head, err := decide.New(store, bank, nil).Read(t.Context(), a); head != 2500 || err != nil || a.State() != 2500 {
		t.Errorf("Read(…) = %d, %v with state %d, want 2500 for both", head, err, a.State())
	}
}

// A conflict brings several new events, and each handler call must start from the initial state.
func TestOnlyLastEventFoldsOneEvent(t *testing.T) {
	t.Parallel()
	store := &spy{Store: memstore.New(nil)}
	record(t, store, Deposited{"a", 1}, Deposited{"a", 1})
	rivals(store, 3)
	n := decide.NewProjection(0, decide.On(func(n int, _ Deposited) int { return n + 1 })).OnlyLastEvent()
	_, err := decide.New(store, bank, nil).Do(t.Context(), func() ([]any, error) {
		if n.State() != 1 {
			t.Errorf("the state counts %d events, want 1", n.State())
		}
		return decide.Events(Opened{"a"}), nil
	}, n)
	if err != nil {
		t.Error(err)
	}
}

func TestReadDecodesMutableEventsForEachProjection(t *testing.T) {
	t.Parallel()
	type Listed struct{ Items []string }
	codec := decide.NewCodec(decide.Type[Listed]("Listed"))
	runner := decide.New(memstore.New(nil), codec, nil)
	if _, err := runner.Record(t.Context(), Listed{[]string{"a", "b"}}); err != nil {
		t.Fatal(err)
	}
	projection := func() *decide.Projection[[]string] {
		return decide.NewProjection[[]string](nil, decide.On(func(_ []string, e Listed) []string {
			e.Items[0] += "!"
			return e.Items
		}))
	}
	one, two := projection(), projection()
	if _, err := runner.Read(t.Context(), one, two); err != nil || one.State()[0] != "a!" || two.State()[0] != "a!" {
		t.Errorf("Read(…): error %v; states %v and %v, want each changed once", err, one.State(), two.State())
	}
}

func TestReadReportsDataThatCannotBeDecoded(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	record(t, store, Deposited{"a", 1})
	if _, err := store.Append(t.Context(), []dcb.Event{{Type: "Deposited", Data: []byte("{")}}, nil); err != nil {
		t.Fatal(err)
	}
	all := deposits()
	runner := decide.New(store, bank, nil)
	for range 2 { // the second read must not fold the first event again
		_, err := runner.Read(t.Context(), all)
		if !failsWith(err, "position 2") || !failsWith(err, "Deposited") || all.State() != 1 {
			t.Errorf("Read(…) = %v with state %d, want an error at position 2 and state 1", err, all.State())
		}
	}
}

func TestDoIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	runner := decide.New(store, bank, nil)
	decidetest.CheckGapless(t, 1, 64, func(ctx context.Context) (n int, err error) {
		all := deposits()
		_, err = runner.Do(ctx, func() ([]any, error) {
			n = all.State() + 1
			return decide.Events(Deposited{"a", n}), nil
		}, all, balance("a"))
		return n, err
	})
	sum := balance("a")
	if _, err := runner.Read(t.Context(), sum); err != nil || sum.State() != 64*65/2 {
		t.Errorf("the balance is %d (error %v), want %d", sum.State(), err, 64*65/2)
	}
}
