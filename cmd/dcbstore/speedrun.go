package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/dcbstore/dcb/cmd/dcbstore/internal/bench"
	"github.com/dcbstore/dcb/stores"
)

type speedrunFlags struct {
	duration time.Duration
	clients  int
	events   int
	json     bool
}

func (p *program) speedrunCommand() *cobra.Command {
	var flags speedrunFlags
	cmd := &cobra.Command{
		Use:   "speedrun",
		Short: "Run the course-subscription speedrun on a store",
		Long: fmt.Sprintf(`Run the course-subscription speedrun. Each iteration registers %d courses and %d students. Then every student
joins every course. That is %d operations. Each operation is one decision and appends one event.

One client makes one operation after the other. --clients N runs N clients concurrently, each with courses
and students of its own; μs/op is then the mean time of an operation of one client. --events fills the store
before the measurement.

Ctrl-C ends the run early. The report then covers the finished operations, and the exit code is 130.`,
			bench.SpeedrunCourses, bench.SpeedrunStudents, bench.SpeedrunOps),
		Example: `  dcbstore speedrun
  dcbstore speedrun --events 5000000 --duration 30s
  dcbstore speedrun --clients 8 --store postgres://localhost/events --json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.speedrun(cmd.Context(), flags) },
	}
	cmd.Flags().DurationVar(&flags.duration, "duration", 10*time.Second, "how long to run")
	cmd.Flags().IntVar(&flags.clients, "clients", 1, "number of concurrent clients")
	cmd.Flags().IntVar(&flags.events, "events", 0, "fill the store with such events until it has `N` of them")
	cmd.Flags().BoolVar(&flags.json, "json", false, "print one JSON object instead of the report")
	return cmd
}

func (p *program) speedrun(ctx context.Context, flags speedrunFlags) error {
	switch {
	case flags.clients < 1:
		return usagef("", "--clients is %d; it must be at least 1", flags.clients)
	case flags.duration <= 0:
		return usagef("", "--duration is %v; it must be positive", flags.duration)
	case flags.events < 0:
		return usagef("", "--events is %d; it must be at least 0", flags.events)
	}
	store, err := stores.Open(ctx, p.named())
	if err != nil {
		return err
	}
	progress := newProgressLine(p.err)
	settings := bench.Settings{
		Workload: "speedrun",
		Store:    stores.Redact(p.named()),
		Clients:  flags.clients,
		Duration: flags.duration,
		Events:   flags.events,
		Filling:  progress.filling,
	}
	if flags.json {
		return closing(store, p.speedrunJSON(ctx, store, settings, progress))
	}
	return closing(store, p.speedrunReport(ctx, store, settings, progress))
}

func (p *program) speedrunJSON(ctx context.Context, store stores.Store, settings bench.Settings, progress *progressLine) error {
	settings.Watch = progress.measuring("speedrun")
	result, err := settings.RunSpeedrun(ctx, store, func(uint64) {})
	progress.clear()
	if err != nil {
		return err
	}
	if err := p.printJSON(result); err != nil {
		return err
	}
	return interrupted(result)
}

func (p *program) speedrunReport(ctx context.Context, store stores.Store, settings bench.Settings, progress *progressLine) error {
	const title = "Dynamic Consistency Boundaries Speed Run: Course Subscriptions"
	fmt.Fprintf(p.out, " %s\n %s\n\n", title, underline(title))
	fmt.Fprintf(p.out, " Per iteration: %d courses, %d students (%d ops)\n\n",
		bench.SpeedrunCourses, bench.SpeedrunStudents, bench.SpeedrunOps)
	fmt.Fprintf(p.out, " Running on: %s\n     clients: %d\n\n", settings.Store, settings.Clients)
	seconds := &secondLines{to: p.out, clients: settings.Clients, until: settings.Duration}
	settings.Watch = seconds.watch
	result, err := settings.RunSpeedrun(ctx, store, func(events uint64) {
		progress.clear()
		fmt.Fprintf(p.out, " Events in database at start:  %s events\n\n\n Stopping after: %v\n\n", thousands(int64(events)), settings.Duration)
	})
	if err != nil {
		progress.clear()
		return err
	}
	seconds.end(bench.Progress{
		Elapsed: time.Duration(result.DurationSeconds * float64(time.Second)),
		Ops:     result.Ops, Rounds: *result.Iterations,
	})
	fmt.Fprintf(p.out, "\n Total: %s iterations, %s ops in %.1f s: %s μs/op, %s ops/s\n",
		thousands(*result.Iterations), thousands(result.Ops), result.DurationSeconds,
		meanMicros(result.Ops, result.DurationSeconds, result.Clients), thousands(int64(result.OpsPerSecond)))
	fmt.Fprintf(p.out, " Latency: %s\n", latencies(result.Figures))
	fmt.Fprintf(p.out, "\n Events in database at end:  %s events  (%s new)\n",
		thousands(int64(result.EventsAtEnd)), thousands(int64(result.EventsAtEnd-result.EventsAtStart)))
	return interrupted(result)
}

func interrupted(result bench.Result) error {
	if result.Interrupted {
		return errInterrupted
	}
	return nil
}

// secondLines prints one line each second: the iterations and operations since the start, and the
// rate during that second.
type secondLines struct {
	to      io.Writer
	clients int
	until   time.Duration
	last    bench.Progress
}

// watch prints nothing for the last second: end does, after the operations under way have
// finished.
func (l *secondLines) watch(p bench.Progress) {
	if p.Elapsed < l.until-100*time.Millisecond {
		l.line(p)
	}
}

func (l *secondLines) end(p bench.Progress) {
	if p.Ops > l.last.Ops {
		l.line(p)
	}
}

func (l *secondLines) line(p bench.Progress) {
	ops, seconds := p.Ops-l.last.Ops, (p.Elapsed - l.last.Elapsed).Seconds()
	l.last = p
	whole := int(p.Elapsed.Round(time.Second).Seconds())
	fmt.Fprintf(l.to, " [%d:%02d:%02ds] %9d iterations %9d ops %8s μs/op %7.0f ops/s\n",
		whole/3600, whole/60%60, whole%60, p.Rounds, p.Ops, meanMicros(ops, seconds, l.clients), float64(ops)/seconds)
}

// meanMicros returns the mean duration of an operation, with a precision that suits its size.
func meanMicros(ops int64, seconds float64, clients int) string {
	if ops == 0 {
		return "-"
	}
	mean := seconds * 1e6 * float64(clients) / float64(ops)
	if mean < 100 {
		return fmt.Sprintf("%.2f", mean)
	}
	return fmt.Sprintf("%.0f", mean)
}

func underline(title string) string {
	line := make([]byte, len(title))
	for i := range line {
		line[i] = '='
	}
	return string(line)
}
