package dcbgrpc

import (
	"fmt"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/proto/umadbv1"
)

// What comes in by UmaDB's protocol. Strings and data are the message's, which nobody else keeps.

// eventsOf returns the events of a request.
func eventsOf(in []*umadbv1.Event) ([]dcb.Event, error) {
	events := make([]dcb.Event, len(in))
	for i, e := range in {
		events[i] = dcb.Event{Type: e.GetEventType(), Tags: e.GetTags(), Data: e.GetData()}
		if err := checkTags(e.GetTags()); err != nil {
			return nil, within(fmt.Sprintf("events[%d].", i), err)
		}
		var err *dcb.InvalidError
		if text := e.GetUuid(); text != "" {
			if events[i].ID, err = idOf(text); err != nil {
				return nil, within(fmt.Sprintf("events[%d].", i), err)
			}
		}
		if entries := e.GetMetadata(); len(entries) > 0 {
			if events[i].Metadata, err = metadataOf(entries); err != nil {
				return nil, within(fmt.Sprintf("events[%d].", i), err)
			}
		}
	}
	return events, nil
}

func idOf(text string) (uuid.UUID, *dcb.InvalidError) {
	id, err := uuid.Parse(text)
	if err != nil {
		return uuid.Nil, &dcb.InvalidError{Field: "uuid", Problem: "is not a UUID, such as 123e4567-e89b-12d3-a456-426614174000"}
	}
	return id, nil
}

func metadataOf(entries []*umadbv1.MetadataEntry) (map[string]string, *dcb.InvalidError) {
	values := make(map[string]string, len(entries))
	for i, entry := range entries {
		key := entry.GetKey()
		if _, twice := values[key]; twice {
			return nil, &dcb.InvalidError{Field: fmt.Sprintf("metadata[%d].key", i), Problem: "is there twice; each key has one value"}
		}
		if key == trackingKey {
			return nil, &dcb.InvalidError{Field: fmt.Sprintf("metadata[%d].key", i), Problem: "is " + trackingKey + ", which is reserved; tracking_info sets it"}
		}
		values[key] = entry.GetValue()
	}
	return values, nil
}

// queryOf returns what a request selects. On this wire no items mean everything.
func (u *umadbServer) queryOf(in *umadbv1.Query) (dcb.Query, error) {
	items := in.GetItems()
	if len(items) == 0 {
		return dcb.All(), nil
	}
	q := make(dcb.Query, len(items))
	for i, item := range items {
		q[i] = dcb.QueryItem{Types: item.GetTypes(), Tags: item.GetTags()}
		if err := checkTags(q[i].Tags); err != nil {
			return nil, within(fmt.Sprintf("query.items[%d].", i), err)
		}
	}
	return q, u.server.opts.Limits.CheckQuery(q)
}

func (u *umadbServer) conditionOf(in *umadbv1.AppendCondition) (*dcb.AppendCondition, error) {
	if in == nil {
		return nil, nil //nolint:nilnil // an append without a condition has none
	}
	q, err := u.queryOf(in.GetFailIfEventsMatch())
	return &dcb.AppendCondition{FailIfEventsMatch: q, After: dcb.Position(in.GetAfter())}, err
}

func within(path string, err *dcb.InvalidError) error {
	err.Field = path + err.Field
	return err
}
