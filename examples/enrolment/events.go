package enrolment

import (
	"encoding/json"
	"fmt"

	"github.com/dcbstore/dcb"
)

// The types of the events.
const (
	StudentRegistered   = "StudentRegistered"
	CourseRegistered    = "CourseRegistered"
	StudentJoinedCourse = "StudentJoinedCourse"
)

// student and course are the data of registrations, as JSON. An event StudentJoinedCourse needs
// no data, because its two tags hold everything.
type student struct {
	Name       string `json:"name"`
	MaxCourses int    `json:"maxCourses"`
}

type course struct {
	Name   string `json:"name"`
	Places int    `json:"places"`
}

// NewStudentRegistered returns the event of a new student.
func NewStudentRegistered(id StudentID, name string, maxCourses int) dcb.Event {
	return dcb.Event{Type: StudentRegistered, Tags: []string{string(id)}, Data: encode(student{name, maxCourses})}
}

// NewCourseRegistered returns the event of a new course.
func NewCourseRegistered(id CourseID, name string, places int) dcb.Event {
	return dcb.Event{Type: CourseRegistered, Tags: []string{string(id)}, Data: encode(course{name, places})}
}

// NewStudentJoinedCourse returns the event of a student joining a course. It is one event for one
// fact, although the fact concerns two things.
func NewStudentJoinedCourse(student StudentID, course CourseID) dcb.Event {
	return dcb.Event{Type: StudentJoinedCourse, Tags: []string{string(student), string(course)}}
}

func encode(data any) []byte {
	encoded, err := json.Marshal(data)
	if err != nil {
		panic(fmt.Sprintf("a struct of strings and numbers is always JSON: %v", err))
	}
	return encoded
}

func decode(event dcb.SequencedEvent, data any) error {
	if err := json.Unmarshal(event.Data, data); err != nil {
		return fmt.Errorf("enrolment: data of the %s at position %d: %w", event.Type, event.Position, err)
	}
	return nil
}
