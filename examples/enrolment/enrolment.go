// Package enrolment is the course-subscription challenge on a dcb.Store: students and courses are registered, students
// join courses, and no course ever has more students than places nor a student more courses than allowed, whoever else
// is joining at that moment.
//
// It is written twice. [App] uses nothing but the store's own calls, so that one sees what a Dynamic Consistency Boundary is: read
// [App.JoinCourse] first. [Decided] is how one would write it, with package decide. The challenge, its rules and its errors are those of the example "coursebooking" of the Python
// library eventsourcing. The folder demo has a program to run.
package enrolment

import (
	"context"
	"errors"
)

// StudentID is also the tag of every event that concerns the student.
type StudentID string

// CourseID is also the tag of every event that concerns the course.
type CourseID string

// Enrolment is what the application does for its users. Any number of goroutines may call it.
type Enrolment interface {
	// RegisterStudent registers a student who may join at most maxCourses courses.
	RegisterStudent(ctx context.Context, name string, maxCourses int) (StudentID, error)
	// RegisterCourse registers a course with that many places.
	RegisterCourse(ctx context.Context, name string, places int) (CourseID, error)
	// JoinCourse lets a student join a course, or says why not: ErrAlreadyJoined, ErrStudentNotFound, ErrCourseNotFound,
	// ErrTooManyCourses or ErrFullyBooked. If several are true it is the first of them.
	JoinCourse(ctx context.Context, student StudentID, course CourseID) error
	// ListStudents returns the names of the course's students in the order in which they joined, or ErrCourseNotFound.
	ListStudents(ctx context.Context, course CourseID) ([]string, error)
	// ListCourses returns the names of the student's courses in the order in which they were joined, or ErrStudentNotFound.
	ListCourses(ctx context.Context, student StudentID) ([]string, error)
}

// The answers of the rules. Errors of the store come besides them, wrapped.
var (
	// ErrAlreadyRegistered: the ID that was drawn for a new student or course is taken.
	ErrAlreadyRegistered = errors.New("enrolment: already registered")
	// ErrStudentNotFound: nobody registered that student.
	ErrStudentNotFound = errors.New("enrolment: student not found")
	// ErrCourseNotFound: nobody registered that course.
	ErrCourseNotFound = errors.New("enrolment: course not found")
	// ErrAlreadyJoined: the student has joined that course before.
	ErrAlreadyJoined = errors.New("enrolment: student already joined the course")
	// ErrTooManyCourses: the student has as many courses as allowed.
	ErrTooManyCourses = errors.New("enrolment: student has too many courses")
	// ErrFullyBooked: the course has as many students as places.
	ErrFullyBooked = errors.New("enrolment: course is fully booked")
)
