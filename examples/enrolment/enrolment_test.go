package enrolment_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/examples/enrolment"
	"github.com/dcbstore/dcb/internal/kinds"
)

func TestMain(m *testing.M) { os.Exit(kinds.Main(m)) }

// implementations are the two implementations of the application. Each test runs with both.
var implementations = map[string]func(store dcb.Store, opts *enrolment.Options) enrolment.Enrolment{
	"by hand": func(store dcb.Store, opts *enrolment.Options) enrolment.Enrolment { return enrolment.New(store, opts) },
	"with decide": func(store dcb.Store, opts *enrolment.Options) enrolment.Enrolment {
		return enrolment.NewDecided(store, opts)
	},
}

// school is the application on a new store. Its methods fail the test if a result is not as
// wanted.
type school struct {
	*testing.T
	enrolment.Enrolment
	store dcb.Store
	open  func(store dcb.Store, opts *enrolment.Options) enrolment.Enrolment
}

// onEveryStore runs test as a parallel subtest for each implementation and each kind of store,
// with a new store each time.
func onEveryStore(t *testing.T, test func(s school)) {
	t.Helper()
	t.Parallel()
	for name, open := range implementations {
		t.Run(name, func(t *testing.T) {
			kinds.OnEvery(t, func(t *testing.T, store dcb.Store) { test(school{t, open(store, nil), store, open}) })
		})
	}
}

func (s school) student(name string, maxCourses int) enrolment.StudentID {
	s.Helper()
	id, err := s.RegisterStudent(s.Context(), name, maxCourses)
	if err != nil {
		s.Fatal(err)
	}
	return id
}

func (s school) course(name string, places int) enrolment.CourseID {
	s.Helper()
	id, err := s.RegisterCourse(s.Context(), name, places)
	if err != nil {
		s.Fatal(err)
	}
	return id
}

// join fails the test unless JoinCourse returns want.
func (s school) join(student enrolment.StudentID, course enrolment.CourseID, want error) {
	s.Helper()
	if err := s.JoinCourse(s.Context(), student, course); !errors.Is(err, want) {
		s.Errorf("JoinCourse(…) = %v, want %v", err, want)
	}
}

func (s school) students(course enrolment.CourseID, want ...string) {
	s.Helper()
	got, err := s.ListStudents(s.Context(), course)
	if err != nil {
		s.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		s.Errorf("ListStudents differs (-want +got):\n%s", diff)
	}
}

func (s school) courses(student enrolment.StudentID, want ...string) {
	s.Helper()
	got, err := s.ListCourses(s.Context(), student)
	if err != nil {
		s.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		s.Errorf("ListCourses differs (-want +got):\n%s", diff)
	}
}

// The steps come from the enrolment test case in the Python library.
func TestJoinCourseFollowsTheRules(t *testing.T) {
	onEveryStore(t, func(s school) {
		boundaries := s.course("Dynamic Consistency Boundaries", 5)
		maths, biology := s.course("Maths", 5), s.course("Biology", 5)
		french, spanish := s.course("French", 5), s.course("Spanish", 5)
		sara, mollie, allard := s.student("Sara", 3), s.student("Mollie", 3), s.student("Allard", 3)
		grace, bastian, greg := s.student("Grace", 3), s.student("Bastian", 3), s.student("Greg", 3)
		katherine := s.student("Katherine", 3)

		for _, student := range []enrolment.StudentID{sara, mollie, allard, grace, bastian} {
			s.join(student, boundaries, nil)
		}
		s.join(greg, boundaries, enrolment.ErrFullyBooked)
		for _, course := range []enrolment.CourseID{french, spanish, maths} {
			s.join(greg, course, nil)
		}
		s.join(greg, biology, enrolment.ErrTooManyCourses)
		s.join(katherine, french, nil)
		s.join(katherine, french, enrolment.ErrAlreadyJoined)
		s.join(grace, "course:none", enrolment.ErrCourseNotFound)
		s.join("student:none", boundaries, enrolment.ErrStudentNotFound)

		s.students(boundaries, "Sara", "Mollie", "Allard", "Grace", "Bastian")
		s.students(french, "Greg", "Katherine")
		s.courses(sara, "Dynamic Consistency Boundaries")
		s.courses(greg, "French", "Spanish", "Maths")
	})
}

func TestJoinCourseReturnsTheFirstRefusal(t *testing.T) {
	onEveryStore(t, func(s school) {
		course, student := s.course("Full", 1), s.student("Busy", 1)
		s.join(student, course, nil)
		s.join(student, course, enrolment.ErrAlreadyJoined) // also, the course is full and the student busy
		s.join("student:none", "course:none", enrolment.ErrStudentNotFound)
		s.join("student:none", course, enrolment.ErrStudentNotFound)
		busy := s.student("Busy too", 0)
		s.join(busy, course, enrolment.ErrTooManyCourses) // also, the course is full
	})
}

func TestListStudentsAndListCoursesAreEmptyAtFirst(t *testing.T) {
	onEveryStore(t, func(s school) {
		students, err := s.ListStudents(s.Context(), s.course("Quiet", 3))
		if len(students) > 0 || err != nil {
			s.Errorf("ListStudents(…) = %v, %v, want none", students, err)
		}
		courses, err := s.ListCourses(s.Context(), s.student("Idle", 3))
		if len(courses) > 0 || err != nil {
			s.Errorf("ListCourses(…) = %v, %v, want none", courses, err)
		}
		if _, err := s.ListStudents(s.Context(), "course:none"); !errors.Is(err, enrolment.ErrCourseNotFound) {
			s.Errorf("ListStudents of an unknown course = %v", err)
		}
		if _, err := s.ListCourses(s.Context(), "student:none"); !errors.Is(err, enrolment.ErrStudentNotFound) {
			s.Errorf("ListCourses of an unknown student = %v", err)
		}
	})
}

func TestRegisterStudentAndRegisterCourseRefuseATakenID(t *testing.T) {
	onEveryStore(t, func(s school) {
		app := s.open(s.store, &enrolment.Options{NewID: func() string { return "same" }})
		ctx := s.Context()
		if _, err := app.RegisterStudent(ctx, "Ann", 1); err != nil {
			s.Fatal(err)
		}
		if _, err := app.RegisterStudent(ctx, "Bob", 1); !errors.Is(err, enrolment.ErrAlreadyRegistered) {
			s.Errorf("the second RegisterStudent = %v, want ErrAlreadyRegistered", err)
		}
		if _, err := app.RegisterCourse(ctx, "Go", 1); err != nil {
			s.Errorf("RegisterCourse with the ID of a student = %v", err)
		}
		if _, err := app.RegisterCourse(ctx, "Go", 1); !errors.Is(err, enrolment.ErrAlreadyRegistered) {
			s.Errorf("the second RegisterCourse = %v, want ErrAlreadyRegistered", err)
		}
	})
}

// race starts all calls at once and counts their results.
func (s school) race(calls []func(ctx context.Context) error) map[error]int {
	s.Helper()
	known := []error{nil, enrolment.ErrFullyBooked, enrolment.ErrTooManyCourses, enrolment.ErrAlreadyJoined}
	start, answers := make(chan struct{}), make([]error, len(calls))
	var wait sync.WaitGroup
	for i, call := range calls {
		wait.Go(func() {
			<-start
			answers[i] = call(s.Context())
		})
	}
	close(start)
	wait.Wait()
	count := make(map[error]int)
	for _, answer := range answers {
		i := slices.IndexFunc(known, func(err error) bool { return errors.Is(answer, err) })
		if i < 0 {
			s.Fatalf("JoinCourse(…) = %v, want an error of a rule", answer)
		}
		count[known[i]]++
	}
	return count
}

func TestJoinCourseRaceForTheLastPlaces(t *testing.T) {
	onEveryStore(t, func(s school) {
		const places, racers = 3, 16
		course := s.course("Popular", places)
		var calls []func(context.Context) error
		for i := range racers {
			student := s.student(fmt.Sprint("Student ", i), 1)
			calls = append(calls, func(ctx context.Context) error { return s.JoinCourse(ctx, student, course) })
		}
		want := map[error]int{nil: places, enrolment.ErrFullyBooked: racers - places}
		if got := s.race(calls); !maps.Equal(got, want) {
			s.Errorf("the results are %v, want %v", got, want)
		}
		students, err := s.ListStudents(s.Context(), course)
		if len(students) != places || err != nil {
			s.Errorf("the course has the students %v (error %v), want %d", students, err, places)
		}
	})
}

func TestJoinCourseRaceForTheLastCourse(t *testing.T) {
	onEveryStore(t, func(s school) {
		const maxCourses, racers = 2, 12
		student := s.student("Eager", maxCourses)
		s.join(student, s.course("First", 1), nil)
		var calls []func(context.Context) error
		for i := range racers {
			course := s.course(fmt.Sprint("Course ", i), 10)
			calls = append(calls, func(ctx context.Context) error { return s.JoinCourse(ctx, student, course) })
		}
		want := map[error]int{nil: 1, enrolment.ErrTooManyCourses: racers - 1}
		if got := s.race(calls); !maps.Equal(got, want) {
			s.Errorf("the results are %v, want %v", got, want)
		}
	})
}

func TestJoinCourseSentManyTimesJoinsOnce(t *testing.T) {
	onEveryStore(t, func(s school) {
		const racers = 8
		student, course := s.student("Impatient", 5), s.course("Go", 5)
		calls := slices.Repeat([]func(context.Context) error{
			func(ctx context.Context) error { return s.JoinCourse(ctx, student, course) },
		}, racers)
		want := map[error]int{nil: 1, enrolment.ErrAlreadyJoined: racers - 1}
		if got := s.race(calls); !maps.Equal(got, want) {
			s.Errorf("the results are %v, want %v", got, want)
		}
		s.courses(student, "Go")
	})
}

// lossy is a store that loses the answer of the first append.
type lossy struct {
	dcb.Store
	lost bool
}

func (l *lossy) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	position, err := l.Store.Append(ctx, events, condition)
	if err == nil && !l.lost {
		l.lost = true
		return 0, &dcb.UnavailableError{OutcomeUnknown: true, Cause: errors.New("the connection broke")}
	}
	return position, err
}

func TestJoinCourseSurvivesALostAnswer(t *testing.T) {
	onEveryStore(t, func(s school) {
		student, course := s.student("Ann", 5), s.course("Go", 5)
		if err := s.open(&lossy{Store: s.store}, nil).JoinCourse(s.Context(), student, course); err != nil {
			s.Errorf("JoinCourse with a lost answer = %v", err)
		}
		s.students(course, "Ann")
	})
}

// rival is a store that records a conflicting event before each append.
type rival struct {
	dcb.Store
	course enrolment.CourseID
	rivals int
}

func (r *rival) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	r.rivals++
	other := enrolment.NewStudentJoinedCourse(enrolment.StudentID(fmt.Sprint("student:rival-", r.rivals)), r.course)
	if _, err := r.Store.Append(ctx, []dcb.Event{other}, nil); err != nil {
		return 0, err
	}
	return r.Store.Append(ctx, events, condition)
}

func TestJoinCourseLimitsAttempts(t *testing.T) {
	onEveryStore(t, func(s school) {
		const attempts = 7
		student, course := s.student("Unlucky", 1), s.course("Endless", 1000)
		rival := &rival{Store: s.store, course: course}
		err := s.open(rival, &enrolment.Options{Attempts: attempts}).JoinCourse(s.Context(), student, course)
		if !errors.Is(err, dcb.ErrConflict) || rival.rivals != attempts {
			s.Errorf("JoinCourse(…) = %v after %d attempts, want a conflict after %d", err, rival.rivals, attempts)
		}
	})
}

// Both implementations record the same events, so they can share a store.
func TestJoinCourseRaceOfBothImplementations(t *testing.T) {
	kinds.OnEvery(t, func(t *testing.T, store dcb.Store) {
		const places, racers = 3, 16
		s := school{T: t, Enrolment: enrolment.New(store, nil), store: store}
		course := s.course("Popular", places)
		var calls []func(context.Context) error
		for i := range racers / 2 {
			for _, open := range implementations {
				student, app := s.student(fmt.Sprint("Student ", i), 1), open(store, nil)
				calls = append(calls, func(ctx context.Context) error { return app.JoinCourse(ctx, student, course) })
			}
		}
		want := map[error]int{nil: places, enrolment.ErrFullyBooked: racers - places}
		if got := s.race(calls); !maps.Equal(got, want) {
			s.Errorf("the results are %v, want %v", got, want)
		}
	})
}
