// Aggregate keeps courses as event-sourced aggregates, for whoever has them and wants to keep them: a repository loads one from all events
// with its tag, and saves what it did on the condition that nobody else saved it meanwhile. It can be read from top to bottom,
// and run:
//
//	go run ./examples/aggregate
//
// DCB_STORE names the store to run on, the directory dcb-data if unset. The scenarios are those of
// https://dcb.events/examples/event-sourced-aggregate/. An aggregate's boundary is the whole thing: compare examples/courses, where
// each rule looks only at what it needs.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/decide"
	"github.com/dcbstore/dcb/stores"
)

// CourseDefined is the first event of a course.
type CourseDefined struct {
	Course   string `json:"courseId" dcb:"course"`
	Title    string `json:"title"`
	Capacity int    `json:"capacity"`
}

// CourseCapacityChanged is tagged course:ID.
type CourseCapacityChanged struct {
	Course      string `json:"courseId" dcb:"course"`
	NewCapacity int    `json:"newCapacity"`
}

// StudentSubscribedToCourse is tagged course:ID only: no student is an aggregate here.
type StudentSubscribedToCourse struct {
	Course  string `json:"courseId" dcb:"course"`
	Student string `json:"studentId"`
}

var events = decide.NewCodec(
	decide.Type[CourseDefined]("CourseDefined"),
	decide.Type[CourseCapacityChanged]("CourseCapacityChanged"),
	decide.Type[StudentSubscribedToCourse]("StudentSubscribedToCourse"),
)

// course is the aggregate. It decides alone, and knows no store.
type course struct {
	id       string
	capacity int
	students int
	changes  []any // what it did since it was loaded
}

func create(id, title string, capacity int) *course {
	c := &course{}
	c.do(CourseDefined{id, title, capacity})
	return c
}

func (c *course) changeCapacity(capacity int) error {
	switch {
	case capacity == c.capacity:
		return refused(`Course %q already has a capacity of "%d"`, c.id, capacity)
	case capacity < c.students:
		return refused("Course %q already has %d active subscriptions, can't set the capacity below that", c.id, c.students)
	}
	c.do(CourseCapacityChanged{c.id, capacity})
	return nil
}

func (c *course) subscribe(student string) error {
	if c.students == c.capacity {
		return refused("Course %q is already fully booked", c.id)
	}
	c.do(StudentSubscribedToCourse{c.id, student})
	return nil
}

func (c *course) do(event any) {
	c.apply(event)
	c.changes = append(c.changes, event)
}

func (c *course) apply(event any) {
	switch e := event.(type) {
	case CourseDefined:
		c.id, c.capacity = e.Course, e.Capacity
	case CourseCapacityChanged:
		c.capacity = e.NewCapacity
	case StudentSubscribedToCourse:
		c.students++
	}
}

// repository loads and saves courses. A course and the projection that it was loaded by belong together: the projection knows what was seen.
type repository struct{ runner *decide.Runner }

func open(store dcb.Store) repository { return repository{decide.New(store, events, nil)} }

type courseProjection = *decide.Projection[*course]

// history looks at every event of a course, whatever its type.
func history(id string) courseProjection {
	return decide.NewProjection(&course{}, decide.OnAny(func(c *course, event any) *course {
		c.apply(event)
		return c
	})).Tagged("course", id)
}

// load returns a course, as yet without changes, and the projection to save it with. A course that was never saved has no ID.
func (r repository) load(ctx context.Context, id string) (*course, courseProjection, error) {
	projection := history(id)
	_, err := r.runner.Read(ctx, projection)
	return projection.State(), projection, err
}

// save records what c did, unless the course that projection looks at has changed since it was loaded: then it is dcb.ErrConflict.
func (r repository) save(ctx context.Context, c *course, projection courseProjection) error {
	_, err := r.runner.Append(ctx, c.changes, projection)
	if err == nil {
		c.changes = nil
	}
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
	if err := run(ctx, store, log.New(os.Stdout, "", 0)); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, store dcb.Store, out *log.Logger) error {
	r := open(store)
	id := "c-" + uuid.NewString()[:8]
	_, projection, err := r.load(ctx, id)
	if err != nil {
		return err
	}
	if err := r.save(ctx, create(id, "Course 01", 10), projection); err != nil {
		return err
	}
	out.Println("created", id)

	// Two clerks load the same course, and both change it.
	one, oneProjection, err := r.load(ctx, id)
	if err != nil {
		return err
	}
	two, twoProjection, err := r.load(ctx, id)
	if err != nil {
		return err
	}
	out.Println("the one clerk sets the capacity to 15:", answer(one.changeCapacity(15)))
	out.Println("and again:", answer(one.changeCapacity(15)))
	out.Println("the other subscribes a student:", answer(two.subscribe("ann")))
	out.Println("the one saves:", answer(r.save(ctx, one, oneProjection)))
	out.Println("the other saves:", answer(r.save(ctx, two, twoProjection)))
	return nil
}

func answer(err error) string {
	switch {
	case err == nil:
		return "done"
	case errors.Is(err, dcb.ErrConflict):
		return "refused: somebody else was faster"
	default:
		return "refused: " + err.Error()
	}
}
