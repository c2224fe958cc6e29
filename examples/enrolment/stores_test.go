package enrolment_test

import (
	"os"
	"testing"

	"github.com/dcbstore/dcb/internal/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// storeURLs name a new store of each kind and strategy.
var storeURLs = map[string]func(t *testing.T) string{
	"memory":              func(*testing.T) string { return "mem:" },
	"PostgreSQL tags":     func(t *testing.T) string { return pgtest.URL(t) + "&dcb_index=tags" },
	"PostgreSQL tsvector": func(t *testing.T) string { return pgtest.URL(t) + "&dcb_index=tsvector" },
}
