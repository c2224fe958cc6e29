package history_test

import (
	"context"
	"fmt"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/dcbtest/history"
	"github.com/dcbstore/dcb/memstore"
)

// Many callers use two handles on one store at random, and what they saw is checked by what the store holds in the end.
func ExampleWorkload() {
	ctx, store := context.Background(), memstore.New(nil)
	h, err := history.Workload{Handles: []dcb.Store{store, store}, Callers: 4, Seed: 1}.Run(ctx)
	if err == nil {
		err = h.Verify(ctx, store)
	}
	fmt.Println(err)
	// Output: <nil>
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
	// head behind an append that returned: the head is 0 in
	// 	caller 1 on handle 0, 3ns to 4ns: Head() = 0
	// which began after the end of
	// 	caller 0 on handle 0, 1ns to 2ns: Append("1") = 1
	// 	the contract: What begins after an append returned sees it.
}
