// Package decidetest tests applications that decide with package decide: given these events, when this command, then these events, or
// this error. It needs nothing but the application's codec, and runs on a store in memory, or on any other.
//
//	s := decidetest.New(t, events, nil)
//	s.Given(CourseDefined{"go", 1}, StudentSubscribed{"ann", "go"})
//	s.When(open(s.Store).subscribe(ctx, "bob", "go"))
//	s.ThenError(ErrFullyBooked)
//
// The age of given events can be set ([Scenario.GivenAgo]), whatever the store, and the application takes its clock from
// [Scenario.Now]: so rules about time are tested without waiting. Old versions of events are given as they were recorded
// ([Scenario.GivenRecorded]).
//
// What only shows when commands meet is in race.go: as many callers as you like, and the checks of what must hold whoever wins.
package decidetest

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/decide"
	"github.com/dcbstore/dcb/memstore"
)

// Scenario is one story: what happened before, one command after the other, and what each of them must do. Its methods belong to the goroutine
// of the test, except for Now.
type Scenario struct {
	// Store is what the application under test is opened on. It keeps the events where New was told to, and gives them the
	// times of the scenario's clock. Events that were there before the scenario keep their own.
	Store dcb.Store

	t       testing.TB
	codec   *decide.Codec
	clock   *clock
	after   dcb.Position // of what was given, and of what earlier commands recorded
	command *command     // that nothing has judged yet; nil if there is none
}

// command is one that was run.
type command struct {
	err   error
	place string // of its When, and of who called that
}

// New begins a scenario, on store or, if that is nil, on a new one in memory. The clock stands still at the present time. At its end the
// test fails if its last command was not judged.
func New(t testing.TB, codec *decide.Codec, store dcb.Store) *Scenario {
	t.Helper()
	if store == nil {
		store = memstore.New(nil)
	}
	last, err := store.Read(uncancelled(t), dcb.All(), dcb.ReadOptions{Limit: 1, Backwards: true})
	if err != nil {
		t.Fatalf("decidetest: the store cannot be read: %v", err)
	}
	var before dcb.SequencedEvent
	if len(last.Events) > 0 {
		before = last.Events[0]
	}
	clock := newClock(before)
	s := &Scenario{Store: &timed{Store: store, clock: clock}, t: t, codec: codec, clock: clock, after: before.Position}
	t.Cleanup(func() {
		if !t.Failed() && !t.Skipped() { // a test that was stopped may have been stopped before its Then
			s.allJudged()
		}
	})
	return s
}

// Now is the scenario's clock, for the application. Events are recorded at that time.
func (s *Scenario) Now() time.Time { return s.clock.time() }

// Advance moves the clock on, and makes all that is recorded older by that.
func (s *Scenario) Advance(d time.Duration) {
	s.t.Helper()
	if d < 0 {
		s.t.Fatalf("advance: %v: the clock is never moved back; GivenAgo gives what happened earlier", d)
	}
	s.clock.move(s.head(), d)
}

// Given records events that happened before, now by the clock. Whatever the store has by then belongs to the past, whoever
// recorded it; what is recorded afterwards is taken for the next command's, for nobody can tell who appends. It returns s, as the others do, so
// that a scenario can be written in one line.
func (s *Scenario) Given(events ...any) *Scenario {
	s.t.Helper()
	return s.GivenAgo(0, events...)
}

// GivenAgo records events that happened so long ago. As in every store, no event is older than those before it, so the oldest are given
// first: what is older than an event that is there already fails the test.
func (s *Scenario) GivenAgo(age time.Duration, events ...any) *Scenario {
	s.t.Helper()
	encoded := make([]dcb.Event, len(events))
	for i, event := range events {
		var err error
		if encoded[i], err = s.codec.Encode(event); err != nil {
			if _, recorded := event.(dcb.Event); recorded {
				err = fmt.Errorf("%w; GivenRecorded takes events as they are recorded", err)
			}
			s.t.Fatalf("given: %v", err)
		}
	}
	return s.given(age, encoded)
}

// GivenRecorded is [Scenario.Given] for events as they are in the store, which need not be such as the codec would record, nor known to it:
// old versions, which upcasts are for, and what other programs record. An ID that they have must be new to the store. To make them older, Advance
// the clock afterwards.
func (s *Scenario) GivenRecorded(events ...dcb.Event) *Scenario {
	s.t.Helper()
	return s.given(0, events)
}

func (s *Scenario) given(age time.Duration, events []dcb.Event) *Scenario {
	s.t.Helper()
	s.allJudged()
	if age < 0 {
		s.t.Fatalf("given: %v ago is still to come; Advance moves the clock on", -age)
	}
	last := s.head()
	if len(events) > 0 {
		if err := s.clock.turnBack(last, age); err != nil {
			s.t.Fatalf("given: %v", err)
		}
	}
	for _, event := range events {
		position, err := s.Store.Append(uncancelled(s.t), []dcb.Event{event}, nil)
		switch {
		case err != nil:
			s.t.Fatalf("given: %v", err)
		case position <= last:
			s.t.Fatalf("given: the event with the ID %v is there already, at position %d, so the store does not record it again", event.ID, position)
		}
		last = position
	}
	s.mark()
	s.clock.move(s.after, 0)
	return s
}

// When takes the error of the command under test. The command runs where When is called with it, so it belongs after Given. Each When is
// judged by one Then, ThenError or ThenRefused.
func (s *Scenario) When(err error) *Scenario {
	s.t.Helper()
	s.allJudged()
	s.command = &command{err: err, place: caller()}
	return s
}

// caller returns where the caller of this function was called, and by whom in the files of the test: when a helper did it, its line alone does not
// say which command it was. What t.Helper was told is known to package testing only.
func caller() string {
	const deepest, itself = 64, 3 // runtime.Callers, caller and its caller
	counters := make([]uintptr, deepest)
	frames := runtime.CallersFrames(counters[:runtime.Callers(itself, counters)])
	var places []string
	for more := true; more; {
		var frame runtime.Frame
		frame, more = frames.Next()
		if len(places) == 0 || strings.HasSuffix(frame.File, "_test.go") {
			places = append(places, fmt.Sprintf("%s:%d", filepath.Base(frame.File), frame.Line))
		}
	}
	return strings.Join(places, ", called at ")
}

// Then fails the test unless the command succeeded, and recorded exactly these events: none, if there are none. They are compared as they are
// when the codec has recorded and read them: a time without its monotonic clock and the name of its zone, for example. Their tags, as a set, are
// compared as well, so that what only a tag says counts too; the tag of [decide.IdempotencyKey] is left out.
func (s *Scenario) Then(events ...any) *Scenario {
	s.t.Helper()
	want := make([]fact, len(events))
	for i, event := range events {
		encoded, err := s.codec.Encode(event)
		if err == nil {
			want[i], err = s.fact(encoded)
		}
		if err != nil {
			s.t.Fatalf("then: event %d could not be recorded and read: %v", i+1, err)
		}
	}
	s.judge(want, func(err error) string {
		if err == nil {
			return ""
		}
		return fmt.Sprintf("the command failed: %v\nwant: %s", err, listed(want))
	})
	return s
}

// ThenError fails the test unless the command failed with this error, as errors.Is sees it, and recorded nothing. The error must not be nil, as
// one is that was never set; Then is for commands that succeed.
func (s *Scenario) ThenError(want error) *Scenario {
	s.t.Helper()
	if want == nil {
		s.t.Fatalf("then: the error that the command should fail with is nil; for a command that should succeed, Then says what it records")
	}
	s.judge(nil, func(err error) string {
		if errors.Is(err, want) {
			return ""
		}
		return fmt.Sprintf("the command: %s\nwant:        %s", outcome(err), outcome(want))
	})
	return s
}

// ThenRefused fails the test unless the command failed with exactly this text, and recorded nothing.
func (s *Scenario) ThenRefused(text string) *Scenario {
	s.t.Helper()
	s.judge(nil, func(err error) string {
		if err != nil && err.Error() == text {
			return ""
		}
		return fmt.Sprintf("the command: %s\nwant:        error %q", outcome(err), text)
	})
	return s
}

// judge fails the test for what is wrong with the command's error, "" if nothing is, and for what it recorded other than what was wanted.
func (s *Scenario) judge(want []fact, wrong func(err error) string) {
	s.t.Helper()
	if s.command == nil {
		s.t.Errorf("there is no command to judge: each Then needs a When of its own, with the command's error")
		s.mark()
		return
	}
	if text := wrong(s.command.err); text != "" {
		s.t.Errorf("%s", text)
	}
	s.command = nil
	s.recorded(want)
}

// allJudged fails the test if there is a command that could have done anything.
func (s *Scenario) allJudged() {
	s.t.Helper()
	if s.command == nil {
		return
	}
	s.t.Errorf("nothing says what the command at %s must do; it ended with %s: add Then, ThenError or ThenRefused to its When",
		s.command.place, outcome(s.command.err))
	s.command = nil
}

// mark makes what is recorded so far belong to the past.
func (s *Scenario) mark() {
	s.t.Helper()
	s.after = s.head()
}

func (s *Scenario) head() dcb.Position {
	s.t.Helper()
	head, err := s.Store.Head(uncancelled(s.t))
	if err != nil {
		s.t.Fatalf("the store does not say where it ends: %v", err)
	}
	return head
}

// recorded compares what was recorded since mark.
func (s *Scenario) recorded(want []fact) {
	s.t.Helper()
	var got []fact
	for event, err := range dcb.Stream(uncancelled(s.t), s.Store, dcb.All(), dcb.ReadOptions{After: s.after}) {
		if err != nil {
			s.t.Fatal(err)
		}
		decoded, err := s.fact(event.Event)
		if err != nil {
			s.t.Fatalf("the command recorded what the codec cannot read: %v (if it was the test that recorded it, give it by GivenRecorded)", err)
		}
		got = append(got, decoded)
	}
	if text := difference(want, got); text != "" {
		s.t.Errorf("the command did not record what it should:\n%s", text)
	}
	s.mark()
}

// uncancelled returns the test's context as it was while the test ran: it is cancelled before what t.Cleanup was given, which may tell a story
// as well.
func uncancelled(t testing.TB) context.Context { return context.WithoutCancel(t.Context()) }

func (s *Scenario) fact(event dcb.Event) (fact, error) {
	value, err := s.codec.Decode(event)
	return fact{value, event}, err
}
