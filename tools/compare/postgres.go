package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/dcbstore/dcb/internal/pgtest"
)

// withPostgres calls f with a new server, and removes the server afterwards.
func withPostgres(f func(server *pgtest.Server) error) (err error) {
	server, err := pgtest.Start(pgtest.Options{Fsync: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	return f(server)
}

// storeURL returns the URL of a store in that schema of the server.
func storeURL(server *pgtest.Server, schema, index string) string {
	return fmt.Sprintf("%s&dcb_schema=%s&dcb_index=%s", server.DSN(), schema, index)
}

// compareAppends compares a conditional append with the least work that a database can do for it:
// a prepared insert of one row.
func compareAppends(ctx context.Context, c *config) error {
	printHeader("Conditional appends of one 256-byte event, against pgbench's prepared insert of one such row, on the same server")
	return withPostgres(func(server *pgtest.Server) error {
		insert, err := newInsert(ctx, server)
		if err != nil {
			return err
		}
		defer os.Remove(insert.script)
		appends := func(name string, clients int) side {
			return side{name, func(ctx context.Context) (sample, error) {
				return c.onStore(ctx, storeURL(server, "dcb", "tags"), workload{name: "append", clients: clients})
			}}
		}
		for _, clients := range []int{1, 8, 64} {
			theirs := side{"pgbench", func(ctx context.Context) (sample, error) { return insert.measure(ctx, clients, c.seconds) }}
			if err := c.compare(ctx, plural(clients), appends("pgstore tags", clients), theirs); err != nil {
				return err
			}
		}
		return c.compare(ctx, "pgstore tags", appends("64 clients", 64), appends("1 client", 1))
	})
}

// insert is pgbench with a script of one statement.
type insert struct {
	server *pgtest.Server
	script string
}

func newInsert(ctx context.Context, server *pgtest.Server) (*insert, error) {
	if err := execute(ctx, server, "CREATE TABLE rows (id bigserial PRIMARY KEY, data bytea NOT NULL)"); err != nil {
		return nil, err
	}
	file, err := os.CreateTemp("", "insert-*.sql")
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(file, "INSERT INTO rows (data) VALUES ('\\x%s');\n", strings.Repeat("07", eventBytes))
	return &insert{server, file.Name()}, errors.Join(err, file.Close())
}

var transactionsPerSecond = regexp.MustCompile(`tps = ([0-9.]+)`)

func (i *insert) measure(ctx context.Context, clients, seconds int) (sample, error) {
	at, err := url.Parse(i.server.DSN())
	if err != nil {
		return sample{}, err
	}
	out, err := output(exec.CommandContext(ctx, i.server.Binary("pgbench"), "-n", "-M", "prepared",
		"-h", at.Hostname(), "-p", at.Port(), "-U", at.User.Username(),
		"-c", strconv.Itoa(clients), "-j", strconv.Itoa(min(clients, 2)), "-T", strconv.Itoa(seconds), "-f", i.script, "postgres"))
	if err != nil {
		return sample{}, err
	}
	match := transactionsPerSecond.FindSubmatch(out)
	if match == nil {
		return sample{}, fmt.Errorf("pgbench printed no tps: %s", out)
	}
	perSecond, err := strconv.ParseFloat(string(match[1]), 64)
	return sample{perSecond: perSecond}, err
}

// compareSpeedruns compares the speedrun on pgstore with the tag table of the Python library.
func compareSpeedruns(ctx context.Context, c *config) error {
	if c.python == "" || c.speedrun == "" {
		fmt.Fprintln(os.Stderr, "compare: the speedrun of the Python library is omitted, because -python or -speedrun is missing")
		return nil
	}
	printHeader("The speedrun on an empty store, against the Python library's tag-table recorder, on the same server")
	return withPostgres(func(server *pgtest.Server) error {
		schemas := 0
		for _, clients := range []int{1, 8} {
			ours := side{"pgstore tags", func(ctx context.Context) (sample, error) {
				schemas++
				return c.onStore(ctx, storeURL(server, fmt.Sprintf("dcb_%d", schemas), "tags"), workload{name: "speedrun", clients: clients})
			}}
			theirs := side{"eventsourcing", func(ctx context.Context) (sample, error) { return c.recorder(ctx, server, clients) }}
			if err := c.compare(ctx, plural(clients), ours, theirs); err != nil {
				return err
			}
		}
		return nil
	})
}

// recorder measures the Python library in a new database.
func (c *config) recorder(ctx context.Context, server *pgtest.Server, clients int) (sample, error) {
	if err := execute(ctx, server, "DROP DATABASE IF EXISTS recorder", "CREATE DATABASE recorder"); err != nil {
		return sample{}, err
	}
	at, err := url.Parse(server.DSN())
	if err != nil {
		return sample{}, err
	}
	python, err := filepath.Abs(c.python)
	if err != nil {
		return sample{}, err
	}
	cmd := exec.CommandContext(ctx, python, c.speedrun, "postgres",
		"--seconds", strconv.Itoa(c.seconds), "--clients", strconv.Itoa(clients))
	cmd.Env = append(os.Environ(), "PGHOST="+at.Hostname(), "PGPORT="+at.Port(), "PGUSER="+at.User.Username(),
		"PGPASSWORD=none", "PGDATABASE=recorder")
	report, err := c.figures(cmd)
	return sample{perSecond: report.OpsPerSecond}, err
}

// compareVolumes compares the two indexes of pgstore while the store grows, and then a large
// store with an empty one.
func compareVolumes(ctx context.Context, c *config) error {
	printHeader("The speedrun with one client while the store grows, with both indexes, on the same server")
	return withPostgres(func(server *pgtest.Server) error {
		on := func(name, schema, index string, events int) side {
			return side{name, func(ctx context.Context) (sample, error) {
				return c.onStore(ctx, storeURL(server, schema, index), workload{name: "speedrun", clients: 1, events: events})
			}}
		}
		for _, events := range []int{0, c.events / 10, c.events / 4, c.events / 2, c.events} {
			err := c.compare(ctx, fmt.Sprintf("%d events", events),
				on("tags", "grows_tags", "tags", events), on("tsvector", "grows_tsvector", "tsvector", events))
			if err != nil {
				return err
			}
		}
		// The seed's design has PostgreSQL's default: new entries wait in a list that every read scans.
		if err := execute(ctx, server, "ALTER INDEX grows_tsvector.events_terms SET (fastupdate = on)"); err != nil {
			return err
		}
		tags := on("tags", "grows_tags", "tags", c.events)
		seed := on("tsvector with fastupdate", "grows_tsvector", "tsvector", c.events+c.events/20)
		if err := c.compare(ctx, fmt.Sprintf("%d events", c.events), tags, seed); err != nil {
			return err
		}
		schemas := 0
		empty := side{"tags, empty", func(ctx context.Context) (sample, error) {
			schemas++
			return c.onStore(ctx, storeURL(server, fmt.Sprintf("empty_%d", schemas), "tags"), workload{name: "speedrun", clients: 1})
		}}
		return c.compare(ctx, fmt.Sprintf("%d events, none", c.events), tags, empty)
	})
}

func execute(ctx context.Context, server *pgtest.Server, statements ...string) error {
	conn, err := pgx.Connect(ctx, server.DSN())
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}
