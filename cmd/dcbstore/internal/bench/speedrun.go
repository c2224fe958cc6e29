package bench

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
)

// One iteration of the speedrun registers these courses and students; then every student joins
// every course.
const (
	SpeedrunCourses  = 10
	SpeedrunStudents = 10
	SpeedrunOps      = SpeedrunCourses + SpeedrunStudents + SpeedrunCourses*SpeedrunStudents
)

// The events of the speedrun. They have the types, tags and data of the course-subscription
// challenge of the Python library eventsourcing, so that stores are compared on the same bytes.
const (
	courseRegistered    = "CourseRegistered"
	studentRegistered   = "StudentRegistered"
	studentJoinedCourse = "StudentJoinedCourse"
)

// Speedrun returns the clients of the course-subscription speedrun on store. Each client works on
// students and courses of its own. An operation is one decision: it appends one event, and
// joining a course reads the events of the student and of the course first.
func Speedrun(store dcb.Store) func(n int) Operation {
	run := runID()
	return func(n int) Operation {
		s := &speedrun{store: store, newID: serialIDs(fmt.Sprintf("%s-%d-", run, n))}
		return s.next
	}
}

// speedrun is one client and its place in the current iteration.
type speedrun struct {
	store    dcb.Store
	newID    func() string
	step     int
	courses  [SpeedrunCourses]member
	students [SpeedrunStudents]member
}

// member is a student or a course: it was registered with a limit, and its tag is on every event
// that concerns it.
type member struct {
	registered string // the type of its registration
	tag        string
}

func newCourse(newID func() string) member  { return member{courseRegistered, "course:" + newID()} }
func newStudent(newID func() string) member { return member{studentRegistered, "student:" + newID()} }

// item selects the events of these types that concern m; without types, all of them.
func (m member) item(types ...string) dcb.QueryItem {
	return dcb.QueryItem{Types: types, Tags: []string{m.tag}}
}

func (s *speedrun) next(ctx context.Context) (events int, err error) {
	const registrations = SpeedrunCourses + SpeedrunStudents
	switch step := s.step; {
	case step < SpeedrunCourses:
		s.courses[step] = newCourse(s.newID)
		err = s.register(ctx, s.courses[step])
	case step < registrations:
		s.students[step-SpeedrunCourses] = newStudent(s.newID)
		err = s.register(ctx, s.students[step-SpeedrunCourses])
	default:
		student, course := (step-registrations)/SpeedrunCourses, (step-registrations)%SpeedrunCourses
		err = s.join(ctx, s.students[student], s.courses[course])
	}
	s.step = (s.step + 1) % SpeedrunOps
	return 1, err
}

// register appends the registration of m. The condition is that m is not registered yet.
func (s *speedrun) register(ctx context.Context, m member) error {
	return s.append(ctx, m.registration(), dcb.AppendCondition{FailIfEventsMatch: dcb.Query{m.item(m.registered)}})
}

// join is the decision that the speedrun measures: read the events of both, check the limits, and
// append on the condition that nothing in the query was appended since.
func (s *speedrun) join(ctx context.Context, student, course member) error {
	query := dcb.Query{
		student.item(studentRegistered, studentJoinedCourse),
		course.item(courseRegistered, studentJoinedCourse),
	}
	read, err := s.store.Read(ctx, query, dcb.ReadOptions{})
	if err != nil {
		return err
	}
	for _, m := range []member{student, course} {
		if err := m.checkLimit(read.Events); err != nil {
			return err
		}
	}
	return s.append(ctx, joining(student, course), dcb.AppendCondition{FailIfEventsMatch: query, After: read.Head})
}

// limits is the data of a registration. The decision needs only the numbers.
type limits struct {
	Name       string `json:"name"`
	MaxCourses int    `json:"maxCourses,omitzero"` // of a student
	Places     int    `json:"places,omitzero"`     // of a course
}

// checkLimit returns an error if m is not registered or has joined as often as its limit allows.
func (m member) checkLimit(events []dcb.SequencedEvent) error {
	own, limit, joined := m.item(), 0, 0
	for _, event := range events {
		switch {
		case !own.Matches(event.Event):
		case event.Type == m.registered:
			var data limits
			if err := json.Unmarshal(event.Data, &data); err != nil {
				return fmt.Errorf("bench: speedrun: data of the event at position %d: %w", event.Position, err)
			}
			limit = data.MaxCourses + data.Places
		default:
			joined++
		}
	}
	if joined >= limit {
		return fmt.Errorf("bench: speedrun: %s has joined %d times; the limit is %d", m.tag, joined, limit)
	}
	return nil
}

// append gives the event an ID, as a client does that may have to append again.
func (s *speedrun) append(ctx context.Context, event dcb.Event, condition dcb.AppendCondition) (err error) {
	// A version 7 UUID begins with the time, which databases index best.
	if event.ID, err = uuid.NewV7(); err != nil {
		return err
	}
	_, err = s.store.Append(ctx, []dcb.Event{event}, &condition)
	return err
}

var registrationData = map[string][]byte{
	courseRegistered:  mustEncode(limits{Name: "course", Places: SpeedrunStudents}),
	studentRegistered: mustEncode(limits{Name: "student", MaxCourses: SpeedrunCourses}),
}

func mustEncode(data limits) []byte {
	encoded, err := json.Marshal(data)
	if err != nil {
		panic(fmt.Sprintf("a struct of a string and numbers is always JSON: %v", err))
	}
	return encoded
}

func (m member) registration() dcb.Event {
	return dcb.Event{Type: m.registered, Tags: []string{m.tag}, Data: registrationData[m.registered]}
}

func joining(student, course member) dcb.Event {
	return dcb.Event{Type: studentJoinedCourse, Tags: []string{student.tag, course.tag}}
}

// iteration returns the events that one iteration appends, without IDs.
func iteration(newID func() string) []dcb.Event {
	var (
		events   []dcb.Event
		courses  [SpeedrunCourses]member
		students [SpeedrunStudents]member
	)
	for i := range courses {
		courses[i] = newCourse(newID)
		events = append(events, courses[i].registration())
	}
	for i := range students {
		students[i] = newStudent(newID)
		events = append(events, students[i].registration())
	}
	for _, student := range students {
		for _, course := range courses {
			events = append(events, joining(student, course))
		}
	}
	return events
}

// runID returns a random text that makes the tags of this run unique.
func runID() string { return rand.Text()[:10] }

// serialIDs returns a function that numbers its results. It is cheap, because the speedrun
// measures the store and not the drawing of IDs.
func serialIDs(prefix string) func() string {
	serial := int64(0)
	return func() string {
		serial++
		return prefix + strconv.FormatInt(serial, 36)
	}
}
