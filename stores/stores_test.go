package stores_test

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/diskstore"
	"github.com/dcbstore/dcb/stores"
)

func TestAStoreInMemoryIsOpenedAndClosed(t *testing.T) {
	t.Parallel()
	store, err := stores.Open(t.Context(), "mem:")
	if err != nil {
		t.Fatal(err)
	}
	position, err := store.Append(t.Context(), []dcb.Event{{Type: "Thing"}}, nil)
	if position != 1 || err != nil {
		t.Errorf("Append: %d, %v", position, err)
	}
	if err := store.Close(); err != nil {
		t.Error(err)
	}
	if _, err := store.Head(t.Context()); !errors.Is(err, dcb.ErrClosed) {
		t.Errorf("Head after Close: %v", err)
	}
}

func TestAStoreInADirectoryLasts(t *testing.T) {
	t.Parallel()
	url := "disk:" + filepath.Join(t.TempDir(), "a", "b")
	for n := range dcb.Position(3) {
		appendOne(t, url, n+1)
	}
	if dir, err := stores.Dir(url); err != nil || "disk:"+dir != url {
		t.Errorf("Dir(%q) = %q, %v", url, dir, err)
	}
	if _, err := stores.Dir("mem:"); !errors.Is(err, stores.ErrURL) {
		t.Errorf("Dir of a store in memory: %v; want ErrURL", err)
	}
}

func TestOneProcessAtATimeOpensADirectory(t *testing.T) {
	t.Parallel()
	url := "disk:" + t.TempDir()
	store, err := stores.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	second, err := stores.Open(t.Context(), url)
	if err == nil {
		_ = second.Close()
	}
	if !errors.Is(err, dcb.ErrUnavailable) || !errors.Is(err, diskstore.ErrLocked) {
		t.Errorf("a second Open: %v; want ErrUnavailable and ErrLocked", err)
	}
}

func TestTheEnvironmentNamesTheStore(t *testing.T) {
	t.Setenv(stores.Variable, "nonsense")
	if _, err := stores.FromEnv(t.Context()); !errors.Is(err, stores.ErrURL) {
		t.Errorf("%s=nonsense: %v", stores.Variable, err)
	}
	t.Setenv(stores.Variable, "")
	t.Chdir(t.TempDir())
	store, err := stores.FromEnv(t.Context())
	if err != nil {
		t.Fatalf("%s unset: %v", stores.Variable, err)
	}
	if err := store.Close(); err != nil {
		t.Error(err)
	}
}

func TestAWrongURLIsNamedWithWhatWouldBeRight(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ url, says, right string }{
		{"", "empty", "mem:"},
		{"mem", "no scheme", "postgres://"},
		{"/var/lib/events", "no scheme", "postgres://"},
		{"mysql://localhost/db", "unknown scheme", "postgres://"},
		{"MEM:", "unknown scheme", "mem:"},
		{"disk:", "names no directory", "disk:PATH"},
		{"disk://events", "a path follows disk:", "disk:events or disk:/events"},
		{"mem:events", `"events"`, "write mem:"},
		{"mem://", `"//"`, "write mem:"},
		{"file:events", "unknown scheme", "mem:"},
		{"host=localhost password=geheim", "no scheme", "mem:"},
		{"mysql://ann:geheim@localhost/db", "unknown scheme", "mem:"},
		{"postgres:localhost", "is not a URL", "postgres://user@host"},
		{"postgres://ann:ge%zzheim@localhost/db", "special characters", "%40 for @"},
		{"postgres://ann:geheim@localhost:port/db", "special characters", "postgres://user@host"},
		{"postgres://localhost/db?dcb_index=a%zz", "cannot be read", "?name=value"},
		{"postgres://localhost/db?dcb_index=gin&password=geheim", `dcb_index="gin"`, "tags or tsvector"},
		{"postgres://localhost/db?dcb_idx=tags", "dcb_idx is unknown", "dcb_schema and dcb_index"},
		{"postgres://localhost/db?dcb_schema=", "dcb_schema is empty", "leave it out"},
		{"postgres://localhost/db?dcb_schema=a&dcb_schema=b", "dcb_schema is given more than once", ""},
		{"postgres://ann:geheim@localhost/db?sslmode=maybe", "sslmode is invalid", "ann:xxxxx@"},
		{"postgres://localhost/db?sslmode=maybe&password=geheim", "sslmode is invalid", "password=xxxxx"},
		{"postgres://localhost/db?sslmode=maybe&pass%77ord=ge%68eim", "sslmode is invalid", "=xxxxx"},
		{"postgres://localhost/db?connect_timeout=x&sslpassword=geheim", "connect_timeout", "sslpassword=xxxxx"},
	} {
		store, err := stores.Open(t.Context(), c.url)
		if err == nil {
			_ = store.Close()
			t.Errorf("%q was opened", c.url)
			continue
		}
		if !errors.Is(err, stores.ErrURL) {
			t.Errorf("%q: %v; want ErrURL", c.url, err)
		}
		if errorTexts(err, "geheim") {
			t.Errorf("%q: the password shows in %q", c.url, err)
		}
		if text := err.Error(); !strings.Contains(text, c.says) || !strings.Contains(text, c.right) {
			t.Errorf("%q: %q; want it to name %q and %q", c.url, text, c.says, c.right)
		}
	}
}

// errorTexts reports whether word is in the text of err or of any error that it wraps.
func errorTexts(err error, word string) bool {
	if err == nil {
		return false
	}
	if strings.Contains(err.Error(), word) {
		return true
	}
	var several interface{ Unwrap() []error }
	if errors.As(err, &several) {
		return slices.ContainsFunc(several.Unwrap(), func(e error) bool { return errorTexts(e, word) })
	}
	return errorTexts(errors.Unwrap(err), word)
}

func TestPasswordsAreHidden(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"mem:":                                      "mem:",
		"postgres://localhost/db":                   "postgres://localhost/db",
		"postgres://ann@localhost:5432/db?a=b":      "postgres://ann@localhost:5432/db?a=b",
		"postgres://ann:geheim@localhost:5432/db":   "postgres://ann:xxxxx@localhost:5432/db",
		"postgres://:geheim@localhost/db":           "postgres://:xxxxx@localhost/db",
		"postgres://ann:ge@he/im?x:y@localhost/db":  "postgres://ann:xxxxx@localhost/db",
		"postgres://ann:geheim@h1:1,h2:2/db":        "postgres://ann:xxxxx@h1:1,h2:2/db",
		"postgres://h/db?password=geheim":           "postgres://h/db?password=xxxxx",
		"postgres://h/db?user=a&Password=geheim#x":  "postgres://h/db?user=a&Password=xxxxx",
		"postgres://h/db?pass%77ord=geheim&a=b":     "postgres://h/db?pass%77ord=xxxxx&a=b",
		"postgres://h/db?sslpassword=geheim":        "postgres://h/db?sslpassword=xxxxx",
		"postgres:/ann:geheim@h/db":                 "postgres:xxxxx@h/db",
		"ann:geheim@h/db":                           "ann:xxxxx@h/db",
		"host=h password=geheim user=ann":           "host=h password=xxxxx user=ann",
		`host=h password = 'ge \' heim' user=ann`:   "host=h password = xxxxx user=ann",
		`host=h password='geheim without an end`:    "host=h password=xxxxx",
		`host=h sslpassword=ge\ heim PASSWORD=heim`: "host=h sslpassword=xxxxx PASSWORD=xxxxx",
	} {
		if got := stores.Redact(url); got != want {
			t.Errorf("Redact(%q) = %q; want %q", url, got, want)
		}
	}
}

func TestOnlyMemoryForgets(t *testing.T) {
	t.Parallel()
	if stores.Lasts("mem:") || stores.Lasts("") || !stores.Lasts("postgres://localhost/db") || !stores.Lasts(stores.Default) {
		t.Error("a store in PostgreSQL or in a directory lasts, one in memory does not")
	}
}
