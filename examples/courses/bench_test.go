package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"

	jsonv1 "github.com/go-json-experiment/json/v1"
	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/decide"
	"github.com/dcbstore/dcb/decide/decidetest"
)

// byHand is courses.subscribe written with the store's own calls. It has an equal query, the same
// events with the same JSON and an ID each, a condition with that query, and the same refusals.
// Its query has one item per rule, as a programmer would write it. decide drops the second item,
// which the first covers.
func byHand(ctx context.Context, store dcb.Store, unmarshal func(data []byte, event any) error, student, course string) error {
	courseTag, studentTag := "course:"+course, "student:"+student
	boundary := dcb.Query{
		{Types: []string{"CourseDefined", "CourseCapacityChanged", "StudentSubscribedToCourse"}, Tags: []string{courseTag}},
		{Types: []string{"StudentSubscribedToCourse"}, Tags: []string{courseTag, studentTag}},
		{Types: []string{"StudentSubscribedToCourse"}, Tags: []string{studentTag}},
	}
	for {
		seen, err := store.Read(ctx, boundary, dcb.ReadOptions{})
		if err != nil {
			return err
		}
		exists, already := false, false
		capacity, taken, mine := 0, 0, 0
		for i := range seen.Events {
			switch event := &seen.Events[i]; event.Type {
			case "CourseDefined":
				var e CourseDefined
				if err := unmarshal(event.Data, &e); err != nil {
					return err
				}
				exists, capacity = true, e.Capacity
			case "CourseCapacityChanged":
				var e CourseCapacityChanged
				if err := unmarshal(event.Data, &e); err != nil {
					return err
				}
				capacity = e.NewCapacity
			case "StudentSubscribedToCourse":
				var e StudentSubscribedToCourse
				if err := unmarshal(event.Data, &e); err != nil {
					return err
				}
				ofCourse, ofStudent := slices.Contains(event.Tags, courseTag), slices.Contains(event.Tags, studentTag)
				if ofCourse {
					taken++
				}
				if ofStudent {
					mine++
				}
				already = already || ofCourse && ofStudent
			}
		}
		switch {
		case !exists:
			return refused("Course %q does not exist", course)
		case taken >= capacity:
			return refused("Course %q is already fully booked", course)
		case already:
			return refused("Student already subscribed to this course")
		case mine >= maxCourses:
			return refused("Student already subscribed to %d courses", maxCourses)
		}
		data, err := json.Marshal(StudentSubscribedToCourse{student, course})
		if err != nil {
			return err
		}
		id, err := uuid.NewV7()
		if err != nil {
			return err
		}
		subscribed := dcb.Event{Type: "StudentSubscribedToCourse", Tags: []string{studentTag, courseTag}, Data: data, ID: id}
		_, err = store.Append(ctx, []dcb.Event{subscribed}, &dcb.AppendCondition{FailIfEventsMatch: boundary, After: seen.Head})
		if !errors.Is(err, dcb.ErrConflict) {
			return err
		}
	}
}

// BenchmarkSubscribe compares the two in turns of 100 decisions, so that both sides have the same
// machine and stores of the same size. Each decision reads a course and up to three
// subscriptions, and appends one. It reports the time per decision of either side, and the ratios
// of the medians and of the fastest turns. The side written by hand decodes events with
// encoding/json, or as decide does.
func BenchmarkSubscribe(b *testing.B) {
	for _, unmarshal := range []struct {
		name string
		fn   func(data []byte, event any) error
	}{{"json", json.Unmarshal}, {"jsonv1", jsonv1.Unmarshal}} {
		for name, open := range benchStores {
			b.Run(name+"/"+unmarshal.name, func(b *testing.B) {
				decided, handed := newSide(b, open(b), true), newSide(b, open(b), false)
				handed.unmarshal = unmarshal.fn
				b.ReportAllocs()
				for b.Loop() {
					decided.turn(b)
					handed.turn(b)
				}
				compare(b, &decided.stopwatch, "decide", &handed.stopwatch, "by-hand")
			})
		}
	}
}

// BenchmarkOneSide runs one side alone, for profiles.
func BenchmarkOneSide(b *testing.B) {
	for store, open := range benchStores {
		for name, decided := range map[string]bool{"decide": true, "by hand": false} {
			b.Run(store+"/"+name, func(b *testing.B) {
				s := newSide(b, open(b), decided)
				b.ReportAllocs()
				for b.Loop() {
					s.one(b)
				}
			})
		}
	}
}

// BenchmarkCached compares, in turns, decisions with cached projections on a course with 10
// students and on one with 10,000. Each decision subscribes one more student.
func BenchmarkCached(b *testing.B) {
	for _, cached := range []bool{true, false} {
		b.Run(fmt.Sprintf("cached=%t", cached), func(b *testing.B) {
			few, many := newHot(b, 10, cached), newHot(b, 10_000, cached)
			for b.Loop() {
				few.turn(b)
				many.turn(b)
			}
			compare(b, &many.stopwatch, "10000-events", &few.stopwatch, "10-events")
		})
	}
}

// BenchmarkHot lets 64 callers subscribe students to one course at once, and reports the cost of
// their conflicts.
func BenchmarkHot(b *testing.B) {
	for name, open := range benchStores {
		b.Run(name, func(b *testing.B) {
			store := decidetest.Count(open(b))
			d := decide.New(store, events, nil)
			taken := decide.Cached(1, seatsTaken)
			var next atomic.Int64
			b.SetParallelism(64 / 2) // of GOMAXPROCS=2
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					student, projection := strconv.FormatInt(next.Add(1), 10), taken("c1")
					_, err := d.Do(b.Context(), func() ([]any, error) {
						return decide.Events(StudentSubscribedToCourse{student, "c1"}), nil
					}, projection)
					if err != nil {
						b.Error(err)
					}
				}
			})
			decisions, attempts := float64(b.N), float64(store.Appends.Load())
			b.ReportMetric(attempts/decisions, "attempts/decision")
			b.ReportMetric(float64(store.Events.Load())/attempts, "events/attempt")
		})
	}
}
