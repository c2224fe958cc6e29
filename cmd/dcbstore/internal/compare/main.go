// Command compare measures dcb and what it is compared with on this machine, in one run and in turns, and prints both sides and their
// ratio. docs/benchmarks.md keeps what it printed.
//
//	go run ./cmd/dcbstore/internal/compare                              everything (half an hour)
//	go run ./cmd/dcbstore/internal/compare -only append,speedrun        some of it
//	go run ./cmd/dcbstore/internal/compare -python .venv/bin/python -speedrun speedrun.py
//
// It starts a PostgreSQL server of its own from the installed binaries, with fsync on and otherwise as it comes.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"
)

// comparison is one thing to compare; it prints its rows.
type comparison struct {
	name string
	run  func(ctx context.Context, c *config) error
}

func comparisons() []comparison {
	return []comparison{
		{"append", compareAppends},
		{"speedrun", compareSpeedruns},
		{"volume", compareVolumes},
		{"memstore", compareMemory},
		{"disk", compareDisk},
		{"diskvolume", compareDiskVolume},
		{"servers", compareServers},
	}
}

// config is what the flags say.
type config struct {
	seconds  int    // of each measurement
	rounds   int    // of each comparison; the median counts
	events   int    // that the large PostgreSQL stores have
	memory   int    // that the large stores in memory and in a directory have
	dir      string // where directories are made; the temporary one if empty
	tephra   string // a script that measures Tephra's embedded engine
	peers    string // where the peers' servers are installed
	wire     string // which of the wires to measure; both if empty
	served   int    // events that the large stores of servers have
	python   string // an interpreter that has the library eventsourcing
	speedrun string // the peer's script
}

func main() {
	var c config
	only := flag.String("only", "", "which `comparisons` to make: append, speedrun, volume, memstore, disk, diskvolume, servers (default all)")
	flag.IntVar(&c.seconds, "seconds", 5, "how long each measurement takes")
	flag.IntVar(&c.rounds, "rounds", 3, "how often each side is measured, in turns; the median counts")
	flag.IntVar(&c.events, "events", 2_000_000, "how many events the large PostgreSQL stores have")
	flag.IntVar(&c.memory, "memory", 5_000_000, "how many events the large stores in memory and in a directory have")
	flag.StringVar(&c.dir, "dir", "", "the `directory` in which stores are made, on the disk to be measured (default the temporary one)")
	flag.StringVar(&c.tephra, "tephra", "", "a `script` that is called with writers, seconds and a directory, and prints the appends per second of Tephra embedded last")
	flag.StringVar(&c.peers, "peers", "", "the `directory` that the peers' servers are installed in")
	flag.StringVar(&c.wire, "wire", "", "the `wire` to measure: dcb (UmaDB's protocol) or session (default both)")
	flag.IntVar(&c.served, "served", 1_000_000, "how many events the large stores of servers have")
	flag.StringVar(&c.python, "python", "", "a Python `interpreter` that has eventsourcing and psycopg, for the comparison with its recorder")
	flag.StringVar(&c.speedrun, "speedrun", "", "the `script` that drives that recorder (speedrun.py)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, &c, *only); err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, c *config, only string) error {
	wanted := strings.FieldsFunc(only, func(r rune) bool { return r == ',' })
	for _, name := range wanted {
		if !slices.ContainsFunc(comparisons(), func(c comparison) bool { return c.name == name }) {
			return fmt.Errorf("there is no comparison %q", name)
		}
	}
	for _, comparison := range comparisons() {
		if len(wanted) > 0 && !slices.Contains(wanted, comparison.name) {
			continue
		}
		if err := comparison.run(ctx, c); err != nil {
			return fmt.Errorf("%s: %w", comparison.name, err)
		}
	}
	return nil
}

// side is one of the two that are compared: a name, and how to measure its operations per second once.
type side struct {
	name    string
	measure func(ctx context.Context) (perSecond float64, err error)
}

// inTurns measures both sides by turns, so that a machine whose speed drifts treats them alike, and prints a row with the
// medians.
func (c *config) inTurns(ctx context.Context, what string, ours, theirs side) error {
	var us, them []float64
	for range c.rounds {
		for _, turn := range []struct {
			side side
			into *[]float64
		}{{ours, &us}, {theirs, &them}} {
			perSecond, err := turn.side.measure(ctx)
			if err != nil {
				return fmt.Errorf("%s: %w", turn.side.name, err)
			}
			*turn.into = append(*turn.into, perSecond)
		}
	}
	our, their := median(us), median(them)
	fmt.Printf("| %s | %s: %.0f (%.0f–%.0f) | %s: %.0f (%.0f–%.0f) | %.2f |\n", what,
		ours.name, our, slices.Min(us), slices.Max(us), theirs.name, their, slices.Min(them), slices.Max(them), our/their)
	return nil
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

func header(title string) {
	fmt.Printf("\n%s\n\n| what | one side, per second (least–most) | the other | ratio |\n| --- | --- | --- | --- |\n", title)
}

func (c *config) duration() time.Duration { return time.Duration(c.seconds) * time.Second }
