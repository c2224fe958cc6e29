// Package stores opens any store from a URL. It is for programs whose user selects the store:
//
//	disk:PATH                           in a directory, which is created if it is missing
//	mem:                                in memory, lost at the end of the process
//	postgres://user@host:5432/database  in PostgreSQL
//	dcb://host:7322                     on a server (dcbstore serve), by dcb's own protocol
//	dcb+unix:///PATH                    the same, through a UNIX socket
//	dcb+umadb://host:50051              on a server that speaks UmaDB's protocol: dcb's, or UmaDB's own
//
// A PostgreSQL URL has the form of pgx and libpq, with two more parameters: dcb_schema=NAME is the
// schema of the events (default dcb). dcb_index=tags or dcb_index=tsvector selects the index (default:
// the index of the schema, and tags for a new one).
//
// A server's URL may have a key, as dcb://:KEY@host; without one the environment variable DCB_KEY is used. White space around a key
// is removed. The parameter tls=on encrypts the connection, ca=FILE trusts the certificates in FILE instead of the system's, and
// cert=FILE and certkey=FILE are the client's own certificate. dcb:// takes several hosts, as dcb://a,b,c: when one cannot be
// reached, the next one is used.
//
// Errors of this package contain no password. Use [Redact] before you print a URL.
package stores

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/memstore"
)

// Default is the URL that [FromEnv] opens if the environment has none.
const Default = "disk:dcb-data"

// Variable is the environment variable with the URL of the store.
const Variable = "DCB_STORE"

// ErrURL reports an invalid URL of a store. The text describes the fault and the valid form.
var ErrURL = errors.New("stores: wrong URL")

// Store is a [dcb.Store] that its owner must close.
type Store interface {
	dcb.Store
	io.Closer
}

// scheme is a kind of store, and the form of its URLs in hints.
type scheme struct {
	name, form string
	open       func(ctx context.Context, url string) (Store, error)
}

func schemes() []scheme {
	return []scheme{
		{"disk", "disk:PATH", openDisk},
		{"mem", "mem:", openMemory},
		{"dcb", "dcb://host:7322", openServer},
		{"dcb+unix", "dcb+unix:///PATH", openUNIX},
		{"dcb+umadb", "dcb+umadb://host:50051", openUmaDB},
		{"postgres", "postgres://user@host:5432/database", openPostgres},
		{"postgresql", "", openPostgres}, // the same, by its other name
	}
}

// FromEnv opens the store that DCB_STORE names, and [Default] if it is unset or empty.
func FromEnv(ctx context.Context) (Store, error) {
	url := os.Getenv(Variable)
	if url == "" {
		url = Default
	}
	return Open(ctx, url)
}

// Open opens the store that url names, and creates a missing directory or schema. Errors: [ErrURL] if
// url is invalid, and errors of the store, for example dcb.ErrUnavailable.
func Open(ctx context.Context, url string) (Store, error) {
	if url == "" {
		return nil, wrong("it is empty; %s", hint())
	}
	name, _, found := strings.Cut(url, ":")
	if !found {
		return nil, wrong("%q has no scheme; %s", Redact(url), hint())
	}
	for _, s := range schemes() {
		if s.name == name {
			return s.open(ctx, url)
		}
	}
	return nil, wrong("%q has an unknown scheme; %s", Redact(url), hint())
}

// Lasts reports whether the events of the store survive the end of the process.
func Lasts(url string) bool { return url != "" && !strings.HasPrefix(url, "mem:") }

func openMemory(_ context.Context, url string) (Store, error) {
	if rest := strings.TrimPrefix(url, "mem:"); rest != "" {
		return nil, wrong("a store in memory has no name or parameters, but there is %q after mem:; write mem:", Redact(rest))
	}
	return memstore.New(nil), nil
}

func hint() string {
	var forms []string
	for _, s := range schemes() {
		if s.form != "" {
			forms = append(forms, s.form)
		}
	}
	return "a store is named as " + strings.Join(forms, " or ")
}

func wrong(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrURL, fmt.Sprintf(format, args...))
}
