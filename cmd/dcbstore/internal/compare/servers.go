package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/dcbstore/dcb/cmd/dcbstore/internal/bench"
)

// served is a kind of server: how it is started on a directory and an address, and how it is driven.
type served struct {
	name  string
	start func(address, dir string) *exec.Cmd
	// drive returns the command that runs a workload and prints its result as JSON.
	drive func(address, workload string, clients, batch int) *exec.Cmd
}

// compareServers: our server against those of UmaDB and Tephra, each in a process of its own, beside the process that drives it.
func compareServers(ctx context.Context, c *config) error {
	if c.peers == "" {
		return errors.New("-peers names the directory that the peers are installed in")
	}
	build, err := os.MkdirTemp("", "compare-bin-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(build) }()
	dcb := filepath.Join(build, "dcb")
	if _, err := output(exec.CommandContext(ctx, "go", "build", "-o", dcb, "./cmd/dcbstore")); err != nil {
		return err
	}
	ourServer := func(address, dir string) *exec.Cmd {
		return exec.CommandContext(ctx, dcb, "serve", "--store", "disk:"+dir, "--grpc", address, "--http", "off", "--log-level", "error")
	}
	session := served{"session", ourServer, c.driver(ctx, dcb, "dcb")}
	ours := served{"dcb", ourServer, c.driver(ctx, dcb, "dcb+umadb")}
	umadb := served{"UmaDB", func(address, dir string) *exec.Cmd {
		return exec.CommandContext(ctx, filepath.Join(c.peers, "bin", "umadb"), "--listen", address, "--db-path", dir)
	}, ours.drive}
	tephra := served{"Tephra", func(address, dir string) *exec.Cmd {
		return exec.CommandContext(ctx, filepath.Join(c.peers, "bin", "tephra-server"), "--bind", address, "--data-dir", dir, "--log", "error")
	}, func(address, workload string, clients, batch int) *exec.Cmd {
		return exec.CommandContext(ctx, filepath.Join(c.peers, "bin", "tephra-driver"), workload, "--addr", address, "--clients", strconv.Itoa(clients),
			"--batch", strconv.Itoa(batch), "--size", strconv.Itoa(eventBytes), "--seconds", strconv.Itoa(c.seconds), "--events", strconv.Itoa(c.served))
	}}
	for _, pair := range []struct {
		title        string
		ours, theirs served
	}{
		{"UmaDB's protocol: dcbstore serve against UmaDB's server, both on a directory, synced, driven by the same client (dcbstore bench)", ours, umadb},
		{"Sessions: dcbstore serve driven by dcbstore bench, against Tephra's server driven by its Rust client, both on a directory, synced", session, tephra},
	} {
		if c.wire != "" && c.wire != pair.ours.name {
			continue
		}
		header(pair.title)
		if err := c.serverPair(ctx, pair.ours, pair.theirs); err != nil {
			return err
		}
	}
	return nil
}

// driver returns how dcb itself drives a server.
func (c *config) driver(ctx context.Context, dcb, scheme string) func(address, workload string, clients, batch int) *exec.Cmd {
	return func(address, workload string, clients, batch int) *exec.Cmd {
		args := []string{"bench", workload, "--batch", strconv.Itoa(batch), "--size", strconv.Itoa(eventBytes), "--events", strconv.Itoa(c.served)}
		if workload == "speedrun" {
			args = []string{"speedrun"}
		}
		args = append(args, "--clients", strconv.Itoa(clients), "--duration", c.duration().String(), "--json", "--store", scheme+"://"+address)
		return exec.CommandContext(ctx, dcb, args...)
	}
}

func (c *config) serverPair(ctx context.Context, ours, theirs served) error {
	for _, w := range []struct{ clients, batch int }{{1, 1}, {8, 1}, {64, 1}, {256, 1}, {64, 10}, {64, 100}} {
		what := fmt.Sprintf("append, %s, batch %d", plural(w.clients), w.batch)
		if err := c.inTurns(ctx, what, c.fresh(ours, "append", w.clients, w.batch), c.fresh(theirs, "append", w.clients, w.batch)); err != nil {
			return err
		}
	}
	if err := c.inTurns(ctx, "speedrun, empty", c.fresh(ours, "speedrun", 1, 1), c.fresh(theirs, "speedrun", 1, 1)); err != nil {
		return err
	}
	return c.inDir(func(dir string) error {
		for _, s := range []served{ours, theirs} {
			if err := c.fill(ctx, s, filepath.Join(dir, s.name)); err != nil {
				return fmt.Errorf("fill %s: %w", s.name, err)
			}
		}
		for _, w := range []struct {
			workload string
			clients  int
		}{{"select", 1}, {"select", 16}, {"scan", 1}, {"speedrun", 1}} {
			on := func(s served) side {
				return side{s.name, func(ctx context.Context) (float64, error) {
					return c.drive(ctx, s, filepath.Join(dir, s.name), w.workload, w.clients, 1)
				}}
			}
			what := fmt.Sprintf("%s, %d events, %s", w.workload, c.served, plural(w.clients))
			if err := c.inTurns(ctx, what, on(ours), on(theirs)); err != nil {
				return err
			}
		}
		return nil
	})
}

// fresh measures a workload on a new directory.
func (c *config) fresh(s served, workload string, clients, batch int) side {
	return side{s.name, func(ctx context.Context) (perSecond float64, err error) {
		err = c.inDir(func(dir string) error {
			perSecond, err = c.drive(ctx, s, filepath.Join(dir, "data"), workload, clients, batch)
			return err
		})
		return perSecond, err
	}}
}

// fill makes a store of many events, ten to a tag. Our own benchmark does it by itself before it selects.
func (c *config) fill(ctx context.Context, s served, dir string) error {
	workload := "load"
	if s.name != "Tephra" {
		workload = "scan"
	}
	_, err := c.drive(ctx, s, dir, workload, 1, 1)
	return err
}

// drive starts a server on a directory, drives it with a workload, and stops it. It returns operations per second, or events where
// that is what counts.
func (c *config) drive(ctx context.Context, s served, dir, workload string, clients, batch int) (perSecond float64, err error) {
	address, err := freeAddress(ctx)
	if err != nil {
		return 0, err
	}
	server := s.start(address, dir)
	server.Stderr = os.Stderr
	if err := server.Start(); err != nil {
		return 0, err
	}
	defer func() {
		_ = server.Process.Signal(os.Interrupt)
		stopped := time.AfterFunc(10*time.Second, func() { _ = server.Process.Kill() })
		_ = server.Wait() // that it was interrupted
		stopped.Stop()
	}()
	if err := answers(ctx, address); err != nil {
		return 0, err
	}
	out, err := output(s.drive(address, workload, clients, batch))
	if err != nil {
		return 0, err
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	var figures bench.Figures
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &figures); err != nil {
		return 0, fmt.Errorf("%s printed %q: %w", s.name, out, err)
	}
	if workload == "scan" || batch > 1 {
		return figures.EventsPerSecond, nil
	}
	return figures.OpsPerSecond, nil
}

func freeAddress(ctx context.Context) (string, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// answers waits until somebody listens.
func answers(ctx context.Context, address string) error {
	for range 300 {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err == nil {
			return conn.Close()
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("nobody listens on %s", address)
}
