package main

import (
	"bytes"
	"context"
	"encoding/json"
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

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/cmd/dcbstore/internal/bench"
	"github.com/dcbstore/dcb/internal/pgtest"
	"github.com/dcbstore/dcb/memstore"
	"github.com/dcbstore/dcb/pgstore"
)

const eventBytes = 256

// onPostgres runs a comparison on a server of its own.
func onPostgres(compare func(server *pgtest.Server) error) (err error) {
	server, err := pgtest.Start(pgtest.Options{Fsync: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	return compare(server)
}

// compareAppends: a conditional append against the least that a database can do, a prepared insert of one row.
func compareAppends(ctx context.Context, c *config) error {
	header("Conditional appends of one 256-byte event, against pgbench's prepared insert of one such row, on the same server")
	return onPostgres(func(server *pgtest.Server) error {
		store, err := pgstore.Open(ctx, server.DSN(), nil)
		if err != nil {
			return err
		}
		defer store.Close()
		insert, err := newInsert(ctx, server)
		if err != nil {
			return err
		}
		defer os.Remove(insert.script)
		for _, clients := range []int{1, 8, 64} {
			ours := side{"pgstore tags", func(ctx context.Context) (float64, error) {
				return c.workload(ctx, store, "append", clients, 0)
			}}
			theirs := side{"pgbench", func(ctx context.Context) (float64, error) { return insert.measure(ctx, clients, c.seconds) }}
			if err := c.inTurns(ctx, plural(clients), ours, theirs); err != nil {
				return err
			}
		}
		many := side{"64 clients", func(ctx context.Context) (float64, error) { return c.workload(ctx, store, "append", 64, 0) }}
		one := side{"1 client", func(ctx context.Context) (float64, error) { return c.workload(ctx, store, "append", 1, 0) }}
		return c.inTurns(ctx, "pgstore tags", many, one)
	})
}

func plural(clients int) string {
	if clients == 1 {
		return "1 client"
	}
	return fmt.Sprintf("%d clients", clients)
}

// workload measures one of bench's.
func (c *config) workload(ctx context.Context, store dcb.Store, workload string, clients, events int) (float64, error) {
	settings := bench.Settings{
		Workload: workload, Clients: clients, Batch: 1, Size: eventBytes, Duration: c.duration(), Events: events,
		Filling: func(events, wanted uint64) { fmt.Fprintf(os.Stderr, "\rfilling: %d of %d events ", events, wanted) },
	}
	if workload == "speedrun" {
		result, err := settings.RunSpeedrun(ctx, store, func(uint64) {})
		return result.OpsPerSecond, err
	}
	result, err := settings.Run(ctx, store)
	return result.OpsPerSecond, err
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

func (i *insert) measure(ctx context.Context, clients, seconds int) (float64, error) {
	program := i.server.Binary("pgbench")
	at, err := url.Parse(i.server.DSN())
	if err != nil {
		return 0, err
	}
	out, err := output(exec.CommandContext(ctx, program, "-n", "-M", "prepared", "-h", at.Hostname(), "-p", at.Port(), "-U", at.User.Username(),
		"-c", strconv.Itoa(clients), "-j", strconv.Itoa(min(clients, 2)), "-T", strconv.Itoa(seconds), "-f", i.script, "postgres"))
	if err != nil {
		return 0, err
	}
	match := transactionsPerSecond.FindSubmatch(out)
	if match == nil {
		return 0, fmt.Errorf("pgbench printed no tps: %s", out)
	}
	return strconv.ParseFloat(string(match[1]), 64)
}

// compareSpeedruns: the whole decision, on our store and on the Python library's tag table.
func compareSpeedruns(ctx context.Context, c *config) error {
	if c.python == "" || c.speedrun == "" {
		fmt.Println("\nThe speedrun on the Python recorder was left out: -python and -speedrun say where it is.")
		return nil
	}
	header("The speedrun on an empty store, against the Python library's tag-table recorder, on the same server")
	return onPostgres(func(server *pgtest.Server) error {
		for _, clients := range []int{1, 8} {
			round := 0
			ours := side{"pgstore tags", func(ctx context.Context) (float64, error) {
				round++
				return c.onSchema(ctx, server, fmt.Sprintf("dcb_%d_%d", clients, round), pgstore.Tags, clients, 0)
			}}
			theirs := side{"eventsourcing", func(ctx context.Context) (float64, error) { return c.recorder(ctx, server, clients) }}
			if err := c.inTurns(ctx, plural(clients), ours, theirs); err != nil {
				return err
			}
		}
		return nil
	})
}

// onSchema measures the speedrun on a schema that has at least so many events.
func (c *config) onSchema(ctx context.Context, server *pgtest.Server, schema string, index pgstore.Index, clients, events int) (float64, error) {
	store, err := pgstore.Open(ctx, server.DSN(), &pgstore.Options{Schema: schema, Index: index})
	if err != nil {
		return 0, err
	}
	defer store.Close()
	return c.workload(ctx, store, "speedrun", clients, events)
}

// recorder measures the Python library's, in a database that has no events yet.
func (c *config) recorder(ctx context.Context, server *pgtest.Server, clients int) (float64, error) {
	err := execute(ctx, server, "DROP DATABASE IF EXISTS recorder", "CREATE DATABASE recorder")
	if err != nil {
		return 0, err
	}
	at, err := url.Parse(server.DSN())
	if err != nil {
		return 0, err
	}
	python, err := filepath.Abs(c.python)
	if err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, python, c.speedrun, "postgres", "--seconds", strconv.Itoa(c.seconds), "--clients", strconv.Itoa(clients))
	cmd.Env = append(os.Environ(), "PGHOST="+at.Hostname(), "PGPORT="+at.Port(), "PGUSER="+at.User.Username(), "PGPASSWORD=none", "PGDATABASE=recorder")
	out, err := output(cmd)
	if err != nil {
		return 0, err
	}
	var result struct {
		OpsPerSecond float64 `json:"ops_per_second"`
	}
	err = json.Unmarshal(bytes.TrimSpace(out), &result)
	return result.OpsPerSecond, err
}

// compareVolumes: both strategies while the store grows, and then the default on many events against the same on none.
func compareVolumes(ctx context.Context, c *config) error {
	header("The speedrun with one client while the store grows, with both strategies, on the same server")
	return onPostgres(func(server *pgtest.Server) error {
		at := func(schema string, index pgstore.Index, events int) side {
			return side{string(index), func(ctx context.Context) (float64, error) {
				return c.onSchema(ctx, server, schema, index, 1, events)
			}}
		}
		for _, events := range []int{0, c.events / 10, c.events / 4, c.events / 2, c.events} {
			what := fmt.Sprintf("%d events", events)
			if err := c.inTurns(ctx, what, at("grows_tags", pgstore.Tags, events), at("grows_tsvector", pgstore.TSVector, events)); err != nil {
				return err
			}
		}
		// The first published design had the index as PostgreSQL makes it, where what was recorded last is in a list that every read goes through.
		if err := execute(ctx, server, "ALTER INDEX grows_tsvector.events_terms SET (fastupdate = on)"); err != nil {
			return err
		}
		seed := at("grows_tsvector", pgstore.TSVector, c.events+c.events/20)
		seed.name = "tsvector with fastupdate"
		if err := c.inTurns(ctx, fmt.Sprintf("%d events", c.events), at("grows_tags", pgstore.Tags, c.events), seed); err != nil {
			return err
		}
		round := 0
		empty := side{"tags, empty", func(ctx context.Context) (float64, error) {
			round++
			return c.onSchema(ctx, server, fmt.Sprintf("empty_%d", round), pgstore.Tags, 1, 0)
		}}
		return c.inTurns(ctx, fmt.Sprintf("%d events, none", c.events), at("grows_tags", pgstore.Tags, c.events), empty)
	})
}

// compareMemory: the same in memory.
func compareMemory(ctx context.Context, c *config) error {
	header(fmt.Sprintf("The speedrun with one client in memory, on a store of %d events against an empty one", c.memory))
	filled := memstore.New(nil)
	large := side{"memstore, large", func(ctx context.Context) (float64, error) { return c.workload(ctx, filled, "speedrun", 1, c.memory) }}
	empty := side{"memstore, empty", func(ctx context.Context) (float64, error) {
		return c.workload(ctx, memstore.New(nil), "speedrun", 1, 0)
	}}
	return c.inTurns(ctx, "large, empty", large, empty)
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

// output returns what cmd prints, and where that fails what it complains of.
func output(cmd *exec.Cmd) ([]byte, error) {
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", filepath.Base(cmd.Path), err, complaint.Bytes())
	}
	return out, nil
}
