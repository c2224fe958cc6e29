package dcbgrpc

import (
	"context"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/memstore"
)

// The tests of this file measure the whole process, so they are not parallel.

// endless is a store that is as good as full of large events, of which it keeps none.
type endless struct {
	dcb.Store
	events dcb.Position
	data   []byte // of each
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

// inUse returns how much memory the process holds on to, stacks included, when it has come to rest.
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

// leaveAsFound runs a test and expects as many goroutines and handles afterwards as before.
func leaveAsFound(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	goroutines, handles := runtime.NumGoroutine(), openHandles()
	t.Run("", test)
	stacks := make([]byte, 1<<20)
	end := time.Now().Add(testPatience)
	for runtime.NumGoroutine() > goroutines || openHandles() > handles {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines and %d handles became %d and %d:\n%s", goroutines, handles, runtime.NumGoroutine(), openHandles(),
				stacks[:runtime.Stack(stacks, true)])
		}
		runtime.Gosched()
	}
}

// openHandles is 0 where the system does not tell.
func openHandles() int {
	handles, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(handles)
}

// A follower that does not take what it asked for, 200 MB, costs a few MB, whatever it has granted; and the others do not notice.
func TestStuckFollowersCostLittleAndHoldUpNobody(t *testing.T) { //nolint:paralleltest // see above
	leaveAsFound(t, func(t *testing.T) {
		const followers, most = 16, 8 << 20
		store := &endless{memstore.New(nil), 200_000, make([]byte, 1000)}
		server := serve(t, store, nil)
		steady := server.dial(t)
		before := inUse()
		for n := range followers {
			stream := server.greeted(t)
			kind := protowire.Number(fieldSubscribe)
			if n%2 == 1 {
				kind = fieldRead
			}
			send(t, stream, request{id: 2, kind: kind, query: dcb.All(), window: 1 << 60}) // and never receives
		}
		ctx, cancel := context.WithTimeout(t.Context(), testPatience) // forever, if they were held up
		defer cancel()
		for range 200 {
			if _, err := steady.Append(ctx, []dcb.Event{{Type: "T"}}, nil); err != nil {
				t.Fatal(err)
			}
			if _, err := steady.Read(ctx, dcb.All(), dcb.ReadOptions{Limit: 10}); err != nil {
				t.Fatal(err)
			}
		}
		cost := (inUse() - before) / followers
		t.Logf("a stuck follower costs %d KiB, of both sides", cost>>10)
		if cost > most {
			t.Errorf("that is more than %d KiB", most>>10)
		}
	})
}

// One session may have thousands of reads under way. They share what may wait for its client.
func TestManyStuckReadsOfOneSessionShareItsRoom(t *testing.T) { //nolint:paralleltest // see above
	leaveAsFound(t, func(t *testing.T) {
		const reads, most = 400, 32 << 20
		server := serve(t, &endless{memstore.New(nil), 100_000, make([]byte, 1000)}, nil)
		before := inUse()
		stream := server.greeted(t)
		for n := range reads {
			send(t, stream, request{id: uint64(n) + 2, kind: fieldRead, query: dcb.All(), window: 1 << 60})
		}
		for range 20 { // who takes a little makes room for all of them at once
			receive(t, stream)
		}
		time.Sleep(100 * time.Millisecond) // for the server to go as far as it will; it tells nobody when
		cost := inUse() - before
		t.Logf("%d stuck reads of one session cost %d KiB", reads, cost>>10)
		if cost > most {
			t.Errorf("that is more than %d KiB", most>>10)
		}
	})
}

// Who asks and asks, and takes no answer, is not listened to any more.
func TestWhoTakesNoAnswersIsAskedToStop(t *testing.T) { //nolint:paralleltest // see above
	leaveAsFound(t, func(t *testing.T) {
		const most = 64 << 20
		server := serve(t, memstore.New(nil), nil)
		stream := server.greeted(t)
		before := inUse()
		sent := make(chan int)
		go func() {
			n := 0
			for ; n < 1000; n++ {
				var b []byte
				for id := range uint64(20_000) {
					b = (&request{id: id + 2, kind: 14}).append(b) // unknown, and answered by a longer error
				}
				if stream.SendMsg(&frame{&b}) != nil {
					break
				}
			}
			sent <- n
		}()
		select {
		case n := <-sent:
			t.Errorf("all %d million requests were taken", n/50) // 20,000 each
		case <-time.After(500 * time.Millisecond):
		}
		cost := inUse() - before
		t.Logf("the answers cost %d KiB", cost>>10)
		if cost > most {
			t.Errorf("that is more than %d KiB", most>>10)
		}
		server.Close()
		<-sent
	})
}

func TestAThousandFollowersOnAThousandConnectionsEachSeeAnEvent(t *testing.T) { //nolint:paralleltest // see above
	leaveAsFound(t, func(t *testing.T) {
		const followers, most = 1000, 256 << 10
		store := memstore.New(nil)
		server := serveByLoopback(t, store, nil)
		before := inUse()
		clients := make([]*Client, followers)
		var dialing sync.WaitGroup
		for part := range 20 {
			dialing.Go(func() {
				for n := part; n < followers; n += 20 {
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
				t.Errorf("a follower saw position %d", at)
			}
		}
		t.Logf("a connection with a follower costs %d KiB, of both sides", cost>>10)
		if cost > most {
			t.Errorf("that is more than %d KiB", most>>10)
		}
	})
}

func TestNothingStaysBehind(t *testing.T) { //nolint:paralleltest // see above
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
			leaveAsFound(t, func(t *testing.T) {
				server := serveByLoopback(t, memstore.New(nil), nil)
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
