package decidetest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/decide"
	"github.com/dcbstore/dcb/decide/decidetest"
	"github.com/dcbstore/dcb/memstore"
)

type CodeSent struct {
	Email string `json:"email" dcb:"email"`
	Code  string `json:"code"`
}

type CodeUsed struct {
	Email string `json:"email" dcb:"email"`
}

var (
	codes = decide.NewCodec(decide.Type[CodeSent]("CodeSent"), decide.Type[CodeUsed]("CodeUsed"))

	errWrong   = errors.New("the code is wrong")
	errExpired = errors.New("the code has expired")
)

// use is the command that the examples test. The application receives a store and a clock.
func use(ctx context.Context, store dcb.Store, now func() time.Time, email, code string) error {
	type sent struct {
		code string
		at   time.Time
	}
	last := decide.NewProjection(sent{},
		decide.OnRecorded(func(_ sent, e CodeSent, r decide.Recorded) sent { return sent{e.Code, r.At} }),
		decide.On(func(sent, CodeUsed) sent { return sent{} }),
	).Tagged("email", email)
	_, err := decide.New(store, codes, nil).Do(ctx, func() ([]any, error) {
		switch {
		case last.State().code != code:
			return nil, errWrong
		case now().Sub(last.State().at) > time.Hour:
			return nil, errExpired
		}
		return decide.Events(CodeUsed{email}), nil
	}, last)
	return err
}

// printer stands in for the *testing.T of a test, so that the examples show its failures.
type printer struct{ testing.TB }

func (printer) Helper()                           {}
func (printer) Cleanup(func())                    {}
func (printer) Context() context.Context          { return context.Background() }
func (printer) Errorf(format string, args ...any) { fmt.Printf(format+"\n", args...) }

// A scenario in which all is as wanted prints nothing.
func ExampleScenario() {
	var t printer // in a test: t *testing.T
	ctx := t.Context()

	s := decidetest.New(t, codes, nil)
	s.GivenAgo(59*time.Minute, CodeSent{"ann@example.com", "1234"})
	s.When(use(ctx, s.Store, s.Now, "ann@example.com", "4321")).ThenError(errWrong)
	s.When(use(ctx, s.Store, s.Now, "ann@example.com", "1234")).Then(CodeUsed{"ann@example.com"})

	s.Given(CodeSent{"bob@example.com", "1234"})
	s.Advance(61 * time.Minute)
	s.When(use(ctx, s.Store, s.Now, "bob@example.com", "1234")).ThenRefused("the code has expired")
	fmt.Println("done")
	// Output:
	// done
}

// A failure shows the wanted and the recorded event, and the fields and tags in which they
// differ.
func ExampleScenario_Then() {
	var t printer // in a test: t *testing.T

	s := decidetest.New(t, codes, nil)
	s.Given(CodeSent{"ann@example.com", "1234"})
	s.When(use(t.Context(), s.Store, s.Now, "ann@example.com", "1234")).Then(CodeUsed{"bob@example.com"})
	// Output:
	// the recorded events differ:
	//   want: CodeUsed{Email:bob@example.com}
	//   got:  CodeUsed{Email:ann@example.com}
	//         Email: want bob@example.com, got ann@example.com
	//         tags: missing "email:bob@example.com", unexpected "email:ann@example.com"
}

// An event that another program recorded may have a field that this program does not know.
func ExampleScenario_GivenRecorded() {
	var t printer // in a test: t *testing.T

	s := decidetest.New(t, codes, nil)
	s.GivenRecorded(dcb.Event{Type: "CodeSent", Tags: []string{"email:ann@example.com"}, Data: []byte(`{"code":"1234","by":"mail"}`)})
	s.Advance(2 * time.Hour)
	s.When(use(t.Context(), s.Store, s.Now, "ann@example.com", "1234")).ThenError(errExpired)
	fmt.Println("done")
	// Output:
	// done
}

// A code is used once, however many callers try.
func ExampleCheckWinners() {
	var t printer // in a test: t *testing.T

	ctx, store := t.Context(), memstore.New(nil)
	_, err := decide.New(store, codes, nil).Record(ctx, CodeSent{"ann@example.com", "1234"})
	fmt.Println(err)
	try := func(ctx context.Context) error { return use(ctx, store, time.Now, "ann@example.com", "1234") }
	decidetest.CheckWinners(t, 1, errWrong, try, try, try)
	decidetest.CheckWinners(t, 2, errWrong, try, try, try) // and never again
	// Output:
	// <nil>
	// 0 of 3 commands succeeded, want 2
}

// A test can check how much a command reads and appends.
func ExampleCount() {
	ctx, store := context.Background(), decidetest.Count(memstore.New(nil))
	fmt.Println(use(ctx, store, time.Now, "ann@example.com", "1234"))
	fmt.Println(store.Reads.Load(), "read of", store.Events.Load(), "events,", store.Appends.Load(), "appends")
	// Output:
	// the code is wrong
	// 1 read of 0 events, 0 appends
}
