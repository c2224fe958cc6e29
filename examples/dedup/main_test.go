package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/decide/decidetest"
	"github.com/dcbstore/dcb/internal/kinds"
	"github.com/dcbstore/dcb/memstore"
	"github.com/dcbstore/dcb/stores"
)

// childKey is the environment variable that makes a process of the tests send commands. Its value
// is the prefix of their keys.
const childKey = "DCB_TEST_COMMAND"

func TestMain(m *testing.M) {
	if key := os.Getenv(childKey); key != "" {
		os.Exit(child(context.Background(), key))
	}
	os.Exit(kinds.Main(m))
}

// child opens the store that DCB_STORE names, prints "ready" and waits for a line. Then it sends
// commands and prints the positions that they return.
func child(ctx context.Context, key string) int {
	store, err := stores.FromEnv(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer store.Close()
	fmt.Println("ready")
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		fmt.Fprintln(os.Stderr, "waiting for the start:", err)
		return 1
	}
	for i := range 20 {
		position, err := open(store).placeOnce(ctx, "o1", fmt.Sprint(key, "-", i))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		fmt.Println(position)
	}
	return 0
}

// The scenarios at dcb.events have no numbers.
func TestScenarios(t *testing.T) {
	t.Run("a used token", func(t *testing.T) {
		kinds.OnEvery(t, func(t *testing.T, store dcb.Store) {
			s := decidetest.New(t, events, store)
			s.Given(OrderPlaced{"o12345", "11111"})
			s.When(open(s.Store).place(t.Context(), "o54321", "11111")).ThenRefused("Re-submission")
		})
	})
	t.Run("another token", func(t *testing.T) {
		kinds.OnEvery(t, func(t *testing.T, store dcb.Store) {
			s := decidetest.New(t, events, store)
			s.Given(OrderPlaced{"o12345", "11111"})
			s.When(open(s.Store).place(t.Context(), "o54321", "22222")).Then(OrderPlaced{"o54321", "22222"})
		})
	})
	t.Run("a command that is sent again", func(t *testing.T) {
		kinds.OnEvery(t, func(t *testing.T, store dcb.Store) {
			s := decidetest.New(t, events, store)
			o := open(s.Store)
			first, err := o.placeOnce(t.Context(), "o1", "key")
			s.When(err).Then(OrderPlaced{Order: "o1"})
			again, err := o.placeOnce(t.Context(), "o2", "key")
			s.When(err).Then()
			if first != again {
				t.Errorf("placeOnce returned position %d and then %d", first, again)
			}
		})
	})
}

func TestPlaceOnceRecordsOneOrder(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds.All() {
		t.Run(kind.Name, func(t *testing.T) {
			t.Parallel()
			handles := kind.Handles(t)
			var calls []func(ctx context.Context) (dcb.Position, error)
			for i := range 16 {
				o := open(handles[i%len(handles)])
				calls = append(calls, func(ctx context.Context) (dcb.Position, error) { return o.placeOnce(ctx, fmt.Sprint("o", i), "key") })
			}
			decidetest.CheckIdempotent(t, calls...)
			recorded, err := handles[0].Head(t.Context())
			if recorded != 1 || err != nil {
				t.Errorf("%d events are recorded (error %v), want 1", recorded, err)
			}
		})
	}
}

// process is a running child.
type process struct {
	*exec.Cmd
	in  io.Writer
	out *bufio.Reader
}

func start(t *testing.T, env ...string) process {
	t.Helper()
	p := process{Cmd: exec.CommandContext(t.Context(), os.Args[0])}
	p.Env, p.Stderr = append(os.Environ(), env...), os.Stderr
	in, inErr := p.StdinPipe()
	out, outErr := p.StdoutPipe()
	if err := errors.Join(inErr, outErr, p.Start()); err != nil {
		t.Fatal(err)
	}
	p.in, p.out = in, bufio.NewReader(out)
	return p
}

// Two processes send the same twenty commands at once. Neither starts before both are ready.
func TestPlaceOnceFromTwoProcesses(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds.All() {
		if !kind.Shared {
			continue
		}
		t.Run(kind.Name, func(t *testing.T) {
			t.Parallel()
			url := kind.NewURL(t)
			store := kinds.Open(t, url)
			var processes [2]process
			for i := range processes {
				processes[i] = start(t, childKey+"=key", stores.Variable+"="+url)
			}
			for _, p := range processes {
				if line, err := p.out.ReadString('\n'); line != "ready\n" {
					t.Fatalf("a process printed %q (error %v), want \"ready\"", line, err)
				}
			}
			for _, p := range processes {
				if _, err := fmt.Fprintln(p.in, "go"); err != nil {
					t.Error(err)
				}
			}
			var answers [2]string
			for i, p := range processes {
				text, err := io.ReadAll(p.out)
				if err := errors.Join(err, p.Wait()); err != nil {
					t.Error(err)
				}
				answers[i] = string(text)
			}
			recorded, err := store.Head(t.Context())
			if recorded != 20 || err != nil || answers[0] != answers[1] || strings.Count(answers[0], "\n") != 20 {
				t.Errorf("%d events are recorded (error %v), want 20; the processes printed %q", recorded, err, answers)
			}
		})
	}
}

// Other programs read the recorded events, so names, tags and JSON must not change.
func TestEncodeMatchesTheScenarios(t *testing.T) {
	t.Parallel()
	for want, event := range map[string]any{
		`OrderPlaced [order:o12345 idempotency:11111] {"orderId":"o12345","idempotencyToken":"11111"}`: OrderPlaced{"o12345", "11111"},
		`OrderPlaced [order:o12345] {"orderId":"o12345"}`:                                              OrderPlaced{Order: "o12345"}, // placed with a key
	} {
		e, err := events.Encode(event)
		if got := fmt.Sprintf("%s %s %s", e.Type, e.Tags, e.Data); err != nil || got != want {
			t.Errorf("Encode(%#v) = %s (error %v), want %s", event, got, err, want)
		}
	}
}

func TestRun(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	run(t.Context(), memstore.New(nil), log.New(&out, "", 0))
	want := "with the token: placed\nwith the token: refused: Re-submission\n" + strings.Repeat("with the key: placed at position 2\n", 2)
	if out.String() != want {
		t.Errorf("got:\n%swant:\n%s", &out, want)
	}
}
