// Package pgtest gives tests a PostgreSQL server. It starts one from the installed binaries when a test first asks, on a port of
// 127.0.0.1 and in a directory of its own, and takes both away when the test binary ends, however it ends. Nothing has to be
// set up but the binaries, and no two test binaries share anything.
//
// Most tests share the server of their test binary, each in a schema of its own: [URL]. Tests that stop or kill their
// server have one to themselves: [NewServer]. [PgBouncer] puts a pooler before either.
//
// DCB_TEST_POSTGRES names another server to share, by its URL. Its user must be allowed to create schemas and roles.
package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// serverVariable is the environment variable that names the server to share.
const serverVariable = "DCB_TEST_POSTGRES"

// patience bounds every single wait for a server. It is reached only when something is broken, however busy the machine is with other things.
const patience = 10 * time.Minute

// shared is the server of this test binary, which its tests start by asking for it. Its state cannot belong to a test,
// because it outlives each of them.
var shared struct {
	sync.Mutex
	server *Server
	err    error
}

// Main runs the tests and then stops the server that they shared. It returns the exit code:
//
//	func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }
//
// A test binary without it leaves nothing behind either, but does not wait for its server to be gone.
func Main(m *testing.M) int {
	code := m.Run()
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil {
		return code
	}
	if err := shared.server.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return max(code, 1)
	}
	return code
}

// DSN returns the connection string of the shared server as a superuser, without any parameter that is dcb's own. It ends
// the test if there is no server and none can be started.
func DSN(t testing.TB) string {
	t.Helper()
	if dsn := os.Getenv(serverVariable); dsn != "" {
		if err := checkURL(dsn); err != nil {
			t.Fatalf("pgtest: %s: %v", serverVariable, err)
		}
		return dsn
	}
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil && shared.err == nil {
		shared.server, shared.err = Start(Options{})
	}
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.server.DSN()
}

// URL returns the store URL of a schema of the test's own on the shared server: [DSN] with the parameter dcb_schema. The
// schema does not exist yet, and whatever is in it goes at the end of the test.
func URL(t testing.TB) string {
	t.Helper()
	return InSchema(DSN(t), Schema(t))
}

// Schema returns the name of a schema of the test's own on the shared server. It does not exist yet, and is dropped at
// the end of the test. The name needs no quotes in SQL.
func Schema(t testing.TB) string {
	t.Helper()
	dsn, name := DSN(t), uniqueName(t)
	t.Cleanup(func() {
		Exec(t, dsn, "SET lock_timeout = '5min'", "DROP SCHEMA IF EXISTS "+name+" CASCADE")
	})
	return name
}

// Role creates a role on the server of dsn that may log in and nothing else, and returns its name and the connection string
// that uses it. At the end of the test the role is dropped, with what it owns and what it was granted.
func Role(t testing.TB, dsn string) (name, roleDSN string) {
	t.Helper()
	name = uniqueName(t)
	password := rand.Text()
	Exec(t, dsn, fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s'", name, password))
	t.Cleanup(func() {
		Exec(t, dsn, "DROP OWNED BY "+name+" CASCADE", "DROP ROLE "+name)
	})
	u := parse(dsn)
	u.User = url.UserPassword(name, password)
	return name, u.String()
}

// InSchema returns dsn with the parameter dcb_schema, which makes it the URL of the store in that schema.
func InSchema(dsn, schema string) string {
	u := parse(dsn)
	query := u.Query()
	query.Set("dcb_schema", schema)
	u.RawQuery = query.Encode()
	return u.String()
}

// Exec executes statements one by one on a connection of its own, and ends the test at the first that fails.
func Exec(t testing.TB, dsn string, statements ...string) {
	t.Helper()
	// Not the test's own context: that one has ended when cleanups run.
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	defer conn.Close(ctx)
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			t.Fatalf("pgtest: %s: %v", statement, err)
		}
	}
}

// checkURL refuses PostgreSQL's other form of connection string ("host=… port=…"), which takes no further parameters.
func checkURL(dsn string) error {
	if !strings.HasPrefix(dsn, "postgres://") && !strings.HasPrefix(dsn, "postgresql://") {
		return errors.New("not a URL like postgres://user:password@host:5432/database")
	}
	_, err := pgx.ParseConfig(dsn)
	return err
}

// parse wants a URL that came from DSN, which lets no other through.
func parse(dsn string) *url.URL {
	u, err := url.Parse(dsn)
	if err != nil {
		panic("pgtest: DSN returned something that is not a URL")
	}
	return u
}

// uniqueName returns a name for a schema or a role that shows which test it belongs to, within PostgreSQL's 63 bytes.
func uniqueName(t testing.TB) string {
	readable := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, strings.ToLower(t.Name()))
	return "t_" + readable[:min(len(readable), 32)] + "_" + strings.ToLower(rand.Text()[:13])
}
