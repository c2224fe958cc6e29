package umadb

import (
	"fmt"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/dcbstore/dcb"
	pf "github.com/dcbstore/dcb/internal/protofield"
	"github.com/dcbstore/dcb/umadb/internal/umadbv1"
)

// Requests, decoded by the server. The strings and the data of a message are not shared, so
// events keep them without a copy.

// fromEvents returns the events of a request.
func fromEvents(in []*umadbv1.Event) ([]dcb.Event, error) {
	events := make([]dcb.Event, len(in))
	for i, e := range in {
		var err *dcb.InvalidError
		if events[i], err = fromEvent(e); err != nil {
			return nil, atPath(fmt.Sprintf("events[%d].", i), err)
		}
	}
	return events, nil
}

func fromEvent(in *umadbv1.Event) (e dcb.Event, err *dcb.InvalidError) {
	e = dcb.Event{Type: in.GetEventType(), Tags: in.GetTags(), Data: in.GetData()}
	if err := checkTags(e.Tags); err != nil {
		return e, err
	}
	if text := in.GetUuid(); text != "" {
		id, parseErr := uuid.Parse(text)
		if parseErr != nil {
			return e, &dcb.InvalidError{
				Field: "uuid", Problem: "is not a UUID; it must be like 123e4567-e89b-12d3-a456-426614174000",
			}
		}
		e.ID = id
	}
	if entries := in.GetMetadata(); len(entries) > 0 {
		e.Metadata, err = fromMetadata(entries)
	}
	return e, err
}

// fromQuery returns the query of a request. In this protocol a query without items matches
// everything.
func (s *service) fromQuery(in *umadbv1.Query) (dcb.Query, error) {
	items := in.GetItems()
	if len(items) == 0 {
		return dcb.All(), nil
	}
	q := make(dcb.Query, len(items))
	for i, item := range items {
		q[i] = dcb.QueryItem{Types: item.GetTypes(), Tags: item.GetTags()}
		if err := checkTags(q[i].Tags); err != nil {
			return nil, atPath(fmt.Sprintf("query.items[%d].", i), err)
		}
	}
	return q, s.server.opts.Limits.CheckQuery(q)
}

func (s *service) fromCondition(in *umadbv1.AppendCondition) (*dcb.AppendCondition, error) {
	if in == nil {
		return nil, nil //nolint:nilnil // an append without a condition
	}
	q, err := s.fromQuery(in.GetFailIfEventsMatch())
	return &dcb.AppendCondition{FailIfEventsMatch: q, After: dcb.Position(in.GetAfter())}, err
}

// atPath adds the path of the enclosing field to err.
func atPath(path string, err *dcb.InvalidError) error {
	err.Field = path + err.Field
	return err
}

// Requests, encoded by the client.

func toAppend(events []dcb.Event, condition *dcb.AppendCondition) *umadbv1.AppendRequest {
	request := &umadbv1.AppendRequest{Events: make([]*umadbv1.Event, len(events))}
	for i := range events {
		request.Events[i] = toEvent(&events[i])
	}
	if condition != nil {
		after := uint64(condition.After)
		request.Condition = &umadbv1.AppendCondition{FailIfEventsMatch: toQuery(condition.FailIfEventsMatch), After: &after}
	}
	return request
}

func toEvent(e *dcb.Event) *umadbv1.Event {
	out := &umadbv1.Event{EventType: e.Type, Tags: dcb.UniqueTags(e.Tags), Data: e.Data}
	if e.ID != uuid.Nil {
		out.Uuid = e.ID.String()
	}
	for _, key := range orderedKeys(e.Metadata) {
		out.Metadata = append(out.Metadata, &umadbv1.MetadataEntry{Key: key, Value: e.Metadata[key]})
	}
	return out
}

func toQuery(q dcb.Query) *umadbv1.Query {
	items := make([]*umadbv1.QueryItem, len(q))
	for i := range q {
		items[i] = &umadbv1.QueryItem{Types: q[i].Types, Tags: q[i].Tags}
	}
	return &umadbv1.Query{Items: items}
}

// Events of responses, encoded by the server and decoded by the client without generated structs.

// appendSequenced appends e as the first field of a ReadResponse or a SubscribeResponse.
func appendSequenced(b []byte, e *dcb.SequencedEvent) []byte {
	plain, info := &e.Event, (*umadbv1.TrackingInfo)(nil)
	if len(e.Metadata) > 0 {
		var event dcb.Event
		event, info = withoutTracking(&e.Event)
		plain = &event
	}
	b, offset := pf.Open(b, 1)
	b = pf.AppendUint(b, 1, uint64(e.Position))
	b = appendEvent(b, 2, plain)
	if info != nil {
		var inner int
		b, inner = pf.Open(b, 3)
		b = pf.AppendString(b, 1, info.GetSource())
		b = pf.AppendUint(b, 2, info.GetPosition())
		b = pf.Close(b, inner)
	}
	if !e.RecordedAt.IsZero() {
		b = pf.AppendUint(b, 1000, uint64(e.RecordedAt.UnixMicro()))
	}
	return pf.Close(b, offset)
}

func appendEvent(b []byte, field protowire.Number, e *dcb.Event) []byte {
	b, offset := pf.Open(b, field)
	b = pf.AppendString(b, 1, e.Type)
	b = pf.AppendStrings(b, 2, e.Tags)
	b = pf.AppendBytes(b, 3, e.Data)
	if e.ID != uuid.Nil {
		b = pf.AppendString(b, 4, e.ID.String())
	}
	for _, key := range orderedKeys(e.Metadata) {
		var entry int
		b, entry = pf.Open(b, 5)
		b = pf.AppendString(b, 1, key)
		b = pf.AppendString(b, 2, e.Metadata[key])
		b = pf.Close(b, entry)
	}
	return pf.Close(b, offset)
}

// readSequenced decodes a SequencedEvent into e, whose strings and data alias m.
func readSequenced(m pf.Message, e *dcb.SequencedEvent) error {
	return m.Each(func(f pf.Field) error {
		switch {
		case f.Is(1, protowire.VarintType):
			e.Position = dcb.Position(f.Varint)
		case f.Is(2, protowire.BytesType):
			return readEvent(f.Part, &e.Event)
		case f.Is(1000, protowire.VarintType):
			e.RecordedAt = time.UnixMicro(int64(f.Varint)).UTC()
		}
		return nil
	})
}

func readEvent(m pf.Message, e *dcb.Event) error {
	return m.Each(func(f pf.Field) (err error) {
		switch {
		case f.Is(1, protowire.BytesType):
			e.Type = f.Part.Text
		case f.Is(2, protowire.BytesType):
			e.Tags = append(e.Tags, f.Part.Text)
		case f.Is(3, protowire.BytesType):
			e.Data = f.Part.Bytes
		case f.Is(4, protowire.BytesType):
			if f.Part.Text != "" {
				e.ID, err = uuid.Parse(f.Part.Text)
			}
		case f.Is(5, protowire.BytesType):
			err = readEntry(f.Part, e)
		}
		return err
	})
}

func readEntry(m pf.Message, e *dcb.Event) error {
	var key, value string
	err := m.Each(func(f pf.Field) error {
		switch {
		case f.Is(1, protowire.BytesType):
			key = f.Part.Text
		case f.Is(2, protowire.BytesType):
			value = f.Part.Text
		}
		return nil
	})
	if e.Metadata == nil {
		e.Metadata = make(map[string]string)
	}
	e.Metadata[key] = value
	return err
}
