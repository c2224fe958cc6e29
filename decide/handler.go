package decide

import (
	"reflect"
	"time"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
)

// Handler folds events of one type into a state of type S. [On], [OnRecorded] and [OnAny] make
// handlers.
type Handler[S any] struct{ folder[S] }

// On returns a handler that calls fn with the state before an event of type E, and takes the
// result as the state after it. fn must depend on its arguments alone. It may keep and change
// both: the state belongs to the projection, and an event that holds a map, slice or pointer is
// decoded for each projection.
func On[S, E any](fn func(state S, event E) S) Handler[S] {
	if fn == nil {
		return Handler[S]{}
	}
	return Handler[S]{eventFolder[S, E]{fn}}
}

// OnRecorded is like [On] for functions that also need the time, position, ID or metadata of the
// event. Keep the time itself in the state and compute an age in the decision: a cached state
// does not age.
func OnRecorded[S, E any](fn func(state S, event E, recorded Recorded) S) Handler[S] {
	if fn == nil {
		return Handler[S]{}
	}
	return Handler[S]{recordedFolder[S, E]{fn}}
}

// OnAny is like [On] for all event types that the projection has no other handler for. The
// projection then selects events of every type with its tags. The event is a value of a type in
// the codec.
func OnAny[S any](fn func(state S, event any) S) Handler[S] {
	if fn == nil {
		return Handler[S]{}
	}
	return Handler[S]{anyFolder[S]{fn}}
}

// Recorded is what the store knows about an event besides its type, tags and data.
type Recorded struct {
	// Position is the position of the event in the store.
	Position dcb.Position
	// At is the time when the store recorded the event, by the clock of the store.
	At time.Time
	// ID is the ID of the event, or the zero UUID if it has none.
	ID uuid.UUID

	metadata map[string]string
}

// Metadata returns the metadata value of the event under key, or "" if there is none.
func (r Recorded) Metadata(key string) string { return r.metadata[key] }

// folder is the function of a handler. Its implementations are no larger than a pointer, so that
// making a projection does not allocate for each handler.
type folder[S any] interface {
	// handles returns the Go type of the events, or nil for all types.
	handles() reflect.Type
	// fold receives the event as a pointer to its Go type.
	fold(state S, in *incoming, event any) S
}

type (
	eventFolder[S, E any]    struct{ fn func(S, E) S }
	recordedFolder[S, E any] struct{ fn func(S, E, Recorded) S }
	anyFolder[S any]         struct{ fn func(S, any) S }
)

func (eventFolder[S, E]) handles() reflect.Type    { return reflect.TypeFor[E]() }
func (recordedFolder[S, E]) handles() reflect.Type { return reflect.TypeFor[E]() }
func (anyFolder[S]) handles() reflect.Type         { return nil }

func (f eventFolder[S, E]) fold(state S, _ *incoming, event any) S { return f.fn(state, *event.(*E)) }

func (f recordedFolder[S, E]) fold(state S, in *incoming, event any) S {
	return f.fn(state, *event.(*E), in.recorded())
}

func (f anyFolder[S]) fold(state S, in *incoming, event any) S {
	return f.fn(state, in.typ.value(event))
}

// incoming is a recorded event while it is folded into projections.
type incoming struct {
	codec  *Codec
	event  *dcb.SequencedEvent
	typ    *eventType // nil if the codec does not know the type
	shared any        // the decoded event, if projections may share it
}

// decode returns the event as a pointer to its Go type.
func (in *incoming) decode() (any, error) {
	if in.shared != nil {
		return in.shared, nil
	}
	decoded, err := in.typ.decode(in.codec.encoding, &in.event.Event)
	if err == nil && in.typ.shareable {
		in.shared = decoded
	}
	return decoded, err
}

func (in *incoming) recorded() Recorded {
	e := in.event
	return Recorded{Position: e.Position, At: e.RecordedAt, ID: e.ID, metadata: e.Metadata}
}
