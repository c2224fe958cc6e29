package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"
	"testing"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/decide/decidetest"
	"github.com/dcbstore/dcb/internal/kinds"
	"github.com/dcbstore/dcb/memstore"
)

func TestMain(m *testing.M) { os.Exit(kinds.Main(m)) }

// The numbers are those of the scenarios at dcb.events.
func TestScenarios(t *testing.T) {
	subscribed := func(student string, courses ...string) (all []any) {
		for _, course := range courses {
			all = append(all, StudentSubscribedToCourse{student, course})
		}
		return all
	}
	for _, c := range []struct {
		name    string
		given   []any
		when    func(ctx context.Context, c courses) error
		then    any    // the event
		refused string // or the error
	}{
		{
			name:    "1.1 a course is defined once",
			given:   []any{CourseDefined{"c1", 10}},
			when:    func(ctx context.Context, c courses) error { return c.define(ctx, "c1", 15) },
			refused: `Course with id "c1" already exists`,
		},
		{
			name: "1.2 a new course is defined",
			when: func(ctx context.Context, c courses) error { return c.define(ctx, "c1", 15) },
			then: CourseDefined{"c1", 15},
		},
		{
			name:    "2.1 a course that is not there has no capacity to change",
			when:    func(ctx context.Context, c courses) error { return c.changeCapacity(ctx, "c0", 15) },
			refused: `Course "c0" does not exist`,
		},
		{
			name:  "2.2 the capacity changes",
			given: []any{CourseDefined{"c1", 12}},
			when:  func(ctx context.Context, c courses) error { return c.changeCapacity(ctx, "c1", 15) },
			then:  CourseCapacityChanged{"c1", 15},
		},
		{
			name:    "2.x a capacity that is the same is no change",
			given:   []any{CourseDefined{"c1", 12}},
			when:    func(ctx context.Context, c courses) error { return c.changeCapacity(ctx, "c1", 12) },
			refused: `New capacity 12 is the same as the current capacity`,
		},
		{
			name:    "3.1 nobody subscribes to a course that is not there",
			when:    func(ctx context.Context, c courses) error { return c.subscribe(ctx, "s1", "c0") },
			refused: `Course "c0" does not exist`,
		},
		{
			name: "3.2 nobody subscribes to a course that is full",
			given: []any{
				CourseDefined{"c1", 3},
				StudentSubscribedToCourse{"s1", "c1"},
				StudentSubscribedToCourse{"s2", "c1"},
				StudentSubscribedToCourse{"s3", "c1"},
			},
			when:    func(ctx context.Context, c courses) error { return c.subscribe(ctx, "s4", "c1") },
			refused: `Course "c1" is already fully booked`,
		},
		{
			name:    "3.3 nobody subscribes twice",
			given:   []any{CourseDefined{"c1", 10}, StudentSubscribedToCourse{"s1", "c1"}},
			when:    func(ctx context.Context, c courses) error { return c.subscribe(ctx, "s1", "c1") },
			refused: `Student already subscribed to this course`,
		},
		{
			name:    "3.4 nobody subscribes to a sixth course",
			given:   append([]any{CourseDefined{"c6", 10}}, subscribed("s1", "c1", "c2", "c3", "c4", "c5")...),
			when:    func(ctx context.Context, c courses) error { return c.subscribe(ctx, "s1", "c6") },
			refused: `Student already subscribed to 5 courses`,
		},
		{
			name:  "3.5 a student subscribes",
			given: []any{CourseDefined{"c1", 10}},
			when:  func(ctx context.Context, c courses) error { return c.subscribe(ctx, "s1", "c1") },
			then:  StudentSubscribedToCourse{"s1", "c1"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			kinds.OnEvery(t, func(t *testing.T, store dcb.Store) {
				s := decidetest.New(t, events, store)
				s.Given(c.given...)
				s.When(c.when(t.Context(), open(s.Store)))
				if c.refused != "" {
					s.ThenRefused(c.refused)
				} else {
					s.Then(c.then)
				}
			})
		})
	}
}

// must ends the test at an error: for what is not what the test is about.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestTheLastSeatGoesToOne(t *testing.T) {
	kinds.OnEvery(t, func(t *testing.T, store dcb.Store) {
		const seats, students = 3, 16
		c := open(store)
		must(t, c.define(t.Context(), "c1", seats))
		var calls []decidetest.Call
		for i := range students {
			calls = append(calls, func(ctx context.Context) error { return c.subscribe(ctx, fmt.Sprint("s", i), "c1") })
		}
		decidetest.CheckWinners(t, seats, refusal(`Course "c1" is already fully booked`), calls...)
	})
}

func TestTheFifthCourseIsOneOfMany(t *testing.T) {
	kinds.OnEvery(t, func(t *testing.T, store dcb.Store) {
		c := open(store)
		var calls []decidetest.Call
		for i := range 12 {
			course := fmt.Sprint("c", i)
			must(t, c.define(t.Context(), course, 10))
			if i < maxCourses-1 {
				must(t, c.subscribe(t.Context(), "s1", course))
			} else {
				calls = append(calls, func(ctx context.Context) error { return c.subscribe(ctx, "s1", course) })
			}
		}
		decidetest.CheckWinners(t, 1, refusal("Student already subscribed to 5 courses"), calls...)
	})
}

// A course for one is made larger while two subscribe. Whatever comes first, nobody sits where there was no seat at that moment.
func TestACapacityChangesWhileStudentsSubscribe(t *testing.T) {
	kinds.OnEvery(t, func(t *testing.T, store dcb.Store) {
		for round := range 10 {
			c, course := open(store), fmt.Sprint("c", round)
			must(t, c.define(t.Context(), course, 1))
			errs := decidetest.Race(t.Context(),
				func(ctx context.Context) error { return c.subscribe(ctx, "a"+course, course) },
				func(ctx context.Context) error { return c.changeCapacity(ctx, course, 2) },
				func(ctx context.Context) error { return c.subscribe(ctx, "b"+course, course) },
			)
			must(t, errs[1])
			capacity, taken := 0, 0
			for event, err := range dcb.Stream(t.Context(), store, dcb.Query{{Tags: []string{"course:" + course}}}, dcb.ReadOptions{}) {
				must(t, err)
				switch decoded, err := events.Decode(event.Event); e := decoded.(type) {
				case CourseDefined:
					must(t, err)
					capacity = e.Capacity
				case CourseCapacityChanged:
					capacity = e.NewCapacity
				case StudentSubscribedToCourse:
					taken++
				}
				if taken > capacity {
					t.Errorf("%d students on %d seats at position %d", taken, capacity, event.Position)
				}
			}
			refused := 0
			for _, err := range errs {
				if err != nil {
					refused++
				}
			}
			if taken+refused != 2 {
				t.Errorf("%d subscribed, and the answers were %v", taken, errs)
			}
		}
	})
}

func TestUnrelatedStudentsNeverConflict(t *testing.T) {
	kinds.OnEvery(t, func(t *testing.T, store dcb.Store) {
		counting := decidetest.Count(store)
		c := open(counting)
		var calls []decidetest.Call
		for i := range 32 {
			course := fmt.Sprint("c", i)
			must(t, c.define(t.Context(), course, 10))
			calls = append(calls, func(ctx context.Context) error { return c.subscribe(ctx, fmt.Sprint("s", i), course) })
		}
		decidetest.CheckUnrelated(t, counting, calls...)
	})
}

func TestTheProgramTellsItsStory(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	run(t.Context(), memstore.New(nil), log.New(&out, "", 0))
	for _, line := range []string{
		"define it again                            refused: Course with id ",
		"refused: Student already subscribed to this course\n", "is already fully booked\n",
		"refused: New capacity 2 is the same as the current capacity\n", `refused: Course "c0" does not exist` + "\n",
	} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("%q is missing in:\n%s", line, out.String())
		}
	}
}
