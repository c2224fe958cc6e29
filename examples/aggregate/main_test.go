package main

import (
	"errors"
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

// loaded is a course from the repository, within a test.
func loaded(t *testing.T, r repository, id string) (*course, courseView) {
	t.Helper()
	c, view, err := r.load(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return c, view
}

func created(t *testing.T, r repository, id string, capacity int) {
	t.Helper()
	_, view := loaded(t, r, id)
	if err := r.save(t.Context(), create(id, "Course 01", capacity), view); err != nil {
		t.Fatal(err)
	}
}

func TestScenarios(t *testing.T) {
	t.Run("a course is created, saved, loaded, changed and saved", func(t *testing.T) {
		kinds.OnEvery(t, func(t *testing.T, store dcb.Store) {
			r := open(store)
			if c, _ := loaded(t, r, "c1"); c.id != "" {
				t.Errorf("a course that was never saved: %+v", c)
			}
			created(t, r, "c1", 10)
			c, view := loaded(t, r, "c1")
			if err := errors.Join(c.changeCapacity(15), r.save(t.Context(), c, view)); err != nil {
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
				t.Errorf("types (-want +got):\n%s", diff)
			}
			first := all.Events[0]
			if decoded, err := events.Decode(first.Event); err != nil || decoded != (CourseDefined{"c1", "Course 01", 10}) ||
				!slices.Equal(first.Tags, []string{"course:c1"}) || first.Position != 1 {
				t.Errorf("the first event is %+v, %v", first, err)
			}
		})
	})
	refused := func(t *testing.T, given []any, command func(c *course) error, text string) {
		t.Helper()
		kinds.OnEvery(t, func(t *testing.T, store dcb.Store) {
			s := decidetest.New(t, events, store)
			s.Given(given...)
			r := open(s.Store)
			c, view := loaded(t, r, "c1")
			s.When(command(c)).ThenRefused(text)
			s.When(r.save(t.Context(), c, view)).Then() // nothing
		})
	}
	t.Run("the same capacity is no change", func(t *testing.T) {
		refused(t, []any{CourseDefined{"c1", "Course 01", 10}, CourseCapacityChanged{"c1", 15}},
			func(c *course) error { return c.changeCapacity(15) }, `Course "c1" already has a capacity of 15`)
	})
	t.Run("the capacity does not go below the subscriptions", func(t *testing.T) {
		refused(t, []any{
			CourseDefined{"c1", "Course 01", 10}, StudentSubscribedToCourse{"c1", "s1"}, StudentSubscribedToCourse{"c1", "s2"},
		},
			func(c *course) error { return c.changeCapacity(1) },
			`Course "c1" already has 2 active subscriptions, can't set the capacity below that`)
	})
	t.Run("nobody subscribes at capacity", func(t *testing.T) {
		refused(t, []any{CourseDefined{"c1", "Course 01", 1}, StudentSubscribedToCourse{"c1", "s1"}},
			func(c *course) error { return c.subscribe("s2") }, `Course "c1" is already fully booked`)
	})
}

func TestOfTwoThatLoadedTheSameOneSaves(t *testing.T) {
	kinds.OnEvery(t, func(t *testing.T, store dcb.Store) {
		one, two := open(store), open(store)
		created(t, one, "c1", 10)
		created(t, one, "c2", 10)
		a, aView := loaded(t, one, "c1")
		b, bView := loaded(t, two, "c1")
		c, cView := loaded(t, two, "c2")
		if err := errors.Join(a.changeCapacity(15), one.save(t.Context(), a, aView)); err != nil {
			t.Errorf("the first: %v", err)
		}
		if err := errors.Join(b.subscribe("s1"), two.save(t.Context(), b, bView)); !errors.Is(err, dcb.ErrConflict) {
			t.Errorf("the second: %v; want a conflict", err)
		}
		if err := errors.Join(c.subscribe("s1"), two.save(t.Context(), c, cView)); err != nil {
			t.Errorf("of another course: %v", err)
		}
	})
}

func TestTheProgramTellsItsStory(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if err := run(t.Context(), memstore.New(nil), log.New(&out, "", 0)); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"already has a capacity of 15\n", "the one saves: done\n", "the other saves: refused: somebody else was faster\n"} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("%q is missing in:\n%s", line, out.String())
		}
	}
}
