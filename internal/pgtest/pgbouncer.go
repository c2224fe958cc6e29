package pgtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// PgBouncer starts a PgBouncer in transaction mode before the server of dsn, until the end of the test, and returns the
// connection string that leads through it. Whoever connects is dsn's user behind it. Its pool is smaller than what tests
// open, so that consecutive transactions of a client do get different sessions.
func PgBouncer(t testing.TB, dsn string) string {
	t.Helper()
	binary, err := findPgBouncer()
	if err != nil {
		t.Fatal(err)
	}
	box, err := newSandbox()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(box.stop(quitSignal), box.close()); err != nil {
			t.Error(err)
		}
	})
	url, err := startPgBouncer(box, binary, dsn)
	if err != nil {
		t.Fatalf("pgtest: start pgbouncer: %v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("PgBouncer's log ends with:\n%s", box.logTail())
		}
	})
	return url
}

// findPgBouncer looks in PATH, and where Debian puts it, which is not in everyone's PATH.
func findPgBouncer() (string, error) {
	for _, name := range []string{"pgbouncer", "/usr/sbin/pgbouncer"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("pgtest: no pgbouncer is installed here\nhint: apt-get install pgbouncer")
}

func startPgBouncer(box *sandbox, binary, dsn string) (string, error) {
	server, err := pgx.ParseConfig(dsn)
	if err != nil {
		return "", err
	}
	port, err := freePort()
	if err != nil {
		return "", err
	}
	config := filepath.Join(box.dir, "pgbouncer.ini")
	if err := os.WriteFile(config, []byte(pgBouncerConfig(server, port)), 0o600); err != nil {
		return "", err
	}
	if err := own(config, box.identity); err != nil {
		return "", err
	}
	if err := box.start(binary, config); err != nil {
		return "", err
	}
	u := parse(dsn)
	u.Host = "127.0.0.1:" + strconv.Itoa(port)
	query := u.Query()
	query.Set("sslmode", "disable")
	u.RawQuery = query.Encode()
	return u.String(), box.awaitAnswer(u.String())
}

// pgBouncerConfig leaves at its default what it need not set: that is what the store will meet.
func pgBouncerConfig(server *pgx.ConnConfig, port int) string {
	quote := func(value string) string { return "'" + strings.ReplaceAll(value, "'", "''") + "'" }
	password := ""
	if server.Password != "" { // an empty one is a syntax error
		password = " password=" + quote(server.Password)
	}
	return fmt.Sprintf(`[databases]
* = host=%s port=%d user=%s%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 8
max_client_conn = 500
`, quote(server.Host), server.Port, quote(server.User), password, port)
}
