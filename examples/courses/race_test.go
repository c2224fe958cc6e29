package main

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/decide/decidetest"
	"github.com/dcbstore/dcb/internal/kinds"
)

// onEveryRace runs race on every kind of store in two ways. Callers of one process share a runner, which lets them queue up. Callers of
// different processes share nothing but the store: each has a runner of its own, on one of two handles if the store can be opened twice.
func onEveryRace(t *testing.T, race func(t *testing.T, store dcb.Store, caller func(i int) courses)) {
	t.Helper()
	t.Parallel()
	t.Run("as one process", func(t *testing.T) {
		kinds.OnEvery(t, func(t *testing.T, store dcb.Store) {
			shared := open(store)
			race(t, store, func(int) courses { return shared })
		})
	})
	t.Run("as many processes", func(t *testing.T) {
		t.Parallel()
		for _, kind := range kinds.All() {
			t.Run(kind.Name, func(t *testing.T) {
				t.Parallel()
				handles := kind.Handles(t)
				race(t, handles[0], func(i int) courses { return open(handles[i%2]) })
			})
		}
	})
}

// must ends the test at an error: for what is not what the test is about.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// recorded are the events that item selects: what callers were told is one thing, what is recorded another.
func recorded(t *testing.T, store dcb.Store, item dcb.QueryItem) (all []any) {
	t.Helper()
	for event, err := range dcb.Stream(t.Context(), store, dcb.Query{item}, dcb.ReadOptions{}) {
		must(t, err)
		decoded, err := events.Decode(event.Event)
		must(t, err)
		all = append(all, decoded)
	}
	return all
}

// checkSubscriptions fails the test unless so many are recorded with the tag.
func checkSubscriptions(t *testing.T, store dcb.Store, tag string, want int) {
	t.Helper()
	if got := recorded(t, store, dcb.QueryItem{Types: []string{"StudentSubscribedToCourse"}, Tags: []string{tag}}); len(got) != want {
		t.Errorf("%s has %d subscriptions; want %d: %v", tag, len(got), want, got)
	}
}

func raceForSeats(t *testing.T, store dcb.Store, caller func(i int) courses, course string, seats, students int) {
	t.Helper()
	must(t, caller(0).define(t.Context(), course, seats))
	var calls []decidetest.Command
	for i := range students {
		c := caller(i)
		calls = append(calls, func(ctx context.Context) error { return c.subscribe(ctx, fmt.Sprint("s", i, "-", course), course) })
	}
	decidetest.CheckWinners(t, seats, refusal(fmt.Sprintf("Course %q is already fully booked", course)), calls...)
	checkSubscriptions(t, store, "course:"+course, seats)
}

func TestOfTwoStudentsOneGetsTheLastSeat(t *testing.T) {
	onEveryRace(t, func(t *testing.T, store dcb.Store, caller func(i int) courses) {
		for round := range 8 { // two do not always meet
			raceForSeats(t, store, caller, fmt.Sprint("c", round), 1, 2)
		}
	})
}

func TestOfManyStudentsAsManyGetASeatAsThereAre(t *testing.T) {
	onEveryRace(t, func(t *testing.T, store dcb.Store, caller func(i int) courses) {
		raceForSeats(t, store, caller, "c1", 3, 16)
	})
}

// raceForTheFifth lets a student who is on four courses subscribe to others, c5 and so on, all at once.
func raceForTheFifth(t *testing.T, store dcb.Store, caller func(i int) courses, student string, others int) {
	t.Helper()
	for i := range 4 {
		must(t, caller(i).subscribe(t.Context(), student, fmt.Sprint("c", i+1)))
	}
	var calls []decidetest.Command
	for i := range others {
		c := caller(i)
		calls = append(calls, func(ctx context.Context) error { return c.subscribe(ctx, student, fmt.Sprint("c", i+5)) })
	}
	decidetest.CheckWinners(t, 1, refusal("Student already subscribed to 5 courses"), calls...)
	checkSubscriptions(t, store, "student:"+student, 5)
}

func TestAStudentWhoIsOnFourGetsOneOfTheCoursesFiveAndSix(t *testing.T) {
	onEveryRace(t, func(t *testing.T, store dcb.Store, caller func(i int) courses) {
		for i := range 12 {
			must(t, caller(i).define(t.Context(), fmt.Sprint("c", i+1), 10))
		}
		for round := range 8 { // two do not always meet
			raceForTheFifth(t, store, caller, fmt.Sprint("s", round), 2)
		}
		raceForTheFifth(t, store, caller, "s8", 8)
	})
}

// A course for one is made larger while two subscribe. Whatever comes first, nobody sits where there was no seat at that moment.
func TestACapacityChangesWhileStudentsSubscribe(t *testing.T) {
	onEveryRace(t, func(t *testing.T, store dcb.Store, caller func(i int) courses) {
		for round := range 10 {
			course := fmt.Sprint("c", round)
			must(t, caller(0).define(t.Context(), course, 1))
			errs := decidetest.Race(t.Context(),
				func(ctx context.Context) error { return caller(0).changeCapacity(ctx, course, 2) },
				func(ctx context.Context) error { return caller(1).subscribe(ctx, "a"+course, course) },
				func(ctx context.Context) error { return caller(2).subscribe(ctx, "b"+course, course) },
			)
			must(t, errs[0])
			seated, full := 0, refusal(fmt.Sprintf("Course %q is already fully booked", course))
			for _, err := range errs[1:] {
				if err == nil {
					seated++
				} else if !errors.Is(err, full) {
					t.Errorf("a student: %v; want a seat, or %v", err, full)
				}
			}
			checkSeats(t, recorded(t, store, dcb.QueryItem{Tags: []string{"course:" + course}}), seated)
		}
	})
}

// checkSeats fails the test unless so many students are seated in what happened to a course of that race, each on a seat that there was.
func checkSeats(t *testing.T, happened []any, seated int) {
	t.Helper()
	capacity, taken, roomForAll := 0, 0, false
	for _, event := range happened {
		switch e := event.(type) {
		case CourseDefined:
			capacity = e.Capacity
		case CourseCapacityChanged:
			capacity, roomForAll = e.NewCapacity, taken == 0
		case StudentSubscribedToCourse:
			taken++
		}
		if taken > capacity {
			t.Errorf("%d students on %d seats: %v", taken, capacity, happened)
		}
	}
	if taken != seated {
		t.Errorf("%d students were told that they are seated, and %d are: %v", seated, taken, happened)
	}
	if roomForAll && taken != capacity {
		t.Errorf("%d seats from the first moment on, and %d students on them: %v", capacity, taken, happened)
	}
}

func TestUnrelatedStudentsNeverConflict(t *testing.T) {
	kinds.OnEvery(t, func(t *testing.T, store dcb.Store) {
		counting := decidetest.Count(store)
		c := open(counting)
		var calls []decidetest.Command
		for i := range 32 {
			course := fmt.Sprint("c", i)
			must(t, c.define(t.Context(), course, 10))
			calls = append(calls, func(ctx context.Context) error { return c.subscribe(ctx, fmt.Sprint("s", i), course) })
		}
		decidetest.CheckUnrelated(t, counting, calls...)
	})
}
