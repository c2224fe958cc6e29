// Courses lets students subscribe to courses: a course has so many seats, and a student at most five courses, whoever else is
// subscribing at that moment. It can be read from top to bottom, and run:
//
//	go run ./examples/courses
//
// DCB_STORE names the store to run on, the directory dcb-data if unset. The scenarios are those of
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

// What happens: one Go type for each kind of event. The fields that say whom it concerns become its tags.

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

// StudentSubscribedToCourse is tagged student:ID and course:ID: one event for the one fact, though it concerns both.
type StudentSubscribedToCourse struct {
	Student string `json:"studentId" dcb:"student"`
	Course  string `json:"courseId" dcb:"course"`
}

var events = decide.NewCodec(
	decide.Type[CourseDefined]("CourseDefined"),
	decide.Type[CourseCapacityChanged]("CourseCapacityChanged"),
	decide.Type[StudentSubscribedToCourse]("StudentSubscribedToCourse"),
)

// What the rules look at: each projection answers one question, from the events that it handles and the tags that it is about.

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

// What can be done: each command looks at some projections and says what happens then, or why it must not. What it looked at is its
// boundary: if anything in there is recorded before its own events are, it is asked again.

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

// refusal is the answer of a rule, to be shown to whoever asked.
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
	id := func(kind string) string { return kind + "-" + uuid.NewString()[:8] } // the store may remember an earlier run
	say := func(what string, err error) {
		if err == nil {
			out.Printf("%-42s done", what)
		} else {
			out.Printf("%-42s refused: %v", what, err)
		}
	}
	golang, ann, bob, cid := id("go"), id("ann"), id("bob"), id("cid")
	say("define the course "+golang+", 2 seats", c.define(ctx, golang, 2))
	say("define it again", c.define(ctx, golang, 3))
	say(ann+" subscribes", c.subscribe(ctx, ann, golang))
	say(ann+" subscribes again", c.subscribe(ctx, ann, golang))
	say(bob+" subscribes", c.subscribe(ctx, bob, golang))
	say(cid+" subscribes", c.subscribe(ctx, cid, golang))
	say("change the capacity to 2", c.changeCapacity(ctx, golang, 2))
	say("change the capacity to 3", c.changeCapacity(ctx, golang, 3))
	say(cid+" subscribes", c.subscribe(ctx, cid, golang))
	say(cid+" subscribes to the course c0", c.subscribe(ctx, cid, "c0"))
}
