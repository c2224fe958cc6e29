package decidetest_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/dcbstore/dcb/decide/decidetest"
)

// here returns the line that it is called on, as a failure shows it.
func here() string {
	_, _, line, _ := runtime.Caller(1)
	return fmt.Sprintf("judged_test.go:%d", line)
}

func TestACommandThatNothingJudgesFailsTheTest(t *testing.T) {
	t.Parallel()
	var place string
	unjudged := func(s *decidetest.Scenario) *decidetest.Scenario {
		place, s = here(), s.When(errors.New("no ink"))
		return s
	}
	for name, story := range map[string]func(s *decidetest.Scenario){
		"at its end":          func(s *decidetest.Scenario) { unjudged(s) },
		"at the next command": func(s *decidetest.Scenario) { unjudged(s).When(nil).Then() },
		"when more is given":  func(s *decidetest.Scenario) { unjudged(s).Given(Lost{"pen"}) },
	} {
		r := &recorder{TB: t}
		said := r.hear(story)
		const want = " must do; it ended with error \"no ink\": add Then, ThenError or ThenRefused to its When\n"
		if !strings.HasPrefix(said, "nothing says what the command at "+place) || !strings.HasSuffix(said, want) || strings.Count(said, "\n") != 1 {
			t.Errorf("%s: got %q, want %q of %s", name, said, want, place)
		}
	}
}

func TestACommandIsFoundThroughTheHelperThatToldIt(t *testing.T) {
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

	const text = "nothing says what the command at %s must do; it ended with no error: add Then, ThenError or ThenRefused to its When\n"
	want := fmt.Sprintf(text, alone) + fmt.Sprintf(text, within+", called at "+outside)
	if said := r.said.String(); said != want {
		t.Errorf("got %q, want %q", said, want)
	}
}

func TestATestThatWasStoppedNeedNotJudge(t *testing.T) {
	t.Parallel()
	for name, stop := range map[string]func(r *recorder){
		"failed":  func(r *recorder) { r.failed = true },
		"skipped": func(r *recorder) { r.skipped = true },
	} {
		r := &recorder{TB: t}
		if said := r.hear(func(s *decidetest.Scenario) { stop(r); s.When(nil) }); said != "" {
			t.Errorf("%s: it says %q", name, said)
		}
	}
}

func TestAThenWithoutAWhenFailsTheTest(t *testing.T) {
	t.Parallel()
	refused := errors.New("refused")
	for name, story := range map[string]func(s *decidetest.Scenario){
		"Then":          func(s *decidetest.Scenario) { s.Then() },
		"ThenError":     func(s *decidetest.Scenario) { s.ThenError(refused) },
		"ThenRefused":   func(s *decidetest.Scenario) { s.ThenRefused("refused") },
		"after another": func(s *decidetest.Scenario) { s.When(refused).ThenError(refused).ThenRefused("refused") },
		"before its When, which comes too late": func(s *decidetest.Scenario) {
			_ = record(t, s.Store, Lost{"pen"})
			s.Then(Lost{"pen"}).When(nil).Then()
		},
	} {
		r := &recorder{TB: t}
		const want = "there is no command to judge: each Then needs a When of its own, with the command's error\n"
		if said := r.hear(story); said != want {
			t.Errorf("%s: got %q, want %q", name, said, want)
		}
	}
}

func TestAnErrorThatIsWantedIsNotNil(t *testing.T) {
	t.Parallel()
	var errNeverSet error
	for name, err := range map[string]error{"a command that succeeded": nil, "one that failed": errors.New("no ink")} {
		r := &recorder{TB: t}
		const want = "then: the error that the command should fail with is nil; for a command that should succeed, Then says what it records\n"
		if said := r.hear(func(s *decidetest.Scenario) { s.When(err).ThenError(errNeverSet) }); said != want {
			t.Errorf("%s: got %q, want %q", name, said, want)
		}
	}
}
