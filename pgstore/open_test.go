package pgstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/pgtest"
	"github.com/dcbstore/dcb/pgstore"
)

func TestManyWhoOpenANewSchemaAtOnceMakeItOnce(t *testing.T) {
	t.Parallel()
	options := pgstore.Options{Schema: pgtest.Schema(t), CommitTimeout: slow}
	var opening sync.WaitGroup
	for range 16 {
		opening.Go(func() {
			store, err := pgstore.Open(t.Context(), pgtest.DSN(t), &options)
			if err != nil {
				t.Error(err)
				return
			}
			defer store.Close()
			if _, err := store.Append(t.Context(), []dcb.Event{{Type: "Opened"}}, nil); err != nil {
				t.Error(err)
			}
		})
	}
	opening.Wait()
	if head, err := openAt(t, pgtest.DSN(t), options).Head(t.Context()); head != 16 || err != nil {
		t.Errorf("the head is %d, %v; want 16", head, err)
	}
}

func TestASchemaKeepsItsStrategy(t *testing.T) {
	t.Parallel()
	eachStrategy(t, func(t *testing.T, index pgstore.Index) {
		h := open(t, index)
		if again := openAt(t, h.dsn, pgstore.Options{Schema: h.options.Schema}); again.Index() != index {
			t.Errorf("opened without a strategy it has %s; want %s", again.Index(), index)
		}
		other := pgstore.Tags
		if index == other {
			other = pgstore.TSVector
		}
		_, err := pgstore.Open(t.Context(), h.dsn, &pgstore.Options{Schema: h.options.Schema, Index: other})
		refused(t, err, h.options.Schema, string(index), string(other))
	})
}

func TestSchemasOfOneDatabaseAreStoresOfTheirOwn(t *testing.T) {
	t.Parallel()
	one, two := open(t, pgstore.Tags), openAt(t, pgtest.DSN(t), pgstore.Options{Schema: `odd "name"; DROP`})
	pgtest.Exec(t, one.dsn, "SELECT 1")
	t.Cleanup(func() { pgtest.Exec(t, one.dsn, `DROP SCHEMA "odd ""name""; DROP" CASCADE`) })
	if _, err := one.Append(t.Context(), []dcb.Event{{Type: "Happened"}}, nil); err != nil {
		t.Fatal(err)
	}
	if head, err := two.Head(t.Context()); head != 0 || err != nil {
		t.Errorf("an event of one schema is seen in another: head %d, %v", head, err)
	}
}

func TestOpenRefusesWhatItCannotKeepEventsIn(t *testing.T) {
	t.Parallel()
	dsn := pgtest.DSN(t)

	t.Run("a schema of a newer version", func(t *testing.T) {
		h := open(t, pgstore.Tags)
		pgtest.Exec(t, dsn, "UPDATE "+h.options.Schema+".store SET version = 99")
		_, err := pgstore.Open(t.Context(), dsn, &h.options)
		refused(t, err, h.options.Schema, "version 99", "newer dcb")
	})
	t.Run("a schema without its only row", func(t *testing.T) {
		h := open(t, pgstore.Tags)
		pgtest.Exec(t, dsn, "DELETE FROM "+h.options.Schema+".store")
		_, err := pgstore.Open(t.Context(), dsn, &h.options)
		refused(t, err, h.options.Schema, "not made by dcb")
	})
	t.Run("a schema with tables of somebody else's", func(t *testing.T) {
		schema := pgtest.Schema(t)
		pgtest.Exec(t, dsn, "CREATE SCHEMA "+schema, "CREATE TABLE "+schema+".events (theirs int)")
		_, err := pgstore.Open(t.Context(), dsn, &pgstore.Options{Schema: schema})
		refused(t, err, schema, "events", "already exists")
		pgtest.Exec(t, dsn, "SELECT theirs FROM "+schema+".events") // it is as it was
		var tables int
		conn := connect(t, dsn)
		if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_tables WHERE schemaname = $1", schema).Scan(&tables); err != nil || tables != 1 {
			t.Errorf("there are %d tables, %v; want the one that was there", tables, err)
		}
	})
	t.Run("a database that is not UTF8", func(t *testing.T) {
		pgtest.Exec(t, dsn, "CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
		t.Cleanup(func() { pgtest.Exec(t, dsn, untilLeft, "DROP DATABASE latin") })
		config, err := pgx.ParseConfig(dsn)
		if err != nil {
			t.Fatal(err)
		}
		_, err = pgstore.Open(t.Context(), fmt.Sprintf("%s dbname=latin", keywords(config)), nil)
		refused(t, err, "LATIN1", "UTF8")
	})
	t.Run("options that mean nothing", func(t *testing.T) {
		for _, wrong := range []struct {
			options pgstore.Options
			says    string
		}{
			{pgstore.Options{Index: "gin"}, `"gin"`},
			{pgstore.Options{Schema: strings.Repeat("s", 64)}, "1 to 63 bytes"},
			{pgstore.Options{Schema: "a$$; DROP TABLE b; --"}, "contains $$"},
			{pgstore.Options{PollInterval: -1}, "PollInterval"},
			{pgstore.Options{CommitTimeout: -1}, "CommitTimeout"},
		} {
			_, err := pgstore.Open(t.Context(), dsn, &wrong.options)
			refused(t, err, wrong.says)
		}
	})
}

// untilLeft waits until nobody is connected to the database latin any more. The server takes a moment to notice who has gone, and to remove a database it waits
// for that only a few seconds.
const untilLeft = `DO $$ BEGIN
	WHILE EXISTS (SELECT FROM pg_stat_activity WHERE datname = 'latin') LOOP
		PERFORM pg_sleep(0.01), pg_stat_clear_snapshot();
	END LOOP;
END $$`

func TestOpenDoesNotPrintPasswords(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"postgres://ann:sesame@127.0.0.1:1/nowhere",
		"postgres://ann:sesame@127.0.0.1:port/nowhere",
		"host=127.0.0.1 port=1 user=ann password=sesame",
		"host=127.0.0.1 port=x password=sesame",
	} {
		_, err := pgstore.Open(t.Context(), url, nil)
		if err == nil || strings.Contains(err.Error(), "sesame") {
			t.Errorf("Open(%q): %v", url, err)
		}
	}
}

func TestOpenWithoutAServerIsUnavailable(t *testing.T) {
	t.Parallel()
	_, err := pgstore.Open(t.Context(), "postgres://ann@127.0.0.1:1/nowhere", nil)
	if !errors.Is(err, dcb.ErrUnavailable) || !dcb.Retryable(err) {
		t.Errorf("Open: %v; want dcb.ErrUnavailable", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := pgstore.Open(ctx, pgtest.DSN(t), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Open with a cancelled context: %v", err)
	}
}

func TestARoleWithTheDocumentedGrantsCanUseTheStore(t *testing.T) {
	t.Parallel()
	eachStrategy(t, func(t *testing.T, index pgstore.Index) {
		owner := open(t, index)
		role, roleDSN := pgtest.Role(t, owner.dsn)
		tables := "%[1]s.events, %[1]s.event_tags"
		if index == pgstore.TSVector {
			tables = "%[1]s.events"
		}
		for _, grant := range []string{ // those of the package doc
			"GRANT USAGE ON SCHEMA %[1]s TO %[2]s",
			"GRANT SELECT ON %[1]s.store TO %[2]s",
			"GRANT SELECT, INSERT ON " + tables + " TO %[2]s",
			"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA %[1]s TO %[2]s",
		} {
			pgtest.Exec(t, owner.dsn, fmt.Sprintf(grant, owner.options.Schema, role))
		}
		app := openAt(t, roleDSN, owner.options)
		tag := dcb.Query{{Types: []string{"Happened"}, Tags: []string{"one", "two"}}}
		event := dcb.Event{Type: "Happened", Tags: []string{"one", "two"}}
		if _, err := app.Append(t.Context(), []dcb.Event{event}, &dcb.AppendCondition{FailIfEventsMatch: tag}); err != nil {
			t.Fatal(err)
		}
		if _, err := app.Append(t.Context(), []dcb.Event{event}, &dcb.AppendCondition{FailIfEventsMatch: tag}); !errors.Is(err, dcb.ErrConflict) {
			t.Fatalf("append again: %v; want a conflict", err)
		}
		if result, err := app.Read(t.Context(), tag, dcb.ReadOptions{}); err != nil || len(result.Events) != 1 {
			t.Errorf("read: %v, %v", result, err)
		}
		if head, err := app.Wait(t.Context(), 0); err != nil || head != 1 {
			t.Errorf("wait: %d, %v", head, err)
		}
		if _, err := connect(t, roleDSN).Exec(t.Context(), "DELETE FROM "+owner.options.Schema+".events"); err == nil {
			t.Error("the role may delete events")
		}
	})
}

func TestARoleThatMayNotMakeASchemaIsToldSo(t *testing.T) {
	t.Parallel()
	_, roleDSN := pgtest.Role(t, pgtest.DSN(t))
	schema := pgtest.Schema(t)
	_, err := pgstore.Open(t.Context(), roleDSN, &pgstore.Options{Schema: schema})
	refused(t, err, "create schema", schema, "permission denied")
}

func TestARoleMayOwnAnEmptySchemaAndNothingElse(t *testing.T) {
	t.Parallel()
	role, roleDSN := pgtest.Role(t, pgtest.DSN(t))
	schema := pgtest.Schema(t)
	pgtest.Exec(t, pgtest.DSN(t), "CREATE SCHEMA "+schema+" AUTHORIZATION "+role)
	store := openAt(t, roleDSN, pgstore.Options{Schema: schema})
	if _, err := store.Append(t.Context(), []dcb.Event{{Type: "Happened"}}, nil); err != nil {
		t.Error(err)
	}
}

func TestAppendRefusesAnIsolationLevelItWouldBeWrongIn(t *testing.T) {
	t.Parallel()
	for _, level := range []string{"repeatable read", "serializable"} {
		h := open(t, pgstore.Tags)
		role, roleDSN := pgtest.Role(t, h.dsn)
		pgtest.Exec(t, h.dsn, fmt.Sprintf("ALTER ROLE %s SET default_transaction_isolation = '%s'", role, level), "ALTER ROLE "+role+" SUPERUSER")
		_, err := openAt(t, roleDSN, h.options).Append(t.Context(), []dcb.Event{{Type: "Happened"}}, nil)
		refused(t, err, "read committed", level)
		if head, err := h.Head(t.Context()); head != 0 || err != nil {
			t.Errorf("it was recorded all the same: head %d, %v", head, err)
		}
	}
}

func TestWaitWorksWhereNotificationsDoNot(t *testing.T) {
	t.Parallel()
	h := open(t, pgstore.Tags)
	deaf := openAt(t, h.dsn, pgstore.Options{Schema: h.options.Schema, PollInterval: 10 * time.Millisecond})
	woken := make(chan dcb.Position)
	const waiting = 20
	for range waiting {
		go func() {
			head, err := deaf.Wait(t.Context(), 0)
			if err != nil {
				t.Error(err)
			}
			woken <- head
		}()
	}
	// Recorded by somebody who does not notify: as good as a notification that was lost.
	pgtest.Exec(t, h.dsn, "INSERT INTO "+h.options.Schema+".events (position, recorded_at, type, tags, data) VALUES (1, now(), 'Happened', '{}', '')")
	for range waiting {
		if head := <-woken; head != 1 {
			t.Errorf("Wait returned %d; want 1", head)
		}
	}
}

// refused fails the test unless err says all of what it should, and is none of the errors that mean something else.
func refused(t *testing.T, err error, says ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error; want one that says %q", says)
	}
	if dcb.Retryable(err) {
		t.Errorf("%v: is said to pass", err)
	}
	for _, what := range says {
		if !strings.Contains(err.Error(), what) {
			t.Errorf("%q does not say %q", err, what)
		}
	}
}

func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// keywords returns config in libpq's other form, without the database.
func keywords(config *pgx.ConnConfig) string {
	return fmt.Sprintf("host=%s port=%d user=%s password='%s' sslmode=disable", config.Host, config.Port, config.User, config.Password)
}
