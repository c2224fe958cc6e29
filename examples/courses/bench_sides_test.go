package main

import (
	"encoding/json"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/decide"
	"github.com/dcbstore/dcb/diskstore"
	"github.com/dcbstore/dcb/memstore"
)

var benchStores = map[string]func(b *testing.B) dcb.Store{
	"memory":    func(*testing.B) dcb.Store { return memstore.New(nil) },
	"directory": inDirectory,
}

func inDirectory(b *testing.B) dcb.Store {
	b.Helper()
	store, err := diskstore.Open(b.TempDir(), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { store.Close() })
	return store
}

// turnDecisions is the number of decisions that one side makes before the other side's turn.
const turnDecisions = 100

// stopwatch holds the mean time of a decision in each turn.
type stopwatch struct{ turns []time.Duration }

func (s *stopwatch) turn(b *testing.B, one func(b *testing.B)) {
	b.Helper()
	began := time.Now()
	for range turnDecisions {
		one(b)
	}
	s.turns = append(s.turns, time.Since(began)/turnDecisions)
}

// report reports the median turn and the fastest turn. Other programs on the machine disturb the
// fastest turn least.
func (s *stopwatch) report(b *testing.B, name string) {
	b.Helper()
	slices.Sort(s.turns)
	b.ReportMetric(float64(s.turns[len(s.turns)/2]), name+"-median-ns")
	b.ReportMetric(float64(s.turns[0]), name+"-least-ns")
}

// compare reports both, and the ratio of the first to the second.
func compare(b *testing.B, first *stopwatch, firstName string, second *stopwatch, secondName string) {
	b.Helper()
	first.report(b, firstName)
	second.report(b, secondName)
	b.ReportMetric(float64(first.turns[len(first.turns)/2])/float64(second.turns[len(second.turns)/2]), "ratio-of-medians")
	b.ReportMetric(float64(first.turns[0])/float64(second.turns[0]), "ratio-of-least")
}

// side subscribes students to courses, four students to each course.
type side struct {
	stopwatch
	store     dcb.Store
	courses   courses
	decided   bool
	unmarshal func(data []byte, event any) error // by hand
	n         int
}

func newSide(b *testing.B, store dcb.Store, decided bool) *side {
	b.Helper()
	return &side{store: store, courses: open(store), decided: decided, unmarshal: json.Unmarshal}
}

func (s *side) turn(b *testing.B) {
	b.Helper()
	s.stopwatch.turn(b, s.one)
}

// one makes one decision. Before every fourth decision it defines a course, the same way on both
// sides.
func (s *side) one(b *testing.B) {
	b.Helper()
	ctx := b.Context()
	course, student := "c"+strconv.Itoa(s.n/4), "s"+strconv.Itoa(s.n)
	if s.n%4 == 0 {
		event, err := events.Encode(CourseDefined{course, 10})
		if err == nil {
			_, err = s.store.Append(ctx, []dcb.Event{event}, nil)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	s.n++
	var err error
	if s.decided {
		err = s.courses.subscribe(ctx, student, course)
	} else {
		err = byHand(ctx, s.store, s.unmarshal, student, course)
	}
	if err != nil {
		b.Fatal(err)
	}
}

// hot subscribes students to one course.
type hot struct {
	stopwatch
	runner *decide.Runner
	taken  func(course string) *decide.Projection[int]
	n      int
}

func newHot(b *testing.B, subscribed int, cached bool) *hot {
	b.Helper()
	h := &hot{runner: decide.New(memstore.New(nil), events, nil), taken: seatsTaken}
	if cached {
		h.taken = decide.Cached(100, seatsTaken)
	}
	for range subscribed {
		if _, err := h.runner.Record(b.Context(), h.next()); err != nil {
			b.Fatal(err)
		}
	}
	h.one(b)
	return h
}

func (h *hot) next() StudentSubscribedToCourse {
	h.n++
	return StudentSubscribedToCourse{"s" + strconv.Itoa(h.n), "c1"}
}

func (h *hot) turn(b *testing.B) {
	b.Helper()
	h.stopwatch.turn(b, h.one)
}

// one reads all subscriptions to a course, and subscribes a student to another one.
func (h *hot) one(b *testing.B) {
	b.Helper()
	projection := h.taken("c1")
	_, err := h.runner.Do(b.Context(), func() ([]any, error) {
		if projection.State() < 1 {
			b.Error("the state counts no students")
		}
		return decide.Events(StudentSubscribedToCourse{"s1", "c2"}), nil
	}, projection)
	if err != nil {
		b.Fatal(err)
	}
}
