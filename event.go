package dcb

import (
	"bytes"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Position is the place of an event in the sequence. The first event has position 1, and there are
// no gaps. Position 0 is before the first event.
type Position uint64

// Event is one fact, as the application passes it to [Store.Append]. The constants at
// [MaxTypeBytes] are its limits. Nil and empty slices and maps mean the same.
type Event struct {
	// Type says what happened.
	Type string
	// Tags name the things that the event concerns. They are a set: a tag given twice is recorded
	// once, where it was first mentioned.
	Tags []string
	// Data is opaque to the store.
	Data []byte
	// ID is optional; the zero UUID means none. It is unique in the store. An append whose events all
	// have IDs can be retried; see [Store].
	ID uuid.UUID
	// Metadata is optional and opaque to the store.
	Metadata map[string]string
}

// Clone returns a copy of e that shares no mutable memory with it.
func (e Event) Clone() Event {
	e.Tags = slices.Clone(e.Tags)
	e.Data = bytes.Clone(e.Data)
	e.Metadata = maps.Clone(e.Metadata)
	return e
}

// Same reports whether e and other have the same type, tags (as a set), data, ID and metadata. By
// it a store distinguishes the retry of an append from a duplicate ID.
func (e Event) Same(other Event) bool {
	return e.Type == other.Type &&
		e.ID == other.ID &&
		bytes.Equal(e.Data, other.Data) &&
		maps.Equal(e.Metadata, other.Metadata) &&
		slices.Equal(sortedSet(e.Tags), sortedSet(other.Tags))
}

// Size returns the number of bytes in the type, tags, data and metadata of e. They count against
// [MaxAppendBytes] and against the size of a page; see [ReadPage].
func (e Event) Size() int {
	size := len(e.Type) + len(e.Data)
	for _, tag := range e.Tags {
		size += len(tag)
	}
	for key, value := range e.Metadata {
		size += len(key) + len(value)
	}
	return size
}

// SequencedEvent is a recorded event: an event and what the store added to it.
type SequencedEvent struct {
	Event
	// Position is the place of the event in the sequence.
	Position Position
	// RecordedAt is the time of the append by the store's clock, in UTC and whole microseconds. It
	// never falls as Position rises.
	RecordedAt time.Time
}

// Clone returns a copy of e that shares no mutable memory with it.
func (e SequencedEvent) Clone() SequencedEvent {
	e.Event = e.Event.Clone()
	return e
}

// UniqueTags returns the distinct tags in the order of their first mention, as a store records
// them. It does not change tags, but the result may share memory with it.
func UniqueTags(tags []string) []string {
	if isSet(tags) {
		return tags
	}
	var unique []string
	for _, tag := range tags {
		if !slices.Contains(unique, tag) {
			unique = append(unique, tag)
		}
	}
	return unique
}

// maxPairwiseTags is the largest number of tags that isSet compares pairwise. Nearly every event
// has one or two tags, for which a comparison costs less than sorting a copy.
const maxPairwiseTags = 16

// isSet reports whether every tag occurs once.
func isSet(tags []string) bool {
	if len(tags) > maxPairwiseTags {
		return len(sortedSet(tags)) == len(tags)
	}
	for i, tag := range tags {
		if slices.Contains(tags[:i], tag) {
			return false
		}
	}
	return true
}

// sortedSet returns the distinct tags in ascending order, in new memory.
func sortedSet(tags []string) []string {
	sorted := slices.Clone(tags)
	slices.Sort(sorted)
	return slices.Compact(sorted)
}
