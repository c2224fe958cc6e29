package dcbhttp

import (
	"encoding/base64"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/dcbstore/dcb"
)

// eventJSON is an event in an answer, in the order in which its fields stand there. Data that is not valid UTF-8 stands in dataBase64 instead
// of data. It is the same object as in the lines that the command line prints.
type eventJSON struct {
	Position   dcb.Position      `json:"position"`
	RecordedAt time.Time         `json:"recordedAt"`
	Type       string            `json:"type"`
	Tags       []string          `json:"tags"`
	Data       *string           `json:"data,omitempty"`
	DataBase64 []byte            `json:"dataBase64,omitempty"`
	ID         *uuid.UUID        `json:"id,omitempty"`
	Metadata   map[string]string `json:"metadata,omitempty"`
}

// appendedJSON is the answer to an append. A condition that failed is an answer like any other.
type appendedJSON struct {
	DurationInMicroseconds int64        `json:"durationInMicroseconds"`
	AppendConditionFailed  bool         `json:"appendConditionFailed"`
	Position               dcb.Position `json:"position,omitempty"`
	ConflictingPosition    dcb.Position `json:"conflictingPosition,omitempty"`
}

type headJSON struct {
	Head dcb.Position `json:"head"`
}

type statusJSON struct {
	Status string `json:"status"`
}

func jsonOf(e *dcb.SequencedEvent) eventJSON {
	j := eventJSON{Position: e.Position, RecordedAt: e.RecordedAt, Type: e.Type, Tags: e.Tags, Metadata: e.Metadata}
	if j.Tags == nil {
		j.Tags = []string{}
	}
	if utf8.Valid(e.Data) {
		text := string(e.Data)
		j.Data = &text
	} else {
		j.DataBase64 = e.Data
	}
	if e.ID != uuid.Nil {
		j.ID = &e.ID
	}
	return j
}

// The fields of what is sent to us.
var (
	readFields      = []string{"query", "options"}
	appendFields    = []string{"events", "condition"}
	eventFields     = []string{"type", "tags", "data", "dataBase64", "id", "metadata"}
	conditionFields = []string{"failIfEventsMatch", "after"}
	queryFields     = []string{"items"}
	itemFields      = []string{"types", "tags"}
	optionFields    = []string{"from", "to", "limit", "backwards"}
)

// options are the bounds of a read as the wire has them: from and to are positions, both inclusive, in the direction of reading.
type options struct {
	from, to       dcb.Position
	hasFrom, hasTo bool
	limit          uint64
	backwards      bool
}

// read returns o as the contract has it.
func (o options) read() dcb.ReadOptions {
	opts := dcb.ReadOptions{Backwards: o.backwards, Limit: int(min(o.limit, math.MaxInt))}
	low, high, hasHigh := o.from, o.to, o.hasTo
	if o.backwards {
		low, high, hasHigh = o.to, o.from, o.hasFrom
	}
	if low > 0 {
		opts.After = low - 1
	}
	if hasHigh && high < math.MaxUint64 {
		opts.Before = high + 1
	}
	return opts
}

// readRequest reads the body of POST /read.
func (p *parser) readRequest() (q dcb.Query, opts dcb.ReadOptions, err error) {
	q = dcb.All()
	_, err = p.object(readFields, func(name string) (err error) {
		if name == "query" {
			q, err = p.query()
		} else {
			opts, err = p.options()
		}
		return err
	})
	return q, opts, err
}

// appendRequest reads the body of POST /append.
func (p *parser) appendRequest() (events []dcb.Event, condition *dcb.AppendCondition, err error) {
	_, err = p.object(appendFields, func(name string) (err error) {
		if name == "events" {
			events, err = p.events()
		} else {
			condition, err = p.condition()
		}
		return err
	})
	return events, condition, err
}

func (p *parser) events() (events []dcb.Event, err error) {
	err = p.array(dcb.MaxEvents, "events", func() error {
		event, err := p.event()
		events = append(events, event)
		return err
	})
	return events, err
}

func (p *parser) event() (event dcb.Event, err error) {
	found, err := p.object(eventFields, func(name string) (err error) {
		switch name {
		case "type":
			event.Type, err = p.string()
		case "tags":
			event.Tags, err = p.strings()
		case "data":
			var text string
			text, err = p.string()
			event.Data = []byte(text)
		case "dataBase64":
			event.Data, err = p.base64()
		case "id":
			event.ID, err = p.id()
		case "metadata":
			event.Metadata, err = p.stringMap(dcb.MaxMetadata)
		}
		return err
	})
	switch {
	case err != nil:
		return event, err
	case !slices.Contains(found, "type"):
		return event, within("type", invalid("is missing"))
	case slices.Contains(found, "data") && slices.Contains(found, "dataBase64"):
		return event, within("dataBase64", invalid("is there beside data; an event has one of them"))
	}
	return event, nil
}

func (p *parser) condition() (*dcb.AppendCondition, error) {
	condition := &dcb.AppendCondition{}
	found, err := p.object(conditionFields, func(name string) (err error) {
		if name == "after" {
			condition.After, err = p.position()
		} else {
			condition.FailIfEventsMatch, err = p.query()
		}
		return err
	})
	if err == nil && !slices.Contains(found, "failIfEventsMatch") {
		err = within("failIfEventsMatch", invalid("is missing; {} stands for every event"))
	}
	return condition, err
}

// query reads a query. On this wire, one without items means everything.
func (p *parser) query() (dcb.Query, error) {
	var q dcb.Query
	_, err := p.object(queryFields, func(string) error {
		return p.array(dcb.MaxQueryItems, "items", func() error {
			item, err := p.item()
			q = append(q, item)
			return err
		})
	})
	if len(q) == 0 {
		q = dcb.All()
	}
	return q, err
}

func (p *parser) item() (item dcb.QueryItem, err error) {
	_, err = p.object(itemFields, func(name string) (err error) {
		if name == "types" {
			item.Types, err = p.strings()
		} else {
			item.Tags, err = p.strings()
		}
		return err
	})
	return item, err
}

func (p *parser) options() (dcb.ReadOptions, error) {
	var o options
	_, err := p.object(optionFields, func(name string) (err error) {
		switch name {
		case "from":
			o.from, err = p.position()
			o.hasFrom = true
		case "to":
			o.to, err = p.position()
			o.hasTo = true
		case "backwards":
			o.backwards, err = p.bool()
		case "limit":
			if o.limit, err = p.whole(); err == nil && o.limit == 0 {
				err = invalid("is 0; it must be at least 1, or absent for no limit")
			}
		}
		return err
	})
	return o.read(), err
}

func (p *parser) position() (dcb.Position, error) {
	n, err := p.whole()
	return dcb.Position(n), err
}

// base64 reads bytes in base64: the standard alphabet, with its padding, on one line. Whatever else decoders take would come back otherwise.
func (p *parser) base64() ([]byte, error) {
	text, err := p.string()
	if err != nil {
		return nil, err
	}
	bytes, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || strings.ContainsAny(text, "\r\n") {
		return nil, invalid("is not base64 (RFC 4648, section 4, with padding)")
	}
	return bytes, nil
}

// id reads an event's ID in the one form that is also written.
func (p *parser) id() (uuid.UUID, error) {
	text, err := p.string()
	if err != nil {
		return uuid.Nil, err
	}
	id, err := uuid.Parse(text)
	if err != nil || len(text) != len(uuid.Nil.String()) {
		return uuid.Nil, invalid("is not a UUID such as 01890a5d-ac96-774b-bcce-b302099a8057")
	}
	return id, nil
}
