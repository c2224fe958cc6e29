package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// eventBytes is the size of the data of one event in every workload.
const eventBytes = 256

// side is one of the systems that a row compares.
type side struct {
	name    string
	measure func(ctx context.Context) (sample, error)
}

// sample is the outcome of one measurement. Processor times are per operation, of user mode and
// kernel together; 0 if they were not measured.
type sample struct {
	perSecond    float64 // operations, or events where the workload has batches
	serverMicros float64
	clientMicros float64
}

// inTurns measures every side c.rounds times: A B A B …, so that a change of the machine's speed
// affects all sides alike. The result has the samples of each side, in the order of sides.
func (c *config) inTurns(ctx context.Context, sides []side) ([][]sample, error) {
	samples := make([][]sample, len(sides))
	for range c.rounds {
		for i, s := range sides {
			measured, err := s.measure(ctx)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", s.name, err)
			}
			samples[i] = append(samples[i], measured)
		}
	}
	return samples, nil
}

// compare prints one row: two sides and their ratio.
func (c *config) compare(ctx context.Context, what string, ours, theirs side) error {
	samples, err := c.inTurns(ctx, []side{ours, theirs})
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	us, them := rates(samples[0]), rates(samples[1])
	fmt.Printf("| %s | %s: %s | %s: %s | %.2f |\n", what,
		ours.name, spread(us), theirs.name, spread(them), median(us)/median(them))
	return nil
}

// printHeader prints the head of a table whose rows compare prints.
func printHeader(title string) {
	fmt.Printf("\n%s\n\n| what | one side, per second (least–most) | the other | ratio |\n| --- | --- | --- | --- |\n", title)
}

func rates(samples []sample) []float64 {
	return column(samples, func(s sample) float64 { return s.perSecond })
}

func column(samples []sample, value func(sample) float64) []float64 {
	values := make([]float64, len(samples))
	for i, s := range samples {
		values[i] = value(s)
	}
	return values
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// spread formats the median with the least and the greatest value.
func spread(values []float64) string {
	return fmt.Sprintf("%.0f (%.0f–%.0f)", median(values), slices.Min(values), slices.Max(values))
}

func plural(clients int) string {
	if clients == 1 {
		return "1 client"
	}
	return fmt.Sprintf("%d clients", clients)
}

// workload is one run of dcbstore bench or dcbstore speedrun.
type workload struct {
	name    string // append, select, scan, limit or speedrun
	clients int
	batch   int // events per append; 0 means 1
	events  int // that the store has at the start; 0 means the workload's default
}

func (w workload) batchSize() int { return max(w.batch, 1) }

// bench returns the command that runs a workload on the store with that URL.
func (c *config) bench(ctx context.Context, store string, w workload) *exec.Cmd {
	args := []string{"bench", w.name, "--batch", strconv.Itoa(w.batchSize()), "--size", strconv.Itoa(eventBytes)}
	if w.name == "speedrun" {
		args = []string{"speedrun"}
	}
	if w.events > 0 {
		args = append(args, "--events", strconv.Itoa(w.events))
	}
	if w.clients > 0 {
		args = append(args, "--clients", strconv.Itoa(w.clients))
	}
	duration := time.Duration(c.seconds) * time.Second
	return exec.CommandContext(ctx, c.dcbstore, append(args, "--duration", duration.String(), "--json", "--store", store)...)
}

// onStore measures a workload on the store with that URL.
func (c *config) onStore(ctx context.Context, store string, w workload) (sample, error) {
	figures, err := c.figures(c.bench(ctx, store, w))
	return sample{perSecond: figures.rate(w)}, err
}

// onNewDirectory returns a side that measures a workload on a new store in a directory.
func (c *config) onNewDirectory(name string, w workload) side {
	return side{name, func(ctx context.Context) (measured sample, err error) {
		err = c.inDir(func(dir string) error {
			measured, err = c.onStore(ctx, "disk:"+filepath.Join(dir, "store"), w)
			return err
		})
		return measured, err
	}}
}

// figures are the members of a report that the tables need.
type figures struct {
	Ops             float64 `json:"ops"`
	OpsPerSecond    float64 `json:"opsPerSecond"`
	EventsPerSecond float64 `json:"eventsPerSecond"`
	DurationSeconds float64 `json:"durationSeconds"`
	WriteBytes      float64 `json:"writeBytes"`
	BytesPerSecond  float64 `json:"bytesPerSecond"`
}

// rate returns operations per second, or events per second where an operation has many events.
func (f figures) rate(w workload) float64 {
	if w.name == "scan" || w.batchSize() > 1 {
		return f.EventsPerSecond
	}
	return f.OpsPerSecond
}

// count returns the number of operations, or of events where an operation has many events.
func (f figures) count(w workload) float64 { return f.rate(w) * f.DurationSeconds }

// figures runs a command whose last line of output is a report in JSON.
func (c *config) figures(cmd *exec.Cmd) (figures, error) {
	out, err := output(cmd)
	if err != nil {
		return figures{}, err
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	report, err := parseReport(lines[len(lines)-1])
	if err != nil {
		return figures{}, fmt.Errorf("%s printed %q: %w", filepath.Base(cmd.Path), out, err)
	}
	return report, nil
}

// parseReport accepts members in camelCase, as dcbstore writes them, and in snake_case, as the
// drivers of peers do.
func parseReport(line string) (figures, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(line), &members); err != nil {
		return figures{}, err
	}
	for name, value := range members {
		members[camelCase(name)] = value
	}
	renamed, err := json.Marshal(members)
	if err != nil {
		return figures{}, err
	}
	var report figures
	err = json.Unmarshal(renamed, &report)
	return report, err
}

func camelCase(name string) string {
	words := strings.Split(name, "_")
	for i := 1; i < len(words); i++ {
		if words[i] != "" {
			words[i] = strings.ToUpper(words[i][:1]) + words[i][1:]
		}
	}
	return strings.Join(words, "")
}

// output returns what cmd prints. The error has what it printed to standard error.
func output(cmd *exec.Cmd) ([]byte, error) {
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", filepath.Base(cmd.Path), err, stderr.Bytes())
	}
	return out, nil
}

// inDir calls f with a new directory, and removes the directory afterwards.
func (c *config) inDir(f func(dir string) error) error {
	dir, err := os.MkdirTemp(c.dir, "compare-")
	if err != nil {
		return err
	}
	return errors.Join(f(dir), os.RemoveAll(dir))
}
