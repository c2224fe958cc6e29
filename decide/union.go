package decide

import (
	"slices"
	"strings"

	"github.com/dcbstore/dcb"
)

// few is up to how many items each is compared with each. Nearly every decision has fewer projections.
const few = 16

// union returns the query that selects what any of the projections selects. Equal items are there once, items with equal tags are one,
// with the types of all, and an item that selects nothing that another does not is left out: a store looks once for what several projections want.
func union(projections []AnyProjection) dcb.Query {
	if len(projections) == 1 {
		return dcb.Query{projections[0].common().item}
	}
	var room [4]dcb.QueryItem
	query := dcb.Query(room[:0])
	places := placesOf(len(projections))
	for _, v := range projections {
		item := v.common().item
		if at := places.find(query, item.Tags); at >= 0 {
			query[at].Types = joined(query[at].Types, item.Types)
		} else {
			query = append(query, item)
		}
	}
	if len(query) <= few {
		query = uncovered(query)
	}
	return slices.Clone(query) // out of the room, and no larger than it has to be
}

// uncovered returns query without the items that others cover, in its place. What covers an item that covers another covers that too, so
// it does not matter that those left out are written over.
func uncovered(query dcb.Query) dcb.Query {
	kept := query[:0]
	for i := range query {
		covered := false
		for j := range query {
			covered = covered || covers(&query[j], &query[i])
		}
		if !covered {
			kept = append(kept, query[i])
		}
	}
	return kept
}

// covers reports whether a selects whatever b selects, and has fewer tags. No two items of a union have the same.
func covers(a, b *dcb.QueryItem) bool {
	return len(a.Tags) < len(b.Tags) && subset(a.Tags, b.Tags) &&
		(len(a.Types) == 0 || len(b.Types) > 0 && subset(b.Types, a.Types))
}

func subset(some, all []string) bool {
	for _, s := range some {
		if !slices.Contains(all, s) {
			return false
		}
	}
	return true
}

// joined returns what types and more select together, where no types are all types. It may write beyond the length of types: those of
// projections have no room there.
func joined(types, more []string) []string {
	if len(types) == 0 || len(more) == 0 {
		return nil
	}
	for _, name := range more {
		if slices.Contains(types, name) {
			continue
		}
		if len(types) == cap(types) {
			types = append(make([]string, 0, 2*len(types)+2), types...)
		}
		types = append(types, name)
	}
	return types
}

// places finds the item with given tags in a query that grows. The tags of an item are sorted.
type places map[string]int

func placesOf(projections int) places {
	if projections <= few {
		return nil
	}
	return make(places, projections)
}

// find returns the place of the item with these tags, or -1, and takes it then that the item is added.
func (p places) find(query dcb.Query, tags []string) int {
	if p == nil {
		for i := range query {
			if slices.Equal(query[i].Tags, tags) {
				return i
			}
		}
		return -1
	}
	key := strings.Join(tags, "\x00") // which no tag contains
	if at, ok := p[key]; ok {
		return at
	}
	p[key] = len(query)
	return -1
}
