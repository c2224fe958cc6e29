package decide

import (
	"slices"
	"strings"

	"github.com/dcbstore/dcb"
)

// pairwiseItems is the number of items up to which each item is compared with each other item.
// Nearly every decision has fewer.
const pairwiseItems = 16

// union returns a query that selects what any of the projections selects. Items with equal tags
// are joined into one with the types of all. An item that selects nothing more than another one
// is left out. So a store looks up shared tags only once.
func union(projections []AnyProjection) dcb.Query {
	if len(projections) == 1 {
		return dcb.Query{projections[0].base().item}
	}
	var array [4]dcb.QueryItem // memory for most queries, on the stack
	query := dcb.Query(array[:0])
	index := newTagIndex(len(projections))
	for _, projection := range projections {
		item := projection.base().item
		if at := index.find(query, item.Tags); at >= 0 {
			query[at].Types = joinTypes(query[at].Types, item.Types)
		} else {
			query = append(query, item)
		}
	}
	if len(query) <= pairwiseItems {
		query = removeCovered(query)
	}
	return slices.Clone(query) // moves the items from array to the heap
}

// removeCovered removes, in place, the items that other items cover. Covering is transitive, so
// it does not matter that removed items are overwritten.
func removeCovered(query dcb.Query) dcb.Query {
	remaining := query[:0]
	for i := range query {
		covered := false
		for j := range query {
			covered = covered || covers(&query[j], &query[i])
		}
		if !covered {
			remaining = append(remaining, query[i])
		}
	}
	return remaining
}

// covers reports whether a selects every event that b selects, with fewer tags. No two items of a
// union have equal tags.
func covers(a, b *dcb.QueryItem) bool {
	return len(a.Tags) < len(b.Tags) && isSubset(a.Tags, b.Tags) &&
		(len(a.Types) == 0 || len(b.Types) > 0 && isSubset(b.Types, a.Types))
}

func isSubset(some, all []string) bool {
	for _, s := range some {
		if !slices.Contains(all, s) {
			return false
		}
	}
	return true
}

// joinTypes returns the types that an item with types or with more selects. No types mean all
// types. The result may use memory after the end of types, so the types of projections have no
// spare capacity.
func joinTypes(types, more []string) []string {
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

// tagIndex finds the item with given tags in a query that grows. It is nil for small queries,
// which find searches linearly.
type tagIndex map[string]int

func newTagIndex(projections int) tagIndex {
	if projections <= pairwiseItems {
		return nil
	}
	return make(tagIndex, projections)
}

// find returns the index of the item with exactly these sorted tags. If there is none it returns
// -1, and the caller must append an item with these tags.
func (x tagIndex) find(query dcb.Query, tags []string) int {
	if x == nil {
		for i := range query {
			if slices.Equal(query[i].Tags, tags) {
				return i
			}
		}
		return -1
	}
	key := strings.Join(tags, "\x00") // not allowed in tags
	if at, ok := x[key]; ok {
		return at
	}
	x[key] = len(query)
	return -1
}
