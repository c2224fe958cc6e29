package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/cmd/dcbstore/internal/bench"
	"github.com/dcbstore/dcb/internal/vfs"
	"github.com/dcbstore/dcb/stores"
)

type benchFlags struct {
	bench.Settings
	json bool
	dir  string // of the limit workload; empty means the store's directory
}

func workloads() []string {
	return []string{"append", "hot", "select", "scan", "mixed", "volume", "limit"}
}

func (p *program) benchCommand() *cobra.Command {
	var flags benchFlags
	cmd := &cobra.Command{
		Use:   "bench WORKLOAD",
		Short: "Measure a store",
		Long: `Measure a store under one of these workloads:

  append   clients append batches of events. Each client uses a tag of its own for ten events, on the condition
           that no other client used the tag
  hot      the same with one tag for all clients, and conditions that never conflict
  select   clients read the ten events of one tag, drawn at random from --events events
  scan     one reader reads all events in order, repeatedly; an operation is one such scan
  mixed    --clients append as in append while --readers read as in select
  volume   at 0, 1 million, 10 million … --events, or at --steps: appends, decisions (the speedrun), the time to
           open the store, its size on disk and the memory of this process; one report for each step
  limit    the disk without a store: one client writes the bytes of an append after those of the append before,
           and syncs. No log with one client is faster. Then it writes a mebibyte each time, which shows the
           disk's bandwidth. The file is in --dir, else in the directory of the store disk:PATH, else in the
           working directory

Select, scan and mixed fill the store before the measurement if it does not have the events yet. Latencies are
of single operations. Ctrl-C ends the run early. The report then covers the finished operations, and the exit
code is 130.`,
		Example: `  dcbstore bench append --clients 64 --batch 10
  dcbstore bench limit --store disk:events
  dcbstore bench select --readers 16 --events 1000000 --store postgres://localhost/events --json`,
		ValidArgs: workloads(),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 && slices.Contains(workloads(), args[0]) {
				return nil
			}
			return fmt.Errorf("bench takes one workload (%s), not %q", strings.Join(workloads(), ", "), args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			flags.Workload = args[0]
			// The readers of select are its clients.
			if flags.Workload == "select" && cmd.Flags().Changed("readers") {
				flags.Clients = flags.Readers
			}
			return p.bench(cmd.Context(), flags)
		},
	}
	cmd.Flags().IntVar(&flags.Clients, "clients", 1, "number of concurrent clients")
	cmd.Flags().IntVar(&flags.Readers, "readers", 1, "number of concurrent readers (select, mixed)")
	cmd.Flags().IntVar(&flags.Batch, "batch", 1, "events per append")
	cmd.Flags().IntVar(&flags.Size, "size", 256, "bytes of data per event")
	cmd.Flags().IntVar(&flags.Events, "events", 1_000_000, "fill the store until it has `N` events (select, scan, mixed, volume)")
	cmd.Flags().IntSliceVar(&flags.Steps, "steps", nil, "measure at these numbers of events, `N,N…` (volume)")
	cmd.Flags().StringVar(&flags.dir, "dir", "", "the `directory` whose disk is measured (limit)")
	cmd.Flags().DurationVar(&flags.Duration, "duration", 5*time.Second, "duration of the measurement")
	cmd.Flags().BoolVar(&flags.json, "json", false, "print one JSON object for each run instead of the report")
	return cmd
}

func (f benchFlags) check() error {
	for _, flag := range []struct {
		name         string
		value, least int
		most         int
	}{
		{"clients", f.Clients, 1, 1 << 16},
		{"readers", f.Readers, 1, 1 << 16},
		{"batch", f.Batch, 1, dcb.MaxEvents},
		{"size", f.Size, 0, dcb.MaxDataBytes},
		{"events", f.Events, 10, 1 << 40},
	} {
		if flag.value < flag.least || flag.value > flag.most {
			return usagef("", "--%s is %d; it must be %d to %d", flag.name, flag.value, flag.least, flag.most)
		}
	}
	for i, step := range f.Steps {
		if step < 0 || i > 0 && step <= f.Steps[i-1] {
			return usagef("", "--steps has %d; each number must be greater than the one before", step)
		}
	}
	if f.Duration <= 0 {
		return usagef("", "--duration is %v; it must be positive", f.Duration)
	}
	return nil
}

func (p *program) bench(ctx context.Context, flags benchFlags) error {
	if err := flags.check(); err != nil {
		return err
	}
	progress := newProgressLine(p.err)
	settings := flags.Settings
	settings.Store = stores.Redact(p.named())
	settings.Watch = progress.measuring(settings.Workload)
	settings.Filling = progress.filling
	if dir, err := stores.Dir(p.named()); err == nil {
		settings.OnDisk = func() (int64, error) { return sizeOf(dir) }
	}
	report := func(result bench.Result) error {
		progress.clear()
		if err := p.result(result, flags.json); err != nil {
			return err
		}
		return interrupted(result)
	}
	err := p.measure(ctx, settings, flags.dir, report)
	progress.clear()
	return err
}

// sizeOf returns the size of the files in a directory.
func sizeOf(dir string) (bytes int64, err error) {
	files, err := vfs.OS().List(dir)
	for _, file := range files {
		bytes += file.Size
	}
	return bytes, err
}

func (p *program) measure(ctx context.Context, settings bench.Settings, dir string, report func(bench.Result) error) error {
	switch settings.Workload {
	case "limit":
		return p.limit(ctx, settings, dir, report)
	case "volume":
		open := func(ctx context.Context) (bench.Store, error) { return stores.Open(ctx, p.named()) }
		return settings.Volume(ctx, open, stores.Lasts(p.named()), report)
	}
	store, err := stores.Open(ctx, p.named())
	if err != nil {
		return err
	}
	result, err := settings.Run(ctx, store)
	if err = closing(store, err); err != nil {
		return err
	}
	if err := settings.AddBytesOnDisk(&result); err != nil {
		return err
	}
	return report(result)
}

// limit measures the disk of dir. If dir is empty it measures the store's directory, or else the
// working directory.
func (p *program) limit(ctx context.Context, settings bench.Settings, dir string, report func(bench.Result) error) error {
	if dir == "" {
		dir = "."
		if p.storeURL != "" {
			store, err := stores.Dir(p.storeURL)
			if err != nil {
				return usagef("name a directory with --dir", "the store %s has no directory", settings.Store)
			}
			dir = existing(store)
		}
	}
	settings.Store = dir
	result, err := settings.Limit(ctx, vfs.OS(), dir)
	if err != nil {
		return fmt.Errorf("the disk of %s: %w", dir, err)
	}
	return report(result)
}

// existing returns dir, or its nearest parent that exists.
func existing(dir string) string {
	for {
		info, err := os.Stat(dir)
		parent := filepath.Dir(dir)
		if err == nil && info.IsDir() || parent == dir {
			return dir
		}
		dir = parent
	}
}

func (p *program) result(result bench.Result, asJSON bool) error {
	if asJSON {
		return p.printJSON(result)
	}
	return printResult(p.out, result)
}

// printResult prints the members of the JSON as text.
func printResult(to io.Writer, r bench.Result) error {
	var text strings.Builder
	fmt.Fprintf(&text, "%s on %s: clients %d, batch %d", r.Workload, r.Store, r.Clients, r.Batch)
	if r.Readers > 0 {
		fmt.Fprintf(&text, ", readers %d", r.Readers)
	}
	fmt.Fprintf(&text, ", size %d", r.Size)
	if r.WriteBytes > 0 {
		fmt.Fprintf(&text, ", %s bytes per write\n", thousands(int64(r.WriteBytes)))
	} else {
		fmt.Fprintf(&text, ", events at start %s\n", thousands(int64(r.EventsAtStart)))
	}
	printFigures(&text, "", r.Figures)
	for _, half := range []struct {
		name    string
		figures *bench.Figures
	}{{"writes", r.Writes}, {"reads", r.Reads}, {"decisions", r.Decisions}} {
		if half.figures != nil {
			printFigures(&text, half.name+": ", *half.figures)
		}
	}
	if r.OpenSeconds != nil {
		fmt.Fprintf(&text, "  open %.3f s\n", *r.OpenSeconds)
	}
	if r.MemoryBytes > 0 {
		fmt.Fprintf(&text, "  memory %s MiB in use, %s MiB resident\n", thousands(int64(r.MemoryBytes>>20)), thousands(int64(r.ResidentBytes>>20)))
	}
	printDisk(&text, r)
	_, err := io.WriteString(to, text.String())
	return err
}

func printDisk(to io.Writer, r bench.Result) {
	if r.SyncsPerSecond > 0 {
		fmt.Fprintf(to, "  syncs %s/s\n", thousands(int64(r.SyncsPerSecond)))
	}
	if r.BytesOnDisk > 0 {
		fmt.Fprintf(to, "  on disk %s bytes, %.1f per event\n", thousands(r.BytesOnDisk), r.BytesPerEvent)
	}
	if r.BytesPerSecond > 0 {
		fmt.Fprintf(to, "  bandwidth %s MB/s\n", thousands(int64(r.BytesPerSecond/1e6)))
	}
}

func printFigures(to io.Writer, name string, f bench.Figures) {
	fmt.Fprintf(to, "  %s%s ops in %.1f s: %s ops/s, %s events/s\n", name, thousands(f.Ops), f.DurationSeconds,
		thousands(int64(f.OpsPerSecond)), thousands(int64(f.EventsPerSecond)))
	fmt.Fprintf(to, "  %slatency %s\n", name, latencies(f))
	if f.CPUMicrosPerOp > 0 {
		fmt.Fprintf(to, "  %sCPU %.1f μs/op\n", name, f.CPUMicrosPerOp)
	}
}

func latencies(f bench.Figures) string {
	return fmt.Sprintf("p50 %.1f μs, p99 %.1f μs, p99.9 %.1f μs, max %.1f μs", f.P50Micros, f.P99Micros, f.P999Micros, f.MaxMicros)
}
