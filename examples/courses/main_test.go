package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/decide/decidetest"
	"github.com/dcbstore/dcb/internal/kinds"
	"github.com/dcbstore/dcb/memstore"
)

func TestMain(m *testing.M) { os.Exit(kinds.Main(m)) }

// command is the command of a scenario.
type command func(ctx context.Context, c courses) error

func define(course string, capacity int) command {
	return func(ctx context.Context, c courses) error { return c.define(ctx, course, capacity) }
}

func changeCapacity(course string, capacity int) command {
	return func(ctx context.Context, c courses) error { return c.changeCapacity(ctx, course, capacity) }
}

func subscribe(student, course string) command {
	return func(ctx context.Context, c courses) error { return c.subscribe(ctx, student, course) }
}

// subscribed returns given and the subscriptions of a student to courses.
func subscribed(before []any, student string, courses ...string) []any {
	for _, course := range courses {
		before = append(before, StudentSubscribedToCourse{student, course})
	}
	return before
}

// The numbers come from the scenarios at dcb.events. Rows without a number test rules that the
// scenarios mention but do not show.
func TestScenarios(t *testing.T) {
	const (
		full  = refusal(`Course "c1" is already fully booked`)
		twice = refusal(`Student already subscribed to this course`)
		five  = refusal(`Student already subscribed to 5 courses`)
	)
	c1 := func(capacity int) []any { return []any{CourseDefined{"c1", capacity}} }
	for _, c := range []struct {
		name  string
		given []any
		when  command
		then  any // the event, or a refusal
	}{
		{"1.1 an existing course", c1(10), define("c1", 15), refusal(`Course with id "c1" already exists`)},
		{"1.2 a new course", nil, define("c1", 15), CourseDefined{"c1", 15}},
		{"2.1 a course that does not exist", nil, changeCapacity("c0", 15), refusal(`Course "c0" does not exist`)},
		{"2.2 another capacity", c1(12), changeCapacity("c1", 15), CourseCapacityChanged{"c1", 15}},
		{"2.x the same capacity", c1(12), changeCapacity("c1", 12), refusal(`New capacity 12 is the same as the current capacity`)},
		{
			"the capacity of the last change", append(c1(12), CourseCapacityChanged{"c1", 15}),
			changeCapacity("c1", 15), refusal(`New capacity 15 is the same as the current capacity`),
		},
		{
			"the capacity before the last change", append(c1(12), CourseCapacityChanged{"c1", 15}),
			changeCapacity("c1", 12),
			CourseCapacityChanged{"c1", 12},
		},
		{"3.1 a course that does not exist", nil, subscribe("s1", "c0"), refusal(`Course "c0" does not exist`)},
		{
			"3.2 a full course",
			subscribed(subscribed(subscribed(c1(3), "s1", "c1"), "s2", "c1"), "s3", "c1"),
			subscribe("s4", "c1"), full,
		},
		{"3.3 a second subscription to a course", subscribed(c1(10), "s1", "c1"), subscribe("s1", "c1"), twice},
		{
			"3.4 a sixth course",
			subscribed([]any{CourseDefined{"c6", 10}}, "s1", "c1", "c2", "c3", "c4", "c5"),
			subscribe("s1", "c6"), five,
		},
		{"3.5 a course with free seats", c1(10), subscribe("s1", "c1"), StudentSubscribedToCourse{"s1", "c1"}},
		{
			"a fifth course", subscribed(c1(10), "s1", "c2", "c3", "c4", "c5"),
			subscribe("s1", "c1"),
			StudentSubscribedToCourse{"s1", "c1"},
		},
		{
			"an added seat", append(subscribed(c1(1), "s1", "c1"), CourseCapacityChanged{"c1", 2}),
			subscribe("s2", "c1"),
			StudentSubscribedToCourse{"s2", "c1"},
		},
		{
			"a course with more students than seats",
			append(subscribed(subscribed(c1(3), "s1", "c1"), "s2", "c1"), CourseCapacityChanged{"c1", 1}),
			subscribe("s3", "c1"), full,
		},
		// If several rules forbid it, the first one is the answer.
		{"full comes before subscribed already", subscribed(c1(1), "s1", "c1"), subscribe("s1", "c1"), full},
		{
			"full comes before five courses", subscribed(subscribed(c1(1), "s1", "c1"), "s2", "c2", "c3", "c4", "c5", "c6"),
			subscribe("s2", "c1"), full,
		},
		{"subscribed already comes before five courses", subscribed(c1(10), "s1", "c1", "c2", "c3", "c4", "c5"), subscribe("s1", "c1"), twice},
	} {
		t.Run(c.name, func(t *testing.T) {
			kinds.OnEvery(t, func(t *testing.T, store dcb.Store) {
				s := decidetest.New(t, events, store)
				s.Given(c.given...)
				s.When(c.when(t.Context(), open(s.Store)))
				if text, refused := c.then.(refusal); refused {
					s.ThenRefused(string(text))
				} else {
					s.Then(c.then)
				}
			})
		})
	}
}

// Other programs read the recorded events, so names, tags and JSON must not change.
func TestEncodeMatchesTheScenarios(t *testing.T) {
	t.Parallel()
	for want, event := range map[string]any{
		`CourseDefined [course:c1] {"courseId":"c1","capacity":10}`:                           CourseDefined{"c1", 10},
		`CourseCapacityChanged [course:c1] {"courseId":"c1","newCapacity":15}`:                CourseCapacityChanged{"c1", 15},
		`StudentSubscribedToCourse [student:s1 course:c1] {"studentId":"s1","courseId":"c1"}`: StudentSubscribedToCourse{"s1", "c1"},
	} {
		e, err := events.Encode(event)
		if got := fmt.Sprintf("%s %s %s", e.Type, e.Tags, e.Data); err != nil || got != want {
			t.Errorf("Encode(%#v) = %s (error %v), want %s", event, got, err, want)
		}
	}
}

func TestRun(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	run(t.Context(), memstore.New(nil), log.New(&out, "", 0))
	const want = `define the course go, 2 seats     done
define it again                            refused: Course with id "go" already exists
ann subscribes                    done
ann subscribes again              refused: Student already subscribed to this course
bob subscribes                    done
cid subscribes                    refused: Course "go" is already fully booked
change the capacity to 2                   refused: New capacity 2 is the same as the current capacity
change the capacity to 3                   done
cid subscribes                    done
cid subscribes to the course c0   refused: Course "c0" does not exist
`
	suffix := regexp.MustCompile(`-[0-9a-f]{8}`) // the random part of each ID
	if got := suffix.ReplaceAllString(out.String(), ""); got != want {
		t.Errorf("got:\n%swant:\n%s", got, want)
	}
}
