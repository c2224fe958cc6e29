package dcbgrpc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
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

// servantDir is the variable that makes a process of this test binary a server of a directory, until it is killed.
const servantDir = "DCB_TEST_SERVANT_DIR"

// beServant serves a directory at a port, and prints its address.
func beServant(ctx context.Context, dir string) error {
	store, err := diskstore.Open(dir, nil)
	if err != nil {
		return err
	}
	server, err := NewServer(store, &ServerOptions{Log: slog.New(slog.DiscardHandler)})
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

// servant is such a process.
type servant struct {
	process   *exec.Cmd
	complaint strings.Builder
}

// moving is the address of a server that another one may take the place of. It is not the same port, which anybody could have taken meanwhile.
type moving struct{ address atomic.Pointer[string] }

func movingTo(address string) *moving {
	m := &moving{}
	m.to(address)
	return m
}

func (m *moving) to(address string) { m.address.Store(&address) }

func (m *moving) dial(ctx context.Context, _ string) (net.Conn, error) {
	var dialer net.Dialer
	return dialer.DialContext(ctx, "tcp", *m.address.Load())
}

// hire starts a process that serves dir, and returns it with its address.
func hire(ctx context.Context, dir string) (*servant, string, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, "", err
	}
	s := &servant{process: exec.CommandContext(ctx, program)}
	s.process.Env = append(os.Environ(), servantDir+"="+dir)
	s.process.Stderr = &s.complaint
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
		return nil, "", fmt.Errorf("the server did not begin: %s", &s.complaint)
	}
	return s, lines.Text(), nil
}

func (s *servant) kill() {
	_ = s.process.Process.Kill()
	_ = s.process.Wait()
}

// disturbed runs a workload on two clients, calls disturb each time that it has got on by some events, and checks its history. It is not by the clock that
// there is a disturbance: a machine on which everything takes long would get nothing done between two of them.
func disturbed(t *testing.T, server *moving, steps int, disturb func() error) *history.History {
	t.Helper()
	var handles []dcb.Store
	for _, overGRPC := range []bool{false, true} {
		client, err := Dial(t.Context(), "server", &ClientOptions{Dial: server.dial, RetryFor: testPatience, connectTime: testPatience, OverGRPC: overGRPC})
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
				time.Sleep(rand.N(20 * time.Millisecond)) // whatever the workload is doing then
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
	h, err := history.Workload{Handles: handles, Steps: steps, MayFail: true, Patience: 2 * testPatience}.Run(t.Context())
	cancel()
	disturber.Wait()
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Verify(t.Context(), handles[0]); err != nil {
		t.Error(err)
	}
	t.Logf("%d disturbances; %d calls, of which %d were not answered as asked; %d events", times, len(h.Operations), failures(h), len(h.Final))
	if times == 0 {
		t.Error("nothing disturbed it")
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

func TestAServerThatIsClosedUnderLoadAndAnotherInItsPlaceKeepTheContract(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	server := serveByLoopback(t, store, nil)
	address := movingTo(server.address)
	disturbed(t, address, 100, func() error {
		server.Close()
		err := <-server.done
		server.done <- nil
		if err != nil {
			return err
		}
		server = serveByLoopback(t, store, nil)
		address.to(server.address)
		return nil
	})
}

func TestAServerThatIsStoppedUnderLoadLosesNoAppend(t *testing.T) {
	t.Parallel()
	store := memstore.New(nil)
	server := serveByLoopback(t, store, nil)
	address := movingTo(server.address)
	h := disturbed(t, address, 100, func() error {
		bound, cancel := context.WithTimeout(t.Context(), testPatience)
		err := server.Shutdown(bound)
		cancel()
		if err = errors.Join(err, <-server.done); err != nil {
			return err
		}
		server.done <- nil
		server = serveByLoopback(t, store, nil)
		address.to(server.address)
		return nil
	})
	for i := range h.Operations {
		if o := &h.Operations[i]; errors.Is(o.Err, dcb.ErrUnavailable) {
			t.Error(o)
		}
	}
}

func TestAServerProcessThatIsKilledUnderLoadLosesNothingThatItAnswered(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	process, address, err := hire(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { process.kill() })
	place := movingTo(address)
	disturbed(t, place, 30, func() error {
		process.kill()
		next, address, err := hire(t.Context(), dir)
		if err != nil {
			return err
		}
		process = next
		place.to(address)
		return nil
	})
}

// Clients that are gone from one moment to the next, in the middle of whatever they were doing, cost the others nothing.
func TestClientsThatAreCutOffLeaveNothingBehindAtTheServer(t *testing.T) {
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
		eventually(t, "the client is cut off", func() bool {
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
		t.Errorf("%d events up to %d, %v", len(result.Events), result.Head, err)
	}
}
