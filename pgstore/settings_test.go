package pgstore_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/pgtest"
	"github.com/dcbstore/dcb/pgstore"
)

// The settings of a role or a database are somebody else's. Those that change what text means must not change what is recorded.
func TestSettingsOfTheRoleDoNotChangeWhatIsRecorded(t *testing.T) {
	t.Parallel()
	for _, setting := range []string{
		"client_encoding = 'LATIN1'", "standard_conforming_strings = off", "bytea_output = 'escape'", "array_nulls = off",
		"DateStyle = 'SQL, DMY'", "search_path = ''", "plpgsql.extra_errors = 'all'",
	} {
		eachStrategy(t, func(t *testing.T, index pgstore.Index) {
			dsn := pgtest.DSN(t)
			role, roleDSN := pgtest.Role(t, dsn)
			pgtest.Exec(t, dsn, "ALTER ROLE "+role+" SUPERUSER", fmt.Sprintf("ALTER ROLE %s SET %s", role, setting))
			odd := openAt(t, roleDSN, pgstore.Options{Schema: pgtest.Schema(t), Index: index})
			plain := openAt(t, dsn, odd.options)
			event := dcb.Event{Type: `é\'`, Tags: []string{`日本\`, `"NULL"`, "NULL", `'\\'`}, Data: []byte{0, '\\', 0xff}, Metadata: map[string]string{"ü": `\"`}}
			for i, h := range []*handle{odd, plain} {
				if at, err := h.Append(t.Context(), []dcb.Event{event}, nil); err != nil || at != dcb.Position(i+1) {
					t.Fatalf("%s: append: %d, %v", setting, at, err)
				}
			}
			for _, h := range []*handle{odd, plain} {
				for _, tag := range event.Tags {
					result, err := h.Read(t.Context(), dcb.Query{{Types: []string{event.Type}, Tags: []string{tag}}}, dcb.ReadOptions{})
					if err != nil || len(result.Events) != 2 {
						t.Fatalf("%s: %d events with tag %s, %v; want 2", setting, len(result.Events), tag, err)
					}
					for _, e := range result.Events {
						if !e.Event.Same(event) || !slices.Equal(e.Tags, event.Tags) {
							t.Errorf("%s: %+v came back as %+v", setting, event, e)
						}
					}
				}
			}
		})
	}
}

// gin_fuzzy_search_limit has an index leave out rows at random, which is for people who look for pages, and not for decisions.
func TestAnIndexLeavesNothingOut(t *testing.T) {
	t.Parallel()
	dsn := pgtest.DSN(t)
	role, roleDSN := pgtest.Role(t, dsn)
	pgtest.Exec(t, dsn, "ALTER ROLE "+role+" SUPERUSER", fmt.Sprintf("ALTER ROLE %s SET gin_fuzzy_search_limit = 10", role))
	h := openAt(t, roleDSN, pgstore.Options{Schema: pgtest.Schema(t), Index: pgstore.TSVector})
	events := make([]dcb.Event, 20_000)
	for i := range events {
		events[i] = dcb.Event{Type: "Happened", Tags: []string{"hot"}}
	}
	if _, err := h.Append(t.Context(), events, nil); err != nil {
		t.Fatal(err)
	}
	pgtest.Exec(t, dsn, "VACUUM "+h.options.Schema+".events") // moves what is pending into the index itself
	q := dcb.Query{{Types: []string{"Happened"}, Tags: []string{"hot"}}}
	if result, err := h.Read(t.Context(), q, dcb.ReadOptions{}); err != nil || len(result.Events) != len(events) {
		t.Errorf("%d events, %v; want %d", len(result.Events), err, len(events))
	}
	condition := &dcb.AppendCondition{FailIfEventsMatch: q, After: 19_990}
	if _, err := h.Append(t.Context(), events[:1], condition); !errors.Is(err, dcb.ErrConflict) {
		t.Errorf("append: %v; want a conflict", err)
	}
}

// Who writes these into a URL usually has a pooler that keeps no prepared statements.
func TestAURLMaySwitchOffTheCachesOfPgx(t *testing.T) {
	t.Parallel()
	for _, parameter := range []string{"statement_cache_capacity=0", "statement_cache_capacity=0&description_cache_capacity=0", "description_cache_capacity=0"} {
		h := openAt(t, pgtest.DSN(t)+"&"+parameter, pgstore.Options{Schema: pgtest.Schema(t)})
		if _, err := h.Append(t.Context(), []dcb.Event{{Type: "Happened"}}, nil); err != nil {
			t.Errorf("%s: append: %v", parameter, err)
		}
		if result, err := h.Read(t.Context(), dcb.All(), dcb.ReadOptions{}); err != nil || len(result.Events) != 1 {
			t.Errorf("%s: read: %v, %v", parameter, result, err)
		}
	}
}
