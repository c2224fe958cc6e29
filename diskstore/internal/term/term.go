// Package term names what events are looked up by (a tag, a type, an ID) with keys of 64 bits.
//
// The index knows no text, only keys. Two terms may share a key, though that is rare: what the index finds is therefore a candidate, which
// dcb.Query.Matches judges when the event itself is at hand. What the index does not find is not there.
package term

import (
	"github.com/cespare/xxhash/v2"
	"github.com/google/uuid"
)

// Key is a kind, in the two highest bits, and 62 bits of the xxHash64 of the text. It is part of the format of index files.
//
//	 63 62 61                                        0
//	┌─────┬─────────────────────────────────────────┐
//	│kind │ xxHash64 of the text or the UUID, >> 2  │
//	└─────┴─────────────────────────────────────────┘
type Key uint64

// Kind is what a term is.
type Kind uint8

// The kinds, in the order of their keys.
const (
	Tag Kind = iota
	Type
	ID
	Kinds int = iota
)

// Kind returns what k is the key of.
func (k Key) Kind() Kind { return Kind(k >> 62) }

// First returns the lowest key that a term of kind can have; of the kind after the last, a key above all.
func (kind Kind) First() Key { return Key(kind) << 62 }

// OfTag returns the key of a tag.
func OfTag(tag string) Key { return Tag.First() | Key(xxhash.Sum64String(tag)>>2) }

// OfType returns the key of an event's type.
func OfType(eventType string) Key { return Type.First() | Key(xxhash.Sum64String(eventType)>>2) }

// OfID returns the key of an event's ID.
func OfID(id uuid.UUID) Key { return ID.First() | Key(xxhash.Sum64(id[:])>>2) }
