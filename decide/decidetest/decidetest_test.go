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

// recorder is a testing.TB that records failures instead of failing the test.
type recorder struct {
	testing.TB
	failures strings.Builder
	cleanups []func()
	failed   bool
	skipped  bool
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) {
	r.failed = true
	fmt.Fprintf(&r.failures, format+"\n", args...)
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Failed() bool { return r.failed }

func (r *recorder) Skipped() bool { return r.skipped }

func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }

// run runs a scenario on a new store, and then the cleanups of its test. It returns the failures.
func (r *recorder) run(steps func(s *decidetest.Scenario)) string {
	return r.runOn(memstore.New(nil), steps)
}

// runOn is run on a given store.
func (r *recorder) runOn(store dcb.Store, steps func(s *decidetest.Scenario)) string {
	ended := make(chan struct{})
	go func() { // Fatalf ends this goroutine
		defer close(ended)
		steps(decidetest.New(r, codec, store))
	}()
	<-ended
	for _, end := range slices.Backward(r.cleanups) {
		end()
	}
	return r.failures.String()
}

func record(t *testing.T, store dcb.Store, events ...any) error {
	t.Helper()
	_, err := decide.New(store, codec, nil).Record(t.Context(), events...)
	return err
}

func TestScenarioReportsNothingIfAllIsAsWanted(t *testing.T) {
	t.Parallel()
	refused := errors.New("refused")
	r := &recorder{TB: t}
	if got := r.run(func(s *decidetest.Scenario) {
		s.Given(Bought{"pen", 1})
		s.When(record(t, s.Store, Bought{"ink", 2}, Lost{"pen"})).Then(Bought{"ink", 2}, Lost{"pen"})
		s.When(nil).Then()
		s.When(fmt.Errorf("for a reason: %w", refused)).ThenError(refused)
		s.When(refused).ThenRefused("refused")
		s.Given(Lost{"ink"})
		s.When(nil).Then()
	}); got != "" {
		t.Errorf("the scenario failed with:\n%s", got)
	}
}

func TestScenarioWorksInACleanup(t *testing.T) {
	t.Parallel()
	t.Cleanup(func() {
		r := &recorder{TB: t}
		if got := r.run(func(s *decidetest.Scenario) {
			s.Given(Lost{"pen"})
			_, err := decide.New(s.Store, codec, nil).Record(context.WithoutCancel(t.Context()), Lost{"ink"})
			s.When(err).Then(Lost{"ink"})
			s.Advance(time.Hour)
			s.When(errors.New("no ink")).ThenRefused("no ink")
		}); got != "" {
			t.Errorf("the scenario failed with:\n%s", got)
		}
	})
}

func TestThenDescribesTheDifference(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		steps func(s *decidetest.Scenario)
		want  []string
	}{
		{"another value", func(s *decidetest.Scenario) {
			s.When(record(t, s.Store, Lost{"pen"}, Bought{"ink", 2})).Then(Lost{"pen"}, Bought{"ink", 3})
		}, []string{"as wanted: Lost{Thing:pen}", "want: Bought{Thing:ink Price:3}", "got:  Bought{Thing:ink Price:2}", "Price: want 3, got 2"}},
		{
			"another type", func(s *decidetest.Scenario) { s.When(record(t, s.Store, Lost{"pen"})).Then(Bought{"pen", 1}) },
			[]string{"want: Bought{Thing:pen Price:1}", "got:  Lost{Thing:pen}"},
		},
		{"too few", func(s *decidetest.Scenario) { s.When(nil).Then(Lost{"pen"}) }, []string{"missing: Lost{Thing:pen}"}},
		{"too many", func(s *decidetest.Scenario) { s.When(record(t, s.Store, Lost{"pen"})).Then() }, []string{"unexpected: Lost{Thing:pen}"}},
		{"an error", func(s *decidetest.Scenario) { s.When(errors.New("no ink")).Then(Lost{"pen"}) }, []string{"failed: no ink", "want: Lost{Thing:pen}"}},
		{"no error", func(s *decidetest.Scenario) { s.When(nil).ThenRefused("no ink") }, []string{"no error", `error "no ink"`}},
		{"another error", func(s *decidetest.Scenario) { s.When(errors.New("no pen")).ThenError(errors.New("no ink")) }, []string{`error "no pen"`, `error "no ink"`}},
		{"an error, but events", func(s *decidetest.Scenario) {
			_ = record(t, s.Store, Lost{"pen"})
			s.When(errors.New("no ink")).ThenRefused("no ink")
		}, []string{"unexpected: Lost{Thing:pen}"}},
	} {
		r := &recorder{TB: t}
		got := r.run(c.steps)
		for _, text := range c.want {
			if !strings.Contains(got, text) {
				t.Errorf("%s: %q is missing in:\n%s", c.name, text, got)
			}
		}
	}
}

func call(err error) decidetest.Command { return func(context.Context) error { return err } }

func TestChecksFindMistakes(t *testing.T) {
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
	appendTo := func(store dcb.Store) decidetest.Command {
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
		{"one position", false, func(r *recorder) { decidetest.CheckIdempotent(r, at(4), at(4)) }},
		{"two positions", true, func(r *recorder) { decidetest.CheckIdempotent(r, at(4), at(5)) }},
		{"no position", true, func(r *recorder) { decidetest.CheckIdempotent(r, at(0), at(0)) }},
		{"no conflict", false, func(r *recorder) { decidetest.CheckUnrelated(r, counted, appendTo(counted), appendTo(counted)) }},
		{"another store", true, func(r *recorder) {
			decidetest.CheckUnrelated(r, counted, appendTo(counted.Store), appendTo(memstore.New(nil)))
		}},
		{"a conflict", true, func(r *recorder) { decidetest.CheckUnrelated(r, conflicting, conflict) }},
		{"an error", true, func(r *recorder) { decidetest.CheckUnrelated(r, counted, appendTo(counted), call(refused)) }},
	} {
		r := &recorder{TB: t}
		if c.check(r); (r.failures.Len() > 0) != c.wrong {
			t.Errorf("%s: the check failed with %q; want a failure: %t", c.name, &r.failures, c.wrong)
		}
	}
}
