package dcbgrpc

import (
	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/proto/dcbv1"
)

// generatedRequest says in generated code what r says.
func generatedRequest(r *request) *dcbv1.Request {
	m := &dcbv1.Request{Id: r.id, Traceparent: r.traceparent}
	switch r.kind {
	case fieldHello:
		m.Call = &dcbv1.Request_Hello{Hello: &dcbv1.Hello{Version: uint32(r.hello.version), Key: r.hello.key, Store: r.hello.store}}
	case fieldAppend:
		call := &dcbv1.Append{}
		for i := range r.events {
			e := &r.events[i]
			call.Events = append(call.Events, &dcbv1.Event{Type: e.Type, Tags: e.Tags, Data: e.Data, Id: generatedID(e.ID), Metadata: e.Metadata})
		}
		if r.condition != nil {
			call.Condition = &dcbv1.Condition{FailIfEventsMatch: generatedQuery(r.condition.FailIfEventsMatch), After: uint64(r.condition.After)}
		}
		m.Call = &dcbv1.Request_Append{Append: call}
	case fieldRead:
		m.Call = &dcbv1.Request_Read{Read: &dcbv1.Read{
			Query: generatedQuery(r.query), After: uint64(r.opts.After), Before: uint64(r.opts.Before), Limit: uint64(r.opts.Limit),
			Backwards: r.opts.Backwards, Window: r.window,
		}}
	case fieldHead:
		m.Call = &dcbv1.Request_Head{Head: &dcbv1.Head{}}
	case fieldWait:
		m.Call = &dcbv1.Request_Wait{Wait: &dcbv1.Wait{After: uint64(r.opts.After)}}
	case fieldSubscribe:
		m.Call = &dcbv1.Request_Subscribe{Subscribe: &dcbv1.Subscribe{Query: generatedQuery(r.query), After: uint64(r.opts.After), Window: r.window}}
	case fieldCancel:
		m.Call = &dcbv1.Request_Cancel{Cancel: &dcbv1.Cancel{}}
	case fieldGrant:
		m.Call = &dcbv1.Request_Grant{Grant: &dcbv1.Grant{Bytes: r.window}}
	}
	return m
}

func generatedID(id uuid.UUID) []byte {
	if id == uuid.Nil {
		return nil
	}
	return id[:]
}

func generatedQuery(q dcb.Query) (items []*dcbv1.QueryItem) {
	for _, item := range q {
		items = append(items, &dcbv1.QueryItem{Types: item.Types, Tags: item.Tags})
	}
	return items
}

// generatedAnswer says in generated code what a says.
func generatedAnswer(a *answer) *dcbv1.Answer {
	m := &dcbv1.Answer{Id: a.id}
	switch a.kind {
	case fieldWelcome:
		m.Result = &dcbv1.Answer_Welcome{Welcome: &dcbv1.Welcome{Calls: a.welcome.calls, MessageBytes: a.welcome.messageBytes}}
	case fieldPosition:
		m.Result = &dcbv1.Answer_Position{Position: &dcbv1.Position{Position: uint64(a.position)}}
	case fieldEvents:
		piece := &dcbv1.Events{Head: uint64(a.position), Last: a.last, More: a.more}
		for i := range a.events {
			e := &a.events[i]
			piece.Events = append(piece.Events, &dcbv1.SequencedEvent{
				Type: e.Type, Tags: e.Tags, Data: e.Data, Id: generatedID(e.ID), Metadata: e.Metadata,
				Position: uint64(e.Position), RecordedAt: e.RecordedAt.UnixMicro(),
			})
		}
		m.Result = &dcbv1.Answer_Events{Events: piece}
	case fieldError:
		m.Result = &dcbv1.Answer_Error{Error: a.err}
	case fieldFarewell:
		m.Result = &dcbv1.Answer_Farewell{Farewell: &dcbv1.Farewell{}}
	}
	return m
}
