package enrolment

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
)

// Options configures the application. The zero value means the defaults.
type Options struct {
	// NewID returns the unique part of an ID. Default a random UUID.
	NewID func() string
	// Attempts limits how often one decision runs because of conflicts. Each conflict means that
	// another caller made progress, so the limit is about fairness and not about deadlock.
	// Default 100.
	Attempts int
}

// withDefaults returns a copy of o with the defaults filled in, or an error that names an invalid
// field. o may be nil.
func (o *Options) withDefaults() (Options, error) {
	var opts Options
	if o != nil {
		opts = *o
	}
	if opts.NewID == nil {
		opts.NewID = uuid.NewString
	}
	if opts.Attempts < 0 {
		return Options{}, fmt.Errorf("enrolment: Options.Attempts is %d; it must be at least 1, or 0 for the default", opts.Attempts)
	}
	if opts.Attempts == 0 {
		opts.Attempts = 100
	}
	return opts, nil
}

// App is the application on one store. It has no state of its own, so any number of Apps in any
// number of processes may share a store.
type App struct {
	store dcb.Store
	opts  Options
}

var _ Enrolment = (*App)(nil)

// New returns the application on store. opts may be nil. It panics if an option is invalid.
func New(store dcb.Store, opts *Options) *App {
	complete, err := opts.withDefaults()
	if err != nil {
		panic(err.Error())
	}
	return &App{store: store, opts: complete}
}

// RegisterStudent implements Enrolment.
func (a *App) RegisterStudent(ctx context.Context, name string, maxCourses int) (StudentID, error) {
	id := StudentID("student:" + a.opts.NewID())
	return id, a.register(ctx, NewStudentRegistered(id, name, maxCourses))
}

// RegisterCourse implements Enrolment.
func (a *App) RegisterCourse(ctx context.Context, name string, places int) (CourseID, error) {
	id := CourseID("course:" + a.opts.NewID())
	return id, a.register(ctx, NewCourseRegistered(id, name, places))
}

// register records a new student or course unless the ID is registered. It reads nothing, because
// the condition covers all recorded events.
func (a *App) register(ctx context.Context, registered dcb.Event) error {
	err := a.record(ctx, registered, dcb.AppendCondition{
		FailIfEventsMatch: dcb.Query{{Types: []string{registered.Type}, Tags: registered.Tags}},
	})
	if errors.Is(err, dcb.ErrConflict) {
		return fmt.Errorf("%w: %s", ErrAlreadyRegistered, registered.Tags[0])
	}
	return err
}

// JoinCourse implements Enrolment. Its rules concern a student and a course at once.
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
		if err := checkJoin(student, course, seen.Events); err != nil {
			return err
		}
		// The condition has the same boundary: fail if an event within it was recorded after the read.
		err = a.record(ctx, NewStudentJoinedCourse(student, course), dcb.AppendCondition{
			FailIfEventsMatch: boundary,
			After:             seen.Head,
		})
		if !errors.Is(err, dcb.ErrConflict) || attempt == a.opts.Attempts {
			return err
		}
		// In between, a student joined this course, or this student joined another one: decide again.
	}
}

// checkJoin applies the rules to the events within the boundary.
func checkJoin(studentID StudentID, courseID CourseID, events []dcb.SequencedEvent) error {
	var (
		s                           student
		c                           course
		studentExists, courseExists bool
		courses, placesUsed         int
	)
	for _, event := range events {
		switch event.Type {
		case StudentRegistered:
			if err := decode(event, &s); err != nil {
				return err
			}
			studentExists = true
		case CourseRegistered:
			if err := decode(event, &c); err != nil {
				return err
			}
			courseExists = true
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
	case !studentExists:
		return ErrStudentNotFound
	case !courseExists:
		return ErrCourseNotFound
	case courses >= s.MaxCourses:
		return ErrTooManyCourses
	case placesUsed >= c.Places:
		return ErrFullyBooked
	}
	return nil
}

// record appends one event. If the answer is lost, it sends the same append once more. The ID of
// the event prevents that it is recorded twice.
func (a *App) record(ctx context.Context, event dcb.Event, condition dcb.AppendCondition) error {
	// Version 7 begins with the time, so new IDs are neighbours in a database index.
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
