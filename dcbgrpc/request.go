package dcbgrpc

import (
	"errors"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/proto/dcbv1"
)

// request is what a client asks for.
type request struct {
	id          uint64
	kind        protowire.Number // fieldHello …; 0: one that we do not know
	traceparent string

	hello     hello
	events    []dcb.Event          // Append
	condition *dcb.AppendCondition // Append
	query     dcb.Query            // Read, Subscribe
	opts      dcb.ReadOptions      // Read; After also of Wait and Subscribe
	window    uint64               // Read, Subscribe; of Grant, what is added to it
}

type hello struct {
	version    uint64
	key, store string
}

// append adds r to a frame.
func (r *request) append(b []byte) []byte {
	b, whole := open(b, fieldPart)
	b = appendNumber(b, fieldID, r.id)
	b, call := open(b, r.kind)
	switch r.kind {
	case fieldHello:
		b = appendNumber(b, 1, r.hello.version)
		b = appendText(b, 2, r.hello.key)
		b = appendText(b, 3, r.hello.store)
	case fieldAppend:
		for i := range r.events {
			b = appendEvent(b, 1, &r.events[i])
		}
		if r.condition != nil {
			var place int
			b, place = open(b, 2)
			b = appendQuery(b, 1, r.condition.FailIfEventsMatch)
			b = appendNumber(b, 2, uint64(r.condition.After))
			b = shut(b, place)
		}
	case fieldRead:
		b = appendQuery(b, 1, r.query)
		b = appendNumber(b, 2, uint64(r.opts.After))
		b = appendNumber(b, 3, uint64(r.opts.Before))
		b = appendNumber(b, 4, uint64(r.opts.Limit))
		b = appendFlag(b, 5, r.opts.Backwards)
		b = appendNumber(b, 6, r.window)
	case fieldWait:
		b = appendNumber(b, 1, uint64(r.opts.After))
	case fieldSubscribe:
		b = appendQuery(b, 1, r.query)
		b = appendNumber(b, 2, uint64(r.opts.After))
		b = appendNumber(b, 3, r.window)
	case fieldGrant:
		b = appendNumber(b, 1, r.window)
	}
	b = shut(b, call)
	b = appendText(b, fieldTraceparent, r.traceparent)
	return shut(b, whole)
}

// readRequests calls visit with each request of a frame, in order.
func readRequests(f *frame, visit func(r *request) error) error {
	return newMessage(*f.bytes).each(func(f field) error {
		if !f.is(fieldPart, protowire.BytesType) {
			return nil
		}
		r := new(request)
		if err := f.part.readRequest(r); err != nil {
			return err
		}
		return visit(r)
	})
}

func (m message) readRequest(r *request) error {
	for {
		f, more, err := m.next()
		if err != nil || !more {
			return err
		}
		switch {
		case f.is(fieldID, protowire.VarintType):
			r.id = f.varint
		case f.is(fieldTraceparent, protowire.BytesType):
			r.traceparent = f.part.text
		case f.kind == protowire.BytesType && f.number >= fieldHello && f.number <= fieldGrant:
			if r.kind != 0 {
				return errors.New("a request has two calls")
			}
			r.kind = f.number
			if err := f.part.readCall(r); err != nil {
				return err
			}
		}
	}
}

func (m message) readCall(r *request) error {
	switch r.kind {
	case fieldHello:
		return m.each(r.hello.set)
	case fieldAppend:
		return m.readAppend(r)
	case fieldRead, fieldSubscribe, fieldWait, fieldGrant:
		return m.readLook(r)
	}
	return nil // Head and Cancel say nothing more
}

func (h *hello) set(f field) error {
	switch {
	case f.is(1, protowire.VarintType):
		h.version = f.varint
	case f.is(2, protowire.BytesType):
		h.key = f.part.text
	case f.is(3, protowire.BytesType):
		h.store = f.part.text
	}
	return nil
}

func (m message) readAppend(r *request) error {
	for {
		f, more, err := m.next()
		if err != nil || !more {
			return err
		}
		switch {
		case f.is(1, protowire.BytesType):
			var e dcb.SequencedEvent
			if err := f.part.readEvent(&e); err != nil {
				return err
			}
			if len(r.events) <= dcb.MaxEvents { // more are as wrong as one more, and may be very many
				r.events = append(r.events, e.Event)
			}
		case f.is(2, protowire.BytesType):
			if r.condition == nil {
				r.condition = &dcb.AppendCondition{}
			}
			if err := f.part.readCondition(r.condition); err != nil {
				return err
			}
		}
	}
}

func (m message) readCondition(c *dcb.AppendCondition) error {
	for {
		f, more, err := m.next()
		if err != nil || !more {
			return err
		}
		switch {
		case f.is(1, protowire.BytesType):
			if err := f.part.addItem(&c.FailIfEventsMatch); err != nil {
				return err
			}
		case f.is(2, protowire.VarintType):
			c.After = dcb.Position(f.varint)
		}
	}
}

// asOfRead returns the number that a Read has for what is the field of another call; 0 for a field that we do not know.
func asOfRead(call, number protowire.Number) protowire.Number {
	switch {
	case call == fieldRead, call == fieldSubscribe && number <= 2:
		return number
	case call == fieldWait && number == 1:
		return 2
	case call == fieldSubscribe && number == 3, call == fieldGrant && number == 1:
		return 6
	}
	return 0
}

// readLook reads the calls that look, whose fields are all among Read's.
func (m message) readLook(r *request) error {
	for {
		f, more, err := m.next()
		if err != nil || !more {
			return err
		}
		number := asOfRead(r.kind, f.number)
		switch {
		case number == 1 && f.kind == protowire.BytesType:
			if err := f.part.addItem(&r.query); err != nil {
				return err
			}
		case f.kind != protowire.VarintType:
		case number == 2:
			r.opts.After = dcb.Position(f.varint)
		case number == 3:
			r.opts.Before = dcb.Position(f.varint)
		case number == 4:
			r.opts.Limit = int(min(f.varint, 1<<62))
		case number == 5:
			r.opts.Backwards = f.varint != 0
		case number == 6:
			r.window = f.varint
		}
	}
}

// keep makes r independent of the frame that it came in, of which it otherwise keeps all, for as long as it lasts.
func (r *request) keep() {
	for i := range r.query {
		for j, text := range r.query[i].Types {
			r.query[i].Types[j] = strings.Clone(text)
		}
		for j, text := range r.query[i].Tags {
			r.query[i].Tags[j] = strings.Clone(text)
		}
	}
	r.traceparent = strings.Clone(r.traceparent)
}

// answer is what a server says to a request.
type answer struct {
	id   uint64
	kind protowire.Number // fieldWelcome …; 0: one that we do not know

	position dcb.Position // Position; of Events the head
	events   []dcb.SequencedEvent
	last     bool // of Events
	more     bool // of the last Events of a Read: ReadResult.More
	bytes    int  // that it takes in its frame
	err      *dcbv1.Error
	welcome  welcome
}

type welcome struct{ calls, messageBytes uint64 }

// append adds a to a frame.
func (a *answer) append(b []byte) []byte {
	b, whole := open(b, fieldPart)
	b = appendNumber(b, fieldID, a.id)
	b, result := open(b, a.kind)
	switch a.kind {
	case fieldWelcome:
		b = appendNumber(b, 1, a.welcome.calls)
		b = appendNumber(b, 2, a.welcome.messageBytes)
	case fieldPosition:
		b = appendNumber(b, 1, uint64(a.position))
	case fieldEvents:
		for i := range a.events {
			b = appendSequenced(b, 1, &a.events[i])
		}
		b = appendNumber(b, 2, uint64(a.position))
		b = appendFlag(b, 3, a.last)
		b = appendFlag(b, 4, a.more)
	case fieldError:
		b = appendText(b, 1, a.err.GetCode())
		b = appendText(b, 2, a.err.GetText())
		b = appendText(b, 3, a.err.GetField())
		b = appendText(b, 4, a.err.GetProblem())
		b = appendNumber(b, 5, uint64(a.err.GetLimit()))
		b = appendNumber(b, 6, a.err.GetPosition())
	}
	return shut(shut(b, result), whole)
}

// readAnswers calls visit with each answer of a frame, in order.
func readAnswers(f *frame, visit func(a *answer)) error {
	m := newMessage(*f.bytes)
	for {
		before := len(m.bytes)
		f, more, err := m.next()
		if err != nil || !more {
			return err
		}
		if !f.is(fieldPart, protowire.BytesType) {
			continue
		}
		a := answer{bytes: before - len(m.bytes)}
		if err := f.part.readAnswer(&a); err != nil {
			return err
		}
		visit(&a)
	}
}

func (m message) readAnswer(a *answer) error {
	for {
		f, more, err := m.next()
		if err != nil || !more {
			return err
		}
		switch {
		case f.is(fieldID, protowire.VarintType):
			a.id = f.varint
		case f.kind == protowire.BytesType && f.number >= fieldWelcome && f.number <= fieldFarewell:
			a.kind = f.number
			if err := f.part.readResult(a); err != nil {
				return err
			}
		}
	}
}

func (m message) readResult(a *answer) error {
	if a.kind == fieldError {
		a.err = &dcbv1.Error{}
	}
	for {
		f, more, err := m.next()
		if err != nil || !more {
			return err
		}
		switch a.kind {
		case fieldWelcome:
			a.welcome.set(f)
		case fieldPosition:
			if f.is(1, protowire.VarintType) {
				a.position = dcb.Position(f.varint)
			}
		case fieldEvents:
			if err := a.setEvents(f); err != nil {
				return err
			}
		case fieldError:
			setError(a.err, f)
		}
	}
}

func (w *welcome) set(f field) {
	switch {
	case f.is(1, protowire.VarintType):
		w.calls = f.varint
	case f.is(2, protowire.VarintType):
		w.messageBytes = f.varint
	}
}

func (a *answer) setEvents(f field) error {
	switch {
	case f.is(1, protowire.BytesType):
		a.events = append(a.events, dcb.SequencedEvent{RecordedAt: time.Unix(0, 0).UTC()}) // as one that is not there is
		return f.part.readEvent(&a.events[len(a.events)-1])
	case f.is(2, protowire.VarintType):
		a.position = dcb.Position(f.varint)
	case f.is(3, protowire.VarintType):
		a.last = f.varint != 0
	case f.is(4, protowire.VarintType):
		a.more = f.varint != 0
	}
	return nil
}

func setError(e *dcbv1.Error, f field) {
	switch {
	case f.is(1, protowire.BytesType):
		e.Code = f.part.text
	case f.is(2, protowire.BytesType):
		e.Text = f.part.text
	case f.is(3, protowire.BytesType):
		e.Field = f.part.text
	case f.is(4, protowire.BytesType):
		e.Problem = f.part.text
	case f.is(5, protowire.VarintType):
		e.Limit = int64(f.varint)
	case f.is(6, protowire.VarintType):
		e.Position = f.varint
	}
}
