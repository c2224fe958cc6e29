package decide_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/decide"
	"github.com/dcbstore/dcb/decide/decidetest"
	"github.com/dcbstore/dcb/internal/kinds"
)

// These tests depend on what a store returns unchanged: tags, data, metadata and heads. So they
// run on every kind of store. The other files test this package alone, on memstore.

func TestMain(m *testing.M) { os.Exit(kinds.Main(m)) }

// Paid is the later version of Deposited.
type Paid struct {
	Account string `json:"account" dcb:"account"`
	Cents   int    `json:"cents"`
}

// newBank is the codec of a later version of the program with the codec bank.
var newBank = decide.NewCodec(
	decide.Type[Opened]("Opened"),
	decide.Type[Paid]("Deposited", decide.Upcast(func(old Deposited) Paid { return Paid{old.Account, 100 * old.Amount} })),
)

// recordMany records deposits of 1 in one append.
func recordMany(t *testing.T, store dcb.Store, deposits int) {
	t.Helper()
	record(t, store, slices.Repeat(decide.Events(Deposited{"a", 1}), deposits)...)
}

func TestDoReadsOnlyNewEventsAfterAConflict(t *testing.T) {
	kinds.OnEvery(t, func(t *testing.T, every dcb.Store) {
		store := &spy{Store: every}
		recordMany(t, store, 500)
		rivals(store, 3)
		counting := decidetest.Count(store)
		a, last := balance("a"), lastDeposit()
		var seen []int
		_, err := decide.New(counting, bank, nil).Do(t.Context(), func() ([]any, error) {
			seen = append(seen, a.State(), last.State())
			return decide.Events(Transferred{"a", "b", 1}), nil
		}, a, last)
		if err != nil {
			t.Fatal(err)
		}
		if want := []int{500, 1, 600, 100, 700, 100, 800, 100}; !slices.Equal(seen, want) {
			t.Errorf("the function read the states %v, want %v", seen, want)
		}
		// Expected are all events of the account, the last deposit, and one event after each conflict.
		reads, events, conflicts := counting.Reads.Load(), counting.Events.Load(), counting.Conflicts.Load()
		if reads != 5 || events != 504 || conflicts != 3 {
			t.Errorf("%d reads of %d events and %d conflicts, want 5, 504 and 3", reads, events, conflicts)
		}
	})
}

func TestCachedReadsOnlyNewEvents(t *testing.T) {
	kinds.OnEvery(t, func(t *testing.T, store dcb.Store) {
		const more = 1100 // more than one page
		recordMany(t, store, more)
		counting := decidetest.Count(store)
		runner, cached := decide.New(counting, bank, nil), decide.Cached(10, balance)
		// Each decision after the first reads one new event.
		for i, want := range []struct{ reads, events int64 }{{2, more}, {1, 1}, {1, 1}} {
			reads, events := counting.Reads.Load(), counting.Events.Load()
			a := cached("a")
			if _, err := runner.Do(t.Context(), always(Deposited{"a", 1}), a); err != nil || a.State() != more+i {
				t.Errorf("decision %d: the balance is %d (error %v), want %d", i, a.State(), err, more+i)
			}
			if reads, events = counting.Reads.Load()-reads, counting.Events.Load()-events; reads != want.reads || events != want.events {
				t.Errorf("decision %d: %d reads of %d events, want %d of %d", i, reads, events, want.reads, want.events)
			}
		}
		reads, events := counting.Reads.Load(), counting.Events.Load()
		if _, err := runner.Do(t.Context(), always(Deposited{"a", 1}), cached("a"), opened("b")); err != nil {
			t.Error(err)
		}
		if reads, events = counting.Reads.Load()-reads, counting.Events.Load()-events; reads != 2 || events != 1 {
			t.Errorf("a cached projection beside a new one: %d reads of %d events, want 2 of 1", reads, events)
		}
	})
}

func TestRunnerAddsMetadataToEveryEvent(t *testing.T) {
	type userKey struct{}
	kinds.OnEvery(t, func(t *testing.T, store dcb.Store) {
		shared := make(map[string]string) // an application may return the same map each time
		runner := decide.New(store, newBank, &decide.Options{Metadata: func(ctx context.Context) map[string]string {
			shared["user"] = ctx.Value(userKey{}).(string)
			return shared
		}})
		events := decide.Events(Opened{"a"}, Paid{"a", 1}, Opened{"b"}, Paid{"b", 1})
		read := opened("a")
		if _, err := runner.Read(t.Context(), read); err != nil {
			t.Fatal(err)
		}
		var want []map[string]string
		for _, way := range []struct {
			user   string
			record func(ctx context.Context) (dcb.Position, error)
		}{
			{"ann", func(ctx context.Context) (dcb.Position, error) { return runner.Append(ctx, events, read) }},
			{"bob", func(ctx context.Context) (dcb.Position, error) { return runner.Do(ctx, always(events...), opened("a")) }},
			{"cem", func(ctx context.Context) (dcb.Position, error) { return runner.Record(ctx, events...) }},
		} {
			if _, err := way.record(context.WithValue(t.Context(), userKey{}, way.user)); err != nil {
				t.Fatalf("recording as %s: %v", way.user, err)
			}
			if len(shared) != 1 {
				t.Errorf("the runner changed the application's map to %v", shared)
			}
			plain, versioned := map[string]string{"user": way.user}, map[string]string{"user": way.user, decide.VersionKey: "2"}
			want = append(want, plain, versioned, plain, versioned)
		}
		shared["user"] = "nobody"
		users := decide.NewProjection("", decide.OnRecorded(func(s string, _ Paid, r decide.Recorded) string {
			return s + r.Metadata("user") + " "
		})).Tagged("account", "b")
		if _, err := runner.Read(t.Context(), users); err != nil || users.State() != "ann bob cem " {
			t.Errorf("the projection read the users %q (error %v)", users.State(), err)
		}
		all, err := store.Read(t.Context(), dcb.All(), dcb.ReadOptions{})
		var got []map[string]string
		for _, event := range all.Events {
			got = append(got, event.Metadata)
		}
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("Read(…): error %v; metadata differs (-want +got):\n%s", err, diff)
		}
	})
}

func TestReadFoldsOldAndNewVersions(t *testing.T) {
	t.Parallel()
	for name, codecs := range map[string]struct {
		older, newer *decide.Codec
		json         bool
	}{
		"JSON": {bank, newBank, true},
		"gob":  {bank.WithEncoding(gobs{}), newBank.WithEncoding(gobs{}), false},
	} {
		t.Run(name, func(t *testing.T) {
			kinds.OnEvery(t, func(t *testing.T, store dcb.Store) {
				older, newer := decide.New(store, codecs.older, nil), decide.New(store, codecs.newer, nil)
				if _, err := older.Record(t.Context(), Deposited{"a", 5}, Deposited{"b", 7}, Opened{"a"}); err != nil {
					t.Fatal(err)
				}
				paid := decide.NewProjection(0, decide.On(func(sum int, e Paid) int { return sum + e.Cents })).Tagged("account", "a")
				var sums []int
				for range 2 {
					_, err := newer.Do(t.Context(), func() ([]any, error) {
						sums = append(sums, paid.State())
						return decide.Events(Paid{"a", 1}), nil
					}, paid)
					if err != nil {
						t.Fatal(err)
					}
				}
				if want := []int{500, 501}; !slices.Equal(sums, want) {
					t.Errorf("the sums are %d, want %d", sums, want)
				}
				all, err := store.Read(t.Context(), dcb.All(), dcb.ReadOptions{})
				var versions []string
				for _, event := range all.Events {
					versions = append(versions, event.Metadata[decide.VersionKey])
					if bytes.HasPrefix(event.Data, []byte("{")) != codecs.json {
						t.Errorf("the event at position %d has the data %q; want JSON: %t", event.Position, event.Data, codecs.json)
					}
				}
				if want := []string{"", "", "", "2", "2"}; !slices.Equal(versions, want) || err != nil {
					t.Errorf("the events have the versions %q (error %v), want %q", versions, err, want)
				}
				if _, err := older.Read(t.Context(), balance("a")); !failsWith(err, `has version "2"`) {
					t.Errorf("Read of a newer version = %v", err)
				}
			})
		})
	}
}

func TestOnAnyReportsUnknownTypes(t *testing.T) {
	kinds.OnEvery(t, func(t *testing.T, store dcb.Store) {
		events := []dcb.Event{{Type: "Opened", Tags: []string{"account:a"}}, {Type: "Strange", Tags: []string{"account:a"}}}
		if _, err := store.Append(t.Context(), events, nil); err != nil {
			t.Fatal(err)
		}
		record(t, store, Deposited{"a", 2}, Deposited{"b", 3})
		projection := func() *decide.Projection[string] {
			return decide.NewProjection("",
				decide.OnAny(func(s string, event any) string { return s + reflect.TypeOf(event).Name() + " " }),
				decide.On(func(s string, e Deposited) string { return s + fmt.Sprint(e.Amount) }),
			).Tagged("account", "a")
		}
		runner := decide.New(store, bank, nil)
		if _, err := runner.Read(t.Context(), projection()); !errors.Is(err, decide.ErrUnknownType) || !strings.Contains(err.Error(), `"Strange"`) {
			t.Errorf("Read(…) = %v, want ErrUnknownType with the name of the type", err)
		}
		skipping := projection().SkipUnknown()
		if _, err := runner.Read(t.Context(), skipping); err != nil || skipping.State() != "Opened 2" {
			t.Errorf("with SkipUnknown the state is %q (error %v), want \"Opened 2\"", skipping.State(), err)
		}
	})
}

func TestIdempotencyKeyRecordsACommandOnce(t *testing.T) {
	kinds.OnEvery(t, func(t *testing.T, store dcb.Store) {
		runner := decide.New(store, bank, nil)
		first, err := runner.Do(t.Context(), always(Opened{"a"}, Deposited{"a", 5}), balance("a"), decide.IdempotencyKey("k1"))
		if first != 2 || err != nil {
			t.Fatalf("the first Do(…) = %d, %v, want 2", first, err)
		}
		record(t, store, Deposited{"a", 7})
		again, err := decide.New(store, bank, nil).Do(t.Context(), func() ([]any, error) {
			t.Error("Do called the function for a recorded key")
			return nil, errBroken
		}, balance("a"), decide.IdempotencyKey("k1"))
		if again != first || err != nil {
			t.Errorf("the second Do(…) = %d, %v, want %d", again, err, first)
		}
		if other, err := runner.Do(t.Context(), always(Deposited{"a", 5}), decide.IdempotencyKey("k2")); other != 4 || err != nil {
			t.Errorf("Do with another key = %d, %v, want 4", other, err)
		}
		stored, err := store.Read(t.Context(), dcb.Query{{Tags: []string{"command:k1"}}}, dcb.ReadOptions{})
		if len(stored.Events) != 2 || err != nil {
			t.Errorf("%d events have the tag of the key (error %v), want 2", len(stored.Events), err)
		}
	})
}
