package bench

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/examples/enrolment"
)

// One iteration of the speedrun: so many courses and students are registered, and every student joins every course.
const (
	SpeedrunCourses  = 10
	SpeedrunStudents = 10
	SpeedrunOps      = SpeedrunCourses + SpeedrunStudents + SpeedrunCourses*SpeedrunStudents
)

// Speedrun returns the clients of the course-subscription speedrun on store, each of which works on students and courses of its
// own. An operation is one call of the application: one decision and one event.
func Speedrun(store dcb.Store) func(n int) Operation {
	run := runID()
	return func(n int) Operation {
		s := &speedrun{app: enrolment.New(store, &enrolment.Options{NewID: serialIDs(fmt.Sprintf("%s-%d-", run, n))})}
		return s.next
	}
}

// speedrun is one client, somewhere in an iteration.
type speedrun struct {
	app      *enrolment.App
	step     int
	courses  [SpeedrunCourses]enrolment.CourseID
	students [SpeedrunStudents]enrolment.StudentID
}

func (s *speedrun) next(ctx context.Context) (events int, err error) {
	const registered = SpeedrunCourses + SpeedrunStudents
	switch step := s.step; {
	case step < SpeedrunCourses:
		s.courses[step], err = s.app.RegisterCourse(ctx, "course", SpeedrunStudents)
	case step < registered:
		s.students[step-SpeedrunCourses], err = s.app.RegisterStudent(ctx, "student", SpeedrunCourses)
	default:
		student, course := (step-registered)/SpeedrunCourses, (step-registered)%SpeedrunCourses
		err = s.app.JoinCourse(ctx, s.students[student], s.courses[course])
	}
	s.step = (s.step + 1) % SpeedrunOps
	return 1, err
}

// iteration returns the events of one iteration, as if clients had made them.
func iteration(newID func() string) []dcb.Event {
	var (
		events   []dcb.Event
		courses  [SpeedrunCourses]enrolment.CourseID
		students [SpeedrunStudents]enrolment.StudentID
	)
	for i := range courses {
		courses[i] = enrolment.CourseID("course:" + newID())
		events = append(events, enrolment.NewCourseRegistered(courses[i], "course", SpeedrunStudents))
	}
	for i := range students {
		students[i] = enrolment.StudentID("student:" + newID())
		events = append(events, enrolment.NewStudentRegistered(students[i], "student", SpeedrunCourses))
	}
	for _, student := range students {
		for _, course := range courses {
			events = append(events, enrolment.NewStudentJoinedCourse(student, course))
		}
	}
	return events
}

// runID returns what makes the names of this run differ from those of every other.
func runID() string { return rand.Text()[:10] }

// serialIDs costs next to nothing: the speedrun is to measure the store.
func serialIDs(prefix string) func() string {
	serial := int64(0)
	return func() string {
		serial++
		return prefix + strconv.FormatInt(serial, 36)
	}
}
