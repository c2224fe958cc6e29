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

// What is decided rests on what a store carries unchanged: tags, data, metadata, and heads that the next read begins at. So this runs on
// every kind of store. What is up to this package alone is tested on memory, in the other files.

func TestMain(m *testing.M) { os.Exit(kinds.Main(m)) }

// Paid is what Deposited became.
type Paid struct {
	Account string `json:"account" dcb:"account"`
	Cents   int    `json:"cents"`
}

// newBank is of a program that came after that of bank.
var newBank = decide.NewCodec(
	decide.Type[Opened]("Opened"),
	decide.Type[Paid]("Deposited", decide.Upcast(func(old Deposited) Paid { return Paid{old.Account, 100 * old.Amount} })),
)

// recordMany records as many deposits of 1 at once.
func recordMany(t *testing.T, store dcb.Store, deposits int) {
	t.Helper()
	record(t, store, slices.Repeat(decide.Events(Deposited{"a", 1}), deposits)...)
}

func TestAConflictReadsOnlyWhatCameSince(t *testing.T) {
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
			t.Errorf("the function saw %v; want %v", seen, want)
		}
		// All of the account, the last of all deposits, and one event for each of three conflicts.
		if reads, events, conflicts := counting.Reads.Load(), counting.Events.Load(), counting.Conflicts.Load(); reads != 5 || events != 504 || conflicts != 3 {
			t.Errorf("%d reads of %d events, %d conflicts; want 5, 504 and 3", reads, events, conflicts)
		}
	})
}

func TestACachedProjectionReadsOnlyWhatCameSince(t *testing.T) {
	kinds.OnEvery(t, func(t *testing.T, store dcb.Store) {
		const more = 1100 // than a page
		recordMany(t, store, more)
		counting := decidetest.Count(store)
		d, cached := decide.New(counting, bank, nil), decide.Cached(10, balance)
		for i, want := range []struct{ reads, events int64 }{{2, more}, {1, 1}, {1, 1}} { // the last two read what the one before recorded
			reads, events := counting.Reads.Load(), counting.Events.Load()
			a := cached("a")
			if _, err := d.Do(t.Context(), always(Deposited{"a", 1}), a); err != nil || a.State() != more+i {
				t.Errorf("decision %d: balance %d, %v", i, a.State(), err)
			}
			if reads, events = counting.Reads.Load()-reads, counting.Events.Load()-events; reads != want.reads || events != want.events {
				t.Errorf("decision %d: %d reads of %d events; want %d of %d", i, reads, events, want.reads, want.events)
			}
		}
		reads, events := counting.Reads.Load(), counting.Events.Load()
		if _, err := d.Do(t.Context(), always(Deposited{"a", 1}), cached("a"), opened("b")); err != nil {
			t.Error(err)
		}
		if reads, events = counting.Reads.Load()-reads, counting.Events.Load()-events; reads != 2 || events != 1 {
			t.Errorf("a cached projection beside a new one: %d reads of %d events; want two, of the one that came since", reads, events)
		}
	})
}

func TestMetadataReachesEveryEvent(t *testing.T) {
	type userKey struct{}
	kinds.OnEvery(t, func(t *testing.T, store dcb.Store) {
		kept := make(map[string]string) // one map for all appends, as an application may have it
		d := decide.New(store, newBank, &decide.Options{Metadata: func(ctx context.Context) map[string]string {
			kept["user"] = ctx.Value(userKey{}).(string)
			return kept
		}})
		events := decide.Events(Opened{"a"}, Paid{"a", 1}, Opened{"b"}, Paid{"b", 1})
		read := opened("a")
		if _, err := d.Read(t.Context(), read); err != nil {
			t.Fatal(err)
		}
		var want []map[string]string
		for _, way := range []struct {
			user   string
			record func(ctx context.Context) (dcb.Position, error)
		}{
			{"ann", func(ctx context.Context) (dcb.Position, error) { return d.Append(ctx, events, read) }},
			{"bob", func(ctx context.Context) (dcb.Position, error) { return d.Do(ctx, always(events...), opened("a")) }},
			{"cem", func(ctx context.Context) (dcb.Position, error) { return d.Record(ctx, events...) }},
		} {
			if _, err := way.record(context.WithValue(t.Context(), userKey{}, way.user)); err != nil {
				t.Fatalf("%s: %v", way.user, err)
			}
			if len(kept) != 1 {
				t.Errorf("the application's map has become %v", kept)
			}
			plain, versioned := map[string]string{"user": way.user}, map[string]string{"user": way.user, decide.VersionKey: "2"}
			want = append(want, plain, versioned, plain, versioned)
		}
		kept["user"] = "nobody"
		users := decide.NewProjection("", decide.OnRecorded(func(s string, _ Paid, r decide.Recorded) string { return s + r.Metadata("user") + " " })).Tagged("account", "b")
		if _, err := d.Read(t.Context(), users); err != nil || users.State() != "ann bob cem " {
			t.Errorf("a projection sees the users %q, %v", users.State(), err)
		}
		all, err := store.Read(t.Context(), dcb.All(), dcb.ReadOptions{})
		var got []map[string]string
		for _, event := range all.Events {
			got = append(got, event.Metadata)
		}
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v; metadata (-want +got):\n%s", err, diff)
		}
	})
}

// Also in another encoding than the usual one.
func TestOldVersionsAreFoldedBesideNewOnes(t *testing.T) {
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
					t.Errorf("the sums are %d; want %d", sums, want)
				}
				all, err := store.Read(t.Context(), dcb.All(), dcb.ReadOptions{})
				var versions []string
				for _, event := range all.Events {
					versions = append(versions, event.Metadata[decide.VersionKey])
					if bytes.HasPrefix(event.Data, []byte("{")) != codecs.json {
						t.Errorf("the event at position %d has the data %q", event.Position, event.Data)
					}
				}
				if want := []string{"", "", "", "2", "2"}; !slices.Equal(versions, want) || err != nil {
					t.Errorf("versions %q, %v; want %q", versions, err, want)
				}
				if _, err := older.Read(t.Context(), balance("a")); err == nil || !strings.Contains(err.Error(), `is of version "2"`) {
					t.Errorf("a program that is older than an event: %v", err)
				}
			})
		})
	}
}

func TestAProjectionOfAnyEventSaysWhatItDoesNotKnow(t *testing.T) {
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
		d := decide.New(store, bank, nil)
		if _, err := d.Read(t.Context(), projection()); !errors.Is(err, decide.ErrUnknownType) || !strings.Contains(err.Error(), `"Strange"`) {
			t.Errorf("%v; want an unknown type, named", err)
		}
		skipping := projection().SkipUnknown()
		if _, err := d.Read(t.Context(), skipping); err != nil || skipping.State() != "Opened 2" {
			t.Errorf("%q, %v", skipping.State(), err)
		}
	})
}

func TestACommandWithAKeyIsRecordedOnce(t *testing.T) {
	kinds.OnEvery(t, func(t *testing.T, store dcb.Store) {
		d := decide.New(store, bank, nil)
		first, err := d.Do(t.Context(), always(Opened{"a"}, Deposited{"a", 5}), balance("a"), decide.IdempotencyKey("k1"))
		if first != 2 || err != nil {
			t.Fatalf("%d, %v", first, err)
		}
		record(t, store, Deposited{"a", 7})
		again, err := decide.New(store, bank, nil).Do(t.Context(), func() ([]any, error) {
			t.Error("the function was called")
			return nil, errBroken
		}, balance("a"), decide.IdempotencyKey("k1"))
		if again != first || err != nil {
			t.Errorf("the second time: %d, %v", again, err)
		}
		if other, err := d.Do(t.Context(), always(Deposited{"a", 5}), decide.IdempotencyKey("k2")); other != 4 || err != nil {
			t.Errorf("another key: %d, %v", other, err)
		}
		stored, err := store.Read(t.Context(), dcb.Query{{Tags: []string{"command:k1"}}}, dcb.ReadOptions{})
		if len(stored.Events) != 2 || err != nil {
			t.Errorf("%d events have the tag, %v", len(stored.Events), err)
		}
	})
}
