package history_test

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/dcbtest/history"
	"github.com/dcbstore/dcb/memstore"
)

// Four callers use two handles on one store. Verify compares what they saw with what the store
// holds in the end.
func ExampleWorkload() {
	ctx, store := context.Background(), memstore.New(nil)
	h, err := history.Workload{Handles: []dcb.Store{store, store}, Callers: 4, Seed: 1}.Run(ctx)
	if err == nil {
		err = h.Verify(ctx, store)
	}
	fmt.Println(err)
	// Output: <nil>
}

// Two callers want the last seat. A Recorder records calls that a test chooses itself.
func ExampleRecorder() {
	ctx, store := context.Background(), memstore.New(nil)
	r, err := history.NewRecorder(ctx, []dcb.Store{store}, time.Minute)
	if err != nil {
		fmt.Println(err)
		return
	}
	var callers sync.WaitGroup
	for id := range 2 {
		callers.Go(func() {
			r.Do(ctx, history.Operation{
				Method:    history.Append,
				Caller:    id,
				Events:    []dcb.Event{{Type: "SeatTaken", Tags: []string{"seat:1"}, Data: fmt.Append(nil, id)}},
				Condition: &dcb.AppendCondition{FailIfEventsMatch: dcb.Query{{Tags: []string{"seat:1"}}}},
			})
		})
	}
	callers.Wait()
	h := r.History()
	fmt.Println(h.Verify(ctx, store), len(h.Final))
	// Output: <nil> 1
}

func ExampleHistory_Check() {
	joined := dcb.Event{Type: "StudentJoinedCourse", Tags: []string{"course:go"}, Data: []byte("1")}
	h := history.History{
		Operations: []history.Operation{
			{Method: history.Append, Start: 1, End: 2, Events: []dcb.Event{joined}, Position: 1},
			{Method: history.Head, Caller: 1, Start: 3, End: 4, Position: 0},
		},
		Final: []dcb.SequencedEvent{{Event: joined, Position: 1, RecordedAt: time.Unix(0, 0).UTC()}},
	}
	for _, v := range h.Check() {
		fmt.Println(v)
	}
	// Output:
	// head misses an acknowledged append: the head is 0 in
	// 	caller 1 on handle 0, 3ns to 4ns: Head() = 0
	// which began after the end of
	// 	caller 0 on handle 0, 1ns to 2ns: Append("1") = 1
	// 	the contract: A call that begins after an append returned sees that append.
}
