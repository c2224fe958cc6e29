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

// onEveryRace runs race on every kind of store in two ways. Callers of one process share a
// runner, and so its queues. Callers of different processes share nothing but the store: each has
// its own runner, on one of two handles if the store can be opened twice.
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

// must ends the test on an error of its preparation.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// recorded returns the events that item selects.
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

// checkSubscriptions fails the test unless want subscriptions with the tag are recorded.
func checkSubscriptions(t *testing.T, store dcb.Store, tag string, want int) {
	t.Helper()
	if got := recorded(t, store, dcb.QueryItem{Types: []string{"StudentSubscribedToCourse"}, Tags: []string{tag}}); len(got) != want {
		t.Errorf("%s has %d subscriptions, want %d: %v", tag, len(got), want, got)
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

func TestSubscribeRaceForTheLastSeat(t *testing.T) {
	onEveryRace(t, func(t *testing.T, store dcb.Store, caller func(i int) courses) {
		for round := range 8 { // two callers do not always conflict
			raceForSeats(t, store, caller, fmt.Sprint("c", round), 1, 2)
		}
	})
}

func TestSubscribeRaceForSeveralSeats(t *testing.T) {
	onEveryRace(t, func(t *testing.T, store dcb.Store, caller func(i int) courses) {
		raceForSeats(t, store, caller, "c1", 3, 16)
	})
}

// raceForTheFifth lets a student who takes four courses subscribe to others, from c5 on, all at
// once.
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

func TestSubscribeRaceForTheFifthCourse(t *testing.T) {
	onEveryRace(t, func(t *testing.T, store dcb.Store, caller func(i int) courses) {
		for i := range 12 {
			must(t, caller(i).define(t.Context(), fmt.Sprint("c", i+1), 10))
		}
		for round := range 8 { // two callers do not always conflict
			raceForTheFifth(t, store, caller, fmt.Sprint("s", round), 2)
		}
		raceForTheFifth(t, store, caller, "s8", 8)
	})
}

// The capacity of a course rises while two students subscribe. In any order, no student may take
// a seat that did not exist at that moment.
func TestChangeCapacityDuringSubscribe(t *testing.T) {
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
					t.Errorf("subscribe returned %v, want success or %v", err, full)
				}
			}
			checkSeats(t, recorded(t, store, dcb.QueryItem{Tags: []string{"course:" + course}}), seated)
		}
	})
}

// checkSeats checks the events of a course: seated students, each on a seat that existed.
func checkSeats(t *testing.T, history []any, seated int) {
	t.Helper()
	capacity, taken, seatsForAll := 0, 0, false
	for _, event := range history {
		switch e := event.(type) {
		case CourseDefined:
			capacity = e.Capacity
		case CourseCapacityChanged:
			capacity, seatsForAll = e.NewCapacity, taken == 0
		case StudentSubscribedToCourse:
			taken++
		}
		if taken > capacity {
			t.Errorf("%d students on %d seats: %v", taken, capacity, history)
		}
	}
	if taken != seated {
		t.Errorf("subscribe succeeded %d times, but %d students are recorded: %v", seated, taken, history)
	}
	if seatsForAll && taken != capacity {
		t.Errorf("%d seats existed before the first student, but %d students are recorded: %v", capacity, taken, history)
	}
}

func TestSubscribeOfUnrelatedStudentsNeverConflicts(t *testing.T) {
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
