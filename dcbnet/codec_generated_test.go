package dcbnet

import (
	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/dcbnet/internal/dcbv1"
)

// generatedRequest returns r in the types of the generated code.
func generatedRequest(r *request) *dcbv1.Request {
	m := &dcbv1.Request{Id: r.id, Traceparent: r.traceparent}
	switch r.kind {
	case helloRequest:
		m.Call = &dcbv1.Request_Hello{Hello: &dcbv1.Hello{Version: uint32(r.hello.version), Key: r.hello.key, Store: r.hello.store}}
	case appendRequest:
		call := &dcbv1.Append{}
		for i := range r.events {
			e := &r.events[i]
			call.Events = append(call.Events, &dcbv1.Event{Type: e.Type, Tags: e.Tags, Data: e.Data, Id: generatedID(e.ID), Metadata: e.Metadata})
		}
		if r.condition != nil {
			call.Condition = &dcbv1.Condition{FailIfEventsMatch: generatedQuery(r.condition.FailIfEventsMatch), After: uint64(r.condition.After)}
		}
		m.Call = &dcbv1.Request_Append{Append: call}
	case readRequest:
		m.Call = &dcbv1.Request_Read{Read: &dcbv1.Read{
			Query: generatedQuery(r.query), After: uint64(r.opts.After), Before: uint64(r.opts.Before), Limit: uint64(r.opts.Limit),
			Backwards: r.opts.Backwards, Credit: r.credit,
		}}
	case headRequest:
		m.Call = &dcbv1.Request_Head{Head: &dcbv1.Head{}}
	case waitRequest:
		m.Call = &dcbv1.Request_Wait{Wait: &dcbv1.Wait{After: uint64(r.opts.After)}}
	case subscribeRequest:
		m.Call = &dcbv1.Request_Subscribe{Subscribe: &dcbv1.Subscribe{Query: generatedQuery(r.query), After: uint64(r.opts.After), Credit: r.credit}}
	case cancelRequest:
		m.Call = &dcbv1.Request_Cancel{Cancel: &dcbv1.Cancel{}}
	case pingRequest:
		m.Call = &dcbv1.Request_Ping{Ping: &dcbv1.Ping{}}
	case creditRequest:
		m.Call = &dcbv1.Request_Credit{Credit: &dcbv1.Credit{Bytes: r.credit}}
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

// generatedResponse returns a in the types of the generated code.
func generatedResponse(a *response) *dcbv1.Response {
	m := &dcbv1.Response{Id: a.id}
	switch a.kind {
	case welcomeResponse:
		m.Result = &dcbv1.Response_Welcome{Welcome: &dcbv1.Welcome{
			MaxRequests: a.welcome.maxRequests, MaxMessageBytes: a.welcome.maxMessageBytes,
		}}
	case positionResponse:
		m.Result = &dcbv1.Response_Position{Position: &dcbv1.Position{Position: uint64(a.position)}}
	case eventsResponse:
		piece := &dcbv1.Events{Head: uint64(a.position), Last: a.last, More: a.more}
		for i := range a.events {
			e := &a.events[i]
			piece.Events = append(piece.Events, &dcbv1.SequencedEvent{
				Type: e.Type, Tags: e.Tags, Data: e.Data, Id: generatedID(e.ID), Metadata: e.Metadata,
				Position: uint64(e.Position), RecordedAt: e.RecordedAt.UnixMicro(),
			})
		}
		m.Result = &dcbv1.Response_Events{Events: piece}
	case errorResponse:
		m.Result = &dcbv1.Response_Error{Error: &dcbv1.Error{
			Code: string(a.err.Code), Text: a.err.Text, Field: a.err.Field, Problem: a.err.Problem,
			Limit: int64(a.err.Limit), Position: uint64(a.err.Position),
		}}
	case pingResponse:
		m.Result = &dcbv1.Response_Ping{Ping: &dcbv1.Ping{}}
	case goAwayResponse:
		m.Result = &dcbv1.Response_GoAway{GoAway: &dcbv1.GoAway{}}
	}
	return m
}
