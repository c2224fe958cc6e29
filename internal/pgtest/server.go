package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Options say what kind of server is wanted. The zero value is right for most tests.
type Options struct {
	// Fsync makes the server durable also when the machine crashes, which costs what it costs in production. Without it
	// the server still keeps what was committed when it is killed, because the operating system lives on. Default: false.
	Fsync bool
	// Settings are further settings of the server, as in postgresql.conf. Default: none.
	Settings map[string]string
}

// StopMode is how a server is asked to stop.
type StopMode int

const (
	// Graceful ends the sessions, writes a checkpoint and stops: what an operator does.
	Graceful StopMode = iota
	// Immediate stops without a checkpoint, so that the next start has to recover.
	Immediate
)

// Server is a PostgreSQL server on a port and in a directory of its own. Its methods may be called from any goroutine.
type Server struct {
	box      *sandbox
	binaries string // the directory of initdb and postgres
	settings []string
	port     int // the same for all of the server's life

	mu sync.Mutex // guards starting and stopping: one at a time
}

// NewServer starts a server for t alone; it is gone at the end of the test. If the test failed, the end of the server's log
// is in the test's output.
func NewServer(t testing.TB, opts Options) *Server {
	t.Helper()
	s, err := Start(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the server's log ends with:\n%s", s.box.logTail())
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Binary returns the path of one of the programs that came with the server, such as pgbench.
func (s *Server) Binary(name string) string { return filepath.Join(s.binaries, name) }

// DSN returns the connection string of the server as a superuser. It stays the same when the server is restarted.
func (s *Server) DSN() string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", s.port)
}

// Stop stops the server if it is running and returns when it has stopped.
func (s *Server) Stop(mode StopMode) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stop(mode)
}

// Kill kills all processes of the server at once, as a crash would, and returns when they are gone.
func (s *Server) Kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.box.killFamily(); err != nil {
		return fmt.Errorf("pgtest: kill: %w", err)
	}
	return nil
}

// Restart starts the server again, on the same port and with the same data, and returns when it answers. A running
// server is stopped first.
func (s *Server) Restart() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.stop(Graceful); err != nil {
		return err
	}
	return s.start()
}

// Start starts a server that belongs to no test. The caller closes it; if it does not get to that, the server is gone all
// the same when the program is.
func Start(opts Options) (*Server, error) {
	binaries, err := findBinaries(os.Getenv("PATH"), packageDirs)
	if err != nil {
		return nil, err
	}
	box, err := newSandbox()
	if err != nil {
		return nil, err
	}
	s := &Server{box: box, binaries: binaries, settings: settings(opts)}
	if err := s.create(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Server) create() error {
	if err := s.box.run(filepath.Join(s.binaries, "initdb"), "--pgdata="+s.data(), "--username=postgres",
		"--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"); err != nil {
		return fmt.Errorf("pgtest: initdb: %w", err)
	}
	// Between finding a port free and taking it, somebody else may take it.
	var err error
	for range 5 {
		if s.port, err = freePort(); err != nil {
			return err
		}
		if err = s.start(); err == nil || !strings.Contains(err.Error(), "could not bind") {
			return err
		}
	}
	return err
}

func (s *Server) data() string { return filepath.Join(s.box.dir, "data") }

// start wants s.mu, except while s is being created.
func (s *Server) start() error {
	args := append([]string{"-D", s.data(), "-p", strconv.Itoa(s.port)}, s.settings...)
	if err := s.box.start(filepath.Join(s.binaries, "postgres"), args...); err != nil {
		return fmt.Errorf("pgtest: start postgres: %w", err)
	}
	if err := s.box.awaitAnswer(s.DSN()); err != nil {
		return errors.Join(fmt.Errorf("pgtest: start postgres: %w", err), s.stop(Immediate))
	}
	return nil
}

// stop wants s.mu.
func (s *Server) stop(mode StopMode) error {
	signal := interruptSignal
	if mode == Immediate {
		signal = quitSignal
	}
	if err := s.box.stop(signal); err != nil {
		return fmt.Errorf("pgtest: stop postgres: %w", err)
	}
	return nil
}

// Close stops the server and removes it, with its data.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.stop(Immediate), s.box.close())
}

// settings returns the command line's settings. What opts asks for comes last, and so wins.
func settings(opts Options) []string {
	args := []string{
		"-c", "listen_addresses=127.0.0.1",
		"-c", "unix_socket_directories=", // their paths may be too long for a socket
		"-c", "max_connections=300",
		"-c", "dynamic_shared_memory_type=mmap", // in the data directory, so that it goes with it after a kill
	}
	if !opts.Fsync {
		args = append(args, "-c", "fsync=off", "-c", "full_page_writes=off")
	}
	for name, value := range opts.Settings {
		args = append(args, "-c", name+"="+value)
	}
	return args
}

// freePort returns a port of 127.0.0.1 that nobody listens at. It is below those that the usual systems give to outgoing
// connections, so that a restarting server finds it free again.
func freePort() (int, error) {
	var err error
	for range 100 {
		port := 15_000 + rand.IntN(17_000)
		var listener net.Listener
		if listener, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			return port, listener.Close()
		}
	}
	return 0, fmt.Errorf("pgtest: find a free port: %w", err)
}

// awaitAnswer returns nil when dsn answers, and an error if the process ends or patience does before that.
func (b *sandbox) awaitAnswer(dsn string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	retry := time.NewTicker(20 * time.Millisecond) // a server says nowhere but on its port that it is ready
	defer retry.Stop()
	for {
		conn, err := pgx.Connect(ctx, dsn)
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-b.exited:
			return fmt.Errorf("it ended at once; its log ends with:\n%s", b.logTail())
		case <-ctx.Done():
			return fmt.Errorf("it does not answer: %w; its log ends with:\n%s", err, b.logTail())
		case <-retry.C:
		}
	}
}

// logTail returns the last lines of the output of the sandbox's processes.
func (b *sandbox) logTail() string {
	log, err := os.ReadFile(b.logPath())
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(bytes.TrimSpace(log), []byte("\n"))
	return string(bytes.Join(slices.Clip(lines[max(0, len(lines)-30):]), []byte("\n")))
}
