// Package stores opens any store from a URL. It is the room that joins the others, for programs whose user says where the
// events are:
//
//	disk:PATH                           in a directory, which is made if it is missing
//	mem:                                in memory, forgotten with the process
//	postgres://user@host:5432/database  in PostgreSQL
//	dcb://host:7322                     on a server (dcbstore serve), by dcb's own protocol
//	dcb+unix:///PATH                    the same, through a UNIX socket
//	dcb+umadb://host:50051              on a server that speaks UmaDB's protocol: dcb's, or UmaDB's own
//
// A PostgreSQL URL is whatever pgx and libpq understand, and may name two things more: dcb_schema=NAME, the schema that
// the events are in (default dcb), and dcb_index=tags or dcb_index=tsvector, how they are indexed (default: as the
// schema is already, tags for a new one).
//
// A server's URL may have a key, as dcb://:KEY@host; without one the environment variable DCB_KEY is used. White space around a key
// is removed. The parameter tls=on encrypts the connection, ca=FILE trusts the certificates in FILE instead of the system's, and
// cert=FILE and certkey=FILE are the client's own certificate. dcb:// takes several hosts, as dcb://a,b,c: when one cannot be
// reached, the next one is used.
//
// No password ever shows in an error of this package; [Redact] is for those who print a URL themselves.
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

// Default is the URL of the store that is opened where none is named.
const Default = "disk:dcb-data"

// Variable is the environment variable that names the store.
const Variable = "DCB_STORE"

// ErrURL: a URL that names no store. The error's text says what is wrong with it and what would be right.
var ErrURL = errors.New("stores: wrong URL")

// Store is a dcb.Store that its owner closes when done.
type Store interface {
	dcb.Store
	io.Closer
}

// scheme is one way of keeping events, and the form that its URLs are advised in.
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

// Open opens the store that url names, creating what it needs where that is missing. Errors: [ErrURL] if url is wrong, and
// what the store says: ErrUnavailable if, for example, the database cannot be reached.
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

// Lasts reports whether what is recorded in the store that url names is still there when the process has ended.
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
