package dcbnet

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/dcbtest/history"
	"github.com/dcbstore/dcb/diskstore"
	"github.com/dcbstore/dcb/memstore"
)

// serverDir is the environment variable that makes a process of this test binary serve a
// directory until it is killed.
const serverDir = "DCB_TEST_SERVER_DIR"

// serveDirectory serves a directory on a port, and prints the address.
func serveDirectory(ctx context.Context, dir string) error {
	store, err := diskstore.Open(dir, nil)
	if err != nil {
		return err
	}
	server, err := NewServer(store, nil)
	if err != nil {
		return err
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", anyPort)
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr())
	return server.Serve(listener)
}

// serverProcess is such a process.
type serverProcess struct {
	process *exec.Cmd
	stderr  strings.Builder
}

// movingAddress is the address of a server that is replaced during a test. The replacement has
// another port, because another process may take a free one.
type movingAddress struct{ address atomic.Pointer[string] }

func movingTo(address string) *movingAddress {
	m := &movingAddress{}
	m.to(address)
	return m
}

func (m *movingAddress) to(address string) { m.address.Store(&address) }

func (m *movingAddress) dial(ctx context.Context, _ string) (net.Conn, error) {
	var dialer net.Dialer
	return dialer.DialContext(ctx, "tcp", *m.address.Load())
}

// startProcess starts a process that serves dir, and returns it with its address.
func startProcess(ctx context.Context, dir string) (*serverProcess, string, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, "", err
	}
	s := &serverProcess{process: exec.CommandContext(ctx, program)}
	s.process.Env = append(os.Environ(), serverDir+"="+dir)
	s.process.Stderr = &s.stderr
	out, err := s.process.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	if err := s.process.Start(); err != nil {
		return nil, "", err
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		_ = s.process.Wait()
		return nil, "", fmt.Errorf("the server did not start: %s", &s.stderr)
	}
	return s, lines.Text(), nil
}

func (s *serverProcess) kill() {
	_ = s.process.Process.Kill()
	_ = s.process.Wait()
}

// disturbed runs a workload on two clients and checks its history. It calls disturb after every
// 20 events or so, and not after some time, because a loaded machine would make no progress
// between two calls.
func disturbed(t *testing.T, server *movingAddress, steps int, disturb func() error) *history.History {
	t.Helper()
	var handles []dcb.Store
	for range 2 {
		client, err := Dial(t.Context(), "server", &ClientOptions{Dial: server.dial, RetryFor: testPatience, connectTime: testPatience})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = client.Close() })
		handles = append(handles, client)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var disturber sync.WaitGroup
	times := 0
	disturber.Go(func() {
		for head := dcb.Position(0); ; times++ {
			var err error
			if head, err = handles[times%2].Wait(ctx, head+19); err == nil {
				time.Sleep(rand.N(20 * time.Millisecond)) // so that disturb meets the workload in any state
				err = disturb()
			}
			if err != nil {
				if ctx.Err() == nil {
					t.Error(err)
				}
				return
			}
		}
	})
	h, err := history.Workload{Handles: handles, Steps: steps, MayFail: true, HangTimeout: 2 * testPatience}.Run(t.Context())
	cancel()
	disturber.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Verify(t.Context(), handles[0]); err != nil {
		t.Error(err)
	}
	t.Logf("%d disturbances; %d calls, %d of them unavailable; %d events", times, len(h.Operations), failures(h), len(h.Final))
	if times == 0 {
		t.Error("the workload ended before the first disturbance")
	}
	return h
}

func failures(h *history.History) (n int) {
	for i := range h.Operations {
		if errors.Is(h.Operations[i].Err, dcb.ErrUnavailable) {
			n++
		}
	}
	return n
}

func TestServerCloseUnderLoadKeepsTheContract(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	server := serveTCP(t, store, nil)
	address := movingTo(server.address)
	disturbed(t, address, 100, func() error {
		server.Close()
		err := <-server.done
		server.done <- nil
		if err != nil {
			return err
		}
		server = serveTCP(t, store, nil)
		address.to(server.address)
		return nil
	})
}

func TestServerShutdownUnderLoadLosesNoAppend(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	server := serveTCP(t, store, nil)
	address := movingTo(server.address)
	h := disturbed(t, address, 100, func() error {
		bound, cancel := context.WithTimeout(t.Context(), testPatience)
		err := server.Shutdown(bound)
		cancel()
		if err = errors.Join(err, <-server.done); err != nil {
			return err
		}
		server.done <- nil
		server = serveTCP(t, store, nil)
		address.to(server.address)
		return nil
	})
	for i := range h.Operations {
		if o := &h.Operations[i]; errors.Is(o.Err, dcb.ErrUnavailable) {
			t.Error(o)
		}
	}
}

func TestServerKilledUnderLoadLosesNothingThatItAnswered(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	process, address, err := startProcess(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { process.kill() })
	place := movingTo(address)
	disturbed(t, place, 30, func() error {
		process.kill()
		next, address, err := startProcess(t.Context(), dir)
		if err != nil {
			return err
		}
		process = next
		place.to(address)
		return nil
	})
}

// Clients that vanish in the middle of their calls must not affect the others.
func TestServerSurvivesClientsThatVanish(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	server := serve(t, store, nil)
	steady := server.dial(t)
	for round := range 20 {
		c := &cutter{dial: server.opts.Dial}
		client := server.dial(t, func(o *ClientOptions) { o.Dial, o.RetryFor = c.connect, time.Nanosecond })
		var calls sync.WaitGroup
		ctx, cancel := context.WithTimeout(t.Context(), testPatience)
		for range 10 {
			calls.Go(func() {
				for {
					if _, err := client.Append(ctx, []dcb.Event{{Type: "T", Data: make([]byte, 1000)}}, nil); err != nil {
						return
					}
				}
			})
			calls.Go(func() { _, _ = client.Wait(ctx, 1<<62) })
		}
		c.cut(direction(round%2), 5000+100*round)
		eventually(t, "the client's connection is cut", func() bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			return !c.armed
		})
		if err := client.Close(); err != nil {
			t.Error(err)
		}
		calls.Wait()
		cancel()
		if _, err := steady.Append(t.Context(), []dcb.Event{{Type: "T"}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	result, err := store.Read(t.Context(), dcb.All(), dcb.ReadOptions{})
	if err != nil || dcb.Position(len(result.Events)) != result.Head {
		t.Errorf("Read = %d events, head %d, %v", len(result.Events), result.Head, err)
	}
}
