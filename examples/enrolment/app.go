package enrolment

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
)

// Options for New. The zero value has the defaults.
type Options struct {
	// NewID draws the part of an ID that makes it unique. Default: a random UUID.
	NewID func() string
	// Attempts bounds how often a decision is made anew because somebody else recorded something that it had not seen. Each such
	// conflict means that somebody else got on, so this is about fairness and not about deadlock. Default 100.
	Attempts int
}

// App is the application on one store. It keeps nothing itself: any number of them, in any number of processes, may
// share a store.
type App struct {
	store    dcb.Store
	newID    func() string
	attempts int
}

var _ Enrolment = (*App)(nil)

// New returns the application on store. Options may be nil.
func New(store dcb.Store, opts *Options) *App {
	a := &App{store: store, newID: uuid.NewString, attempts: 100}
	if opts != nil && opts.NewID != nil {
		a.newID = opts.NewID
	}
	if opts != nil && opts.Attempts > 0 {
		a.attempts = opts.Attempts
	}
	return a
}

// RegisterStudent implements Enrolment.
func (a *App) RegisterStudent(ctx context.Context, name string, maxCourses int) (StudentID, error) {
	id := StudentID("student:" + a.newID())
	return id, a.register(ctx, NewStudentRegistered(id, name, maxCourses))
}

// RegisterCourse implements Enrolment.
func (a *App) RegisterCourse(ctx context.Context, name string, places int) (CourseID, error) {
	id := CourseID("course:" + a.newID())
	return id, a.register(ctx, NewCourseRegistered(id, name, places))
}

// register records that somebody or something new is there, unless it was there before. Nothing needs to be read: the
// condition looks at everything recorded so far.
func (a *App) register(ctx context.Context, registered dcb.Event) error {
	err := a.record(ctx, registered, dcb.AppendCondition{
		FailIfEventsMatch: dcb.Query{{Types: []string{registered.Type}, Tags: registered.Tags}},
	})
	if errors.Is(err, dcb.ErrConflict) {
		return fmt.Errorf("%w: %s", ErrAlreadyRegistered, registered.Tags[0])
	}
	return err
}

// JoinCourse implements Enrolment. It is the heart of the example: a rule that looks at a student and at a course at once.
func (a *App) JoinCourse(ctx context.Context, student StudentID, course CourseID) error {
	// The boundary: the events that this decision depends on, and no others.
	boundary := dcb.Query{
		{Types: []string{StudentRegistered, StudentJoinedCourse}, Tags: []string{string(student)}},
		{Types: []string{CourseRegistered, StudentJoinedCourse}, Tags: []string{string(course)}},
	}
	for attempt := 1; ; attempt++ {
		seen, err := a.store.Read(ctx, boundary, dcb.ReadOptions{})
		if err != nil {
			return fmt.Errorf("enrolment: %w", err)
		}
		if err := mayJoin(student, course, seen.Events); err != nil {
			return err
		}
		// The guard is made of that same boundary: fail if anything in it was recorded after what was seen.
		err = a.record(ctx, NewStudentJoinedCourse(student, course), dcb.AppendCondition{
			FailIfEventsMatch: boundary,
			After:             seen.Head,
		})
		if !errors.Is(err, dcb.ErrConflict) || attempt == a.attempts {
			return err
		}
		// Somebody joined this course, or this student another one, meanwhile: look again and decide again.
	}
}

// mayJoin decides, looking at all that happened within the boundary.
func mayJoin(studentID StudentID, courseID CourseID, seen []dcb.SequencedEvent) error {
	var (
		who                 student
		what                course
		haveWho, haveWhat   bool
		courses, placesUsed int
	)
	for _, event := range seen {
		switch event.Type {
		case StudentRegistered:
			if err := decode(event, &who); err != nil {
				return err
			}
			haveWho = true
		case CourseRegistered:
			if err := decode(event, &what); err != nil {
				return err
			}
			haveWhat = true
		case StudentJoinedCourse:
			ofStudent := slices.Contains(event.Tags, string(studentID))
			ofCourse := slices.Contains(event.Tags, string(courseID))
			if ofStudent && ofCourse {
				return ErrAlreadyJoined
			}
			if ofStudent {
				courses++
			} else {
				placesUsed++
			}
		}
	}
	switch {
	case !haveWho:
		return ErrStudentNotFound
	case !haveWhat:
		return ErrCourseNotFound
	case courses >= who.MaxCourses:
		return ErrTooManyCourses
	case placesUsed >= what.Places:
		return ErrFullyBooked
	}
	return nil
}

// record appends one event. If its answer is lost, so that nobody knows whether it was recorded, the same append is sent once
// more: the event's ID makes that harmless.
func (a *App) record(ctx context.Context, event dcb.Event, condition dcb.AppendCondition) error {
	// A UUID of version 7 begins with the time, which databases index best.
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("enrolment: %w", err)
	}
	event.ID = id
	events := []dcb.Event{event}
	_, err = a.store.Append(ctx, events, &condition)
	if dcb.Retryable(err) {
		_, err = a.store.Append(ctx, events, &condition)
	}
	if err != nil {
		return fmt.Errorf("enrolment: %w", err)
	}
	return nil
}
