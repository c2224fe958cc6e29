package decidetest_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/dcbstore/dcb/decide/decidetest"
)

// here returns the line of its call, as a failure shows it.
func here() string {
	_, _, line, _ := runtime.Caller(1)
	return fmt.Sprintf("unchecked_test.go:%d", line)
}

func TestWhenRequiresAThen(t *testing.T) {
	t.Parallel()
	var place string
	unchecked := func(s *decidetest.Scenario) *decidetest.Scenario {
		place, s = here(), s.When(errors.New("no ink"))
		return s
	}
	for name, steps := range map[string]func(s *decidetest.Scenario){
		"at the end of the test": func(s *decidetest.Scenario) { unchecked(s) },
		"at the next command":    func(s *decidetest.Scenario) { unchecked(s).When(nil).Then() },
		"at the next Given":      func(s *decidetest.Scenario) { unchecked(s).Given(Lost{"pen"}) },
	} {
		r := &recorder{TB: t}
		got := r.run(steps)
		const want = " is not checked; it returned error \"no ink\"; add Then, ThenError or ThenRefused to its When\n"
		if !strings.HasPrefix(got, "the command at "+place) || !strings.HasSuffix(got, want) || strings.Count(got, "\n") != 1 {
			t.Errorf("%s: got %q, want %q for %s", name, got, want, place)
		}
	}
}

func TestWhenReportsTheCallSitesOfHelpers(t *testing.T) {
	t.Parallel()
	r := &recorder{TB: t}
	s := decidetest.New(r, codec, nil)
	helper := func() string {
		t.Helper()
		place, _ := here(), s.When(nil)
		return place
	}

	alone, _ := here(), s.When(nil)
	within, outside := helper(), here()
	s.Given()

	const text = "the command at %s is not checked; it returned no error; add Then, ThenError or ThenRefused to its When\n"
	want := fmt.Sprintf(text, alone) + fmt.Sprintf(text, within+", called at "+outside)
	if got := r.failures.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWhenRequiresNoThenIfTheTestStopped(t *testing.T) {
	t.Parallel()
	for name, stop := range map[string]func(r *recorder){
		"failed":  func(r *recorder) { r.failed = true },
		"skipped": func(r *recorder) { r.skipped = true },
	} {
		r := &recorder{TB: t}
		if got := r.run(func(s *decidetest.Scenario) { stop(r); s.When(nil) }); got != "" {
			t.Errorf("%s: the scenario failed with %q", name, got)
		}
	}
}

func TestThenRequiresAWhen(t *testing.T) {
	t.Parallel()
	refused := errors.New("refused")
	for name, steps := range map[string]func(s *decidetest.Scenario){
		"Then":          func(s *decidetest.Scenario) { s.Then() },
		"ThenError":     func(s *decidetest.Scenario) { s.ThenError(refused) },
		"ThenRefused":   func(s *decidetest.Scenario) { s.ThenRefused("refused") },
		"after another": func(s *decidetest.Scenario) { s.When(refused).ThenError(refused).ThenRefused("refused") },
		"before its When": func(s *decidetest.Scenario) {
			_ = record(t, s.Store, Lost{"pen"})
			s.Then(Lost{"pen"}).When(nil).Then()
		},
	} {
		r := &recorder{TB: t}
		const want = "there is no command to check; each Then needs its own When with the error of the command\n"
		if got := r.run(steps); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func TestThenErrorRefusesNil(t *testing.T) {
	t.Parallel()
	var errNeverSet error
	for name, err := range map[string]error{"a command that succeeds": nil, "a command that fails": errors.New("no ink")} {
		r := &recorder{TB: t}
		const want = "ThenError(nil): the wanted error is nil; use Then for a command that succeeds\n"
		if got := r.run(func(s *decidetest.Scenario) { s.When(err).ThenError(errNeverSet) }); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}
