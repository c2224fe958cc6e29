package dcb

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
)

// The limits are the same for every store. Types, tags, metadata keys and metadata values must
// also be valid UTF-8 without NUL, because every database and every protocol carries such text
// unchanged.
//
// A call outside the limits fails with an [*InvalidError] that names the field and the limit, and
// records nothing.
const (
	MaxTypeBytes          = 256      // bytes of a type; at least 1
	MaxTagBytes           = 1024     // bytes of a tag; at least 1
	MaxTags               = 128      // distinct tags of an event
	MaxDataBytes          = 16 << 20 // bytes of data
	MaxMetadata           = 64       // metadata entries of an event
	MaxMetadataKeyBytes   = 256      // bytes of a metadata key; at least 1
	MaxMetadataValueBytes = 4 << 10  // bytes of a metadata value
	MaxEvents             = 65_536   // events of an append
	MaxAppendBytes        = 64 << 20 // bytes of an append: the sum of Size of its events
	MaxQueryItems         = 65_536   // items of a query
	MaxQueryBytes         = 64 << 20 // bytes of all types and tags of a query
)

// ValidateAppend returns nil if a store may record events on condition, and otherwise an
// [*InvalidError], or [ErrDuplicateID] if two of the events have the same ID. Every store calls it
// before anything else.
func ValidateAppend(events []Event, condition *AppendCondition) error {
	if len(events) == 0 {
		return ErrNoEvents
	}
	if len(events) > MaxEvents {
		return overLimit("events", len(events), MaxEvents, "events")
	}
	total := 0
	for i := range events {
		if err := validateEvent(&events[i]); err != nil {
			return err.prefixed(fmt.Sprintf("events[%d].", i))
		}
		total += events[i].Size()
	}
	if total > MaxAppendBytes {
		return overLimit("events", total, MaxAppendBytes, "bytes in all")
	}
	if err := validateIDs(events); err != nil {
		return err
	}
	if condition == nil {
		return nil
	}
	if err := validateQuery(condition.FailIfEventsMatch); err != nil {
		return err.prefixed("condition.FailIfEventsMatch")
	}
	return nil
}

// ValidateRead returns nil if a store may answer a read of q with opts, and otherwise an
// [*InvalidError]. Every store calls it before anything else.
func ValidateRead(q Query, opts ReadOptions) error {
	if err := validateQuery(q); err != nil {
		return err.prefixed("query")
	}
	if opts.Limit < 0 {
		return &InvalidError{
			Field:   "options.Limit",
			Problem: fmt.Sprintf("is %d; it must be positive, or 0 for no limit", opts.Limit),
		}
	}
	return nil
}

func validateEvent(e *Event) *InvalidError {
	if err := validateText("Type", e.Type, 1, MaxTypeBytes); err != nil {
		return err
	}
	for i, tag := range e.Tags {
		if err := validateText("", tag, 1, MaxTagBytes); err != nil {
			return err.prefixed(fmt.Sprintf("Tags[%d]", i))
		}
	}
	if len(e.Tags) > MaxTags {
		if n := len(sortedSet(e.Tags)); n > MaxTags {
			return overLimit("Tags", n, MaxTags, "different tags")
		}
	}
	if len(e.Data) > MaxDataBytes {
		return overLimit("Data", len(e.Data), MaxDataBytes, "bytes")
	}
	if len(e.Metadata) > MaxMetadata {
		return overLimit("Metadata", len(e.Metadata), MaxMetadata, "entries")
	}
	for key, value := range e.Metadata {
		if err := validateText("Metadata key", key, 1, MaxMetadataKeyBytes); err != nil {
			return err
		}
		if err := validateText("", value, 0, MaxMetadataValueBytes); err != nil {
			return err.prefixed(fmt.Sprintf("Metadata[%q]", key))
		}
	}
	return nil
}

// validateIDs checks that no two events have the same ID.
func validateIDs(events []Event) error {
	if len(events) == 1 {
		return nil
	}
	indexOf := make(map[uuid.UUID]int)
	for i := range events {
		id := events[i].ID
		if id == uuid.Nil {
			continue
		}
		if first, ok := indexOf[id]; ok {
			return fmt.Errorf("%w: events[%d] and events[%d] of one append both have ID %s", ErrDuplicateID, first, i, id)
		}
		indexOf[id] = i
	}
	return nil
}

// validateQuery returns errors whose Field begins with an index, or is empty.
func validateQuery(q Query) *InvalidError {
	if len(q) == 0 {
		return (&InvalidError{Problem: "has no items; All() selects everything"}).aboutQuery()
	}
	if len(q) > MaxQueryItems {
		return overLimit("", len(q), MaxQueryItems, "items").aboutQuery()
	}
	total := 0
	for i := range q {
		for j, eventType := range q[i].Types {
			if err := validateText("", eventType, 1, MaxTypeBytes); err != nil {
				return err.prefixed(fmt.Sprintf("[%d].Types[%d]", i, j)).aboutQuery()
			}
			total += len(eventType)
		}
		for j, tag := range q[i].Tags {
			if err := validateText("", tag, 1, MaxTagBytes); err != nil {
				return err.prefixed(fmt.Sprintf("[%d].Tags[%d]", i, j)).aboutQuery()
			}
			total += len(tag)
		}
	}
	if total > MaxQueryBytes {
		return overLimit("", total, MaxQueryBytes, "bytes in all").aboutQuery()
	}
	return nil
}

// validateText checks that text has minBytes to maxBytes bytes and is valid UTF-8 without NUL.
func validateText(field, text string, minBytes, maxBytes int) *InvalidError {
	switch {
	case len(text) < minBytes:
		return &InvalidError{Field: field, Problem: fmt.Sprintf("is empty; it must have 1 to %d bytes", maxBytes)}
	case len(text) > maxBytes:
		return overLimit(field, len(text), maxBytes, "bytes")
	case !utf8.ValidString(text):
		return &InvalidError{Field: field, Problem: "is not valid UTF-8"}
	case strings.IndexByte(text, 0) >= 0:
		return &InvalidError{Field: field, Problem: "contains a NUL byte"}
	}
	return nil
}

func overLimit(field string, got, limit int, unit string) *InvalidError {
	return &InvalidError{
		Field:   field,
		Problem: fmt.Sprintf("has %d %s; the limit is %d", got, unit, limit),
		Limit:   limit,
	}
}
