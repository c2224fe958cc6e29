package decide_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/decide"
	"github.com/dcbstore/dcb/decide/decidetest"
	"github.com/dcbstore/dcb/memstore"
)

// Events are Go types, and a projection answers the question of a rule. Do records the events of
// the decision. If an event that the projection selects was recorded in between, it decides
// again.
func Example() {
	type CourseDefined struct {
		Course   string `json:"course" dcb:"course"`
		Capacity int    `json:"capacity"`
	}
	type StudentSubscribed struct {
		Student string `json:"student" dcb:"student"`
		Course  string `json:"course" dcb:"course"`
	}
	events := decide.NewCodec(
		decide.Type[CourseDefined]("CourseDefined"),
		decide.Type[StudentSubscribed]("StudentSubscribed"),
	)
	seatsLeft := func(course string) *decide.Projection[int] {
		return decide.NewProjection(0,
			decide.On(func(_ int, e CourseDefined) int { return e.Capacity }),
			decide.On(func(left int, _ StudentSubscribed) int { return left - 1 }),
		).Tagged("course", course)
	}

	ctx, runner := context.Background(), decide.New(memstore.New(nil), events, nil)
	subscribe := func(student, course string) error {
		left := seatsLeft(course)
		_, err := runner.Do(ctx, func() ([]any, error) {
			if left.State() == 0 {
				return nil, errors.New("the course is fully booked")
			}
			return decide.Events(StudentSubscribed{student, course}), nil
		}, left)
		return err
	}

	_, err := runner.Record(ctx, CourseDefined{"go", 2})
	fmt.Println(err)
	for _, student := range []string{"ann", "bob", "cem"} {
		fmt.Println(student, subscribe(student, "go"))
	}
	// Output:
	// <nil>
	// ann <nil>
	// bob <nil>
	// cem the course is fully booked
}

// A command that is sent again, perhaps because its answer was lost, returns the same position.
func ExampleIdempotencyKey() {
	type Paid struct {
		Invoice string `json:"invoice" dcb:"invoice"`
		Amount  int    `json:"amount"`
	}
	events := decide.NewCodec(decide.Type[Paid]("Paid"))
	ctx, runner := context.Background(), decide.New(memstore.New(nil), events, nil)
	pay := func(key, invoice string, amount int) (dcb.Position, error) {
		return runner.Do(ctx, func() ([]any, error) {
			return decide.Events(Paid{invoice, amount}), nil
		}, decide.IdempotencyKey(key))
	}
	fmt.Println(pay("payment-4711", "i1", 50))
	fmt.Println(pay("payment-4711", "i1", 50)) // recorded once
	fmt.Println(pay("payment-4712", "i1", 50))
	// Output:
	// 1 <nil>
	// 1 <nil>
	// 2 <nil>
}

// A cached projection reads only new events.
func ExampleCached() {
	type Visited struct {
		Page string `json:"page" dcb:"page"`
	}
	events := decide.NewCodec(decide.Type[Visited]("Visited"))
	visits := decide.Cached(10_000, func(page string) *decide.Projection[int] {
		return decide.NewProjection(0, decide.On(func(n int, _ Visited) int { return n + 1 })).Tagged("page", page)
	})

	ctx, store := context.Background(), decidetest.Count(memstore.New(nil))
	runner := decide.New(store, events, nil)
	for range 2 {
		if _, err := runner.Record(ctx, Visited{"home"}, Visited{"home"}, Visited{"home"}); err != nil {
			fmt.Println(err)
		}
		home := visits("home")
		_, err := runner.Read(ctx, home)
		fmt.Println(home.State(), "visits after", store.Events.Load(), "events were read", err)
	}
	// Output:
	// 3 visits after 3 events were read <nil>
	// 6 visits after 6 events were read <nil>
}

// The state holds the time of an event. The decision computes its age with a clock of the
// application.
func ExampleOnRecorded() {
	type CodeSent struct {
		Email string `json:"email" dcb:"email"`
	}
	events := decide.NewCodec(decide.Type[CodeSent]("CodeSent"))
	now := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }

	ctx, runner := context.Background(), decide.New(memstore.New(&memstore.Options{Now: clock}), events, nil)
	_, err := runner.Record(ctx, CodeSent{"ann@example.com"})
	fmt.Println(err)

	now = now.Add(61 * time.Minute)
	sent := decide.NewProjection(time.Time{},
		decide.OnRecorded(func(_ time.Time, _ CodeSent, r decide.Recorded) time.Time { return r.At }),
	).Tagged("email", "ann@example.com")
	_, err = runner.Read(ctx, sent)
	fmt.Println(sent.State().Format(time.TimeOnly), "expired:", clock().Sub(sent.State()) > time.Hour, err)
	// Output:
	// <nil>
	// 12:00:00 expired: true <nil>
}

// An event of an older version is decoded as the newest one. The recorded event does not change.
func ExampleUpcast() {
	type memberJoined1 struct {
		Member string `json:"member"`
	}
	type MemberJoined struct {
		Member  string `json:"member" dcb:"member"`
		Country string `json:"country"`
	}
	events := decide.NewCodec(decide.Type[MemberJoined]("MemberJoined",
		decide.Upcast(func(old memberJoined1) MemberJoined { return MemberJoined{old.Member, "NL"} }),
	))

	event, err := events.Decode(dcb.Event{Type: "MemberJoined", Data: []byte(`{"member":"ann"}`)})
	fmt.Printf("%+v %v\n", event, err)
	current, err := events.Encode(MemberJoined{"bob", "BE"})
	fmt.Printf("%s %v %v\n", current.Data, current.Metadata, err)
	// Output:
	// {Member:ann Country:NL} <nil>
	// {"member":"bob","country":"BE"} map[version:2] <nil>
}

// However many invoices there are, Do reads only the last one.
func ExampleProjection_OnlyLastEvent() {
	type InvoiceCreated struct {
		Number int `json:"number"`
	}
	events := decide.NewCodec(decide.Type[InvoiceCreated]("InvoiceCreated"))
	store := decidetest.Count(memstore.New(nil))
	ctx, runner := context.Background(), decide.New(store, events, nil)
	create := func() (number int, err error) {
		last := decide.NewProjection(0, decide.On(func(_ int, e InvoiceCreated) int { return e.Number })).OnlyLastEvent()
		_, err = runner.Do(ctx, func() ([]any, error) {
			number = last.State() + 1
			return decide.Events(InvoiceCreated{number}), nil
		}, last)
		return number, err
	}
	for range 3 {
		fmt.Println(create())
	}
	fmt.Println(store.Events.Load(), "events were read")
	// Output:
	// 1 <nil>
	// 2 <nil>
	// 3 <nil>
	// 2 events were read
}
