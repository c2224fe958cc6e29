package pgstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/pgtest"
	"github.com/dcbstore/dcb/pgstore"
)

// The variables that make a process of this test binary a racer: where it races, and in what.
const (
	racerServer = "DCB_TEST_RACER_SERVER"
	racerSchema = "DCB_TEST_RACER_SCHEMA"
)

func TestMain(m *testing.M) {
	if server := os.Getenv(racerServer); server != "" {
		os.Exit(raceAppends(context.Background(), server, os.Getenv(racerSchema)))
	}
	os.Exit(pgtest.Main(m))
}

// Each racer tries to be the only one in every round; in each it has several callers, so that there are batches too.
const (
	rounds  = 150
	callers = 4
)

// raceAppends prints how often this process was the one.
func raceAppends(ctx context.Context, server, schema string) (exitCode int) {
	store, err := pgstore.Open(ctx, server, &pgstore.Options{Schema: schema, CommitTimeout: slow})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer store.Close()
	wins := make(chan int, rounds*callers)
	for round := range rounds {
		tag := []string{fmt.Sprintf("round:%d", round)}
		var racing sync.WaitGroup
		for range callers {
			racing.Go(func() {
				_, err := store.Append(ctx, []dcb.Event{{Type: "Won", Tags: tag}}, &dcb.AppendCondition{FailIfEventsMatch: dcb.Query{{Tags: tag}}})
				switch {
				case err == nil:
					wins <- round
				case !errors.Is(err, dcb.ErrConflict):
					fmt.Fprintln(os.Stderr, err)
				}
			})
		}
		racing.Wait()
	}
	fmt.Println(len(wins))
	return 0
}

func TestOfSeveralProcessesExactlyOneWinsEachRound(t *testing.T) {
	t.Parallel()
	eachStrategy(t, func(t *testing.T, index pgstore.Index) {
		h := open(t, index)
		program, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		var (
			racers [3]*exec.Cmd
			told   [3]bytes.Buffer
		)
		for i := range racers {
			racers[i] = exec.CommandContext(t.Context(), program)
			racers[i].Env = append(os.Environ(), racerServer+"="+h.dsn, racerSchema+"="+h.options.Schema)
			racers[i].Stdout, racers[i].Stderr = &told[i], &told[i]
			if err := racers[i].Start(); err != nil {
				t.Fatal(err)
			}
		}
		won := 0
		for i, racer := range racers {
			if err := racer.Wait(); err != nil {
				t.Fatalf("%v: %s", err, &told[i])
			}
			wins, err := strconv.Atoi(strings.TrimSpace(told[i].String()))
			if err != nil {
				t.Fatalf("a racer printed %s", &told[i])
			}
			won += wins
		}
		head, err := h.Head(t.Context())
		if won != rounds || head != rounds || err != nil {
			t.Errorf("%d rounds were won %d times, and %d events are recorded (%v)", rounds, won, head, err)
		}
		for round := range rounds {
			q := dcb.Query{{Tags: []string{fmt.Sprintf("round:%d", round)}}}
			if result, err := h.Read(t.Context(), q, dcb.ReadOptions{}); err != nil || len(result.Events) != 1 {
				t.Errorf("round %d has %d winners, %v", round, len(result.Events), err)
			}
		}
	})
}
