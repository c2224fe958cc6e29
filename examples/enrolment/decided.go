package enrolment

import (
	"context"
	"fmt"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/decide"
)

// Decided is the application [App] written with package decide. Compare [Decided.JoinCourse] with
// [App.JoinCourse]: a query, a loop over events, a switch over their types and a loop over
// attempts have become five projections and the rule. The events are the same, so both can share
// a store.
type Decided struct {
	app    *App // reads the lists, which need no decision
	runner *decide.Runner
}

var _ Enrolment = (*Decided)(nil)

// NewDecided returns the application on store. opts may be nil. It panics if an option is
// invalid.
func NewDecided(store dcb.Store, opts *Options) *Decided {
	app := New(store, opts)
	return &Decided{app: app, runner: decide.New(store, events, &decide.Options{Attempts: app.opts.Attempts})}
}

// In these events the IDs are the tags, so methods return the tags. The data holds the rest.

type studentRegistered struct {
	ID StudentID `json:"-"`
	student
}

func (e studentRegistered) Tags() []string { return []string{string(e.ID)} }

type courseRegistered struct {
	ID CourseID `json:"-"`
	course
}

func (e courseRegistered) Tags() []string { return []string{string(e.ID)} }

type studentJoinedCourse struct {
	Student StudentID `json:"-"`
	Course  CourseID  `json:"-"`
}

func (e studentJoinedCourse) Tags() []string { return []string{string(e.Student), string(e.Course)} }

var events = decide.NewCodec(
	decide.Type[studentRegistered](StudentRegistered),
	decide.Type[courseRegistered](CourseRegistered),
	decide.Type[studentJoinedCourse](StudentJoinedCourse),
)

// limit is the number of courses of a student, or of places of a course. It is nil until the
// student or the course is registered.
type limit *int

func limitOf(student StudentID) *decide.Projection[limit] {
	return decide.NewProjection(limit(nil),
		decide.On(func(_ limit, e studentRegistered) limit { return &e.MaxCourses }),
	).WithTags(string(student))
}

func placesOf(course CourseID) *decide.Projection[limit] {
	return decide.NewProjection(limit(nil),
		decide.On(func(_ limit, e courseRegistered) limit { return &e.Places }),
	).WithTags(string(course))
}

// joins counts joins: with one tag, the courses of a student or the students of a course.
func joins(tags ...string) *decide.Projection[int] {
	return decide.NewProjection(0,
		decide.On(func(n int, _ studentJoinedCourse) int { return n + 1 }),
	).WithTags(tags...)
}

// RegisterStudent implements Enrolment.
func (d *Decided) RegisterStudent(ctx context.Context, name string, maxCourses int) (StudentID, error) {
	id := StudentID("student:" + d.app.opts.NewID())
	return id, register(ctx, d, studentRegistered{id, student{name, maxCourses}}, limitOf(id))
}

// RegisterCourse implements Enrolment.
func (d *Decided) RegisterCourse(ctx context.Context, name string, places int) (CourseID, error) {
	id := CourseID("course:" + d.app.opts.NewID())
	return id, register(ctx, d, courseRegistered{id, course{name, places}}, placesOf(id))
}

func register(ctx context.Context, d *Decided, registered interface{ Tags() []string }, before *decide.Projection[limit]) error {
	_, err := d.runner.Do(ctx, func() ([]any, error) {
		if before.State() != nil {
			return nil, fmt.Errorf("%w: %s", ErrAlreadyRegistered, registered.Tags()[0])
		}
		return decide.Events(registered), nil
	}, before)
	return err
}

// JoinCourse implements Enrolment.
func (d *Decided) JoinCourse(ctx context.Context, student StudentID, course CourseID) error {
	limit, places := limitOf(student), placesOf(course)
	courses, taken, already := joins(string(student)), joins(string(course)), joins(string(student), string(course))
	_, err := d.runner.Do(ctx, func() ([]any, error) {
		switch {
		case already.State() > 0:
			return nil, ErrAlreadyJoined
		case limit.State() == nil:
			return nil, ErrStudentNotFound
		case places.State() == nil:
			return nil, ErrCourseNotFound
		case courses.State() >= *limit.State():
			return nil, ErrTooManyCourses
		case taken.State() >= *places.State():
			return nil, ErrFullyBooked
		}
		return decide.Events(studentJoinedCourse{student, course}), nil
	}, limit, places, courses, taken, already)
	return err
}

// ListStudents implements Enrolment.
func (d *Decided) ListStudents(ctx context.Context, course CourseID) ([]string, error) {
	return d.app.ListStudents(ctx, course)
}

// ListCourses implements Enrolment.
func (d *Decided) ListCourses(ctx context.Context, student StudentID) ([]string, error) {
	return d.app.ListCourses(ctx, student)
}
