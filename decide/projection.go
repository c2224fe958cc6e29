package decide

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
)

// AnyProjection is a projection of any state, or what [IdempotencyKey] returns: something that a decision looks at. Only this package has them.
type AnyProjection interface {
	common() *part
	// command returns what IdempotencyKey returned, nil for a projection.
	command() *idempotencyKey
	// bind looks up the types that are handled, and sets the item.
	bind(c *Codec) error
	fold(in *incoming) error
	// restore, publish and forget are about what Cached keeps; forget reports whether it could.
	restore(d *Runner)
	publish()
	forget() bool
}

// part is what all kinds of projections have in common.
type part struct {
	err     error         // of the program: what is wrong with how the projection was made
	item    dcb.QueryItem // its types are there once there is a runner; its tags are sorted
	fewTags [2]string     // room for tags
	runner  *Runner       // that uses it; nil as long as none did

	// Every event up to seen that item selects is folded in, and none after it.
	seen          dcb.Position
	inUse         atomic.Bool // by a decision
	onlyLastEvent bool
	read          bool // to the end, the last time
	cached        bool // a projection that Cached made
	anyTags       bool // also such as no event that it handles has
	folding       bool // while a handler runs
}

func (p *part) fail(err error) {
	if p.err == nil {
		p.err = err
	}
}

// change reports whether the projection may still be changed; otherwise that is its error.
func (p *part) change() bool {
	switch {
	case p.runner != nil:
		p.fail(errors.New("a projection is changed after it was used; what it looks at is fixed then"))
	case p.cached:
		p.fail(errors.New("a projection that Cached made is changed; change what it is made of, for all of its kind"))
	default:
		return true
	}
	return false
}

// tag adds a tag to those that an event must have. They stay sorted, each once.
func (p *part) tag(tag string) {
	if !p.change() {
		return
	}
	if p.item.Tags == nil {
		p.fewTags[0] = tag
		p.item.Tags = p.fewTags[:1]
		return
	}
	if at, found := slices.BinarySearch(p.item.Tags, tag); !found {
		p.item.Tags = slices.Insert(p.item.Tags, at, tag)
	}
}

// Projection answers one question that a rule asks, as a state that is folded from events: those of the types that it has handlers for, and
// with all of the tags that it was given. Without tags it is about all events of those types.
//
// A projection belongs to one goroutine: make one for each decision; they are cheap. One that is used again is brought
// to the head by reading what came since, and [Cached] keeps projections for all goroutines.
type Projection[S any] struct {
	part
	state       S
	initial     S
	handlers    []Handler[S]
	fewHandlers [2]Handler[S] // room for handlers
	slot        *slot[S]      // where Cached keeps it, or nil
	skipUnknown bool
	restored    bool // from slot, so that initial is as it was made
	folded      bool // something, since it was restored or published
}

// NewProjection returns a projection that begins with the initial state. That becomes the projection's own: a map or slice is made anew for each projection. There
// is at most one handler for a type of event. What is wrong with a projection, such as a type that the codec does not know, an empty tag, or no
// handlers at all, is the error of the decision that it is used in.
func NewProjection[S any](initial S, handlers ...Handler[S]) *Projection[S] {
	v := &Projection[S]{state: initial, initial: initial}
	switch len(handlers) {
	case 1:
		v.fewHandlers[0] = handlers[0]
		v.handlers = v.fewHandlers[:1]
	case 2:
		v.fewHandlers = [2]Handler[S](handlers)
		v.handlers = v.fewHandlers[:]
	default:
		v.handlers = slices.Clone(handlers)
	}
	return v
}

// Tagged narrows the projection to events with the tag KEY:VALUE, and returns it. The value is a string, an integer, a UUID, anything whose
// underlying type is one of the first two, or a [TagValuer], and no pointer; it must not be empty. Called again it narrows further:
// an event must have all of the tags. The types that the projection handles must have tags with that key: a mistyped one would select nothing, and
// guard nothing.
func (v *Projection[S]) Tagged(key string, value any) *Projection[S] {
	tag, err := makeTag(key, value)
	if err != nil {
		v.fail(fmt.Errorf("tag of a projection: %w", err))
		return v
	}
	v.tag(tag)
	return v
}

// WithTags is [Projection.Tagged] for tags that are complete already, such as those of a Tags method. They are taken as they are, also if the types
// of the projection's events do not have them: older events may.
func (v *Projection[S]) WithTags(tags ...string) *Projection[S] {
	for _, tag := range tags {
		if err := checkTag(tag); err != nil {
			v.fail(fmt.Errorf("tag of a projection: %w", err))
			return v
		}
		v.tag(tag)
		v.anyTags = true
	}
	return v
}

// OnlyLastEvent makes the newest event decide alone: its handler gets the initial state, and only that event is read. It is for what says
// all by itself, like a number that counts on. The handler must not change what the initial state holds. It returns the projection.
func (v *Projection[S]) OnlyLastEvent() *Projection[S] {
	if v.change() {
		v.onlyLastEvent = true
	}
	return v
}

// SkipUnknown makes a projection with a handler for any event ([OnAny]) pass over types that the codec does not know, which are an error otherwise. It
// returns the projection.
func (v *Projection[S]) SkipUnknown() *Projection[S] {
	if v.change() {
		v.skipUnknown = true
	}
	return v
}

// State returns the state at the head that the projection was last brought to; the initial state before. It is meant for the function of the
// decision, which only looks at it: after a conflict, what came since is folded into the same state.
func (v *Projection[S]) State() S { return v.state }

// Projections returns its arguments, of one type, as they are passed to [Runner.Do]: for decisions that look at as many things as come.
func Projections[S any](projections ...*Projection[S]) []AnyProjection {
	all := make([]AnyProjection, len(projections))
	for i, v := range projections {
		all[i] = v
	}
	return all
}

// Recorded is what the store knows of an event.
type Recorded struct {
	// Position is the event's place in the sequence.
	Position dcb.Position
	// At is when it was recorded, by the store's clock.
	At time.Time
	// ID is the event's own; zero if it has none.
	ID uuid.UUID

	metadata map[string]string
}

// Metadata returns what the event's metadata has under key, "" if nothing.
func (r Recorded) Metadata(key string) string { return r.metadata[key] }

// Handler folds events of one type into a state. [On], [OnRecorded] and [OnAny] make one.
type Handler[S any] struct{ folder[S] }

// folder is the function of a handler. Its kinds are no larger than a pointer, so that a projection can be made without allocating for each handler.
type folder[S any] interface {
	// handles returns the Go type of the events, nil for any.
	handles() reflect.Type
	// fold gets the event as a pointer to its Go type.
	fold(state S, in *incoming, event any) S
}

type (
	folderOf[S, E any]       struct{ fn func(S, E) S }
	recordedFolder[S, E any] struct{ fn func(S, E, Recorded) S }
	anyFolder[S any]         struct{ fn func(S, any) S }
)

func (folderOf[S, E]) handles() reflect.Type       { return reflect.TypeFor[E]() }
func (recordedFolder[S, E]) handles() reflect.Type { return reflect.TypeFor[E]() }
func (anyFolder[S]) handles() reflect.Type         { return nil }

func (f folderOf[S, E]) fold(state S, _ *incoming, event any) S { return f.fn(state, *event.(*E)) }

func (f recordedFolder[S, E]) fold(state S, in *incoming, event any) S {
	return f.fn(state, *event.(*E), in.recorded())
}

func (f anyFolder[S]) fold(state S, in *incoming, event any) S {
	return f.fn(state, in.typ.value(event))
}

// On makes a handler of a function that returns the state after an event. It must depend on nothing but its arguments, and may keep
// and change what it is given: the state is the projection's own, and an event that can be changed is decoded for each projection.
func On[S, E any](fn func(state S, event E) S) Handler[S] {
	if fn == nil {
		return Handler[S]{}
	}
	return Handler[S]{folderOf[S, E]{fn}}
}

// OnRecorded is [On] for functions that ask when the event was recorded, or for its metadata. How long ago that is, is for the
// decision to ask: a state that is kept does not grow older by itself.
func OnRecorded[S, E any](fn func(state S, event E, recorded Recorded) S) Handler[S] {
	if fn == nil {
		return Handler[S]{}
	}
	return Handler[S]{recordedFolder[S, E]{fn}}
}

// OnAny is [On] for all types of events for which the projection has no handler of its own. The projection then looks at every event with its tags, of
// whatever type: the event is a value of one of the codec's types.
func OnAny[S any](fn func(state S, event any) S) Handler[S] {
	if fn == nil {
		return Handler[S]{}
	}
	return Handler[S]{anyFolder[S]{fn}}
}

func (v *Projection[S]) command() *idempotencyKey { return nil }

func (v *Projection[S]) common() *part {
	if v == nil {
		return nil
	}
	return &v.part
}

func (v *Projection[S]) bind(c *Codec) error {
	if len(v.handlers) == 0 {
		return errors.New("a projection has no handlers; NewProjection makes one")
	}
	var types []string
	forAny := false
	for i := range v.handlers {
		if v.handlers[i].folder == nil {
			return errors.New("one of a projection's handlers has no function; On makes it of one")
		}
		handles := v.handlers[i].handles()
		for _, other := range v.handlers[:i] {
			if other.handles() == handles {
				return fmt.Errorf("a projection has two handlers for %v", handles)
			}
		}
		if handles == nil {
			forAny = true
			continue
		}
		typ := c.of(handles)
		if typ == nil {
			return fmt.Errorf("a projection handles %v, which is not in the codec", handles)
		}
		if lacks := v.lacks(typ); lacks != "" {
			return fmt.Errorf("a projection is tagged %q, and handles %v, whose events have no tag with that key; Tagged takes a key that they have, WithTags any",
				lacks, handles)
		}
		if i == 0 {
			types = typ.alone
			continue
		}
		if i == 1 {
			types = append(make([]string, 0, len(v.handlers)), types...)
		}
		types = append(types, typ.name)
	}
	if forAny {
		types = nil
		if err := v.someCanHave(c.types); err != nil {
			return err
		}
	}
	if forAny && v.skipUnknown && v.onlyLastEvent {
		return errors.New("a projection cannot skip what it does not know and look only at the last; that may be what it does not know")
	}
	v.item.Types, v.item.Tags = slices.Clip(types), slices.Clip(v.item.Tags)
	return nil
}

// lacks returns a tag of the projection that no event of a type can have, "" if there is none.
func (p *part) lacks(typ *eventType) string {
	if p.anyTags {
		return ""
	}
	for _, tag := range p.item.Tags {
		if key, _, _ := strings.Cut(tag, ":"); !typ.gives(key) {
			return tag
		}
	}
	return ""
}

// someCanHave returns an error if no event of any of the types can have all of the projection's tags.
func (v *Projection[S]) someCanHave(types []*eventType) error {
	if v.skipUnknown {
		return nil
	}
	lacks := ""
	for _, typ := range types {
		if lacks = v.lacks(typ); lacks == "" {
			return nil
		}
	}
	return fmt.Errorf("a projection of any event is tagged %q, and no type in the codec has all of its tags; Tagged takes keys that one has, WithTags any", lacks)
}

func (v *Projection[S]) fold(in *incoming) error {
	h := v.handler(in.typ)
	if h == nil {
		if in.typ != nil || v.skipUnknown {
			return nil
		}
		return unknownType(in.event.Type)
	}
	event, err := in.decode()
	if err != nil {
		return err
	}
	state := v.state
	if v.onlyLastEvent {
		state = v.initial
	}
	v.folding = true // and so it stays if the handler panics
	v.state = h.fold(state, in, event)
	v.folding = false
	v.folded = true
	return nil
}

// handler returns the handler for events of a type, nil if there is none. Any is not for types that the codec does not know.
func (v *Projection[S]) handler(typ *eventType) *Handler[S] {
	if typ == nil {
		return nil
	}
	if at := slices.Index(v.item.Types, typ.name); at >= 0 {
		return &v.handlers[at] // the types are those of the handlers, in their order
	}
	var forAny *Handler[S]
	for i := range v.handlers {
		switch h := &v.handlers[i]; h.handles() {
		case typ.goType:
			return h
		case nil:
			forAny = h
		}
	}
	return forAny
}

// incoming is an event that is being folded into projections.
type incoming struct {
	codec  *Codec
	event  *dcb.SequencedEvent
	typ    *eventType // nil if the codec does not know it
	shared any        // the event decoded, if that can be shared
}

// decode returns a pointer to the event as a value of its Go type.
func (in *incoming) decode() (any, error) {
	if in.shared != nil {
		return in.shared, nil
	}
	decoded, err := in.typ.decode(in.codec.encoding, &in.event.Event)
	if err == nil && in.typ.plain {
		in.shared = decoded
	}
	return decoded, err
}

func (in *incoming) recorded() Recorded {
	e := in.event
	return Recorded{Position: e.Position, At: e.RecordedAt, ID: e.ID, metadata: e.Metadata}
}
