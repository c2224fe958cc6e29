package enrolment

import (
	"encoding/json"
	"fmt"

	"github.com/dcbstore/dcb"
)

// The types of the events: everything that ever happens here.
const (
	StudentRegistered   = "StudentRegistered"
	CourseRegistered    = "CourseRegistered"
	StudentJoinedCourse = "StudentJoinedCourse"
)

// student and course are the data of the registrations, as JSON. That a student joined a course needs no data: the
// event's two tags say it all.
type student struct {
	Name       string `json:"name"`
	MaxCourses int    `json:"maxCourses"`
}

type course struct {
	Name   string `json:"name"`
	Places int    `json:"places"`
}

// NewStudentRegistered returns the fact that a student was registered.
func NewStudentRegistered(id StudentID, name string, maxCourses int) dcb.Event {
	return dcb.Event{Type: StudentRegistered, Tags: []string{string(id)}, Data: encode(student{name, maxCourses})}
}

// NewCourseRegistered returns the fact that a course was registered.
func NewCourseRegistered(id CourseID, name string, places int) dcb.Event {
	return dcb.Event{Type: CourseRegistered, Tags: []string{string(id)}, Data: encode(course{name, places})}
}

// NewStudentJoinedCourse returns the fact that a student joined a course: one event for the one fact, though it concerns both.
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
