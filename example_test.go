package dcb_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/memstore"
)

// join lets a student join a course, unless the course is full or the student has already joined
// two. The rule concerns two things at once. One query reads the events of both and guards the
// append.
func join(ctx context.Context, store dcb.Store, student, course string) error {
	boundary := dcb.Query{
		{Types: []string{"StudentJoinedCourse"}, Tags: []string{student}},
		{Types: []string{"StudentJoinedCourse"}, Tags: []string{course}},
	}
	for {
		seen, err := store.Read(ctx, boundary, dcb.ReadOptions{})
		if err != nil {
			return err
		}
		var courses, students int
		for _, event := range seen.Events {
			if boundary[:1].Matches(event.Event) {
				courses++
			}
			if boundary[1:].Matches(event.Event) {
				students++
			}
		}
		switch {
		case students == 2:
			return fmt.Errorf("%s is full", course)
		case courses == 2:
			return fmt.Errorf("%s has joined two courses already", student)
		}
		joined := dcb.Event{Type: "StudentJoinedCourse", Tags: []string{student, course}}
		_, err = store.Append(ctx, []dcb.Event{joined}, &dcb.AppendCondition{FailIfEventsMatch: boundary, After: seen.Head})
		if errors.Is(err, dcb.ErrConflict) {
			continue // another join was recorded first: read again and decide again
		}
		return err
	}
}

// A decision in three steps: read the events that the rule depends on, decide, and append on the
// condition that no such event was recorded meanwhile.
func Example() {
	ctx, store := context.Background(), memstore.New(nil)
	fmt.Println(join(ctx, store, "student:ann", "course:go"))
	fmt.Println(join(ctx, store, "student:bob", "course:go"))
	fmt.Println(join(ctx, store, "student:cem", "course:go"))
	fmt.Println(join(ctx, store, "student:ann", "course:sql"))
	fmt.Println(join(ctx, store, "student:ann", "course:css"))
	// Output:
	// <nil>
	// <nil>
	// course:go is full
	// <nil>
	// student:ann has joined two courses already
}

// A query is a list of alternatives. To match one of them, an event has one of its types and all of
// its tags.
func ExampleQuery_Matches() {
	q := dcb.Query{
		{Types: []string{"StudentRegistered", "StudentRenamed"}, Tags: []string{"student:ann"}},
		{Tags: []string{"course:go"}},
	}
	fmt.Println(q.Matches(dcb.Event{Type: "StudentRenamed", Tags: []string{"student:ann"}}))
	fmt.Println(q.Matches(dcb.Event{Type: "CourseFilled", Tags: []string{"term:spring", "course:go"}}))
	fmt.Println(q.Matches(dcb.Event{Type: "StudentRenamed", Tags: []string{"student:bob"}}))
	// Output:
	// true
	// true
	// false
}

// An append whose events have IDs can be sent again if its result was lost. Its condition does not
// fail the retry.
func ExampleRetryable() {
	ctx, store := context.Background(), memstore.New(nil)
	claimed := dcb.Event{Type: "NameClaimed", Tags: []string{"name:ann"}, ID: uuid.New()}
	free := &dcb.AppendCondition{FailIfEventsMatch: dcb.Query{{Tags: []string{"name:ann"}}}}

	var position dcb.Position
	var err error
	for range 3 {
		if position, err = store.Append(ctx, []dcb.Event{claimed}, free); !dcb.Retryable(err) {
			break
		}
		time.Sleep(time.Second)
	}
	fmt.Println(position, err)

	position, err = store.Append(ctx, []dcb.Event{claimed}, free) // as if the result had been lost
	fmt.Println(position, err)
	// Output:
	// 1 <nil>
	// 1 <nil>
}

// Stream reads in pages. It holds one page in memory, however many events match.
func ExampleStream() {
	ctx, store := context.Background(), memstore.New(nil)
	for i := range 5 {
		_, _ = store.Append(ctx, []dcb.Event{{Type: "Counted", Data: fmt.Append(nil, i)}}, nil)
	}
	for event, err := range dcb.Stream(ctx, store, dcb.All(), dcb.ReadOptions{Backwards: true, Limit: 2}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(event.Position, event.Type, string(event.Data))
	}
	// Output:
	// 5 Counted 4
	// 4 Counted 3
}

// A follower gets the recorded events and then new events. It stores the head of each batch as its
// checkpoint, and resumes from there after a restart.
func ExampleFollow() {
	ctx, store := context.Background(), memstore.New(nil)
	_, _ = store.Append(ctx, []dcb.Event{{Type: "OrderPlaced"}, {Type: "OrderPaid"}}, nil)

	checkpoint := dcb.Position(0)
	for batch, err := range dcb.Follow(ctx, store, dcb.Query{{Types: []string{"OrderPaid"}}}, checkpoint) {
		if err != nil {
			fmt.Println(err)
			return
		}
		checkpoint = batch.Head
		fmt.Println(len(batch.Events), "paid, up to position", checkpoint)
		if checkpoint == 4 {
			return
		}
		_, _ = store.Append(ctx, []dcb.Event{{Type: "OrderPaid"}, {Type: "OrderSent"}}, nil)
	}
	// Output:
	// 1 paid, up to position 2
	// 1 paid, up to position 4
}

// Subscribe yields the recorded events and then new events, one by one, until its context ends.
func ExampleSubscribe() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	store := memstore.New(nil)
	_, _ = store.Append(ctx, []dcb.Event{{Type: "OrderPlaced"}, {Type: "OrderPaid"}}, nil)

	for event, err := range dcb.Subscribe(ctx, store, dcb.All(), 0) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(event.Position, event.Type)
		if event.Type == "OrderPaid" {
			cancel()
		}
	}
	// Output:
	// 1 OrderPlaced
	// 2 OrderPaid
	// context canceled
}
