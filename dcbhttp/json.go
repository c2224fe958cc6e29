package dcbhttp

import (
	"errors"
	"math"
	"strconv"

	"github.com/dcbstore/dcb"
	"github.com/dcbstore/dcb/internal/eventjson"
)

// The JSON of requests. Package eventjson has the rules for events and queries.

// readRequest is the body of POST /read. The parameters of GET /read are its members.
type readRequest struct {
	Query   eventjson.Query `json:"query"`
	Options readOptions     `json:"options"`
}

// readOptions bound a read: from and to are positions, both inclusive, in the direction of reading.
type readOptions struct {
	From      *eventjson.Whole `json:"from"`
	To        *eventjson.Whole `json:"to"`
	Limit     *eventjson.Whole `json:"limit"`
	Backwards bool             `json:"backwards"`
}

// appendRequest is the body of POST /append.
type appendRequest struct {
	Events    eventjson.Events `json:"events"`
	Condition *appendCondition `json:"condition"`
}

type appendCondition struct {
	FailIfEventsMatch *eventjson.Query `json:"failIfEventsMatch"`
	After             eventjson.Whole  `json:"after"`
}

// The JSON of responses.

// appendResponse answers an append. A failed condition is not an HTTP error.
type appendResponse struct {
	DurationInMicroseconds int64        `json:"durationInMicroseconds"`
	AppendConditionFailed  bool         `json:"appendConditionFailed"`
	Position               dcb.Position `json:"position,omitzero"`
	ConflictingPosition    dcb.Position `json:"conflictingPosition,omitzero"`
}

type headResponse struct {
	Head dcb.Position `json:"head"`
}

type statusResponse struct {
	Status string `json:"status"`
}

// contract returns o as the contract has it.
func (o readOptions) contract() (dcb.ReadOptions, error) {
	opts := dcb.ReadOptions{Backwards: o.Backwards}
	if o.Limit != nil {
		if *o.Limit == 0 {
			return opts, invalid("/options/limit", "is 0; it must be at least 1, or absent for no limit")
		}
		opts.Limit = int(min(*o.Limit, math.MaxInt))
	}
	low, high := o.From, o.To
	if o.Backwards {
		low, high = high, low
	}
	if low != nil && *low > 0 {
		opts.After = dcb.Position(*low - 1)
	}
	if high != nil && *high < math.MaxUint64 {
		opts.Before = dcb.Position(*high + 1)
	}
	return opts, nil
}

// contract returns r as the contract has it. Errors of the events name them as [dcb.ValidateAppend]
// does.
func (r *appendRequest) contract() ([]dcb.Event, *dcb.AppendCondition, error) {
	events := make([]dcb.Event, len(r.Events))
	for i := range r.Events {
		var err error
		if events[i], err = r.Events[i].Event(); err != nil {
			return nil, nil, within(eventjson.Pointer("events", strconv.Itoa(i), ""), err)
		}
	}
	if r.Condition == nil {
		return events, nil, nil
	}
	if r.Condition.FailIfEventsMatch == nil {
		return nil, nil, invalid("/condition/failIfEventsMatch", "is missing; {} selects every event")
	}
	condition := dcb.AppendCondition{
		FailIfEventsMatch: r.Condition.FailIfEventsMatch.Query(),
		After:             dcb.Position(r.Condition.After),
	}
	return events, &condition, nil
}

// unmarshal reads text, which is at the JSON pointer place of the request, into value.
func unmarshal(text []byte, place string, value any) error {
	return within(place, eventjson.Unmarshal(text, value))
}

// within returns err with the place before its field.
func within(place string, err error) error {
	if inner, ok := errors.AsType[*dcb.InvalidError](err); ok {
		outer := *inner
		outer.Field = place + inner.Field
		return &outer
	}
	return err
}
