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
	dir  string // of the limit workload; empty for that of the store
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

  append   clients append batches of events, each with a tag of its own that is used for ten events, on the condition that
           nobody else used it
  hot      the same with one tag for all, and conditions that nothing conflicts with
  select   clients read the ten events of one tag, at random, out of --events
  scan     one reader reads everything from the first event to the last, again and again; an operation is one such reading
  mixed    --clients append as in append while --readers read as in select
  volume   at 0, 1 million, 10 million … --events, or at --steps: appends, decisions (the speedrun), the time to open the
           store, its size on disk, the memory of this process; one report for each
  limit    no store but the disk below it: write what an append comes to behind the one before and sync, again and again, by
           one client, which no log can beat; then the same with a mebibyte each time, which is the disk's bandwidth. The file
           is in --dir, or where the store disk:PATH is, or else in the working directory

Select, scan and mixed fill the store first if it has not the events they want, which does not count. Latencies are those of
single operations. Ctrl-C ends the run early, with the report of what was done and the exit code 130.`,
		Example: `  dcbstore bench append --clients 64 --batch 10
  dcbstore bench limit --store disk:events
  dcbstore bench select --readers 16 --events 1000000 --store postgres://localhost/events --json`,
		ValidArgs: workloads(),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 && slices.Contains(workloads(), args[0]) {
				return nil
			}
			return fmt.Errorf("bench takes one workload (%s), and not %q", strings.Join(workloads(), ", "), args)
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
	cmd.Flags().IntVar(&flags.Clients, "clients", 1, "how many clients work at once")
	cmd.Flags().IntVar(&flags.Readers, "readers", 1, "how many readers work at once (select, mixed)")
	cmd.Flags().IntVar(&flags.Batch, "batch", 1, "how many events one append has")
	cmd.Flags().IntVar(&flags.Size, "size", 256, "how many bytes of data an event has")
	cmd.Flags().IntVar(&flags.Events, "events", 1_000_000, "fill the store until it has `N` events (select, scan, mixed, volume)")
	cmd.Flags().IntSliceVar(&flags.Steps, "steps", nil, "the numbers of events to measure at, as `N,N…` (volume)")
	cmd.Flags().StringVar(&flags.dir, "dir", "", "the `directory` whose disk is measured (limit)")
	cmd.Flags().DurationVar(&flags.Duration, "duration", 5*time.Second, "how long to measure")
	cmd.Flags().BoolVar(&flags.json, "json", false, "print one JSON object a run instead of the report")
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
			return usagef("", "--%s is %d; it is %d to %d", flag.name, flag.value, flag.least, flag.most)
		}
	}
	for i, step := range f.Steps {
		if step < 0 || i > 0 && step <= f.Steps[i-1] {
			return usagef("", "--steps has %d; it is numbers of events, each above the one before", step)
		}
	}
	if f.Duration <= 0 {
		return usagef("", "--duration is %v; it is more than nothing", f.Duration)
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
	settings.Watch = progress.working(settings.Workload)
	settings.Filling = progress.filling
	if dir, err := stores.Dir(p.named()); err == nil {
		settings.OnDisk = func() (int64, error) { return sizeOf(dir) }
	}
	tell := func(result bench.Result) error {
		progress.clear()
		if err := p.result(result, flags.json); err != nil {
			return err
		}
		return interrupted(result)
	}
	err := p.measure(ctx, settings, flags.dir, tell)
	progress.clear()
	return err
}

// sizeOf returns the bytes of the files in a directory.
func sizeOf(dir string) (bytes int64, err error) {
	files, err := vfs.OS().List(dir)
	for _, file := range files {
		bytes += file.Size
	}
	return bytes, err
}

func (p *program) measure(ctx context.Context, settings bench.Settings, dir string, tell func(bench.Result) error) error {
	switch settings.Workload {
	case "limit":
		return p.limit(ctx, settings, dir, tell)
	case "volume":
		open := func(ctx context.Context) (bench.Store, error) { return stores.Open(ctx, p.named()) }
		return settings.Volume(ctx, open, stores.Lasts(p.named()), tell)
	}
	store, err := stores.Open(ctx, p.named())
	if err != nil {
		return err
	}
	result, err := settings.Run(ctx, store)
	if err = closing(store, err); err != nil {
		return err
	}
	if err := settings.Closed(&result); err != nil {
		return err
	}
	return tell(result)
}

// limit measures the disk of a directory: that is dir, or where the store is or would be, or the working directory.
func (p *program) limit(ctx context.Context, settings bench.Settings, dir string, tell func(bench.Result) error) error {
	if dir == "" {
		dir = "."
		if p.storeURL != "" {
			store, err := stores.Dir(p.storeURL)
			if err != nil {
				return usagef("name a directory by --dir", "the store %s has no directory of its own", settings.Store)
			}
			dir = existing(store)
		}
	}
	settings.Store = dir
	result, err := settings.Limit(ctx, vfs.OS(), dir)
	if err != nil {
		return fmt.Errorf("the disk of %s: %w", dir, err)
	}
	return tell(result)
}

// existing returns dir, or if it is not there yet the innermost directory around it that is.
func existing(dir string) string {
	for {
		info, err := os.Stat(dir)
		above := filepath.Dir(dir)
		if err == nil && info.IsDir() || above == dir {
			return dir
		}
		dir = above
	}
}

func (p *program) result(result bench.Result, asJSON bool) error {
	if asJSON {
		return p.printJSON(result)
	}
	return printResult(p.out, result)
}

// printResult writes what the JSON says, for people.
func printResult(to io.Writer, r bench.Result) error {
	var text strings.Builder
	fmt.Fprintf(&text, "%s on %s: clients %d, batch %d", r.Workload, r.Store, r.Clients, r.Batch)
	if r.Readers > 0 {
		fmt.Fprintf(&text, ", readers %d", r.Readers)
	}
	fmt.Fprintf(&text, ", size %d", r.Size)
	if r.WriteBytes > 0 {
		fmt.Fprintf(&text, ", %s bytes a write\n", thousands(int64(r.WriteBytes)))
	} else {
		fmt.Fprintf(&text, ", events at start %s\n", thousands(int64(r.EventsAtStart)))
	}
	printFigures(&text, "", r.Figures)
	for _, part := range []struct {
		name    string
		figures *bench.Figures
	}{{"writes", r.Writes}, {"reads", r.Reads}, {"decisions", r.Decisions}} {
		if part.figures != nil {
			printFigures(&text, part.name+": ", *part.figures)
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
		fmt.Fprintf(to, "  on disk %s bytes, %.1f an event\n", thousands(r.BytesOnDisk), r.BytesPerEvent)
	}
	if r.BytesPerSecond > 0 {
		fmt.Fprintf(to, "  bandwidth %s MB/s\n", thousands(int64(r.BytesPerSecond/1e6)))
	}
}

func printFigures(to io.Writer, name string, f bench.Figures) {
	fmt.Fprintf(to, "  %s%s ops in %.1f s: %s ops/s, %s events/s\n", name, thousands(f.Ops), f.DurationSeconds,
		thousands(int64(f.OpsPerSecond)), thousands(int64(f.EventsPerSecond)))
	fmt.Fprintf(to, "  %slatency %s\n", name, latencies(f))
	if f.CPU > 0 {
		fmt.Fprintf(to, "  %sCPU %.1f μs an op\n", name, f.CPU)
	}
}

func latencies(f bench.Figures) string {
	return fmt.Sprintf("p50 %.1f μs, p99 %.1f μs, p99.9 %.1f μs, max %.1f μs", f.P50, f.P99, f.P999, f.Max)
}
