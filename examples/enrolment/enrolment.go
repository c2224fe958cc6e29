// Package enrolment is the course-subscription challenge on a dcb.Store. Students and courses are
// registered, and students join courses. No course ever has more students than places, and no
// student more courses than allowed, however many join at once.
//
// It is implemented twice. [App] uses only the calls of the store and so shows what a Dynamic
// Consistency Boundary is; read [App.JoinCourse] first. [Decided] uses package decide, as an
// application would. The challenge, its rules and its errors come from the example
// "coursebooking" of the Python library eventsourcing. The directory demo holds a program to run.
package enrolment

import (
	"context"
	"errors"
)

// StudentID is also the tag of every event that concerns the student.
type StudentID string

// CourseID is also the tag of every event that concerns the course.
type CourseID string

// Enrolment is the interface of the application. Any number of goroutines may call it.
type Enrolment interface {
	// RegisterStudent registers a student who may join at most maxCourses courses.
	RegisterStudent(ctx context.Context, name string, maxCourses int) (StudentID, error)
	// RegisterCourse registers a course with that many places.
	RegisterCourse(ctx context.Context, name string, places int) (CourseID, error)
	// JoinCourse lets a student join a course. A rule that forbids it returns ErrAlreadyJoined,
	// ErrStudentNotFound, ErrCourseNotFound, ErrTooManyCourses or ErrFullyBooked. If several apply,
	// the first of them is returned.
	JoinCourse(ctx context.Context, student StudentID, course CourseID) error
	// ListStudents returns the names of the course's students in the order of joining. It returns
	// ErrCourseNotFound if the course is not registered.
	ListStudents(ctx context.Context, course CourseID) ([]string, error)
	// ListCourses returns the names of the student's courses in the order of joining. It returns
	// ErrStudentNotFound if the student is not registered.
	ListCourses(ctx context.Context, student StudentID) ([]string, error)
}

// The errors of the rules. Errors of the store are returned too, wrapped.
var (
	// ErrAlreadyRegistered means that the ID chosen for a new student or course is taken.
	ErrAlreadyRegistered = errors.New("enrolment: already registered")
	// ErrStudentNotFound means that the student is not registered.
	ErrStudentNotFound = errors.New("enrolment: student not found")
	// ErrCourseNotFound means that the course is not registered.
	ErrCourseNotFound = errors.New("enrolment: course not found")
	// ErrAlreadyJoined means that the student joined the course before.
	ErrAlreadyJoined = errors.New("enrolment: student already joined the course")
	// ErrTooManyCourses means that the student takes as many courses as allowed.
	ErrTooManyCourses = errors.New("enrolment: student has too many courses")
	// ErrFullyBooked means that the course has no free place.
	ErrFullyBooked = errors.New("enrolment: course is fully booked")
)
