package decidetest_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/decide"
	"github.com/dcbstore/dcb/decide/decidetest"
	"github.com/dcbstore/dcb/memstore"
)

type Bought struct {
	Thing string `json:"thing" dcb:"thing"`
	Price int    `json:"price"`
}

type Lost struct {
	Thing string `json:"thing" dcb:"thing"`
}

var codec = decide.NewCodec(decide.Type[Bought]("Bought"), decide.Type[Lost]("Lost"))

// recorder is a test that may fail without failing.
type recorder struct {
	testing.TB
	said    strings.Builder
	ends    []func()
	failed  bool
	skipped bool
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) {
	r.failed = true
	fmt.Fprintf(&r.said, format+"\n", args...)
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Failed() bool { return r.failed }

func (r *recorder) Skipped() bool { return r.skipped }

func (r *recorder) Cleanup(f func()) { r.ends = append(r.ends, f) }

// hear returns what a scenario says of a story, to its end, which is that of the test too.
func (r *recorder) hear(story func(s *decidetest.Scenario)) string {
	return r.hearOn(memstore.New(nil), story)
}

// hearOn is hear on a store that there is already.
func (r *recorder) hearOn(store dcb.Store, story func(s *decidetest.Scenario)) string {
	ended := make(chan struct{})
	go func() { // for Fatalf ends it
		defer close(ended)
		story(decidetest.New(r, codec, store))
	}()
	<-ended
	for _, end := range slices.Backward(r.ends) {
		end()
	}
	return r.said.String()
}

func record(t *testing.T, store dcb.Store, events ...any) error {
	t.Helper()
	_, err := decide.New(store, codec, nil).Record(t.Context(), events...)
	return err
}

func TestAStoryThatIsAsToldSaysNothing(t *testing.T) {
	t.Parallel()
	refused := errors.New("refused")
	r := &recorder{TB: t}
	if said := r.hear(func(s *decidetest.Scenario) {
		s.Given(Bought{"pen", 1})
		s.When(record(t, s.Store, Bought{"ink", 2}, Lost{"pen"})).Then(Bought{"ink", 2}, Lost{"pen"})
		s.When(nil).Then()
		s.When(fmt.Errorf("for a reason: %w", refused)).ThenError(refused)
		s.When(refused).ThenRefused("refused")
		s.Given(Lost{"ink"})
		s.When(nil).Then()
	}); said != "" {
		t.Errorf("it says:\n%s", said)
	}
}

func TestAStoryCanBeToldWhenTheTestIsOver(t *testing.T) {
	t.Parallel()
	t.Cleanup(func() {
		r := &recorder{TB: t}
		if said := r.hear(func(s *decidetest.Scenario) {
			s.Given(Lost{"pen"})
			_, err := decide.New(s.Store, codec, nil).Record(context.WithoutCancel(t.Context()), Lost{"ink"})
			s.When(err).Then(Lost{"ink"})
			s.Advance(time.Hour)
			s.When(errors.New("no ink")).ThenRefused("no ink")
		}); said != "" {
			t.Errorf("it says:\n%s", said)
		}
	})
}

func TestADifferenceIsToldAsAPersonWould(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		tell func(s *decidetest.Scenario)
		says []string
	}{
		{"another value", func(s *decidetest.Scenario) {
			s.When(record(t, s.Store, Lost{"pen"}, Bought{"ink", 2})).Then(Lost{"pen"}, Bought{"ink", 3})
		}, []string{"as wanted: Lost{Thing:pen}", "want: Bought{Thing:ink Price:3}", "got:  Bought{Thing:ink Price:2}", "Price: want 3, got 2"}},
		{
			"another type", func(s *decidetest.Scenario) { s.When(record(t, s.Store, Lost{"pen"})).Then(Bought{"pen", 1}) },
			[]string{"want: Bought{Thing:pen Price:1}", "got:  Lost{Thing:pen}"},
		},
		{"too few", func(s *decidetest.Scenario) { s.When(nil).Then(Lost{"pen"}) }, []string{"missing:  Lost{Thing:pen}"}},
		{"too many", func(s *decidetest.Scenario) { s.When(record(t, s.Store, Lost{"pen"})).Then() }, []string{"too much: Lost{Thing:pen}"}},
		{"an error", func(s *decidetest.Scenario) { s.When(errors.New("no ink")).Then(Lost{"pen"}) }, []string{"failed: no ink", "want: Lost{Thing:pen}"}},
		{"no error", func(s *decidetest.Scenario) { s.When(nil).ThenRefused("no ink") }, []string{"no error", `error "no ink"`}},
		{"another error", func(s *decidetest.Scenario) { s.When(errors.New("no pen")).ThenError(errors.New("no ink")) }, []string{`error "no pen"`, `error "no ink"`}},
		{"an error, and events all the same", func(s *decidetest.Scenario) {
			_ = record(t, s.Store, Lost{"pen"})
			s.When(errors.New("no ink")).ThenRefused("no ink")
		}, []string{"too much: Lost{Thing:pen}"}},
	} {
		r := &recorder{TB: t}
		said := r.hear(c.tell)
		for _, says := range c.says {
			if !strings.Contains(said, says) {
				t.Errorf("%s: %q is missing in:\n%s", c.name, says, said)
			}
		}
	}
}

func call(err error) decidetest.Call { return func(context.Context) error { return err } }

func TestTheRacesFindWhatIsWrong(t *testing.T) {
	t.Parallel()
	refused := errors.New("refused")
	numbers := func(next ...int) func(context.Context) (int, error) {
		each := make(chan int, len(next))
		for _, n := range next {
			each <- n
		}
		return func(context.Context) (int, error) { return <-each, nil }
	}
	at := func(position dcb.Position) func(context.Context) (dcb.Position, error) {
		return func(context.Context) (dcb.Position, error) { return position, nil }
	}
	conflicting := decidetest.Count(memstore.New(nil))
	conflict := func(ctx context.Context) error {
		event := []dcb.Event{{Type: "A"}}
		_, err := conflicting.Append(ctx, event, nil)
		_, _ = conflicting.Append(ctx, event, &dcb.AppendCondition{FailIfEventsMatch: dcb.All()})
		return err
	}
	counted := decidetest.Count(memstore.New(nil))
	appendTo := func(store dcb.Store) decidetest.Call {
		return func(ctx context.Context) error {
			_, err := store.Append(ctx, []dcb.Event{{Type: "A"}}, nil)
			return err
		}
	}
	for _, c := range []struct {
		name  string
		wrong bool
		check func(r *recorder)
	}{
		{"one winner", false, func(r *recorder) { decidetest.CheckWinners(r, 1, refused, call(nil), call(refused)) }},
		{"two winners", true, func(r *recorder) { decidetest.CheckWinners(r, 1, refused, call(nil), call(nil)) }},
		{"no winner", true, func(r *recorder) { decidetest.CheckWinners(r, 1, refused, call(refused)) }},
		{"another error", true, func(r *recorder) { decidetest.CheckWinners(r, 1, refused, call(nil), call(dcb.ErrConflict)) }},
		{"no gap", false, func(r *recorder) { decidetest.CheckGapless(r, 1, 3, numbers(2, 3, 1)) }},
		{"a gap", true, func(r *recorder) { decidetest.CheckGapless(r, 1, 3, numbers(2, 4, 1)) }},
		{"a number twice", true, func(r *recorder) { decidetest.CheckGapless(r, 1, 3, numbers(1, 2, 2)) }},
		{"one position", false, func(r *recorder) { decidetest.CheckOnce(r, at(4), at(4)) }},
		{"two positions", true, func(r *recorder) { decidetest.CheckOnce(r, at(4), at(5)) }},
		{"no position", true, func(r *recorder) { decidetest.CheckOnce(r, at(0), at(0)) }},
		{"no conflict", false, func(r *recorder) { decidetest.CheckUnrelated(r, counted, appendTo(counted), appendTo(counted)) }},
		{"another store", true, func(r *recorder) {
			decidetest.CheckUnrelated(r, counted, appendTo(counted.Store), appendTo(memstore.New(nil)))
		}},
		{"a conflict", true, func(r *recorder) { decidetest.CheckUnrelated(r, conflicting, conflict) }},
		{"an error", true, func(r *recorder) { decidetest.CheckUnrelated(r, counted, appendTo(counted), call(refused)) }},
	} {
		r := &recorder{TB: t}
		if c.check(r); (r.said.Len() > 0) != c.wrong {
			t.Errorf("%s: it says %q", c.name, &r.said)
		}
	}
}
