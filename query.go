package dcb

import "slices"

// QueryItem selects the events whose type is one of Types and whose tags contain all of Tags. Without Types it selects
// events of any type; without Tags, whatever their tags. Types and tags are compared byte by byte.
type QueryItem struct{ Types, Tags []string }

// Query selects the events that at least one of its items selects. A query without items is refused with
// [ErrInvalidQuery], so that a list that came out empty by mistake does not select everything; [All] does that.
type Query []QueryItem

// All returns the query that selects every event: one item that names neither types nor tags.
func All() Query { return Query{{}} }

// Matches reports whether q selects e. It is the only definition of matching: every index is tested against it.
func (q Query) Matches(e Event) bool {
	return slices.ContainsFunc(q, func(item QueryItem) bool { return item.Matches(e) })
}

// Matches reports whether i selects e.
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
