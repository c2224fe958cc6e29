package dcb

import "slices"

// QueryItem is one alternative of a [Query]. An event matches an item if the item names no types or
// names the event's type, and if the event has all of the item's tags.
//
// An item with more than [MaxTags] tags is legal and matches nothing.
type QueryItem struct{ Types, Tags []string }

// Query selects events. An event matches a query if it matches one of its items.
//
// A query without items is not the query that matches everything, which is [All]. It fails with
// [ErrInvalidQuery], so that a list built from no items does not read the whole store.
type Query []QueryItem

// All returns the query that matches every event: one item without types and tags.
func All() Query { return Query{{}} }

// Matches reports whether e matches q. Types and tags are compared byte by byte. This is the only
// definition of matching; the indexes of stores are tested against it.
func (q Query) Matches(e Event) bool {
	return slices.ContainsFunc(q, func(item QueryItem) bool { return item.Matches(e) })
}

// Matches reports whether e matches i.
func (i QueryItem) Matches(e Event) bool {
	if len(i.Types) > 0 && !slices.Contains(i.Types, e.Type) {
		return false
	}
	for _, tag := range i.Tags {
		if !slices.Contains(e.Tags, tag) {
			return false
		}
	}
	return true
}
