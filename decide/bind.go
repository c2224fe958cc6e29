package decide

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// bind sets the types of the item from the handlers. It runs once, when a runner first uses the
// projection, and finds what is wrong with the projection: a projection that selects nothing
// guards nothing.
func (p *Projection[S]) bind(c *Codec) error {
	types, handlesAny, err := p.handledTypes(c)
	if err != nil {
		return err
	}
	if handlesAny {
		types = nil
		if err := p.checkSomeTypeHasTags(c.types); err != nil {
			return err
		}
		if p.skipUnknown && p.onlyLastEvent {
			return errors.New("SkipUnknown and OnlyLastEvent exclude each other, because the last event may be unknown; " +
				"remove one of the two")
		}
	}
	p.item.Types, p.item.Tags = slices.Clip(types), slices.Clip(p.item.Tags)
	return nil
}

// handledTypes returns the names of the types that have handlers, in the order of the handlers,
// and whether there is a handler for all types.
func (p *Projection[S]) handledTypes(c *Codec) (types []string, handlesAny bool, err error) {
	if len(p.handlers) == 0 {
		return nil, false, errors.New("it has no handlers; pass them to NewProjection")
	}
	for i := range p.handlers {
		if p.handlers[i].folder == nil {
			return nil, false, fmt.Errorf("handler %d has no function; make it with On, OnRecorded or OnAny", i+1)
		}
		goType := p.handlers[i].handles()
		for _, other := range p.handlers[:i] {
			if other.handles() == goType {
				return nil, false, fmt.Errorf("it has two handlers for %v; join them", handledText(goType))
			}
		}
		if goType == nil {
			handlesAny = true
			continue
		}
		typ := c.byGoType(goType)
		if typ == nil {
			return nil, false, fmt.Errorf("it handles %v, which is not in the codec; register it with Type", goType)
		}
		if tag := p.impossibleTag(typ); tag != "" {
			return nil, false, fmt.Errorf("it is tagged %q and handles %v, whose events have no tag with that key; "+
				"correct the key, or use WithTags if earlier events have it", tag, goType)
		}
		if i == 0 {
			types = typ.onlyName // no allocation for the common case of one handler
			continue
		}
		if i == 1 {
			types = append(make([]string, 0, len(p.handlers)), types...)
		}
		types = append(types, typ.name)
	}
	return types, handlesAny, nil
}

func handledText(goType reflect.Type) string {
	if goType == nil {
		return "events of any type"
	}
	return goType.String()
}

// impossibleTag returns a tag of the projection that no event of the type can carry, or "".
func (b *projectionBase) impossibleTag(typ *eventType) string {
	if b.anyTags {
		return ""
	}
	for _, tag := range b.item.Tags {
		if key, _, _ := strings.Cut(tag, ":"); !typ.canHaveTagKey(key) {
			return tag
		}
	}
	return ""
}

// checkSomeTypeHasTags returns an error if no event of any of the types can carry all tags of the
// projection. Types that the codec does not know may carry them, so with SkipUnknown there is
// none.
func (p *Projection[S]) checkSomeTypeHasTags(types []*eventType) error {
	if p.skipUnknown {
		return nil
	}
	missing := ""
	for _, typ := range types {
		if missing = p.impossibleTag(typ); missing == "" {
			return nil
		}
	}
	return fmt.Errorf("it handles events of any type and is tagged %q, but no type in the codec has all of its tags; "+
		"correct the key, or use WithTags if earlier events have it", missing)
}

func (p *Projection[S]) fold(in *incoming) error {
	handler := p.handler(in.typ)
	if handler == nil {
		if in.typ != nil || p.skipUnknown {
			return nil
		}
		return unknownType(in.event.Type)
	}
	event, err := in.decode()
	if err != nil {
		return err
	}
	state := p.state
	if p.onlyLastEvent {
		state = p.initial
	}
	p.folding = true // stays true if the handler panics
	p.state = handler.fold(state, in, event)
	p.folding = false
	p.changed = true
	return nil
}

// handler returns the handler for events of a type, or nil if there is none. The handler for all
// types does not apply to types that the codec does not know.
func (p *Projection[S]) handler(typ *eventType) *Handler[S] {
	if typ == nil {
		return nil
	}
	if at := slices.Index(p.item.Types, typ.name); at >= 0 {
		return &p.handlers[at] // item.Types has the order of the handlers
	}
	var handlesAny *Handler[S]
	for i := range p.handlers {
		switch h := &p.handlers[i]; h.handles() {
		case typ.goType:
			return h
		case nil:
			handlesAny = h
		}
	}
	return handlesAny
}

func (p *Projection[S]) asIdempotencyKey() *idempotencyKey { return nil }

// base returns nil for a nil projection, which acquire reports.
func (p *Projection[S]) base() *projectionBase {
	if p == nil {
		return nil
	}
	return &p.projectionBase
}
