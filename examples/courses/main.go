// Courses lets students subscribe to courses. A course has a limited number of seats, and a
// student takes at most five courses, however many students subscribe at once. Read the program
// from top to bottom, or run it:
//
//	go run ./examples/courses
//
// DCB_STORE names the store, by default the directory dcb-data. The scenarios come from
// https://dcb.events/examples/course-subscriptions/.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/decide"
	"github.com/dcbstore/dcb/stores"
)

// The events: one Go type for each. Fields with a dcb tag become tags of the event.

// CourseDefined is tagged course:ID.
type CourseDefined struct {
	Course   string `json:"courseId" dcb:"course"`
	Capacity int    `json:"capacity"`
}

// CourseCapacityChanged is tagged course:ID.
type CourseCapacityChanged struct {
	Course      string `json:"courseId" dcb:"course"`
	NewCapacity int    `json:"newCapacity"`
}

// StudentSubscribedToCourse is tagged student:ID and course:ID. It is one event for one fact,
// although the fact concerns two things.
type StudentSubscribedToCourse struct {
	Student string `json:"studentId" dcb:"student"`
	Course  string `json:"courseId" dcb:"course"`
}

var events = decide.NewCodec(
	decide.Type[CourseDefined]("CourseDefined"),
	decide.Type[CourseCapacityChanged]("CourseCapacityChanged"),
	decide.Type[StudentSubscribedToCourse]("StudentSubscribedToCourse"),
)

// The projections: each answers one question. It selects the events that it has handlers for,
// with its tags.

func courseExists(course string) *decide.Projection[bool] {
	return decide.NewProjection(false,
		decide.On(func(_ bool, _ CourseDefined) bool { return true }),
	).Tagged("course", course)
}

func courseCapacity(course string) *decide.Projection[int] {
	return decide.NewProjection(0,
		decide.On(func(_ int, e CourseDefined) int { return e.Capacity }),
		decide.On(func(_ int, e CourseCapacityChanged) int { return e.NewCapacity }),
	).Tagged("course", course)
}

func seatsTaken(course string) *decide.Projection[int] {
	return decide.NewProjection(0,
		decide.On(func(taken int, _ StudentSubscribedToCourse) int { return taken + 1 }),
	).Tagged("course", course)
}

func coursesOf(student string) *decide.Projection[int] {
	return decide.NewProjection(0,
		decide.On(func(courses int, _ StudentSubscribedToCourse) int { return courses + 1 }),
	).Tagged("student", student)
}

func alreadySubscribed(student, course string) *decide.Projection[bool] {
	return decide.NewProjection(false,
		decide.On(func(_ bool, _ StudentSubscribedToCourse) bool { return true }),
	).Tagged("student", student).Tagged("course", course)
}

// The commands: each reads some projections, and returns events or the reason why not. What it
// reads is its boundary. If an event within the boundary is recorded before its own, it decides
// again.

const maxCourses = 5

type courses struct{ runner *decide.Runner }

func open(store dcb.Store) courses { return courses{decide.New(store, events, nil)} }

func (c courses) define(ctx context.Context, course string, capacity int) error {
	exists := courseExists(course)
	_, err := c.runner.Do(ctx, func() ([]any, error) {
		if exists.State() {
			return nil, refused("Course with id %q already exists", course)
		}
		return decide.Events(CourseDefined{course, capacity}), nil
	}, exists)
	return err
}

func (c courses) changeCapacity(ctx context.Context, course string, capacity int) error {
	exists, current := courseExists(course), courseCapacity(course)
	_, err := c.runner.Do(ctx, func() ([]any, error) {
		switch {
		case !exists.State():
			return nil, refused("Course %q does not exist", course)
		case current.State() == capacity:
			return nil, refused("New capacity %d is the same as the current capacity", capacity)
		}
		return decide.Events(CourseCapacityChanged{course, capacity}), nil
	}, exists, current)
	return err
}

func (c courses) subscribe(ctx context.Context, student, course string) error {
	exists, capacity, taken := courseExists(course), courseCapacity(course), seatsTaken(course)
	already, mine := alreadySubscribed(student, course), coursesOf(student)
	_, err := c.runner.Do(ctx, func() ([]any, error) {
		switch {
		case !exists.State():
			return nil, refused("Course %q does not exist", course)
		case taken.State() >= capacity.State():
			return nil, refused("Course %q is already fully booked", course)
		case already.State():
			return nil, refused("Student already subscribed to this course")
		case mine.State() >= maxCourses:
			return nil, refused("Student already subscribed to %d courses", maxCourses)
		}
		return decide.Events(StudentSubscribedToCourse{student, course}), nil
	}, exists, capacity, taken, already, mine)
	return err
}

// refusal is the error of a rule. Its text is for the user.
type refusal string

func (r refusal) Error() string { return string(r) }

func refused(format string, args ...any) error { return refusal(fmt.Sprintf(format, args...)) }

func main() {
	ctx := context.Background()
	store, err := stores.FromEnv(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	run(ctx, store, log.New(os.Stdout, "", 0))
}

func run(ctx context.Context, store dcb.Store, out *log.Logger) {
	c := open(store)
	id := func(kind string) string { return kind + "-" + uuid.NewString()[:8] } // the store may hold an earlier run
	report := func(what string, err error) {
		if err == nil {
			out.Printf("%-42s done", what)
		} else {
			out.Printf("%-42s refused: %v", what, err)
		}
	}
	golang, ann, bob, cid := id("go"), id("ann"), id("bob"), id("cid")
	report("define the course "+golang+", 2 seats", c.define(ctx, golang, 2))
	report("define it again", c.define(ctx, golang, 3))
	report(ann+" subscribes", c.subscribe(ctx, ann, golang))
	report(ann+" subscribes again", c.subscribe(ctx, ann, golang))
	report(bob+" subscribes", c.subscribe(ctx, bob, golang))
	report(cid+" subscribes", c.subscribe(ctx, cid, golang))
	report("change the capacity to 2", c.changeCapacity(ctx, golang, 2))
	report("change the capacity to 3", c.changeCapacity(ctx, golang, 3))
	report(cid+" subscribes", c.subscribe(ctx, cid, golang))
	report(cid+" subscribes to the course c0", c.subscribe(ctx, cid, "c0"))
}
