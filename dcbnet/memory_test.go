package dcbnet

import (
	"context"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/memstore"
)

// The tests in this file measure the whole process, so they do not run in parallel.

// endless is a store that appears to contain many large events.
type endless struct {
	dcb.Store
	events dcb.Position
	data   []byte // of each event
}

func (s *endless) Head(context.Context) (dcb.Position, error) { return s.events, nil }

func (s *endless) Read(_ context.Context, _ dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
	result := dcb.ReadResult{Head: s.events}
	for at := opts.After + 1; at <= s.events && (opts.Before == 0 || at < opts.Before); at++ {
		result.Events = append(result.Events, dcb.SequencedEvent{Event: dcb.Event{Type: "T", Data: s.data}, Position: at})
		if len(result.Events) == opts.Limit {
			result.Head = at
			break
		}
	}
	return result, nil
}

// inUse returns the memory in use by the process after garbage collection, including stacks.
func inUse() int64 {
	var least int64 = 1 << 62
	for range 5 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		least = min(least, int64(m.HeapInuse+m.StackInuse))
	}
	return least
}

// checkLeaks runs a test, and checks that it leaves no goroutines and no open files.
func checkLeaks(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	goroutines, files := runtime.NumGoroutine(), openFiles()
	t.Run("", test)
	stacks := make([]byte, 1<<20)
	end := time.Now().Add(testPatience)
	for runtime.NumGoroutine() > goroutines || openFiles() > files {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines and %d files before the test, %d and %d after it:\n%s", goroutines, files, runtime.NumGoroutine(), openFiles(),
				stacks[:runtime.Stack(stacks, true)])
		}
		runtime.Gosched()
	}
}

// openFiles returns the number of open files, or 0 if the system does not report it.
func openFiles() int {
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(files)
}

// A client that does not read the 200 MB that it asked for costs a few MB, whatever its credit,
// and does not delay others.
func TestServerMemoryOfClientsThatDoNotRead(t *testing.T) { //nolint:paralleltest // see above
	checkLeaks(t, func(t *testing.T) {
		const clients, limit = 16, 8 << 20
		store := &endless{memstore.New(nil), 200_000, make([]byte, 1000)}
		server := serve(t, store, nil)
		steady := server.dial(t)
		before := inUse()
		for n := range clients {
			p := server.greetedPeer(t)
			kind := subscribeRequest
			if n%2 == 1 {
				kind = readRequest
			}
			p.request(t, request{id: 2, kind: kind, query: dcb.All(), credit: 1 << 60}) // and never receives
		}
		ctx, cancel := context.WithTimeout(t.Context(), testPatience) // reached if others are delayed
		defer cancel()
		for range 200 {
			if _, err := steady.Append(ctx, []dcb.Event{{Type: "T"}}, nil); err != nil {
				t.Fatal(err)
			}
			if _, err := steady.Read(ctx, dcb.All(), dcb.ReadOptions{Limit: 10}); err != nil {
				t.Fatal(err)
			}
		}
		cost := (inUse() - before) / clients
		t.Logf("%d KiB per client, of both sides", cost>>10)
		if cost > limit {
			t.Errorf("%d KiB per client; the limit is %d KiB", cost>>10, limit>>10)
		}
	})
}

// The reads of one connection share its send queue.
func TestServerMemoryOfManyReadsThatAreNotReceived(t *testing.T) { //nolint:paralleltest // see above
	checkLeaks(t, func(t *testing.T) {
		const reads, limit = 400, 32 << 20
		server := serve(t, &endless{memstore.New(nil), 100_000, make([]byte, 1000)}, nil)
		before := inUse()
		p := server.greetedPeer(t)
		for n := range reads {
			p.request(t, request{id: uint64(n) + 2, kind: readRequest, query: dcb.All(), credit: 1 << 60})
		}
		for range 20 { // each message frees space for all of them
			p.responses(t)
		}
		time.Sleep(100 * time.Millisecond) // for the server to fill its queue
		cost := inUse() - before
		t.Logf("%d KiB for %d reads", cost>>10, reads)
		if cost > limit {
			t.Errorf("%d KiB; the limit is %d KiB", cost>>10, limit>>10)
		}
	})
}

// The server stops reading from a client that sends requests and does not read the responses.
func TestServerMemoryOfResponsesThatAreNotRead(t *testing.T) { //nolint:paralleltest // see above
	checkLeaks(t, func(t *testing.T) {
		const limit = 64 << 20
		server := serve(t, memstore.New(nil), nil)
		p := server.greetedPeer(t)
		before := inUse()
		sent := make(chan int)
		go func() {
			n := 0
			for ; n < 1000; n++ {
				b := make([]byte, headerBytes)
				for id := range uint64(20_000) {
					b = (&request{id: id + 2, kind: 14}).append(b) // of an unknown kind; the error is longer
				}
				if p.send(&b) != nil {
					break
				}
			}
			sent <- n
		}()
		select {
		case n := <-sent:
			t.Errorf("the server read all %d million requests", n/50) // 20,000 each
		case <-time.After(500 * time.Millisecond):
		}
		cost := inUse() - before
		t.Logf("%d KiB for the responses", cost>>10)
		if cost > limit {
			t.Errorf("%d KiB; the limit is %d KiB", cost>>10, limit>>10)
		}
		server.Close()
		<-sent
	})
}

func TestServerMemoryOfAThousandFollowers(t *testing.T) { //nolint:paralleltest // see above
	checkLeaks(t, func(t *testing.T) {
		const followers, limit = 1000, 256 << 10
		store := memstore.New(nil)
		server := serveTCP(t, store, nil)
		before := inUse()
		clients := make([]*Client, followers)
		var dialing sync.WaitGroup
		for first := range 20 {
			dialing.Go(func() {
				for n := first; n < followers; n += 20 {
					clients[n] = server.dial(t)
				}
			})
		}
		dialing.Wait()
		ready, seen := make(chan struct{}, followers), make(chan dcb.Position, followers)
		for _, client := range clients {
			go func() {
				for batch, err := range client.Follow(t.Context(), dcb.All(), 0) {
					if err != nil {
						return
					}
					if len(batch.Events) > 0 {
						seen <- batch.Events[0].Position
						return
					}
					ready <- struct{}{}
				}
			}()
		}
		for range followers {
			<-ready
		}
		cost := (inUse() - before) / followers
		if _, err := store.Append(t.Context(), []dcb.Event{{Type: "T"}}, nil); err != nil {
			t.Fatal(err)
		}
		for range followers {
			if at := <-seen; at != 1 {
				t.Errorf("a follower received position %d, want 1", at)
			}
		}
		t.Logf("%d KiB per connection, of both sides", cost>>10)
		if cost > limit {
			t.Errorf("%d KiB per connection; the limit is %d KiB", cost>>10, limit>>10)
		}
	})
}

func TestCloseAndShutdownLeaveNothingBehind(t *testing.T) { //nolint:paralleltest // see above
	for name, end := range map[string]func(t *testing.T, s *served, clients []*Client){
		"when clients are closed": func(t *testing.T, _ *served, clients []*Client) {
			for _, client := range clients {
				if err := client.Close(); err != nil {
					t.Error(err)
				}
			}
		},
		"after Close": func(_ *testing.T, s *served, _ []*Client) { s.Close() },
		"after Shutdown": func(t *testing.T, s *served, _ []*Client) {
			if err := s.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) { //nolint:paralleltest // see above
			checkLeaks(t, func(t *testing.T) {
				server := serveTCP(t, memstore.New(nil), nil)
				ctx, cancel := context.WithCancel(t.Context())
				var calls sync.WaitGroup
				var clients []*Client
				for range 3 {
					client := server.dial(t)
					clients = append(clients, client)
					for range 5 {
						calls.Go(func() { _, _ = client.Wait(ctx, 0) })
						calls.Go(func() {
							for _, err := range client.Follow(ctx, dcb.All(), 0) {
								if err != nil {
									return
								}
							}
						})
					}
					if _, err := client.Head(t.Context()); err != nil {
						t.Error(err)
					}
				}
				end(t, server, clients)
				cancel()
				calls.Wait()
			})
		})
	}
}
