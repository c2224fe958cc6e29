package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/decide/decidetest"
	"github.com/dcbstore/dcb/internal/kinds"
	"github.com/dcbstore/dcb/memstore"
)

func TestMain(m *testing.M) { os.Exit(kinds.Main(m)) }

// loaded loads a course, and ends the test on an error.
func loaded(t *testing.T, r repository, id string) (*course, courseProjection) {
	t.Helper()
	c, projection, err := r.load(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return c, projection
}

func created(t *testing.T, r repository, id string, capacity int) {
	t.Helper()
	_, projection := loaded(t, r, id)
	if err := r.save(t.Context(), create(id, "Course 01", capacity), projection); err != nil {
		t.Fatal(err)
	}
}

// The scenarios at dcb.events have no numbers. The text of the second lacks its closing quote
// there.
func TestScenarios(t *testing.T) {
	t.Run("a course is created, saved, loaded, changed and saved", changedAndSaved)
	t.Run("a course is loaded by its tag and saved if it has not changed", loadedAndSavedByTag)
	t.Run("a change to the same capacity is refused", func(t *testing.T) {
		checkRefused(t, []any{CourseDefined{"c1", "Course 01", 10}, CourseCapacityChanged{"c1", 15}},
			func(c *course) error { return c.changeCapacity(15) }, `Course "c1" already has a capacity of "15"`)
	})
	t.Run("a capacity below the subscriptions is refused", func(t *testing.T) {
		checkRefused(t, []any{
			CourseDefined{"c1", "Course 01", 10}, StudentSubscribedToCourse{"c1", "s1"}, StudentSubscribedToCourse{"c1", "s2"},
		},
			func(c *course) error { return c.changeCapacity(1) },
			`Course "c1" already has 2 active subscriptions, can't set the capacity below that`)
	})
	t.Run("a subscription to a full course is refused", func(t *testing.T) {
		checkRefused(t, []any{CourseDefined{"c1", "Course 01", 1}, StudentSubscribedToCourse{"c1", "s1"}},
			func(c *course) error { return c.subscribe("s2") }, `Course "c1" is already fully booked`)
	})
	t.Run("one of two callers that loaded the same version saves", oneOfTwoSaves)
}

func changedAndSaved(t *testing.T) {
	kinds.OnEvery(t, func(t *testing.T, store dcb.Store) {
		r := open(store)
		if c, _ := loaded(t, r, "c1"); c.id != "" {
			t.Errorf("load of a course that was never saved = %+v, want no ID", c)
		}
		created(t, r, "c1", 10)
		c, projection := loaded(t, r, "c1")
		if err := errors.Join(c.changeCapacity(15), r.save(t.Context(), c, projection)); err != nil {
			t.Fatal(err)
		}
		all, err := store.Read(t.Context(), dcb.All(), dcb.ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var types []string
		for _, event := range all.Events {
			types = append(types, event.Type)
		}
		if diff := cmp.Diff([]string{"CourseDefined", "CourseCapacityChanged"}, types); diff != "" {
			t.Errorf("types of the recorded events differ (-want +got):\n%s", diff)
		}
		first := all.Events[0]
		if decoded, err := events.Decode(first.Event); err != nil || decoded != (CourseDefined{"c1", "Course 01", 10}) ||
			!slices.Equal(first.Tags, []string{"course:c1"}) || first.Position != 1 {
			t.Errorf("the first event is %+v (error %v)", first, err)
		}
	})
}

// The program makes the same calls on every store, so one store is enough.
func loadedAndSavedByTag(t *testing.T) {
	t.Parallel()
	spy := &spy{Store: memstore.New(nil)}
	r := open(spy)
	created(t, r, "c1", 10)
	c, projection := loaded(t, r, "c1")
	if err := errors.Join(c.changeCapacity(15), r.save(t.Context(), c, projection)); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"read [{Types:[] Tags:[course:c1]}]",
		"append &{FailIfEventsMatch:[{Types:[] Tags:[course:c1]}] After:0}", // the course was never saved
		"read [{Types:[] Tags:[course:c1]}]",
		"append &{FailIfEventsMatch:[{Types:[] Tags:[course:c1]}] After:1}",
	}
	if diff := cmp.Diff(want, spy.calls); diff != "" {
		t.Errorf("calls of the store differ (-want +got):\n%s", diff)
	}
}

// spy records the calls of the store.
type spy struct {
	dcb.Store
	calls []string
}

func (s *spy) Read(ctx context.Context, q dcb.Query, opts dcb.ReadOptions) (dcb.ReadResult, error) {
	s.calls = append(s.calls, fmt.Sprintf("read %+v", q))
	return s.Store.Read(ctx, q, opts)
}

func (s *spy) Append(ctx context.Context, events []dcb.Event, condition *dcb.AppendCondition) (dcb.Position, error) {
	s.calls = append(s.calls, fmt.Sprintf("append %+v", condition))
	return s.Store.Append(ctx, events, condition)
}

func checkRefused(t *testing.T, given []any, command func(c *course) error, text string) {
	t.Helper()
	kinds.OnEvery(t, func(t *testing.T, store dcb.Store) {
		s := decidetest.New(t, events, store)
		s.Given(given...)
		r := open(s.Store)
		c, projection := loaded(t, r, "c1")
		s.When(command(c)).ThenRefused(text)
		s.When(r.save(t.Context(), c, projection)).Then() // no changes
	})
}

func oneOfTwoSaves(t *testing.T) {
	kinds.OnEvery(t, func(t *testing.T, store dcb.Store) {
		s := decidetest.New(t, events, store)
		s.Given(CourseDefined{"c1", "Course 01", 10}, CourseDefined{"c2", "Course 02", 10})
		one, two := open(s.Store), open(s.Store)
		a, aProjection := loaded(t, one, "c1")
		b, bProjection := loaded(t, two, "c1")
		c, cProjection := loaded(t, two, "c2")
		s.When(errors.Join(a.changeCapacity(15), one.save(t.Context(), a, aProjection))).Then(CourseCapacityChanged{"c1", 15})
		s.When(errors.Join(b.subscribe("s1"), two.save(t.Context(), b, bProjection))).ThenError(dcb.ErrConflict)
		s.When(errors.Join(c.subscribe("s1"), two.save(t.Context(), c, cProjection))).Then(StudentSubscribedToCourse{"c2", "s1"}) // another course
	})
}

// Other programs read the recorded events, so names, tags and JSON must not change.
func TestEncodeMatchesTheScenarios(t *testing.T) {
	t.Parallel()
	for want, event := range map[string]any{
		`CourseDefined [course:c1] {"courseId":"c1","title":"Course 01","capacity":10}`: CourseDefined{"c1", "Course 01", 10},
		`CourseCapacityChanged [course:c1] {"courseId":"c1","newCapacity":15}`:          CourseCapacityChanged{"c1", 15},
		`StudentSubscribedToCourse [course:c1] {"courseId":"c1","studentId":"s1"}`:      StudentSubscribedToCourse{"c1", "s1"},
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
	if err := run(t.Context(), memstore.New(nil), log.New(&out, "", 0)); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"already has a capacity of \"15\"\n", "the first clerk saves: done\n", "the second clerk saves: refused: the course has changed\n"} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("%q is missing in:\n%s", line, out.String())
		}
	}
}
