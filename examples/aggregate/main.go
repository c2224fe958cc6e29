// Aggregate shows event-sourced aggregates on dcb, for applications that have them. A repository
// loads an aggregate from all events with its tag. It saves what the aggregate did, on the
// condition that no other caller saved it in between. Read the program from top to bottom, or run
// it:
//
//	go run ./examples/aggregate
//
// DCB_STORE names the store, by default the directory dcb-data. The scenarios come from
// https://dcb.events/examples/event-sourced-aggregate/. The boundary of an aggregate is the whole
// aggregate. Compare examples/courses, where each rule reads only what it needs.
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

// StudentSubscribedToCourse is tagged course:ID only, because students are not aggregates here.
type StudentSubscribedToCourse struct {
	Course  string `json:"courseId" dcb:"course"`
	Student string `json:"studentId"`
}

var events = decide.NewCodec(
	decide.Type[CourseDefined]("CourseDefined"),
	decide.Type[CourseCapacityChanged]("CourseCapacityChanged"),
	decide.Type[StudentSubscribedToCourse]("StudentSubscribedToCourse"),
)

// course is the aggregate. It makes its decisions itself and does not know the store.
type course struct {
	id       string
	capacity int
	students int
	changes  []any // the events since it was loaded
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

// repository loads and saves courses. A course is saved with the projection that loaded it,
// because the projection knows which events the course includes.
type repository struct{ runner *decide.Runner }

func open(store dcb.Store) repository { return repository{decide.New(store, events, nil)} }

type courseProjection = *decide.Projection[*course]

// history selects every event of a course, whatever its type.
func history(id string) courseProjection {
	return decide.NewProjection(&course{}, decide.OnAny(func(c *course, event any) *course {
		c.apply(event)
		return c
	})).Tagged("course", id)
}

// load returns a course without changes, and the projection to save it with. The course has no ID
// if it was never saved.
func (r repository) load(ctx context.Context, id string) (*course, courseProjection, error) {
	projection := history(id)
	_, err := r.runner.Read(ctx, projection)
	return projection.State(), projection, err
}

// save records the changes of c. If the course changed since projection loaded it, the error is
// dcb.ErrConflict.
func (r repository) save(ctx context.Context, c *course, projection courseProjection) error {
	_, err := r.runner.Append(ctx, c.changes, projection)
	if err == nil {
		c.changes = nil
	}
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
	first, firstProjection, err := r.load(ctx, id)
	if err != nil {
		return err
	}
	second, secondProjection, err := r.load(ctx, id)
	if err != nil {
		return err
	}
	out.Println("the first clerk sets the capacity to 15:", answer(first.changeCapacity(15)))
	out.Println("the first clerk sets it again:", answer(first.changeCapacity(15)))
	out.Println("the second clerk subscribes a student:", answer(second.subscribe("ann")))
	out.Println("the first clerk saves:", answer(r.save(ctx, first, firstProjection)))
	out.Println("the second clerk saves:", answer(r.save(ctx, second, secondProjection)))
	return nil
}

func answer(err error) string {
	switch {
	case err == nil:
		return "done"
	case errors.Is(err, dcb.ErrConflict):
		return "refused: the course has changed"
	default:
		return "refused: " + err.Error()
	}
}
