package decide

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/dcbstore/dcb"
)

// Projection answers one question of a rule: it folds events into a state of type S. It selects
// the events whose types it has handlers for and which carry all of its tags. Without tags it
// selects all events of those types.
//
// A projection belongs to one goroutine. Make a new one for each decision; that is cheap. A
// projection that is used again reads only the new events. To share states between goroutines and
// decisions, use [Cached].
type Projection[S any] struct {
	projectionBase
	state         S
	initial       S
	handlers      []Handler[S]
	handlersArray [2]Handler[S]   // memory for handlers, so that most projections need no allocation
	cache         *cachedState[S] // where Cached keeps the state, or nil
	skipUnknown   bool
	fromCache     bool // the state was loaded from cache, so initial is as it was made
	changed       bool // an event was folded since the state was loaded or stored
}

// NewProjection returns a projection that starts with the state initial. The projection owns that
// state and its handlers may change it, so make a new map or slice for each projection. There is
// at most one handler for each event type.
//
// A mistake in a projection, such as a type that the codec does not know, an empty tag or no
// handlers, is an error of the decision that uses it.
func NewProjection[S any](initial S, handlers ...Handler[S]) *Projection[S] {
	p := &Projection[S]{state: initial, initial: initial}
	switch len(handlers) {
	case 1:
		p.handlersArray[0] = handlers[0]
		p.handlers = p.handlersArray[:1]
	case 2:
		p.handlersArray = [2]Handler[S](handlers)
		p.handlers = p.handlersArray[:]
	default:
		p.handlers = slices.Clone(handlers)
	}
	return p
}

// Tagged narrows the projection to events with the tag KEY:VALUE, and returns the projection.
// Each further call narrows it more: an event must carry all of the tags.
//
// The value is a string, an integer, a UUID, a value of a type based on a string or an integer,
// or a [TagValuer]. It must be neither a pointer nor empty. Every type that the projection
// handles must be able to carry a tag with that key. A projection with a mistyped key would
// select nothing and guard nothing, so it is an error.
func (p *Projection[S]) Tagged(key string, value any) *Projection[S] {
	tag, err := makeTag(key, value)
	if err != nil {
		p.fail(fmt.Errorf("Tagged: %w", err))
		return p
	}
	p.addTag(tag)
	return p
}

// WithTags is like [Projection.Tagged] for complete tags, such as those that a Tags method
// returns. It does not check whether the handled types carry tags with these keys, because events
// of earlier versions may.
func (p *Projection[S]) WithTags(tags ...string) *Projection[S] {
	for _, tag := range tags {
		if err := checkTag(tag); err != nil {
			p.fail(fmt.Errorf("WithTags: %w", err))
			return p
		}
		p.addTag(tag)
		p.anyTags = true
	}
	return p
}

// OnlyLastEvent makes the projection depend on the most recent matching event alone, and returns
// the projection. Only that event is read, and its handler receives the initial state, which it
// must not change. Use it if the last event says everything, such as a number that counts up.
func (p *Projection[S]) OnlyLastEvent() *Projection[S] {
	if p.checkMutable() {
		p.onlyLastEvent = true
	}
	return p
}

// SkipUnknown makes a projection with a handler for all types ([OnAny]) skip events whose type
// the codec does not know, and returns the projection. Without it they are errors.
func (p *Projection[S]) SkipUnknown() *Projection[S] {
	if p.checkMutable() {
		p.skipUnknown = true
	}
	return p
}

// State returns the state at the head that the projection was last read up to, or the initial
// state. The function of a decision may read it but must not change or keep it: after a conflict,
// the new events are folded into the same state.
func (p *Projection[S]) State() S { return p.state }

// Projections returns its arguments as the parameters of [Runner.Do], for decisions that read a
// variable number of projections of one type.
func Projections[S any](projections ...*Projection[S]) []AnyProjection {
	all := make([]AnyProjection, len(projections))
	for i, projection := range projections {
		all[i] = projection
	}
	return all
}

// AnyProjection is what a decision reads: a [Projection] of any state, or an [IdempotencyKey].
// Other packages cannot implement it.
type AnyProjection interface {
	base() *projectionBase
	// asIdempotencyKey returns nil for a Projection.
	asIdempotencyKey() *idempotencyKey
	// bind looks up the handled types in the codec and completes the item. It returns an error if
	// the projection is not usable with that codec.
	bind(c *Codec) error
	// fold folds an event that the item selects.
	fold(in *incoming) error
	// loadCached, storeCached and reset move the state of a projection that Cached made. reset
	// reports whether the projection could be set back to its initial state.
	loadCached(r *Runner)
	storeCached()
	reset() bool
}

// projectionBase is what projections of all states and idempotency keys have in common.
type projectionBase struct {
	err       error         // the first mistake in the construction
	item      dcb.QueryItem // types are set by bind; tags are sorted and unique
	tagsArray [2]string     // memory for item.Tags
	runner    *Runner       // that uses the projection; nil before the first use

	// seen is the position up to which every event that item selects is folded, and none after it.
	seen          dcb.Position
	inUse         atomic.Bool // by a decision
	onlyLastEvent bool
	isRead        bool // the last read succeeded
	cached        bool // Cached made the projection
	anyTags       bool // tags are not checked against the handled types
	folding       bool // a handler is running; stays true if it panics
}

func (b *projectionBase) base() *projectionBase { return b }

// fail records the first mistake, for the decision that uses the projection.
func (b *projectionBase) fail(err error) {
	if b.err == nil {
		b.err = err
	}
}

// checkMutable reports whether the query may still change. If not, it records an error.
func (b *projectionBase) checkMutable() bool {
	switch {
	case b.runner != nil:
		b.fail(errors.New("it was changed after its first use; set tags and options right after NewProjection"))
	case b.cached:
		b.fail(errors.New("it was made by Cached and then changed; set tags and options in the function passed to Cached"))
	default:
		return true
	}
	return false
}

// addTag adds a tag to the item. Tags stay sorted and unique.
func (b *projectionBase) addTag(tag string) {
	if !b.checkMutable() {
		return
	}
	if b.item.Tags == nil {
		b.tagsArray[0] = tag
		b.item.Tags = b.tagsArray[:1]
		return
	}
	if at, found := slices.BinarySearch(b.item.Tags, tag); !found {
		b.item.Tags = slices.Insert(b.item.Tags, at, tag)
	}
}
