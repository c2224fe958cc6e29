package dcb

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
)

// The limits of every store. Types, tags, and the keys and values of metadata must also be valid UTF-8 without NUL, because
// that is what every database and wire can carry unchanged.
const (
	MaxTypeBytes          = 256      // the bytes of an event's type; at least 1
	MaxTagBytes           = 1024     // the bytes of a tag; at least 1
	MaxTags               = 128      // the tags of an event, repetitions not counted
	MaxDataBytes          = 16 << 20 // the bytes of an event's data
	MaxMetadata           = 64       // the entries of an event's metadata
	MaxMetadataKeyBytes   = 256      // the bytes of a metadata key; at least 1
	MaxMetadataValueBytes = 4 << 10  // the bytes of a metadata value
	MaxEvents             = 65_536   // the events of an append
	MaxAppendBytes        = 64 << 20 // the bytes of an append: types, tags, data and metadata of all its events
	MaxQueryItems         = 65_536   // the items of a query
	MaxQueryBytes         = 64 << 20 // the bytes of a query: types and tags of all its items
)

// ValidateAppend returns nil if a store may record events under condition, and otherwise what is wrong with them: an
// [*InvalidError], or [ErrDuplicateID] if two of the events have the same ID. Every store calls it first.
func ValidateAppend(events []Event, condition *AppendCondition) error {
	if len(events) == 0 {
		return ErrNoEvents
	}
	if len(events) > MaxEvents {
		return tooLong("events", len(events), MaxEvents, "events")
	}
	total := 0
	for i := range events {
		size, err := validateEvent(&events[i])
		if err != nil {
			return err.within(fmt.Sprintf("events[%d].", i))
		}
		total += size
	}
	if total > MaxAppendBytes {
		return tooLong("events", total, MaxAppendBytes, "bytes in all")
	}
	if err := validateIDs(events); err != nil {
		return err
	}
	if condition == nil {
		return nil
	}
	if err := validateQuery(condition.FailIfEventsMatch); err != nil {
		return err.within("condition.FailIfEventsMatch")
	}
	return nil
}

// ValidateRead returns nil if a store may answer q with opts, and otherwise what is wrong with them, as an [*InvalidError]. Every
// store calls it first.
func ValidateRead(q Query, opts ReadOptions) error {
	if err := validateQuery(q); err != nil {
		return err.within("query")
	}
	if opts.Limit < 0 {
		return &InvalidError{Field: "options.Limit", Problem: fmt.Sprintf("is %d; it must be positive, or 0 for no limit", opts.Limit)}
	}
	return nil
}

// validateEvent returns how many bytes e counts against MaxAppendBytes.
func validateEvent(e *Event) (int, *InvalidError) {
	if err := validateText("Type", e.Type, 1, MaxTypeBytes); err != nil {
		return 0, err
	}
	size := len(e.Type) + len(e.Data)
	for i, tag := range e.Tags {
		if err := validateText("", tag, 1, MaxTagBytes); err != nil {
			return 0, err.within(fmt.Sprintf("Tags[%d]", i))
		}
		size += len(tag)
	}
	if len(e.Tags) > MaxTags {
		if n := len(sortedSet(e.Tags)); n > MaxTags {
			return 0, tooLong("Tags", n, MaxTags, "different tags")
		}
	}
	if len(e.Data) > MaxDataBytes {
		return 0, tooLong("Data", len(e.Data), MaxDataBytes, "bytes")
	}
	if len(e.Metadata) > MaxMetadata {
		return 0, tooLong("Metadata", len(e.Metadata), MaxMetadata, "entries")
	}
	for key, value := range e.Metadata {
		if err := validateText("Metadata key", key, 1, MaxMetadataKeyBytes); err != nil {
			return 0, err
		}
		if err := validateText("", value, 0, MaxMetadataValueBytes); err != nil {
			return 0, err.within(fmt.Sprintf("Metadata[%q]", key))
		}
		size += len(key) + len(value)
	}
	return size, nil
}

func validateIDs(events []Event) error {
	if len(events) == 1 {
		return nil
	}
	seen := make(map[uuid.UUID]int)
	for i := range events {
		id := events[i].ID
		if id == uuid.Nil {
			continue
		}
		if first, ok := seen[id]; ok {
			return fmt.Errorf("%w: events[%d] and events[%d] of one append both have ID %s", ErrDuplicateID, first, i, id)
		}
		seen[id] = i
	}
	return nil
}

func validateQuery(q Query) *InvalidError {
	if len(q) == 0 {
		return &InvalidError{Problem: "has no items; All() selects everything", kind: ErrInvalidQuery}
	}
	if len(q) > MaxQueryItems {
		return tooLong("", len(q), MaxQueryItems, "items").of(ErrInvalidQuery)
	}
	total := 0
	for i := range q {
		for j, eventType := range q[i].Types {
			if err := validateText("", eventType, 1, MaxTypeBytes); err != nil {
				return err.within(fmt.Sprintf("[%d].Types[%d]", i, j)).of(ErrInvalidQuery)
			}
			total += len(eventType)
		}
		for j, tag := range q[i].Tags {
			if err := validateText("", tag, 1, MaxTagBytes); err != nil {
				return err.within(fmt.Sprintf("[%d].Tags[%d]", i, j)).of(ErrInvalidQuery)
			}
			total += len(tag)
		}
	}
	if total > MaxQueryBytes {
		return tooLong("", total, MaxQueryBytes, "bytes in all").of(ErrInvalidQuery)
	}
	return nil
}

func validateText(field, text string, shortest, longest int) *InvalidError {
	switch {
	case len(text) < shortest:
		return &InvalidError{Field: field, Problem: fmt.Sprintf("is empty; it must have 1 to %d bytes", longest)}
	case len(text) > longest:
		return tooLong(field, len(text), longest, "bytes")
	case !utf8.ValidString(text):
		return &InvalidError{Field: field, Problem: "is not valid UTF-8"}
	case strings.IndexByte(text, 0) >= 0:
		return &InvalidError{Field: field, Problem: "contains a NUL byte"}
	}
	return nil
}

func tooLong(field string, got, limit int, unit string) *InvalidError {
	return &InvalidError{Field: field, Problem: fmt.Sprintf("has %d %s; the limit is %d", got, unit, limit), Limit: limit}
}
