package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/decide"
	"github.com/dcbstore/dcb/decide/decidetest"
	"github.com/dcbstore/dcb/internal/kinds"
	"github.com/dcbstore/dcb/memstore"
)

func TestMain(m *testing.M) { os.Exit(kinds.Main(m)) }

const foo, bar = `{"foo":"bar"}`, `{"bar":"baz"}`

func create(ctx context.Context, store dcb.Store, data string) error {
	_, err := open(store).create(ctx, json.RawMessage(data))
	return err
}

// The numbers come from the scenarios at dcb.events. The program is the third one: it reads
// one event, backwards.
func TestScenarios(t *testing.T) {
	t.Run("1 the first invoice has the number 1", func(t *testing.T) {
		kinds.OnEvery(t, func(t *testing.T, store dcb.Store) {
			s := decidetest.New(t, events, store)
			s.When(create(t.Context(), s.Store, foo)).Then(InvoiceCreated{1, json.RawMessage(foo)})
		})
	})
	t.Run("2 the next has the number 2", func(t *testing.T) {
		kinds.OnEvery(t, func(t *testing.T, store dcb.Store) {
			s := decidetest.New(t, events, store)
			s.Given(InvoiceCreated{1, json.RawMessage(foo)})
			s.When(create(t.Context(), s.Store, bar)).Then(InvoiceCreated{2, json.RawMessage(bar)})
		})
	})
	t.Run("3 only the last invoice is read", func(t *testing.T) {
		kinds.OnEvery(t, func(t *testing.T, store dcb.Store) {
			counting := decidetest.Count(store)
			s := decidetest.New(t, events, counting)
			s.When(create(t.Context(), s.Store, foo)).Then(InvoiceCreated{1, json.RawMessage(foo)})
			for number := range 5 {
				s.Given(InvoiceCreated{2 + number, json.RawMessage(foo)})
			}
			reads, read := counting.Reads.Load(), counting.Events.Load()
			err := create(t.Context(), s.Store, bar)
			if reads, read = counting.Reads.Load()-reads, counting.Events.Load()-read; reads != 1 || read != 1 {
				t.Errorf("%d reads of %d events, want 1 of 1", reads, read)
			}
			s.When(err).Then(InvoiceCreated{7, json.RawMessage(bar)})
		})
	})
	t.Run("3 the read is backwards and the condition covers it", readsBackwards)
}

// The program makes the same calls on every store, so one store is enough.
func readsBackwards(t *testing.T) {
	t.Parallel()
	spy := &spy{Store: memstore.New(nil)}
	for _, data := range []string{foo, bar} {
		if err := create(t.Context(), spy, data); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{
		"read [{Types:[InvoiceCreated] Tags:[]}] {After:0 Before:0 Limit:1 Backwards:true}",
		"append &{FailIfEventsMatch:[{Types:[InvoiceCreated] Tags:[]}] After:0}", // there is no invoice yet
		"read [{Types:[InvoiceCreated] Tags:[]}] {After:0 Before:0 Limit:1 Backwards:true}",
		"append &{FailIfEventsMatch:[{Types:[InvoiceCreated] Tags:[]}] After:1}",
	}
	if diff := cmp.Diff(want, spy.calls); diff != "" {
		t.Errorf("calls of the store differ (-want +got):\n%s", diff)
	}
}

// spy records the calls of the store.
type spy struct {
	dcb.Store
	calls []string
}

func (s *spy) Read(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
	s.calls = append(s.calls, fmt.Sprintf("read %+v %+v", q, opts))
	return s.Store.Read(ctx, q, opts)
}

func (s *spy) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	s.calls = append(s.calls, fmt.Sprintf("append %+v", condition))
	return s.Store.Append(ctx, events, condition)
}

// Other programs read the recorded events, so names, tags and JSON must not change.
func TestEncodeMatchesTheScenarios(t *testing.T) {
	t.Parallel()
	for want, event := range map[string]any{
		`InvoiceCreated [invoice:1] {"invoiceNumber":1,"invoiceData":{"foo":"bar"}}`: InvoiceCreated{1, json.RawMessage(foo)},
	} {
		e, err := events.Encode(event)
		if got := fmt.Sprintf("%s %s %s", e.Type, e.Tags, e.Data); err != nil || got != want {
			t.Errorf("Encode(%#v) = %s (error %v), want %s", event, got, err, want)
		}
	}
}

func TestCreateNumbersInvoicesWithoutGaps(t *testing.T) {
	kinds.OnEvery(t, func(t *testing.T, store dcb.Store) {
		i := open(store)
		next := func(ctx context.Context) (int, error) { return i.create(ctx, json.RawMessage(foo)) }
		decidetest.CheckGapless(t, 1, 24, next)
		decidetest.CheckGapless(t, 25, 8, next)

		// The callers may have received other answers than what is recorded.
		numbers := decide.NewProjection(0, decide.On(func(last int, e InvoiceCreated) int {
			if e.Number != last+1 {
				t.Errorf("invoice %d follows invoice %d", e.Number, last)
			}
			return e.Number
		}))
		if _, err := i.runner.Read(t.Context(), numbers); err != nil || numbers.State() != 32 {
			t.Errorf("the last invoice is %d (error %v), want 32", numbers.State(), err)
		}
	})
}

func TestRun(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if err := run(t.Context(), memstore.New(nil), log.New(&out, "", 0)); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"invoice 1: " + foo + "\n", "invoice 2: " + bar + "\n", "created invoice 3\n", "created invoice 10\n"} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("%q is missing in:\n%s", line, out.String())
		}
	}
}
