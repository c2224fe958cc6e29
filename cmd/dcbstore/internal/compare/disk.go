package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/dcbstore/dcb/cmd/dcbstore/internal/bench"
	"github.com/dcbstore/dcb/diskstore"
	"github.com/dcbstore/dcb/internal/vfs"
)

// compareDisk: the store in a directory against what the disk allows, and against Tephra's embedded engine.
func compareDisk(ctx context.Context, c *config) error {
	header("Conditional appends of 256-byte events to a directory, synced, against a bare loop of write and fdatasync of the same bytes, and against Tephra embedded")
	for _, clients := range []int{1, 16, 64} {
		if err := c.inTurns(ctx, plural(clients), c.onDisk("append", clients, 1), c.bareLoop(1)); err != nil {
			return err
		}
		if c.tephra == "" {
			continue
		}
		if err := c.inTurns(ctx, plural(clients), c.onDisk("append", clients, 1), c.embeddedTephra(clients)); err != nil {
			return err
		}
	}
	header("Batches of 100 events by 64 clients, in bytes of the log per second, against the disk's bandwidth (1 MiB written and synced, again and again)")
	if err := c.inTurns(ctx, "64 clients, batch 100", c.batchBytes(), c.bandwidth()); err != nil {
		return err
	}
	if err := c.inTurns(ctx, "64 clients, batch 100", c.onDisk("append", 64, 100), c.onDisk("append", 64, 1)); err != nil {
		return err
	}
	header("The speedrun, one client, on a directory (an operation is a read and a synced append) against the bare loop")
	return c.inTurns(ctx, "1 client", c.onDisk("speedrun", 1, 1), c.bareLoop(1))
}

// compareDiskVolume: the speedrun on a large store in a directory against an empty one.
func compareDiskVolume(ctx context.Context, c *config) error {
	header(fmt.Sprintf("The speedrun with one client on a directory of %d events, against an empty one", c.memory))
	return c.inDir(func(dir string) error {
		filled, err := diskstore.Open(dir, nil)
		if err != nil {
			return err
		}
		defer filled.Close()
		large := side{"large", func(ctx context.Context) (float64, error) { return c.workload(ctx, filled, "speedrun", 1, c.memory) }}
		empty := c.onDisk("speedrun", 1, 1)
		empty.name = "empty"
		return c.inTurns(ctx, "1 client", large, empty)
	})
}

// onDisk measures a workload on a new store in a directory, in events per second.
func (c *config) onDisk(workload string, clients, batch int) side {
	name := "diskstore"
	if batch > 1 {
		name = fmt.Sprintf("diskstore, batch %d, events", batch)
	}
	return side{name, func(ctx context.Context) (perSecond float64, err error) {
		err = c.inDir(func(dir string) error {
			store, err := diskstore.Open(dir, nil)
			if err != nil {
				return err
			}
			defer store.Close()
			settings := bench.Settings{Workload: workload, Clients: clients, Batch: batch, Size: eventBytes, Duration: c.duration()}
			if workload == "speedrun" {
				result, err := settings.RunSpeedrun(ctx, store, func(uint64) {})
				perSecond = result.OpsPerSecond
				return err
			}
			result, err := settings.Run(ctx, store)
			perSecond = result.EventsPerSecond
			return err
		})
		return perSecond, err
	}}
}

// batchBytes measures how many bytes of the log 64 clients with batches of 100 write per second.
func (c *config) batchBytes() side {
	measured := c.onDisk("append", 64, 100)
	return side{"diskstore, bytes", func(ctx context.Context) (float64, error) {
		limit, err := c.limit(ctx, 100)
		if err != nil {
			return 0, err
		}
		events, err := measured.measure(ctx)
		return events / 100 * float64(limit.WriteBytes), err
	}}
}

// bareLoop measures how often a loop can write what an append of so many events comes to, and sync it.
func (c *config) bareLoop(batch int) side {
	return side{"bare loop", func(ctx context.Context) (float64, error) {
		result, err := c.limit(ctx, batch)
		return result.OpsPerSecond, err
	}}
}

func (c *config) bandwidth() side {
	return side{"disk, bytes", func(ctx context.Context) (float64, error) {
		result, err := c.limit(ctx, 1)
		return result.BytesPerSecond, err
	}}
}

func (c *config) limit(ctx context.Context, batch int) (result bench.Result, err error) {
	settings := bench.Settings{Workload: "limit", Batch: batch, Size: eventBytes, Duration: c.duration()}
	err = c.inDir(func(dir string) error {
		result, err = settings.Limit(ctx, vfs.OS(), dir)
		return err
	})
	return result, err
}

// embeddedTephra runs the script that measures it: with the number of writers, the seconds, and a directory, it prints appends per second last.
func (c *config) embeddedTephra(writers int) side {
	return side{"Tephra embedded", func(ctx context.Context) (perSecond float64, err error) {
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
			perSecond, err = strconv.ParseFloat(string(bytes.TrimSpace(lines[len(lines)-1])), 64)
			return err
		})
		return perSecond, err
	}}
}

// inDir calls f with a new directory, which it removes.
func (c *config) inDir(f func(dir string) error) error {
	dir, err := os.MkdirTemp(c.dir, "compare-")
	if err != nil {
		return err
	}
	return errors.Join(f(dir), os.RemoveAll(dir))
}
