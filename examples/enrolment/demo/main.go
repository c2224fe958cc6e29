// Demo runs the enrolment. Read it from top to bottom, or run it:
//
//	go run ./examples/enrolment/demo
//
// DCB_STORE names the store, by default the directory dcb-data.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"sync"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/examples/enrolment"
	"github.com/dcbstore/dcb/stores"
)

func main() {
	if err := run(context.Background(), log.New(os.Stdout, "", 0)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out *log.Logger) error {
	store, err := stores.FromEnv(ctx)
	if err != nil {
		return err
	}
	defer store.Close()
	app := enrolment.New(store, nil)

	// A course with two places, a course with 1,000, and two students: Sara may join one course,
	// Greg three.
	maths, err := app.RegisterCourse(ctx, "Maths", 2)
	if err != nil {
		return err
	}
	french, err := app.RegisterCourse(ctx, "French", 1000)
	if err != nil {
		return err
	}
	sara, err := app.RegisterStudent(ctx, "Sara", 1)
	if err != nil {
		return err
	}
	greg, err := app.RegisterStudent(ctx, "Greg", 3)
	if err != nil {
		return err
	}

	// Each of these decisions reads a student and a course. A refusal names the rule.
	out.Println("Sara joins Maths: ", answer(app.JoinCourse(ctx, sara, maths)))
	out.Println("Sara joins French:", answer(app.JoinCourse(ctx, sara, french)))
	out.Println("Greg joins French:", answer(app.JoinCourse(ctx, greg, french)))
	out.Println("Greg joins French:", answer(app.JoinCourse(ctx, greg, french)))

	// Ten more students race for the last place of Maths. Each of them reads that a place is free,
	// but their appends have a condition: no event that concerns them was recorded in between. So
	// exactly one gets the place.
	out.Println("Ten students race for the last place of Maths:")
	if err := race(ctx, out, app, maths); err != nil {
		return err
	}

	// The events are the only state. Read them as a list of students, and then one by one.
	students, err := app.ListStudents(ctx, maths)
	if err != nil {
		return err
	}
	out.Println("Maths has", len(students), "students:", students)
	history := dcb.Query{{Tags: []string{string(maths)}}}
	for event, err := range dcb.Stream(ctx, store, history, dcb.ReadOptions{}) {
		if err != nil {
			return err
		}
		out.Printf("  %3d %-20s %v %s", event.Position, event.Type, event.Tags, event.Data)
	}
	return nil
}

func race(ctx context.Context, out *log.Logger, app enrolment.Enrolment, course enrolment.CourseID) error {
	const racers = 10
	var wait sync.WaitGroup
	answers := make([]error, racers)
	for i := range racers {
		student, err := app.RegisterStudent(ctx, fmt.Sprintf("Racer %d", i), 1)
		if err != nil {
			return err
		}
		wait.Go(func() { answers[i] = app.JoinCourse(ctx, student, course) })
	}
	wait.Wait()
	joined, refused := 0, 0
	for _, err := range answers {
		switch {
		case err == nil:
			joined++
		case errors.Is(err, enrolment.ErrFullyBooked):
			refused++
		default:
			return err
		}
	}
	out.Printf("  %d joined, %d found it fully booked", joined, refused)
	return nil
}

func answer(err error) string {
	if err != nil {
		return err.Error()
	}
	return "joined"
}
