package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// server is one of the servers that compareServers measures.
type server struct {
	name  string
	start func(address, dir string) *exec.Cmd
	// drive returns the command that runs a workload against the server and prints a report in JSON.
	drive func(address string, w workload) *exec.Cmd
	// fill is the workload that makes a large store. Servers with the same fill and format share it.
	fill   string
	format string
}

// The names of the servers are also the columns of the tables.
const (
	dcbPlain  = "dcb"       // dcb's protocol over TCP
	dcbTLS    = "dcb-tls"   // the same over TLS
	dcbUmaDB  = "dcb+umadb" // UmaDB's protocol, our server
	peerUmaDB = "UmaDB"     // UmaDB's protocol, UmaDB's server
	tephra    = "Tephra"    // Tephra's protocol, server and client
)

var serverNames = []string{dcbPlain, dcbTLS, dcbUmaDB, peerUmaDB, tephra}

// ratio is a column that divides one server's figure by another's.
type ratio struct{ of, by string }

var (
	rateRatios = []ratio{{dcbPlain, tephra}, {dcbTLS, tephra}, {dcbTLS, dcbPlain}, {dcbUmaDB, peerUmaDB}}
	timeRatios = []ratio{{dcbPlain, tephra}, {dcbTLS, dcbPlain}, {dcbUmaDB, peerUmaDB}}
)

// compareServers measures our server and the servers of UmaDB and Tephra in turns. Each server
// keeps its events in a directory, synced, and runs beside the process that drives it.
func compareServers(ctx context.Context, c *config) error {
	names, err := subset("-sides", c.sides, serverNames)
	if err != nil {
		return err
	}
	return c.inDir(func(dir string) error {
		cert, err := writeCertificate(dir)
		if err != nil {
			return err
		}
		servers, err := c.servers(ctx, names, cert)
		if err != nil {
			return err
		}
		table := &serverTable{names: names}
		if err := c.measureFresh(ctx, servers, table); err != nil {
			return err
		}
		if err := c.measureFilled(ctx, servers, dir, table); err != nil {
			return err
		}
		table.print()
		return nil
	})
}

// servers returns the servers with these names, in this order.
func (c *config) servers(ctx context.Context, names []string, cert certificate) ([]server, error) {
	if c.peers == "" && (slices.Contains(names, peerUmaDB) || slices.Contains(names, tephra)) {
		return nil, errors.New("-peers is missing: the directory with the servers of UmaDB and Tephra; or choose others with -sides")
	}
	peer := func(program string, args ...string) *exec.Cmd {
		return exec.CommandContext(ctx, filepath.Join(c.peers, "bin", program), args...)
	}
	serve := func(listener string, args ...string) func(address, dir string) *exec.Cmd {
		return func(address, dir string) *exec.Cmd {
			all := []string{"serve", "--store", "disk:" + dir, "--log-level", "error"}
			for _, name := range []string{"--dcb", "--umadb", "--http"} {
				if name == listener {
					all = append(all, name, address)
				} else {
					all = append(all, name, "off")
				}
			}
			return exec.CommandContext(ctx, c.dcbstore, append(all, args...)...)
		}
	}
	drive := func(scheme, query string) func(address string, w workload) *exec.Cmd {
		return func(address string, w workload) *exec.Cmd { return c.bench(ctx, scheme+address+query, w) }
	}
	startUmaDB := func(address, dir string) *exec.Cmd { return peer("umadb", "--listen", address, "--db-path", dir) }
	startTephra := func(address, dir string) *exec.Cmd {
		return peer("tephra-server", "--bind", address, "--data-dir", dir, "--log", "error")
	}
	driveTephra := func(address string, w workload) *exec.Cmd {
		return peer("tephra-driver", w.name, "--addr", address, "--clients", strconv.Itoa(w.clients),
			"--batch", strconv.Itoa(w.batchSize()), "--size", strconv.Itoa(eventBytes),
			"--seconds", strconv.Itoa(c.seconds), "--events", strconv.Itoa(c.served))
	}
	all := []server{
		{dcbPlain, serve("--dcb"), drive("dcb://", ""), "scan", "dcb"},
		{dcbTLS, serve("--dcb", "--tls-cert", cert.file, "--tls-key", cert.keyFile), drive("dcb://", "?tls=on&ca="+cert.file), "scan", "dcb"},
		{dcbUmaDB, serve("--umadb"), drive("dcb+umadb://", ""), "scan", "dcb"},
		{peerUmaDB, startUmaDB, drive("dcb+umadb://", ""), "scan", "umadb"},
		{tephra, startTephra, driveTephra, "load", "tephra"},
	}
	return slices.DeleteFunc(all, func(s server) bool { return !slices.Contains(names, s.name) }), nil
}

// measureFresh adds the rows that are measured on new directories.
func (c *config) measureFresh(ctx context.Context, servers []server, table *serverTable) error {
	workloads := []workload{
		{name: "append", clients: 1},
		{name: "append", clients: 8},
		{name: "append", clients: 64},
		{name: "append", clients: 256},
		{name: "append", clients: 64, batch: 10},
		{name: "append", clients: 64, batch: 100},
		{name: "speedrun", clients: 1},
	}
	for _, w := range workloads {
		var sides []side
		for _, s := range servers {
			sides = append(sides, side{s.name, func(ctx context.Context) (measured sample, err error) {
				err = c.inDir(func(dir string) error {
					measured, err = c.measureServer(ctx, s, filepath.Join(dir, "data"), w)
					return err
				})
				return measured, err
			}})
		}
		what := fmt.Sprintf("%s, %s", w.name, plural(w.clients))
		if w.batchSize() > 1 {
			what += fmt.Sprintf(", batch %d, events", w.batch)
		}
		if err := c.addRow(ctx, table, what, sides); err != nil {
			return err
		}
	}
	return nil
}

// measureFilled adds the rows that are measured on a store of c.served events in dir.
func (c *config) measureFilled(ctx context.Context, servers []server, dir string, table *serverTable) error {
	for _, s := range servers {
		path := filepath.Join(dir, s.format)
		if _, err := os.Stat(path); err == nil {
			continue // another server with the same format filled it
		}
		fmt.Fprintf(os.Stderr, "filling %s with %d events\n", s.format, c.served)
		if _, err := c.measureServer(ctx, s, path, workload{name: s.fill, clients: 1, events: c.served}); err != nil {
			return fmt.Errorf("fill %s: %w", s.name, err)
		}
	}
	for _, w := range []workload{
		{name: "select", clients: 1, events: c.served},
		{name: "select", clients: 16, events: c.served},
		{name: "scan", clients: 1, events: c.served},
		{name: "speedrun", clients: 1, events: c.served},
	} {
		var sides []side
		for _, s := range servers {
			sides = append(sides, side{s.name, func(ctx context.Context) (sample, error) {
				return c.measureServer(ctx, s, filepath.Join(dir, s.format), w)
			}})
		}
		if err := c.addRow(ctx, table, fmt.Sprintf("%s, %s, %d events", w.name, plural(w.clients), c.served), sides); err != nil {
			return err
		}
	}
	return nil
}

func (c *config) addRow(ctx context.Context, table *serverTable, what string, sides []side) error {
	fmt.Fprintln(os.Stderr, "measuring", what)
	samples, err := c.inTurns(ctx, sides)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	table.rows = append(table.rows, serverRow{what, samples})
	return nil
}

// measureServer starts a server on a directory, drives it with a workload and stops it. Its
// processor time counts from the moment at which it listens to the moment at which the driver has
// ended.
func (c *config) measureServer(ctx context.Context, s server, dir string, w workload) (sample, error) {
	address, err := freeAddress(ctx)
	if err != nil {
		return sample{}, err
	}
	process := s.start(address, dir)
	process.Stderr = os.Stderr
	process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that its children count, too
	if err := process.Start(); err != nil {
		return sample{}, err
	}
	defer stop(process)
	if err := waitUntilListening(ctx, address); err != nil {
		return sample{}, err
	}
	before, err := processorTime(process.Process.Pid)
	if err != nil {
		return sample{}, err
	}
	driver := s.drive(address, w)
	report, err := c.figures(driver)
	if err != nil {
		return sample{}, err
	}
	after, err := processorTime(process.Process.Pid)
	if err != nil {
		return sample{}, err
	}
	perOperation := func(d time.Duration) float64 { return float64(d.Microseconds()) / max(report.count(w), 1) }
	return sample{
		perSecond:    report.rate(w),
		serverMicros: perOperation(after - before),
		clientMicros: perOperation(driver.ProcessState.UserTime() + driver.ProcessState.SystemTime()),
	}, nil
}

// stop interrupts a server. It kills a server that does not end within ten seconds.
func stop(process *exec.Cmd) {
	_ = process.Process.Signal(os.Interrupt)
	kill := time.AfterFunc(10*time.Second, func() { _ = process.Process.Kill() })
	_ = process.Wait() // the error is the interrupt
	kill.Stop()
}

// processorTime returns the user and system time of all processes of a group, from /proc/*/stat.
// The kernel counts in units of 10 ms.
func processorTime(group int) (time.Duration, error) {
	const tick = 10 * time.Millisecond
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	total, found := int64(0), false
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // the process has ended
		}
		// The fields after the name, which is in parentheses: state, parent, group …; see proc(5).
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		const groupField, userField, systemField = 2, 11, 12
		if len(fields) <= systemField || fields[groupField] != strconv.Itoa(group) {
			continue
		}
		found = true
		for _, field := range []string{fields[userField], fields[systemField]} {
			ticks, err := strconv.ParseInt(field, 10, 64)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", path, err)
			}
			total += ticks
		}
	}
	if !found {
		return 0, fmt.Errorf("the server with process group %d has ended", group)
	}
	return time.Duration(total) * tick, nil
}

func freeAddress(ctx context.Context) (string, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

func waitUntilListening(ctx context.Context, address string) error {
	for range 300 {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return fmt.Errorf("no server listens on %s after 30 s", address)
}
