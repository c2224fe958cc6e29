// Package decidetest tests applications that use package decide, in the form given, when, then:
// given these events, when this command runs, then it records these events or returns this error.
// A test needs only the codec of the application. It runs on a store in memory, or on any other
// store.
//
//	s := decidetest.New(t, events, nil)
//	s.Given(CourseDefined{"go", 1}, StudentSubscribed{"ann", "go"})
//	s.When(open(s.Store).subscribe(ctx, "bob", "go"))
//	s.ThenError(ErrFullyBooked)
//
// [Scenario.GivenAgo] sets the age of given events on any store, and the application takes its
// clock from [Scenario.Now]. So rules about time are tested without waiting.
// [Scenario.GivenRecorded] gives events of earlier versions as they were recorded.
//
// Mistakes that show only when commands run concurrently are found with [Race] and the checks
// that build on it, such as [CheckWinners].
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

// Scenario is a sequence of given events and commands, with the expected result of each command.
// Only the goroutine of the test may call its methods, except for Now.
type Scenario struct {
	// Store is the store to open the application on. It keeps its events in the store that New
	// received, and sets their times by the clock of the scenario. Events that were recorded before
	// the scenario keep their times.
	Store dcb.Store

	t       testing.TB
	codec   *decide.Codec
	clock   *clock
	after   dcb.Position    // the last event before the next command
	command *pendingCommand // the last command, until it is checked; or nil
}

// pendingCommand is a command that ran and was not checked.
type pendingCommand struct {
	err  error
	site string // the call sites of its When
}

// New begins a scenario on store, or on a new store in memory if store is nil. The clock stands
// still at the present time. The test fails at its end if the last command was not checked.
func New(t testing.TB, codec *decide.Codec, store dcb.Store) *Scenario {
	t.Helper()
	if store == nil {
		store = memstore.New(nil)
	}
	last, err := store.Read(uncancelled(t), dcb.All(), dcb.ReadOptions{Limit: 1, Backwards: true})
	if err != nil {
		t.Fatalf("New: reading the store: %v", err)
	}
	var before dcb.SequencedEvent
	if len(last.Events) > 0 {
		before = last.Events[0]
	}
	clock := newClock(before)
	s := &Scenario{Store: &clockedStore{Store: store, clock: clock}, t: t, codec: codec, clock: clock, after: before.Position}
	t.Cleanup(func() {
		if !t.Failed() && !t.Skipped() { // otherwise the test may have stopped before its Then
			s.requireChecked()
		}
	})
	return s
}

// Now returns the time of the scenario's clock. Pass the method to the application as its clock.
// New events are recorded at this time.
func (s *Scenario) Now() time.Time { return s.clock.time() }

// Advance moves the clock forward by d, so all recorded events become older by d.
func (s *Scenario) Advance(d time.Duration) {
	s.t.Helper()
	if d < 0 {
		s.t.Fatalf("Advance(%v): the clock cannot go back; use GivenAgo for earlier events", d)
	}
	s.clock.advance(s.head(), d)
}

// Given records events that happened before the next command, at the present time of the clock.
// It returns s, as the other methods do, so that a scenario fits in one line.
//
// Everything that the store holds after Given belongs to the past, whatever recorded it.
// Everything that is recorded later counts as recorded by the next command.
func (s *Scenario) Given(events ...any) *Scenario {
	s.t.Helper()
	return s.GivenAgo(0, events...)
}

// GivenAgo is like [Scenario.Given] for events that happened some time ago. Times in a store
// never fall, so give the oldest events first. The test fails if an event that is recorded
// already is younger.
func (s *Scenario) GivenAgo(age time.Duration, events ...any) *Scenario {
	s.t.Helper()
	encoded := make([]dcb.Event, len(events))
	for i, event := range events {
		var err error
		if encoded[i], err = s.codec.Encode(event); err != nil {
			if _, isEncoded := event.(dcb.Event); isEncoded {
				err = errors.New("it is a dcb.Event; pass it to GivenRecorded")
			}
			s.t.Fatalf("Given: event %d: %v", i+1, err)
		}
	}
	return s.given(age, encoded)
}

// GivenRecorded is like [Scenario.Given] for events as a store holds them: earlier versions with
// upcasts, or events of other programs. The codec need not know them. An ID of an event must be
// new to the store. To make the events older, call Advance afterwards.
func (s *Scenario) GivenRecorded(events ...dcb.Event) *Scenario {
	s.t.Helper()
	return s.given(0, events)
}

func (s *Scenario) given(age time.Duration, events []dcb.Event) *Scenario {
	s.t.Helper()
	s.requireChecked()
	if age < 0 {
		s.t.Fatalf("GivenAgo(%v): the events are in the future; use Advance to move the clock", age)
	}
	last := s.head()
	if len(events) > 0 {
		if err := s.clock.setBack(last, age); err != nil {
			s.t.Fatalf("Given: %v", err)
		}
	}
	for _, event := range events {
		position, err := s.Store.Append(uncancelled(s.t), []dcb.Event{event}, nil)
		switch {
		case err != nil:
			s.t.Fatalf("Given: %v", err)
		case position <= last:
			s.t.Fatalf("Given: the event with the ID %v is recorded already, at position %d, so the store ignores it; "+
				"give it another ID", event.ID, position)
		}
		last = position
	}
	s.endPast()
	s.clock.advance(s.after, 0)
	return s
}

// When takes the result of the command under test. The command runs when the argument of When is
// evaluated, so call When after Given. Each When needs one Then, ThenError or ThenRefused.
func (s *Scenario) When(err error) *Scenario {
	s.t.Helper()
	s.requireChecked()
	s.command = &pendingCommand{err: err, site: callSites()}
	return s
}

// callSites returns where the caller of this function was called, and the calls in test files
// that led there. The line inside a test's helper function does not identify the command,
// and package testing does not reveal what t.Helper marked.
func callSites() string {
	const maxDepth, skip = 64, 3 // runtime.Callers, callSites and its caller
	counters := make([]uintptr, maxDepth)
	frames := runtime.CallersFrames(counters[:runtime.Callers(skip, counters)])
	var sites []string
	for more := true; more; {
		var frame runtime.Frame
		frame, more = frames.Next()
		if len(sites) == 0 || strings.HasSuffix(frame.File, "_test.go") {
			sites = append(sites, fmt.Sprintf("%s:%d", filepath.Base(frame.File), frame.Line))
		}
	}
	return strings.Join(sites, ", called at ")
}

// Then fails the test unless the command succeeded and recorded exactly these events, or none if
// there are no arguments.
//
// The wanted events are compared after a round trip through the codec, so a time loses its
// monotonic clock and the name of its zone, for example. Tags are compared too, as sets, because
// a tag may hold what the data does not. The tag of [decide.IdempotencyKey] is ignored.
func (s *Scenario) Then(events ...any) *Scenario {
	s.t.Helper()
	want := make([]codedEvent, len(events))
	for i, event := range events {
		encoded, err := s.codec.Encode(event)
		if err == nil {
			want[i], err = s.decode(encoded)
		}
		if err != nil {
			s.t.Fatalf("Then: event %d cannot be encoded and decoded: %v", i+1, err)
		}
	}
	s.check(want, func(err error) string {
		if err == nil {
			return ""
		}
		return fmt.Sprintf("the command failed: %v\nwant: %s", err, listed(want))
	})
	return s
}

// ThenError fails the test unless the command returned an error that is want, according to
// errors.Is, and recorded nothing. A want of nil fails the test, because it is usually a variable
// that was not set. Use Then for commands that succeed.
func (s *Scenario) ThenError(want error) *Scenario {
	s.t.Helper()
	if want == nil {
		s.t.Fatalf("ThenError(nil): the wanted error is nil; use Then for a command that succeeds")
	}
	s.check(nil, func(err error) string {
		if errors.Is(err, want) {
			return ""
		}
		return fmt.Sprintf("the command: %s\nwant:        %s", outcome(err), outcome(want))
	})
	return s
}

// ThenRefused fails the test unless the command returned an error with exactly this text and
// recorded nothing.
func (s *Scenario) ThenRefused(text string) *Scenario {
	s.t.Helper()
	s.check(nil, func(err error) string {
		if err != nil && err.Error() == text {
			return ""
		}
		return fmt.Sprintf("the command: %s\nwant:        error %q", outcome(err), text)
	})
	return s
}

// check checks the last command: mismatch returns what is wrong with its error, or "", and want
// are the events that it must have recorded.
func (s *Scenario) check(want []codedEvent, mismatch func(err error) string) {
	s.t.Helper()
	if s.command == nil {
		s.t.Errorf("there is no command to check; each Then needs its own When with the error of the command")
		s.endPast()
		return
	}
	if text := mismatch(s.command.err); text != "" {
		s.t.Errorf("%s", text)
	}
	s.command = nil
	s.checkRecorded(want)
}

// requireChecked fails the test if the last command was not checked.
func (s *Scenario) requireChecked() {
	s.t.Helper()
	if s.command == nil {
		return
	}
	s.t.Errorf("the command at %s is not checked; it returned %s; add Then, ThenError or ThenRefused to its When",
		s.command.site, outcome(s.command.err))
	s.command = nil
}

// checkRecorded compares the events recorded since endPast with want.
func (s *Scenario) checkRecorded(want []codedEvent) {
	s.t.Helper()
	var got []codedEvent
	for event, err := range dcb.Stream(uncancelled(s.t), s.Store, dcb.All(), dcb.ReadOptions{After: s.after}) {
		if err != nil {
			s.t.Fatal(err)
		}
		decoded, err := s.decode(event.Event)
		if err != nil {
			s.t.Fatalf("the command recorded an event that the codec cannot decode: %v "+
				"(if the test recorded it, use GivenRecorded)", err)
		}
		got = append(got, decoded)
	}
	if text := difference(want, got); text != "" {
		s.t.Errorf("the recorded events differ:\n%s", text)
	}
	s.endPast()
}

// endPast makes all events that are recorded so far belong to the past.
func (s *Scenario) endPast() {
	s.t.Helper()
	s.after = s.head()
}

func (s *Scenario) head() dcb.Position {
	s.t.Helper()
	head, err := s.Store.Head(uncancelled(s.t))
	if err != nil {
		s.t.Fatalf("reading the head of the store: %v", err)
	}
	return head
}

// uncancelled returns the context of the test without its cancellation. The context is cancelled
// before functions that are registered with t.Cleanup run, and those may use a scenario too.
func uncancelled(t testing.TB) context.Context { return context.WithoutCancel(t.Context()) }

func (s *Scenario) decode(event dcb.Event) (codedEvent, error) {
	value, err := s.codec.Decode(event)
	return codedEvent{value, event}, err
}
