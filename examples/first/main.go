// Command first is the program of the README: a course has two seats, and three students want one.
package main

import (
	"context"
	"fmt"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/memstore"
)

func main() {
	ctx, store := context.Background(), memstore.New(nil)
	for _, student := range []string{"student:ann", "student:bob", "student:cid"} {
		// The boundary: what this decision depends on.
		boundary := dcb.Query{{Types: []string{"StudentJoinedCourse"}, Tags: []string{"course:go"}}}
		seen, err := store.Read(ctx, boundary, dcb.ReadOptions{})
		if err == nil && len(seen.Events) == 2 {
			err = fmt.Errorf("course:go is full")
		}
		if err == nil {
			// Recorded only if nobody joined the course since it was looked at; otherwise dcb.ErrConflict.
			_, err = store.Append(ctx,
				[]dcb.Event{{Type: "StudentJoinedCourse", Tags: []string{student, "course:go"}}},
				&dcb.AppendCondition{FailIfEventsMatch: boundary, After: seen.Head})
		}
		fmt.Println(student, "joins:", err)
	}
}
