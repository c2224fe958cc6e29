package dcb

import (
	"bytes"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Position is an event's place in the sequence. The first event has position 1 and there are no gaps; 0 is
// the place before the first event.
type Position uint64

// Event is one fact, as the application hands it to a store.
type Event struct {
	// Type says what happened: 1 to [MaxTypeBytes] bytes.
	Type string
	// Tags say whom it concerns. They are a set: a tag given twice is recorded once, where it was first mentioned.
	// At most [MaxTags], each of 1 to [MaxTagBytes] bytes.
	Tags []string
	// Data is opaque to the store: at most [MaxDataBytes] bytes. Nil and empty are the same.
	Data []byte
	// ID is optional; the zero UUID means none. Where given it is unique in the store, which makes an append
	// repeatable: see [Store].
	ID uuid.UUID
	// Metadata is optional and opaque to the store: at most [MaxMetadata] entries. Nil and empty are the same.
	Metadata map[string]string
}

// Clone returns a copy that shares no memory with e that either side could change.
func (e Event) Clone() Event {
	e.Tags = slices.Clone(e.Tags)
	e.Data = bytes.Clone(e.Data)
	e.Metadata = maps.Clone(e.Metadata)
	return e
}

// Same reports whether e and other are the same fact: type, tags (as a set), data, ID and metadata are equal. It
// decides whether an append is the repetition of an earlier one.
func (e Event) Same(other Event) bool {
	return e.Type == other.Type &&
		e.ID == other.ID &&
		bytes.Equal(e.Data, other.Data) &&
		maps.Equal(e.Metadata, other.Metadata) &&
		slices.Equal(sortedSet(e.Tags), sortedSet(other.Tags))
}

// Size returns the bytes of e that count against [MaxAppendBytes] and the size of a page: type,
// tags, data and metadata.
func (e *Event) Size() int {
	size := len(e.Type) + len(e.Data)
	for _, tag := range e.Tags {
		size += len(tag)
	}
	for key, value := range e.Metadata {
		size += len(key) + len(value)
	}
	return size
}

// SequencedEvent is an event with what the store gave it when it was recorded.
type SequencedEvent struct {
	Event
	// Position is the event's place in the sequence.
	Position Position
	// RecordedAt is the store's clock at that moment: UTC, in whole microseconds. It never falls as Position rises.
	RecordedAt time.Time
}

// Clone returns a copy that shares no memory with e that either side could change.
func (e SequencedEvent) Clone() SequencedEvent {
	e.Event = e.Event.Clone()
	return e
}

// UniqueTags returns tags without repetitions, in the order of their first mention. The result may share memory with
// tags, which is not changed.
func UniqueTags(tags []string) []string {
	if isSet(tags) {
		return tags
	}
	return appendUnique(nil, tags)
}

func appendUnique(unique, tags []string) []string {
	for _, tag := range tags {
		if !slices.Contains(unique, tag) {
			unique = append(unique, tag)
		}
	}
	return unique
}

// fewTags is up to how many tags each is compared with each. Nearly every event has one or two.
const fewTags = 16

// isSet reports whether no tag is there twice.
func isSet(tags []string) bool {
	if len(tags) > fewTags {
		return len(sortedSet(tags)) == len(tags)
	}
	for i, tag := range tags {
		if slices.Contains(tags[:i], tag) {
			return false
		}
	}
	return true
}

func sortedSet(tags []string) []string {
	sorted := slices.Clone(tags)
	slices.Sort(sorted)
	return slices.Compact(sorted)
}
