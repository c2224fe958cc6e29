package stores_test

import (
	"context"
	"errors"
	"net/url"
	"os"
	"testing"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/pgtest"
	"github.com/dcbstore/dcb/stores"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func TestAStoreInPostgreSQLLasts(t *testing.T) {
	t.Parallel()
	for _, parameter := range []string{"", "&dcb_index=tags", "&dcb_index=tsvector"} {
		t.Run(parameter, func(t *testing.T) {
			t.Parallel()
			url := pgtest.URL(t)
			appendOne(t, url+parameter, 1)
			appendOne(t, url+parameter, 2)
			appendOne(t, url, 3) // without naming the index: as the schema has it
		})
	}
}

// appendOne opens a store, appends an event, and closes it.
func appendOne(t *testing.T, url string, want dcb.Position) {
	t.Helper()
	store, err := stores.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	position, err := store.Append(t.Context(), []dcb.Event{{Type: "Thing"}}, nil)
	if position != want || err != nil {
		t.Errorf("Append: %d, %v; want %d", position, err, want)
	}
	if err := store.Close(); err != nil {
		t.Error(err)
	}
}

func TestASchemaKeepsItsIndex(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	appendOne(t, url+"&dcb_index=tsvector", 1)
	store, err := stores.Open(t.Context(), url+"&dcb_index=tags")
	if err == nil {
		_ = store.Close()
		t.Error("a schema with one index was opened with the other")
	}
}

func TestAWrongPasswordIsNotPrinted(t *testing.T) {
	t.Parallel()
	name, roleURL := pgtest.Role(t, pgtest.DSN(t))
	const wrong = "geheim-geheim"
	for _, wrongURL := range []string{
		withUser(t, roleURL, url.UserPassword(name, wrong)),
		withUser(t, roleURL, url.User(name)) + "&password=" + wrong,
	} {
		store, err := stores.Open(t.Context(), wrongURL)
		if err == nil {
			_ = store.Close()
			t.Fatal("the server takes any password: this test shows nothing")
		}
		if errorTexts(err, wrong) {
			t.Errorf("the password shows in %q", err)
		}
	}
}

// withUser returns address with another user, and with a parameter, so that more can follow.
func withUser(t *testing.T, address string, user *url.Userinfo) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	u.User = user
	query := u.Query()
	query.Set("application_name", "dcb-test")
	u.RawQuery = query.Encode()
	return u.String()
}

func TestAServerThatIsNotThereIsUnavailable(t *testing.T) {
	t.Parallel()
	store, err := stores.Open(t.Context(), "postgres://ann:geheim@127.0.0.1:1/db")
	if err == nil {
		_ = store.Close()
	}
	if !errors.Is(err, dcb.ErrUnavailable) || errorTexts(err, "geheim") {
		t.Errorf("Open: %v; want ErrUnavailable without the password", err)
	}
}

func TestOpeningEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	store, err := stores.Open(ctx, pgtest.URL(t))
	if err == nil {
		_ = store.Close()
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Open: %v; want the context's error", err)
	}
}
