// Command compare measures dcb and its peers on this machine, in one run and in turns. It prints
// Markdown tables; docs/benchmarks.md quotes them.
//
//	cd tools/compare
//	go run . -peers PEERS                                            # everything (an hour)
//	go run . -only servers -peers PEERS -seconds 2                   # only the servers
//	go run . -only append,speedrun -python PYTHON -speedrun SCRIPT   # two comparisons in PostgreSQL
//
// It builds the command dcbstore and measures with it, so that a comparison of stores is one of
// whole processes. Start reading at config.inTurns, which measures one row of a table, and at
// servers.go.
//
// It starts the servers that it measures on free ports, in directories below -dir. PostgreSQL
// comes from the installed binaries, with fsync and its default settings.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
)

// comparison prints one table or several.
type comparison struct {
	name string
	run  func(ctx context.Context, c *config) error
}

var comparisons = []comparison{
	{"append", compareAppends},
	{"speedrun", compareSpeedruns},
	{"volume", compareVolumes},
	{"memstore", compareMemory},
	{"disk", compareDisk},
	{"diskvolume", compareDiskVolume},
	{"servers", compareServers},
}

// config holds the flags, and the command that compare builds.
type config struct {
	seconds  int    // of each measurement
	rounds   int    // measurements of each side; the median counts
	events   int    // in the large PostgreSQL stores
	memory   int    // events in the large stores in memory and in a directory
	served   int    // events in the large stores of servers
	dir      string // for new directories; empty means the temporary directory
	tephra   string // a script that measures Tephra embedded
	peers    string // the directory with the peers' servers
	sides    string // the servers to measure; empty means all
	python   string // an interpreter with the library eventsourcing
	speedrun string // the script that drives that library

	dcbstore string // the command, built from this checkout
}

func main() {
	var c config
	names := strings.Join(comparisonNames(), ", ")
	only := flag.String("only", "", "make only these `comparisons`: "+names)
	flag.IntVar(&c.seconds, "seconds", 5, "duration of each measurement")
	flag.IntVar(&c.rounds, "rounds", 3, "measurements of each side; the median counts")
	flag.IntVar(&c.events, "events", 2_000_000, "events in the large PostgreSQL stores")
	flag.IntVar(&c.memory, "memory", 5_000_000, "events in the large stores in memory and in a directory")
	flag.IntVar(&c.served, "served", 1_000_000, "events in the large stores of servers")
	flag.StringVar(&c.dir, "dir", "", "make stores in this `directory`, on the disk to be measured (default: the temporary directory)")
	flag.StringVar(&c.tephra, "tephra", "", "a `script` that measures Tephra embedded: its arguments are writers, seconds and a directory, "+
		"and its last line is the appends per second")
	flag.StringVar(&c.peers, "peers", "", "the `directory` with the peers' servers in bin")
	flag.StringVar(&c.sides, "sides", "", "measure only these `servers`: "+strings.Join(serverNames, ", "))
	flag.StringVar(&c.python, "python", "", "a Python `interpreter` with eventsourcing and psycopg")
	flag.StringVar(&c.speedrun, "speedrun", "", "the `script` that runs the speedrun with that library")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, &c, *only); err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

func comparisonNames() []string {
	var names []string
	for _, c := range comparisons {
		names = append(names, c.name)
	}
	return names
}

func run(ctx context.Context, c *config, only string) (err error) {
	wanted, err := subset("-only", only, comparisonNames())
	if err != nil {
		return err
	}
	remove, err := c.build(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	for _, comparison := range comparisons {
		if !slices.Contains(wanted, comparison.name) {
			continue
		}
		if err := comparison.run(ctx, c); err != nil {
			return fmt.Errorf("%s: %w", comparison.name, err)
		}
	}
	return nil
}

// subset parses a list of names that are separated by commas. The empty list means all names.
func subset(flagName, list string, names []string) ([]string, error) {
	if list == "" {
		return names, nil
	}
	chosen := strings.Split(list, ",")
	for _, name := range chosen {
		if !slices.Contains(names, name) {
			return nil, fmt.Errorf("%s has %q; want %s", flagName, name, strings.Join(names, ", "))
		}
	}
	return chosen, nil
}

// build compiles the command dcbstore of this checkout into a temporary directory.
func (c *config) build(ctx context.Context) (remove func() error, err error) {
	root, err := output(exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/dcbstore/dcb"))
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "compare-bin-")
	if err != nil {
		return nil, err
	}
	remove = func() error { return os.RemoveAll(dir) }
	c.dcbstore = filepath.Join(dir, "dcbstore")
	build := exec.CommandContext(ctx, "go", "build", "-o", c.dcbstore, "./cmd/dcbstore")
	build.Dir = strings.TrimSpace(string(root))
	if _, err := output(build); err != nil {
		return nil, errors.Join(err, remove())
	}
	return remove, nil
}
