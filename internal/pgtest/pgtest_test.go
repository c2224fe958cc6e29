package pgtest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func query[T any](t *testing.T, dsn, sql string, args ...any) T {
	t.Helper()
	var value T
	if err := connect(t, dsn).QueryRow(t.Context(), sql, args...).Scan(&value); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return value
}

func TestTestsOnTheSharedServerDoNotSeeEachOther(t *testing.T) {
	t.Parallel()
	dsn := DSN(t)
	var names []string
	for _, name := range []string{"one", "another"} {
		t.Run(name, func(t *testing.T) {
			u, err := url.Parse(URL(t))
			if err != nil {
				t.Fatal(err)
			}
			schema := u.Query().Get("dcb_schema")
			names = append(names, schema)
			if query[bool](t, dsn, "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", schema) {
				t.Fatalf("schema %s exists before the test made it", schema)
			}
			Exec(t, dsn, "CREATE SCHEMA "+schema, "CREATE TABLE "+schema+".events ()")
		})
	}
	if names[0] == names[1] {
		t.Errorf("both tests have schema %s", names[0])
	}
	if left := query[int](t, dsn, "SELECT count(*) FROM pg_namespace WHERE nspname = ANY ($1)", names); left != 0 {
		t.Errorf("%d schemas are left after their tests", left)
	}
}

func TestARoleMayNothingThatItWasNotGranted(t *testing.T) {
	t.Parallel()
	dsn, schema := DSN(t), Schema(t)
	var name string
	t.Run("role", func(t *testing.T) {
		var roleDSN string
		name, roleDSN = Role(t, dsn)
		Exec(t, dsn, "CREATE SCHEMA "+schema, "GRANT USAGE ON SCHEMA "+schema+" TO "+name)
		if got := query[string](t, roleDSN, "SELECT current_user::text"); got != name {
			t.Errorf("the role's connection string connects as %s, want %s", got, name)
		}
		_, err := connect(t, roleDSN).Exec(t.Context(), "CREATE TABLE "+schema+".events ()")
		if err == nil {
			t.Error("a role without the grant created a table")
		}
	})
	if query[bool](t, dsn, "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", name) {
		t.Errorf("role %s is left after its test", name)
	}
}

func TestTheSharedServerTakesManyConnections(t *testing.T) {
	t.Parallel()
	if got := query[int](t, DSN(t), "SELECT setting::int FROM pg_settings WHERE name = 'max_connections'"); got < 200 {
		t.Errorf("max_connections is %d, want at least 200", got)
	}
}

func TestWhatWasCommittedSurvives(t *testing.T) {
	t.Parallel()
	ends := map[string]func(*Server) error{
		"a stop":              func(s *Server) error { return s.Stop(Graceful) },
		"an immediate stop":   func(s *Server) error { return s.Stop(Immediate) },
		"a kill":              (*Server).Kill,
		"a kill of the dead":  func(s *Server) error { return errors.Join(s.Kill(), s.Kill(), s.Stop(Immediate)) },
		"nothing but restart": func(*Server) error { return nil },
	}
	for _, fsync := range []bool{false, true} {
		t.Run(fmt.Sprintf("fsync=%t", fsync), func(t *testing.T) {
			t.Parallel()
			s := NewServer(t, Options{Fsync: fsync, Settings: map[string]string{"work_mem": "3MB"}})
			dsn := s.DSN()
			Exec(t, dsn, "CREATE TABLE kept (name text)")
			if got := query[bool](t, dsn, "SELECT setting::bool FROM pg_settings WHERE name = 'fsync'"); got != fsync {
				t.Errorf("fsync is %t, want %t", got, fsync)
			}
			if got := query[string](t, dsn, "SHOW work_mem"); got != "3MB" {
				t.Errorf("work_mem is %s, want the setting that was asked for", got)
			}
			kept := 0
			for name, end := range ends {
				session := connect(t, dsn)
				if _, err := session.Exec(t.Context(), "INSERT INTO kept VALUES ($1)", name); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				kept++
				if err := errors.Join(end(s), s.Restart()); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if s.DSN() != dsn {
					t.Errorf("%s: the server came back at %s, want %s", name, s.DSN(), dsn)
				}
				if _, err := session.Exec(t.Context(), "SELECT 1"); err == nil {
					t.Errorf("%s: a session lives on", name)
				}
				if got := query[int](t, dsn, "SELECT count(*) FROM kept"); got != kept {
					t.Errorf("after %s %d rows are there, want %d", name, got, kept)
				}
			}
		})
	}
}

func TestAServerThatDoesNotStartSaysWhy(t *testing.T) {
	t.Parallel()
	_, err := Start(Options{Settings: map[string]string{"no_such_setting": "1"}})
	if err == nil || !strings.Contains(err.Error(), "no_such_setting") {
		t.Errorf("got error %v, want one that quotes the server's log", err)
	}
}

func TestNothingIsLeftOfAServer(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*Server) error{
		"running": func(*Server) error { return nil },
		"stopped": func(s *Server) error { return s.Stop(Graceful) },
		"killed":  (*Server).Kill,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := Start(Options{})
			if err != nil {
				t.Fatal(err)
			}
			pid := s.box.server.Process.Pid
			family, err := children(pid)
			if err != nil {
				t.Fatal(err)
			}
			if len(family) < 3 {
				t.Errorf("the server has %d children, which cannot be all", len(family))
			}
			if err := errors.Join(end(s), s.Close()); err != nil {
				t.Fatal(err)
			}
			for _, member := range append(family, pid) {
				if alive(member) {
					t.Errorf("process %d is left", member)
				}
			}
			if _, err := os.Stat(s.box.dir); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the directory is left: %v", err)
			}
		})
	}
}

// roomForOrphan is set in the process that TestNothingIsLeftOfAKilledTestBinary kills.
const roomForOrphan = "DCB_PGTEST_ORPHAN"

func TestNothingIsLeftOfAKilledTestBinary(t *testing.T) {
	if os.Getenv(roomForOrphan) != "" {
		fmt.Printf("server %s %s\n", DSN(t), shared.server.box.dir)
		select {}
	}
	t.Parallel()
	orphan := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	orphan.Env = append(os.Environ(), roomForOrphan+"=1", serverVariable+"=")
	output, err := orphan.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := orphan.Start(); err != nil {
		t.Fatal(err)
	}
	var dsn, dir string
	for lines := bufio.NewScanner(output); dir == "" && lines.Scan(); {
		_, _ = fmt.Sscanf(lines.Text(), "server %s %s", &dsn, &dir) // the framework prints lines of its own
	}
	session := connect(t, dsn)
	if err := orphan.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := session.WaitForNotification(ctx); ctx.Err() != nil {
		t.Errorf("the server is still there: %v", err)
	}
	for _, err := os.Stat(dir); err == nil; _, err = os.Stat(dir) {
		if ctx.Err() != nil {
			t.Fatalf("the directory %s is still there", dir)
		}
		time.Sleep(10 * time.Millisecond) // another process removes it, and tells nobody
	}
	_ = orphan.Wait()
}

func TestPgBouncerGivesEachTransactionASession(t *testing.T) {
	t.Parallel()
	pooled := PgBouncer(t, DSN(t))
	// Each client stays connected, and there are more of them than the pool has sessions.
	sessions := make(map[int]bool)
	for range 20 {
		conn := connect(t, pooled+"&default_query_exec_mode=simple_protocol")
		var pid int
		if err := conn.QueryRow(t.Context(), "SELECT pg_backend_pid()").Scan(&pid); err != nil {
			t.Fatal(err)
		}
		sessions[pid] = true
	}
	if len(sessions) > 8 {
		t.Errorf("20 clients used %d sessions, want at most the 8 of the pool", len(sessions))
	}
}

func TestWithoutBinariesTheUserLearnsWhatToDo(t *testing.T) {
	t.Parallel()
	_, err := findBinaries(t.TempDir(), nil)
	if err == nil {
		t.Fatal("binaries were found in an empty directory")
	}
	for _, want := range []string{"apt-get install postgresql", serverVariable} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not mention %s: %v", want, err)
		}
	}
}

func TestTheUsersBinariesGoBeforeTheNewest(t *testing.T) {
	t.Parallel()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"9.6", "13", "16"} {
		bin := filepath.Join(root, version, "bin")
		if err := os.MkdirAll(bin, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"initdb", "postgres"} {
			if err := os.WriteFile(filepath.Join(bin, name), nil, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	patterns := []string{filepath.Join(root, "*", "bin")}
	for path, want := range map[string]string{
		t.TempDir():                      "16",
		filepath.Join(root, "13", "bin"): "13",
	} {
		got, err := findBinaries(path, patterns)
		if err != nil {
			t.Fatal(err)
		}
		if want = filepath.Join(root, want, "bin"); got != want {
			t.Errorf("with PATH=%s: got %s, want %s", path, got, want)
		}
	}
}

func TestASharedServerMustBeNamedByAURL(t *testing.T) {
	t.Parallel()
	for dsn, valid := range map[string]bool{
		"postgres://ann:secret@db.example:5432/test?sslmode=require": true,
		"postgresql://db.example/test":                               true,
		"host=db.example port=5432":                                  false,
		"postgres://db.example:port/test":                            false,
	} {
		if err := checkURL(dsn); (err == nil) != valid {
			t.Errorf("%s: got error %v", dsn, err)
		}
	}
}
