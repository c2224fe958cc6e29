package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
)

// compareDisk compares the store in a directory with the limit of the disk and with Tephra's
// engine.
func compareDisk(ctx context.Context, c *config) error {
	printHeader("Conditional appends of 256-byte events to a directory, synced, against a bare loop of write and fdatasync " +
		"of the same bytes, and against Tephra embedded")
	for _, clients := range []int{1, 16, 64} {
		ours := c.onNewDirectory("diskstore", workload{name: "append", clients: clients})
		if err := c.compare(ctx, plural(clients), ours, c.bareLoop()); err != nil {
			return err
		}
		if c.tephra == "" {
			continue
		}
		if err := c.compare(ctx, plural(clients), ours, c.embeddedTephra(clients)); err != nil {
			return err
		}
	}
	printHeader("Batches of 100 events by 64 clients, in bytes of the log per second, against the disk's bandwidth " +
		"(1 MiB written and synced, repeatedly)")
	if err := c.compare(ctx, "64 clients, batch 100", c.logBytes(), c.bandwidth()); err != nil {
		return err
	}
	batches := c.onNewDirectory("diskstore, batch 100, events", workload{name: "append", clients: 64, batch: 100})
	single := c.onNewDirectory("diskstore", workload{name: "append", clients: 64})
	if err := c.compare(ctx, "64 clients, batch 100", batches, single); err != nil {
		return err
	}
	printHeader("The speedrun, one client, on a directory (an operation is a read and a synced append) against the bare loop")
	return c.compare(ctx, "1 client", c.onNewDirectory("diskstore", workload{name: "speedrun", clients: 1}), c.bareLoop())
}

// compareDiskVolume compares the speedrun on a large store in a directory with an empty one.
func compareDiskVolume(ctx context.Context, c *config) error {
	printHeader(fmt.Sprintf("The speedrun with one client on a directory of %d events, against an empty one", c.memory))
	return c.inDir(func(dir string) error {
		large := side{"large", func(ctx context.Context) (sample, error) {
			return c.onStore(ctx, "disk:"+filepath.Join(dir, "store"), workload{name: "speedrun", clients: 1, events: c.memory})
		}}
		return c.compare(ctx, "1 client", large, c.onNewDirectory("empty", workload{name: "speedrun", clients: 1}))
	})
}

// compareMemory compares the speedrun on a large store in memory with an empty one.
func compareMemory(ctx context.Context, c *config) error {
	printHeader(fmt.Sprintf("The speedrun with one client in memory, on a store of %d events against an empty one", c.memory))
	on := func(name string, events int) side {
		return side{name, func(ctx context.Context) (sample, error) {
			return c.onStore(ctx, "mem:", workload{name: "speedrun", clients: 1, events: events})
		}}
	}
	return c.compare(ctx, "large, empty", on("memstore, large", c.memory), on("memstore, empty", 0))
}

// logBytes measures the bytes of the log that 64 clients write per second with batches of 100
// events.
func (c *config) logBytes() side {
	const batch = 100
	appends := c.onNewDirectory("diskstore, bytes", workload{name: "append", clients: 64, batch: batch})
	return side{appends.name, func(ctx context.Context) (sample, error) {
		limit, err := c.limit(ctx, batch)
		if err != nil {
			return sample{}, err
		}
		measured, err := appends.measure(ctx)
		measured.perSecond *= limit.WriteBytes / batch
		return measured, err
	}}
}

// bareLoop measures how often a loop can write the bytes of one append and sync them.
func (c *config) bareLoop() side {
	return side{"bare loop", func(ctx context.Context) (sample, error) {
		limit, err := c.limit(ctx, 1)
		return sample{perSecond: limit.OpsPerSecond}, err
	}}
}

func (c *config) bandwidth() side {
	return side{"disk, bytes", func(ctx context.Context) (sample, error) {
		limit, err := c.limit(ctx, 1)
		return sample{perSecond: limit.BytesPerSecond}, err
	}}
}

func (c *config) limit(ctx context.Context, batch int) (report figures, err error) {
	err = c.inDir(func(dir string) error {
		report, err = c.figures(c.bench(ctx, "disk:"+dir, workload{name: "limit", batch: batch}))
		return err
	})
	return report, err
}

// embeddedTephra runs the script of the flag -tephra.
func (c *config) embeddedTephra(writers int) side {
	return side{"Tephra embedded", func(ctx context.Context) (measured sample, err error) {
		err = c.inDir(func(dir string) error {
			script, err := filepath.Abs(c.tephra)
			if err != nil {
				return err
			}
			out, err := output(exec.CommandContext(ctx, script, strconv.Itoa(writers), strconv.Itoa(c.seconds), dir))
			if err != nil {
				return err
			}
			lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
			measured.perSecond, err = strconv.ParseFloat(string(bytes.TrimSpace(lines[len(lines)-1])), 64)
			return err
		})
		return measured, err
	}}
}
