// Package decidetest tests applications that decide with package decide: given these events, when this command, then these events, or
// this error. It needs nothing but the application's codec, and runs on a store in memory, or on any other.
//
//	s := decidetest.New(t, events, nil)
//	s.Given(CourseDefined{"go", 1}, StudentSubscribed{"ann", "go"})
//	s.When(open(s.Store).subscribe(ctx, "bob", "go"))
//	s.ThenError(ErrFullyBooked)
//
// The age of given events can be set ([Scenario.GivenAgo]), whatever the store, and the application takes its clock from
// [Scenario.Now]: so rules about time are tested without waiting.
//
// What only shows when commands meet is in race.go: as many callers as you like, and the checks of what must hold whoever wins.
package decidetest

import (
	"errors"
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
	// times of the scenario's clock.
	Store dcb.Store

	t     testing.TB
	codec *decide.Codec
	clock *clock
	after dcb.Position // of what was given, and of what earlier commands recorded
	err   error        // of the command
}

// New begins a scenario, on store or, if that is nil, on a new one in memory. The clock stands still at the present time.
func New(t testing.TB, codec *decide.Codec, store dcb.Store) *Scenario {
	t.Helper()
	if store == nil {
		store = memstore.New(nil)
	}
	timed := &timed{Store: store, clock: newClock()}
	s := &Scenario{Store: timed, t: t, codec: codec, clock: timed.clock}
	s.mark()
	return s
}

// Now is the scenario's clock, for the application. Events are recorded at that time.
func (s *Scenario) Now() time.Time { return s.clock.time() }

// Advance moves the clock on.
func (s *Scenario) Advance(d time.Duration) { s.clock.move(d) }

// Given records events that happened before, now by the clock. It returns s, as the others do, so that a scenario can be written in one line.
func (s *Scenario) Given(events ...any) *Scenario {
	s.t.Helper()
	return s.GivenAgo(0, events...)
}

// GivenAgo records events that happened so long ago.
func (s *Scenario) GivenAgo(age time.Duration, events ...any) *Scenario {
	s.t.Helper()
	s.clock.move(-age)
	defer s.clock.move(age)
	for _, event := range events {
		encoded, err := s.codec.Encode(event)
		if err != nil {
			s.t.Fatalf("given: %v", err)
		}
		if _, err := s.Store.Append(s.t.Context(), []dcb.Event{encoded}, nil); err != nil {
			s.t.Fatalf("given: %v", err)
		}
	}
	s.mark()
	return s
}

// When takes the error of the command under test. The command runs where When is called with it, so it belongs after Given.
func (s *Scenario) When(err error) *Scenario {
	s.err = err
	return s
}

// Then fails the test unless the command succeeded, and recorded exactly these events: none, if there are none.
func (s *Scenario) Then(events ...any) *Scenario {
	s.t.Helper()
	if s.err != nil {
		s.t.Errorf("the command failed: %v\nwant: %s", s.err, listed(events))
	}
	s.recorded(events)
	return s
}

// ThenError fails the test unless the command failed with this error, as errors.Is sees it, and recorded nothing.
func (s *Scenario) ThenError(want error) *Scenario {
	s.t.Helper()
	if !errors.Is(s.err, want) {
		s.t.Errorf("the command: %s\nwant:        %s", outcome(s.err), outcome(want))
	}
	s.recorded(nil)
	return s
}

// ThenRefused fails the test unless the command failed with exactly this text, and recorded nothing.
func (s *Scenario) ThenRefused(text string) *Scenario {
	s.t.Helper()
	if s.err == nil || s.err.Error() != text {
		s.t.Errorf("the command: %s\nwant:        error %q", outcome(s.err), text)
	}
	s.recorded(nil)
	return s
}

// mark makes what is recorded so far belong to the past.
func (s *Scenario) mark() {
	s.t.Helper()
	head, err := s.Store.Head(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	s.after = head
}

// recorded compares what was recorded since mark.
func (s *Scenario) recorded(want []any) {
	s.t.Helper()
	var got []any
	for event, err := range dcb.Stream(s.t.Context(), s.Store, dcb.All(), dcb.ReadOptions{After: s.after}) {
		if err != nil {
			s.t.Fatal(err)
		}
		decoded, err := s.codec.Decode(event.Event)
		if err != nil {
			s.t.Fatalf("the command recorded what the codec cannot read: %v", err)
		}
		got = append(got, decoded)
	}
	if text := difference(want, got); text != "" {
		s.t.Errorf("the command did not record what it should:\n%s", text)
	}
	s.mark()
	s.err = nil
}
